#!/usr/bin/env bash
# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0
#
#   build/sbom.sh VERSION     prints the parts of the package that build/package.sh has made here, as CycloneDX
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1
work=build/cache/package/$(dpkg --print-architecture)
tool() { go tool -modfile="$PWD/internal/tools/release/go.mod" "$@"; }
lists=()
for program in otelcol-anonymizer anonymizerctl; do
  list=$PWD/$work/$program.cdx.json
  tool cyclonedx-gomod bin -json -licenses -assert-licenses -noserial -notimestamp -version "$version" -output "$list" \
    "$work/bin/$program" 2>/dev/null
  lists+=("$list")
done
go -C internal/tools/release run ./sbom -version "$version" -root "$PWD" \
  -epoch "${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}" \
  -opencv "$(dpkg-query -W -f '${Version}' libopencv-core-dev)" \
  -depends "$(<"$work/depends"), ffmpeg" "${lists[@]}"
