// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

var errBusy = errors.New("busy")

// busyFactory returns a factory of traces exporters that reject their first batch. The exporter named queued has a
// queue in front of it, as exporters have by default.
func busyFactory() exporter.Factory {
	return exporter.NewFactory(component.MustNewType("busy"), func() component.Config { return &struct{}{} },
		exporter.WithTraces(func(
			ctx context.Context, set exporter.Settings, cfg component.Config,
		) (exporter.Traces, error) {
			var refused atomic.Bool
			push := func(context.Context, ptrace.Traces) error {
				if refused.CompareAndSwap(false, true) {
					return errBusy
				}
				return nil
			}
			if set.ID.Name() != "queued" {
				return exporterhelper.NewTraces(ctx, set, cfg, push)
			}
			queue := configoptional.Some(exporterhelper.NewDefaultQueueConfig())
			return exporterhelper.NewTraces(ctx, set, cfg, push, exporterhelper.WithQueue(queue))
		}, component.StabilityLevelStable))
}

// TestResendCountsAgain sends a span until the collector accepts it. If another exporter of the pipeline rejects it at
// first, each attempt counts; a queue keeps that exporter from rejecting it.
func TestResendCountsAgain(t *testing.T) {
	const config = `
receivers: {in: {}}
processors: {attrtometrics: {metrics: [{name: from_processor, type: sum, attribute: bbox.count}]}}
connectors: {attrtometrics: {metrics: [{name: from_connector, type: sum, attribute: bbox.count}]}}
exporters: {out: {}, %[1]s: {}}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [in], processors: [attrtometrics], exporters: [attrtometrics, %[1]s]}
    metrics: {receivers: [attrtometrics], exporters: [out]}
`
	for id, sent := range map[string]int64{"busy": 2, "busy/queued": 1} {
		t.Run(id, func(t *testing.T) {
			sink, in := &consumertest.MetricsSink{}, make(chan consumer.Traces, 1)
			c, err := newCollector(fmt.Sprintf(config, id), in, sink)
			require.NoError(t, err)
			stopped := make(chan error, 1)
			go func() { stopped <- c.Run(context.Background()) }()
			next := <-in
			for range sent - 1 {
				require.ErrorIs(t, next.ConsumeTraces(t.Context(), span(1)), errBusy)
			}
			require.NoError(t, next.ConsumeTraces(t.Context(), span(1)))
			c.Shutdown()
			require.NoError(t, <-stopped)

			sums := map[string]int64{}
			for _, md := range sink.AllMetrics() {
				m := md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0)
				sums[m.Name()] = m.Sum().DataPoints().At(0).IntValue()
			}
			require.Equal(t, map[string]int64{"from_processor": sent, "from_connector": sent}, sums)
		})
	}
}
