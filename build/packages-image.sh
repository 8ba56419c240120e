#!/usr/bin/env bash
# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0
#
# Draws docs/images/packages.svg: the packages of the video receiver and their actual imports. Needs graphviz.
set -euo pipefail
cd "$(dirname "$0")/.."
. build/env.sh
module=github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer
{
  cat <<'DOT'
digraph {
  graph [rankdir=TB, nodesep=0.35, ranksep=0.5, fontname="Helvetica", pad=0.2]
  node [shape=box, style="rounded,filled", fillcolor="#eef3fb", color="#4a6fa5", fontname="Helvetica", fontsize=13]
  edge [color="#8a8a8a", arrowsize=0.7]
DOT
  # Leaves out edges that follow from others, and generated code and test support.
  go -C receiver/videoanonymizer list -f '{{range .Imports}}{{$.ImportPath}} {{.}}{{"\n"}}{{end}}' . ./internal/... |
    grep -E "^$module(/internal/[a-z]+)? $module/internal/[a-z]+$" |
    sed -E "s#$module/internal/##g; s#$module#videoanonymizer#g" |
    grep -vE 'metadata|test' | awk '{printf "  %s -> %s\n", $1, $2}'
  echo '}'
} | tred | dot -Tsvg | perl -0pe 's/<!--.*?-->\n?//gs' >docs/images/packages.svg
