#!/usr/bin/env bash
# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0
#
# Builds Jaeger in build/cache/jaeger-VERSION, where it is not there yet: about five minutes on two cores. It is built as its own
# go.mod and go.sum pin it, from the module whose hash is given here. The web pages are no part of the module; the query API is.
set -euo pipefail
version=v1.76.0
sum=h1:sWCOOF1dr+NL0PLil7mFo3BqqQL8k4WiM7aguFbc14g=
cd "$(dirname "$0")"; mkdir -p cache; cd cache
binary=jaeger-$version
if [ ! -x "$binary" ]; then
  echo "jaeger: building $version" >&2
  module=$(cd / && GOFLAGS= go mod download -json "github.com/jaegertracing/jaeger@$version")
  field() { sed -n "s/^\t\"$1\": \"\(.*\)\",\{0,1\}$/\1/p" <<<"$module"; }
  [ "$(field Sum)" = "$sum" ] || { echo "jaeger: $version has the hash $(field Sum) instead of $sum" >&2; exit 1; }
  (cd "$(field Dir)" && CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -trimpath -ldflags "-s -w" -o "$OLDPWD/$binary.part" ./cmd/jaeger)
  mv "$binary.part" "$binary"
fi
echo "$PWD/$binary"
