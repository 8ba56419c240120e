# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Sets the environment in which build/env.sh builds for another architecture: `. build/cross.sh arm64`. That
# architecture's libraries come from packages of this system's Debian release, which are unpacked but not installed.
case $1 in
  arm64) triplet=aarch64-linux-gnu ;;
  *)
    echo "cross: cannot build for $1: on such a machine, build/package.sh $1 builds it natively" >&2
    exit 1
    ;;
esac
command -v "$triplet-g++" >/dev/null || {
  echo "cross: install the compiler: apt-get install g++-$triplet" >&2
  exit 1
}
SYSROOT=$PWD/build/cache/package/$1/sysroot
if [ ! -d "$SYSROOT" ]; then
  echo "cross: fetching the libraries for $1" >&2
  apt=$PWD/build/cache/package/$1/apt
  mkdir -p "$apt"/{lists,archives}/partial "$SYSROOT.part"
  options=(-q=2 -o "APT::Architecture=$1" -o "APT::Architectures=$1" -o "Dir::State::Lists=$apt/lists"
    -o Dir::State::status=/dev/null -o "Dir::Cache=$apt" -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update
  (cd "$apt/archives" && apt-get "${options[@]}" download \
    libopencv-{core,imgproc}-dev libtbb12 zlib1g liblapack3 libblas3 libgfortran5 libwebp7)
  for deb in "$apt"/archives/*.deb; do dpkg --extract "$deb" "$SYSROOT.part"; done
  cp --archive "$SYSROOT.part/lib/$triplet/." "$SYSROOT.part/usr/lib/$triplet"
  # Debian's alternatives keep these two in separate folders.
  for library in lapack blas; do
    ln -s "$library/lib$library.so.3" "$SYSROOT.part/usr/lib/$triplet/lib$library.so.3"
  done
  mv "$SYSROOT.part" "$SYSROOT"
fi
export GOOS=linux GOARCH=$1 CC=$triplet-gcc CXX=$triplet-g++ SYSROOT_LIBRARIES=$SYSROOT/usr/lib/$triplet
