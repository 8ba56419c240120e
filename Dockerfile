# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0
#
#   docker build --build-arg VERSION="$(git describe --tags --always)" -t otelcol-anonymizer .
#   docker run --rm -v "$PWD/videos:/data/videos" -p 8889:8889 -p 127.0.0.1:8090:8090 otelcol-anonymizer
#
# The first stage makes the Debian package, the second one installs it. To pin the images by digest, pass them as
# GOLANG and DEBIAN, such as --build-arg DEBIAN=debian:bookworm-slim@sha256:...
ARG GOLANG=golang:1.26-bookworm
ARG DEBIAN=debian:bookworm-slim

FROM ${GOLANG} AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
      dpkg-dev ffmpeg g++ make npm libopencv-core-dev libopencv-imgproc-dev libopencv-imgcodecs-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN make models SETUP=:
ARG VERSION=dev
# The timestamp in the package. The image has no git data that would provide it.
ARG SOURCE_DATE_EPOCH=1767225600
RUN DIST=/package build/package.sh "$(dpkg --print-architecture)" "$VERSION" deb

FROM ${DEBIAN}
COPY --from=build /package/*.deb /tmp/package.deb
# The package creates its user unless it exists. Here, the user gets a fixed ID, so that it can own volumes.
RUN useradd --system --uid 10001 --home-dir /data otelcol-anonymizer \
 && apt-get update && apt-get install -y --no-install-recommends \
      curl systemd-standalone-sysusers systemd-standalone-tmpfiles /tmp/package.deb \
 && rm -rf /var/lib/apt/lists/* /tmp/package.deb \
 && install -d -m 755 -o 10001 -g otelcol-anonymizer /data \
 && install -d -m 1777 /data/telemetry # any user may write to the volume, which inherits this mode
USER 10001
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
