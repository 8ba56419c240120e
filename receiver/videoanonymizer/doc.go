// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package videoanonymizer is a receiver that produces telemetry about its own work: it watches directories, masks the
// face of every person in each video that appears there, and reports each frame as a trace, each video as a trace and
// log records, and its progress as metrics.
package videoanonymizer // import "github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer"
