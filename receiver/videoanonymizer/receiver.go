// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
)

// videoReceiver anonymizes the videos that appear in the watched folders.
type videoReceiver struct {
	set     receiver.Settings
	cfg     *Config
	traces  consumer.Traces
	logs    consumer.Logs
	metrics consumer.Metrics
}

func newReceiver(set receiver.Settings, cfg *Config) (*videoReceiver, error) {
	return &videoReceiver{set: set, cfg: cfg}, nil
}

func (r *videoReceiver) setTraces(next consumer.Traces)   { r.traces = next }
func (r *videoReceiver) setLogs(next consumer.Logs)       { r.logs = next }
func (r *videoReceiver) setMetrics(next consumer.Metrics) { r.metrics = next }

// Start does nothing yet.
func (r *videoReceiver) Start(context.Context, component.Host) error { return nil }

// Shutdown does nothing yet.
func (r *videoReceiver) Shutdown(context.Context) error { return nil }
