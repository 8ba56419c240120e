#!/usr/bin/env bash
# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0
#
# Installs the Debian packages that the build needs and, with the argument `test`, `package` or `voices`, those that the
# tests, packaging and its tests, or `make voices` need. It does not prompt, and it changes nothing if all packages are
# installed.
set -euo pipefail

need=(ffmpeg g++ make libopencv-core-dev libopencv-imgproc-dev libopencv-imgcodecs-dev)
# The fonts are for the Japanese texts in screenshots of the console.
[ "${1-}" = test ] && need+=(prometheus chromium fonts-ipafont-gothic)
[ "${1-}" = package ] && need+=(debootstrap dpkg-dev g++-aarch64-linux-gnu iproute2 lintian)
[ "${1-}" = voices ] && need+=(espeak-ng flite pocketsphinx pocketsphinx-en-us)

# Any npm in PATH works: Node.js is often not installed from Debian.
command -v npm >/dev/null || need+=(npm)
command -v go >/dev/null || {
  echo "setup: Go is missing: install Go 1.26 or newer from https://go.dev/dl and add its bin directory to PATH" >&2
  exit 1
}

if ! command -v dpkg-query >/dev/null; then
  cat >&2 <<MESSAGE
setup: this system is not Debian, so nothing was installed. Install the following yourself, then run make with SETUP=:
(a colon) to skip this step:
  ffmpeg with libx264; a C++ compiler; OpenCV 4 with the modules core, imgproc and imgcodecs, and its headers in
  /usr/include/opencv4 (otherwise change build/env.sh); Node.js with npm; Go 1.26; for the tests, Prometheus and
  Chromium.
MESSAGE
  exit 1
fi

missing=()
for package in "${need[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} = 0 ] && exit

root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || {
    echo "setup: as root, run: apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  }
  root=(sudo)
fi
echo "setup: installing ${missing[*]}" >&2
"${root[@]}" apt-get update -q=2
# RUNLEVEL=1 keeps services such as Prometheus from starting: the tests start their own.
"${root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
  apt-get install -q=2 --yes --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}" >/dev/null
