#!/usr/bin/env bash
# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0
#
#   build/reproducible.sh VERSION     builds the package of this commit twice, and fails if the two differ
#
# It uses two folders with separate compiler caches, so that everything is compiled twice.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ -z "$(git status --porcelain)" ] || echo "reproducible: uncommitted changes are left out" >&2
arch=$(dpkg --print-architecture)
for folder in one another/with-a-longer-name; do
  git clone --quiet --no-hardlinks . "$work/$folder"
  cp -r models/*.onnx models/lib "$work/$folder/models/"
  name=${folder%%/*}
  GOCACHE=$work/cache-$name DIST=$work/dist-$name "$work/$folder/build/package.sh" "$arch" "$version" >&2
done
for file in "$work"/dist-one/*; do
  cmp "$file" "$work/dist-another/$(basename "$file")" || {
    echo "reproducible: two builds of $(basename "$file") differ; diffoscope shows where" >&2
    exit 1
  }
done
(cd "$work/dist-one" && sha256sum -- *)
echo "reproducible: two builds are identical, byte for byte"
