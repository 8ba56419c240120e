#!/usr/bin/env bash
# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0
#
# Runs make targets one after another, and prints how long each took: build/steps.sh lint "test-module MODULE=models".
# It stops at the first failure. At the end, even after a failure, it prints the times of all steps again.
set -euo pipefail

times=()
trap 'if [ ${#times[@]} -gt 1 ]; then printf "%s\n" "${times[@]}" "time: total $SECONDS s"; fi' EXIT

for step; do
  start=$SECONDS
  status=0
  make --no-print-directory $step || status=$? # unquoted: a step is a target and its variables
  times+=("time: $step $((SECONDS - start)) s$([ "$status" = 0 ] || echo " (failed)")")
  echo "${times[-1]}"
  [ "$status" = 0 ] || exit "$status"
done
