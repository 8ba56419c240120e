// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

//go:generate go tool -modfile=../../../internal/tools/go.mod mdatagen metadata.yaml

// Package connector gives the collector builder the factory of the connector face under the name that it expects. The
// connector itself is in the package attrtometrics.
package connector // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/connector"
