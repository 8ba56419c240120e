# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0
#
# What every go command needs that compiles gocv: `. build/env.sh && go test ./...`. The Makefile reads it too.
root=$(CDPATH= cd -- "$(dirname -- "${BASH_SOURCE:-$0}")/.." && pwd)
export CGO_ENABLED=1
# Without the warnings about deprecated functions that go-nvml wraps: its users can do nothing about them.
export CGO_CFLAGS="-O2 -Wno-deprecated-declarations"
export CGO_CXXFLAGS="-O2 -std=c++11 -DNDEBUG -I$root/build/include -I/usr/include/opencv4"
export CGO_LDFLAGS="-O2 -lopencv_core -lopencv_imgproc -lopencv_imgcodecs"
export GOFLAGS="${GOFLAGS:+$GOFLAGS }-tags=customenv,gocv_specific_modules"
# ONNX Runtime's official builds report to their maker unless they are told not to; the receiver tells them itself.
export ORT_DISABLE_TELEMETRY=1
