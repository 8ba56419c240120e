// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Command otelcol-anonymizer is an OpenTelemetry Collector that anonymizes video and reports on every frame.
package main

// version is the version that `otelcol-anonymizer --version` prints and that telemetry carries. The Makefile sets it
// from git.
var version = "dev"
