// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

//go:generate make -C ../.. generate-videoanonymizer

// Package videoanonymizer is a receiver whose source of telemetry is its own work: it watches folders, masks the face of
// every person in each video that appears there, and reports each frame as a trace, each video as a trace and log
// records, and its progress as metrics.
package videoanonymizer
