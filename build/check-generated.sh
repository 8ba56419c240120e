#!/usr/bin/env bash
# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0
#
# Regenerates everything in a copy of the working tree, and fails if the copy then differs.
set -euo pipefail
cd "$(dirname "$0")/.."

copies=$(mktemp -d)
trap 'rm -rf "$copies"' EXIT
mkdir "$copies/committed"
git ls-files -z --cached --others --exclude-standard |
  tar -c --null --files-from=- --ignore-failed-read 2>/dev/null | tar -x -C "$copies/committed"
cp -r "$copies/committed" "$copies/generated"

make --no-print-directory -C "$copies/generated" generate >"$copies/log" 2>&1 || {
  cat "$copies/log" >&2
  exit 1
}
(cd "$copies" && diff -r --exclude=node_modules committed generated) || {
  echo "check-generated: generated code differs from what its source generates: run make generate and commit" >&2
  exit 1
}
