// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package attrtometrics turns numbers on spans into metrics. It offers two components that share one engine: a
// connector (traces in, metrics out) and a processor (spans pass through unchanged). NewFactory returns the factory of
// the processor; the collector builder takes the factory of the connector from the package connector.
package attrtometrics // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics"
