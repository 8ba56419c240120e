// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package engine aggregates numbers found on spans into metrics.
//
// There is one stripe per CPU. Consume aggregates a batch of spans under the lock of a single stripe, so that
// goroutines rarely wait for each other. A stripe holds what has arrived since the last flush in one accumulator per
// series. Flush merges the stripes into the series of the registry, which determines the series that exist, and sends
// one batch of metrics.
//
// Lock order: flushMu -> stripe.mu -> registry.mu.
package engine // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/engine"
