// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package engine aggregates numbers found on spans into metrics.
//
// A batch of spans is consumed under the lock of one stripe, of which there are as many as processors, so that goroutines do
// not meet. A stripe holds what arrived since the last flush: for each series an accumulator. A flush merges the stripes into
// the series of the registry, which decides what series there are, and sends one batch of metrics.
//
// Lock order: flushMu -> stripe.mu -> registry.mu.
package engine // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/engine"
