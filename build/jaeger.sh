#!/usr/bin/env bash
# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0
#
# Builds Jaeger as build/cache/jaeger-VERSION unless it exists, in about five minutes on two cores, and prints its path.
# The source is the module whose hash is given here, and its go.mod and go.sum pin the dependencies. The module contains
# the query API but not the web UI.
set -euo pipefail
version=v1.76.0
sum=h1:sWCOOF1dr+NL0PLil7mFo3BqqQL8k4WiM7aguFbc14g=
cd "$(dirname "$0")"
mkdir -p cache
cd cache
binary=$PWD/jaeger-$version
if [ ! -x "$binary" ]; then
  echo "jaeger: building $version" >&2
  module=$(cd / && GOFLAGS= go mod download -json "github.com/jaegertracing/jaeger@$version")
  field() { sed -n "s/^\t\"$1\": \"\(.*\)\",\{0,1\}$/\1/p" <<<"$module"; }
  [ "$(field Sum)" = "$sum" ] || {
    echo "jaeger: $version has the hash $(field Sum) instead of $sum" >&2
    exit 1
  }
  (
    cd "$(field Dir)"
    CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -trimpath -ldflags "-s -w" -o "$binary.part" ./cmd/jaeger
  )
  mv "$binary.part" "$binary"
fi
echo "$binary"
