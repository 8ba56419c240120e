# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0
#
#   docker build --build-arg VERSION="$(git describe --tags --always)" -t otelcol-anonymizer .
#   docker run --rm -v "$PWD/videos:/data/videos" -p 8889:8889 -p 127.0.0.1:8090:8090 otelcol-anonymizer
#
# The build steps are targets of the Makefile.
FROM golang:1.26-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
      ffmpeg g++ make npm libopencv-core-dev libopencv-imgproc-dev libopencv-imgcodecs-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN make models SETUP=:
ARG VERSION=dev
RUN make build SETUP=: VERSION="$VERSION"

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends \
      ca-certificates curl ffmpeg libopencv-core406 libopencv-imgproc406 libopencv-imgcodecs406 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --create-home --home-dir /data anonymizer \
 && chmod 755 /data \
 && install -d -m 1777 /data/telemetry # any user may write to the volume, which inherits this mode
COPY --from=build /src/bin/otelcol-anonymizer /src/bin/anonymizerctl /usr/bin/
# The former name of `anonymizerctl compare`; the link stays for one release.
RUN ln -s anonymizerctl /usr/bin/otelcol-anonymizer-compare
COPY --from=build /src/models/*.onnx /usr/share/otelcol-anonymizer/models/
COPY --from=build /src/models/lib /usr/share/otelcol-anonymizer/models/lib
COPY config/config.yaml /etc/otelcol-anonymizer/config.yaml
USER anonymizer
# Relative paths in the configuration start here: videos/ and telemetry/.
WORKDIR /data
VOLUME /data
EXPOSE 8889 8090 4317 4318 13133
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD curl -fsS http://localhost:13133/ || exit 1
ENTRYPOINT ["/usr/bin/otelcol-anonymizer"]
# The default configuration listens on localhost only, where Prometheus could not reach the container's metrics.
CMD ["--config", "/etc/otelcol-anonymizer/config.yaml", \
     "--config", "yaml:exporters::prometheus::endpoint: 0.0.0.0:8889", \
     "--config", "yaml:extensions::anonymizer_console::endpoint: 0.0.0.0:8090", \
     "--config", "yaml:extensions::anonymizer_console::behind_proxy: true"]
