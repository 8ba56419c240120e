// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package attrtometrics turns a number on a span into a metric. One engine has two faces: a connector (traces in, metrics
// out), whose factory for the collector builder is in the package connector, and a processor (traces pass through), whose
// factory is NewFactory.
package attrtometrics // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics"
