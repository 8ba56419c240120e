// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

//go:generate go tool -modfile=../../../internal/tools/go.mod mdatagen metadata.yaml

// Package connector exports the factory of the attrtometrics connector as NewFactory, the name that the collector
// builder expects. The connector itself is in the package attrtometrics.
package connector // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/connector"
