// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/metadatatest"
)

// spanEnding returns a span of series a with the value v that ends at the given time.
func spanEnding(at time.Time, v any) ptrace.Traces {
	td := span("a", v)
	td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).SetEndTimestamp(pcommon.NewTimestampFromTime(at))
	return td
}

// TestProducerClockSetBack sends a value every 10 s, and sets the producer's clock back by an hour after the first. The
// gauge may show the old value for a minute, during which the new values are counted as late.
func TestProducerClockSetBack(t *testing.T) {
	const interval, setBack = 10 * time.Second, time.Hour
	for name, tt := range map[string]struct {
		flushInterval time.Duration
		late          int // values
	}{
		"a minute":                 {flushInterval: 30 * time.Second, late: 5},
		"two long flush intervals": {flushInterval: time.Minute, late: 11},
	} {
		t.Run(name, func(t *testing.T) {
			tel := componenttest.NewTelemetry()
			set := tel.NewTelemetrySettings()
			core, logs := observer.New(zap.WarnLevel)
			set.Logger = zap.New(core)
			clock, sink := newClock(), &consumertest.MetricsSink{}
			e := newEngine(t, Settings{
				Definitions: []Definition{gaugeOf("k")}, FlushInterval: tt.flushInterval, Telemetry: set, Now: clock.now,
			}, sink)
			send := func(at time.Time, v int) {
				require.NoError(t, e.Consume(t.Context(), spanEnding(at, v)))
				require.NoError(t, e.Flush(t.Context()))
				clock.advance(interval)
			}
			send(clock.now(), 100)
			for i := range tt.late + 3 {
				send(clock.now().Add(-setBack), i)
			}
			send(clock.now().Add(-setBack-time.Minute), 1000) // out of order even by the new clock
			send(clock.now().Add(-setBack), 200)
			send(clock.now(), 300) // the producer's clock is correct again

			values, last := []int64{}, pcommon.Timestamp(0)
			eachPoint(sink, func(_ pmetric.Metric, _ string, dp pmetric.NumberDataPoint) {
				values = append(values, dp.IntValue())
				require.Greater(t, dp.Timestamp(), last)
				last = dp.Timestamp()
			})
			first := int64(tt.late)
			require.Equal(t, []int64{100, first, first + 1, first + 2, 200, 300}, values)
			require.EqualValues(t, clock.now().Add(-interval).UnixNano(), last)
			metadatatest.AssertEqualAttrtometricsValuesRejected(t, tel, []metricdata.DataPoint[int64]{{
				Attributes: attribute.NewSet(componentID, attribute.String("metric", "m"), attribute.String("reason", "late")),
				Value:      first + 1,
			}}, metricdatatest.IgnoreTimestamp())
			require.Equal(t, 1, logs.FilterMessageSnippet("the clock of a producer was set back").Len())
			require.NoError(t, e.Shutdown(t.Context()))
			require.NoError(t, tel.Shutdown(context.Background()))
		})
	}
}

// TestCollectorClockSetBack sets the clock of this machine back by an hour. This must neither keep a series beyond its
// expiration nor freeze its value.
func TestCollectorClockSetBack(t *testing.T) {
	clock, elapsed, sink := newClock(), time.Duration(0), &consumertest.MetricsSink{}
	e := newEngine(t, Settings{
		Definitions: []Definition{gaugeOf("k")}, FlushInterval: 30 * time.Second, Expiration: 2 * time.Minute, Now: clock.now,
	}, sink)
	e.elapsed = func() time.Duration { return elapsed }
	require.NoError(t, e.Consume(t.Context(), spanEnding(clock.now(), 1)))
	require.NoError(t, e.Flush(t.Context()))
	clock.advance(-time.Hour)

	elapsed += time.Minute
	require.NoError(t, e.Consume(t.Context(), spanEnding(clock.now().Add(time.Hour), 2)))
	require.NoError(t, e.Flush(t.Context()))
	values := []int64{}
	eachPoint(sink, func(_ pmetric.Metric, _ string, dp pmetric.NumberDataPoint) {
		values = append(values, dp.IntValue())
	})
	require.Equal(t, []int64{1, 2}, values)

	elapsed += 2 * time.Minute
	require.NoError(t, e.Flush(t.Context()))
	require.Empty(t, e.registry.snapshot(e.definitions[0]))
	require.NoError(t, e.Shutdown(t.Context()))
}
