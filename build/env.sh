# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0
#
# The environment of every go command that compiles gocv: `. build/env.sh && go test ./...`. The Makefile uses it too.
root=$(CDPATH= cd -- "$(dirname -- "${BASH_SOURCE:-$0}")/.." && pwd)
export CGO_ENABLED=1
# go-nvml wraps deprecated functions; the warnings are not useful here.
export CGO_CFLAGS="-O2 -Wno-deprecated-declarations"
export CGO_CXXFLAGS="-O2 -std=c++11 -DNDEBUG -I$root/build/include -I/usr/include/opencv4"
export CGO_LDFLAGS="-O2 -lopencv_core -lopencv_imgproc -lopencv_imgcodecs"
export GOFLAGS="${GOFLAGS:+$GOFLAGS }-tags=customenv,gocv_specific_modules"
# Official builds of ONNX Runtime send telemetry to their vendor by default. The receiver turns that off itself, too.
export ORT_DISABLE_TELEMETRY=1
# With LINK=static, OpenCV is linked into the programs, as in packages, because its sonames differ between Debian
# releases. The linker drops what is not called, such as the image formats. Debian's static libraries are in packages
# that the build needs anyway; the libraries that OpenCV itself calls have the same sonames in Debian 12 and 13.
if [ "${LINK-}" = static ]; then
  export CGO_CFLAGS="$CGO_CFLAGS -ffunction-sections -fdata-sections"
  export CGO_CXXFLAGS="$CGO_CXXFLAGS -ffunction-sections -fdata-sections"
  # OpenCV's OpenGL textures, which nothing here uses, would require X11 libraries.
  export CGO_LDFLAGS="-O2 -Wl,--gc-sections,--as-needed,--defsym=glXGetProcAddressARB=0 \
-l:libopencv_imgproc.a -l:libopencv_core.a -l:libtbb.so.12 -l:libz.so.1 -l:liblapack.so.3 -l:libblas.so.3"
  if [ -n "${SYSROOT_LIBRARIES-}" ]; then # build/cross.sh
    CGO_LDFLAGS="-L$SYSROOT_LIBRARIES -Wl,-rpath-link=$SYSROOT_LIBRARIES $CGO_LDFLAGS"
  fi
fi
