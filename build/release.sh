#!/usr/bin/env bash
# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0
#
#   build/release.sh VERSION     makes the release of the commit that is checked out, in dist/, and tags it
#
# It fails if the release would not be what its version says. CONTRIBUTING.md lists the steps before this one. This
# script publishes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1
output=receiver/videoanonymizer/internal/anonymize/checkpoint.go

fail() {
  echo "release: $*" >&2
  exit 1
}

[[ $version =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-rc\.[0-9]+)?$ ]] ||
  fail "$version is not a version such as v1.2.0 or v1.2.0-rc.1"
[ -z "$(git status --porcelain)" ] || fail "the working tree has changes: commit them, or remove them"
! git rev-parse --quiet --verify "refs/tags/$version" >/dev/null || fail "the tag $version exists: tags are never moved"
grep -q "^## $version\b" CHANGELOG.md ||
  fail "CHANGELOG.md has no section $version: run make chlog-update VERSION=$version"
! find .chloggen -name '*.yaml' ! -name TEMPLATE.yaml ! -name config.yaml | grep -q . ||
  fail "there are changelog entries left: run make chlog-update VERSION=$version"
root=$(go list -m)
others=$(git grep -hoE "^\s*(require )?$root/\S+ v\S+" -- '*go.mod' | awk '{ print $NF }' | sort -u)
[ -z "$others" ] || [ "$others" = "$version" ] ||
  fail "modules require each other at $(tr '\n' ' ' <<<"$others"): run make set-version VERSION=$version"

# A release with the same compatibility finishes videos that the previous release began.
last=$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null || true)
compatibility() { git show "$1:$output" 2>/dev/null | grep '^var outputCompatibility'; }
if [ -n "$last" ] && [ "$(compatibility "$last")" = "$(compatibility HEAD)" ] && [ -z "${OUTPUT_UNCHANGED-}" ]; then
  changed=$(git diff --name-only "$last" -- models/catalog.yaml go.mod receiver/videoanonymizer/go.mod \
    receiver/videoanonymizer/internal/{anonymize,mask,media,onnx,inference,pipeline,report,track,vision} |
    grep -v -e _test.go -e /testdata/ || true)
  [ -z "$changed" ] || fail "since $last, changes in these files may affect outputs:
$changed
Raise outputCompatibility in $output, or set OUTPUT_UNCHANGED=1 if outputs are the same, byte for byte."
fi

rm -rf dist
build/reproducible.sh "$version"
build/package.sh amd64 "$version"
build/package.sh arm64 "$version"
build/sbom.sh "$version" >"dist/otelcol-anonymizer-${version#v}.cdx.json"
git show "HEAD:CHANGELOG.md" | awk -v version="$version" '/^## / { on = $2 == version } on' \
  >"dist/CHANGES-${version#v}.md"
(cd dist && sha256sum -- * >SHA256SUMS)
make --no-print-directory tags VERSION="$version"
cat <<DONE
release: dist/ has the packages, the list of their parts and the sums. Publish it with the tags:
  git push origin $version $(git tag --points-at HEAD | grep -v "^$version\$" | tr '\n' ' ')
DONE
