// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// BenchmarkFlush flushes live series that all have a new value. The cost per series must not grow with their number.
func BenchmarkFlush(b *testing.B) {
	for _, live := range []int{1_000, 10_000, 100_000} {
		b.Run(strconv.Itoa(live), func(b *testing.B) {
			def := gaugeOf("k")
			def.SeriesLimit = live
			e := newEngine(b, Settings{Definitions: []Definition{def}}, consumertest.NewNop())
			td := ptrace.NewTraces()
			ss := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty()
			for i := range live {
				addSpan(ss, strconv.Itoa(i), i)
			}
			for b.Loop() {
				b.StopTimer()
				require.NoError(b, e.Consume(b.Context(), td))
				b.StartTimer()
				require.NoError(b, e.Flush(b.Context()))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(live), "ns/series")
			require.NoError(b, e.Shutdown(context.Background()))
		})
	}
}

// BenchmarkMillionSeries sends 1.5 times as many series as a series_limit of a million allows.
func BenchmarkMillionSeries(b *testing.B) {
	const limit = 1_000_000
	for b.Loop() {
		def := gaugeOf("k")
		def.SeriesLimit = limit
		before := heap()
		e := newEngine(b, Settings{Definitions: []Definition{def}}, consumertest.NewNop())
		td := span("", 1)
		attributes := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Attributes()
		for i := range limit * 3 / 2 { // a third of these exceed the limit
			attributes.PutStr("k", strconv.Itoa(i))
			require.NoError(b, e.Consume(b.Context(), td))
		}
		b.ReportMetric(float64(heap()-before)/limit, "B/series")
		require.Len(b, e.registry.snapshot(e.definitions[0]), limit+1)
		require.NoError(b, e.Shutdown(context.Background()))
	}
}
