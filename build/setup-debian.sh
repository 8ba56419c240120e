#!/usr/bin/env bash
# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0
#
# Installs the Debian packages that the build needs, and, with the argument `test`, those of the tests too. It asks for
# nothing and changes nothing where they are there already.
set -euo pipefail

need=(ffmpeg g++ make libopencv-core-dev libopencv-imgproc-dev libopencv-imgcodecs-dev)
[ "${1-}" = test ] && need+=(prometheus)

# On the path, where it comes from is of no matter: Node.js is as often not Debian's.
command -v npm >/dev/null || need+=(npm)
command -v go >/dev/null || {
  echo "setup: Go is missing: install Go 1.26 or newer from https://go.dev/dl and put its bin folder into PATH" >&2
  exit 1
}

if ! command -v dpkg-query >/dev/null; then
  cat >&2 <<MESSAGE
setup: this is not Debian, so nothing is installed. Install by hand, then call make with SETUP=: (a colon) to leave this out:
  ffmpeg with libx264; a C++ compiler; OpenCV 4 with its modules core, imgproc and imgcodecs, headers in
  /usr/include/opencv4 (elsewhere: change build/env.sh); Node.js with npm; Go 1.26; for the tests Prometheus.
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
# A package's service, such as Prometheus's, is not started: the tests start their own.
"${root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
  apt-get install -q=2 --yes --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}" >/dev/null
