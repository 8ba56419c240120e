#!/usr/bin/env bash
# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0
#
#   build/package.sh ARCH VERSION [deb]     makes a .deb and a .tar.gz in dist/ or $DIST; with deb, no archive
#
# ARCH is amd64 or arm64. The same commit produces the same bytes, wherever and whenever it is built. OpenCV is linked
# into the programs (build/env.sh), so that one package fits Debian 12 and 13. `make models` must have run.
set -euo pipefail
cd "$(dirname "$0")/.."
arch=$1 version=$2
work=build/cache/package/$arch
tree=$work/tree
umask 022

# debian_version VERSION: prints the version as Debian orders it: at a tag (1.2.0, 1.2.0~rc.1), after a tag
# (1.2.0+3.gabc1234), or without tags, by the time of the commit (0~202603010930.abc1234).
debian_version() {
  case $1 in
    v[0-9]*-[0-9]*-g*) sed -E 's/^v//; s/-([0-9]+)-g/+\1.g/; s/-/~/; s/~dirty$/.dirty/' <<<"$1" ;;
    v[0-9]*) sed -E 's/^v//; s/-/~/' <<<"$1" ;;
    *) echo "0~$(date --utc --date="@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M).${1//-/.}" ;;
  esac
}

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH LINK=static
DEBIAN_VERSION=$(debian_version "$version")
native=$(dpkg --print-architecture)

# programs GOARCH TARGET: builds the programs and, for this machine, also their man pages and completions.
programs() {
  local bin=build/cache/package/$1/bin
  mkdir -p "$bin"
  make --no-print-directory "$2" VERSION="$version" COLLECTOR="$bin/otelcol-anonymizer" \
    COMPANION="$bin/anonymizerctl" SHARE="build/cache/package/$native/share"
}

programs "$native" build
if [ "$arch" != "$native" ]; then
  (. build/cross.sh "$arch" && programs "$arch" programs)
fi

# Only the default models: others have licenses that each user has to agree to.
rm -rf "$work/models"
mkdir -p "$work/models/lib"
default=$(go -C models run ./cmd/models list | awk '$NF == "default" { print $1 }')
for name in $default; do
  if [ -f "models/$name.onnx" ]; then cp "models/$name.onnx" "$work/models"; fi
done
if [ "$arch" = "$native" ]; then cp models/lib/libonnxruntime.so.1 "$work/models/lib"; fi
go -C models run ./cmd/models fetch -dir "$PWD/$work/models" -platform "linux/$arch" >&2

rm -rf "$tree"
make --no-print-directory --silent install DESTDIR="$tree" COLLECTOR="$work/bin/otelcol-anonymizer" \
  COMPANION="$work/bin/anonymizerctl" SHARE="build/cache/package/$native/share" MODELS_DIR="$work/models"

doc=$tree/usr/share/doc/otelcol-anonymizer
rm "$doc/LICENSE"
(. build/env.sh && go run ./internal/packaging/notices -texts packaging/licenses \
  -text OpenCV=/usr/share/doc/libopencv-core-dev/copyright \
  "$work/bin/otelcol-anonymizer" "$work/bin/anonymizerctl") >"$doc/copyright"
install -m 644 CHANGELOG.md "$doc/CHANGELOG.md"
{
  echo "otelcol-anonymizer ($DEBIAN_VERSION) stable; urgency=medium"
  printf '\n  * Release %s. CHANGELOG.md in this folder says what changed.\n\n' "$version"
  echo " -- The otelcol-anonymizer Authors <otelcol-anonymizer@users.noreply.github.com>" \
    " $(LC_ALL=C date --utc --date="@$SOURCE_DATE_EPOCH" -R)"
} | gzip -9n >"$doc/changelog.gz"
gzip -9nf "$tree"/usr/share/man/man1/*.1
ln -s anonymizerctl-compare.1.gz "$tree/usr/share/man/man1/otelcol-anonymizer-compare.1.gz"
install -D -m 644 packaging/debian/lintian-overrides "$tree/usr/share/lintian/overrides/otelcol-anonymizer"
find "$tree" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

# The dependencies of the programs and of ONNX Runtime, determined as for Debian's own packages.
mkdir -p "$work/shlibs/debian"
printf 'Source: otelcol-anonymizer\n\nPackage: otelcol-anonymizer\nArchitecture: any\n' >"$work/shlibs/debian/control"
if [ "$arch" = "$native" ]; then
  DEPENDS=$(cd "$work/shlibs" && dpkg-shlibdeps -O --ignore-missing-info -e../bin/otelcol-anonymizer \
    -e../bin/anonymizerctl -e../tree/usr/lib/otelcol-anonymizer/libonnxruntime.so.1 2>/dev/null)
  DEPENDS=${DEPENDS#shlibs:Depends=}
  echo "$DEPENDS" >"$work/depends"
else
  DEPENDS=$(<"build/cache/package/$native/depends") # the same release has the same versions
fi

dist=${DIST:-dist}
mkdir -p "$dist"
export ARCH=$arch STAGE=$PWD/$tree DEBIAN_VERSION DEPENDS
deb=$dist/otelcol-anonymizer_${DEBIAN_VERSION}_$arch.deb
go tool -modfile=internal/tools/release/go.mod nfpm package --config packaging/nfpm.yaml --packager deb \
  --target "$deb" >&2

name=otelcol-anonymizer-${version#v}-linux-$arch
[ "${3-}" != deb ] || exit 0
rm -rf "${work:?}/$name"
mkdir "$work/$name"
cp --archive --link "$tree"/{usr/*,etc} LICENSE "$work/$name"
tar --create --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --directory "$work" "$name" |
  gzip -6n >"$dist/$name.tar.gz"
rm -rf "${work:?}/$name"
ls -l "$deb" "$dist/$name.tar.gz"
