// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

// version is what `otelcol-anonymizer --version` prints and what the telemetry carries; the Makefile sets it from git.
var version = "dev"
