# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0
#
# The environment of every go command that compiles gocv: `. build/env.sh && go test ./...`. The Makefile uses it too.
root=$(CDPATH= cd -- "$(dirname -- "${BASH_SOURCE:-$0}")/.." && pwd)
export CGO_ENABLED=1
# go-nvml wraps deprecated functions; the warnings are of no use here.
export CGO_CFLAGS="-O2 -Wno-deprecated-declarations"
export CGO_CXXFLAGS="-O2 -std=c++11 -DNDEBUG -I$root/build/include -I/usr/include/opencv4"
export CGO_LDFLAGS="-O2 -lopencv_core -lopencv_imgproc -lopencv_imgcodecs"
export GOFLAGS="${GOFLAGS:+$GOFLAGS }-tags=customenv,gocv_specific_modules"
# Official builds of ONNX Runtime send telemetry to their vendor by default. The receiver turns that off itself, too.
export ORT_DISABLE_TELEMETRY=1
