// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// FuzzNumber checks that a string is accepted if and only if Go parses it as a finite number, and yields that number.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{
		"0", "-1", "+7", "1.5", "1e400", "NaN", "inf", "0x1p4", "9223372036854775808", " 3 ", "--1", "1_000", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, reason := fromString(s)
		want, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if len(strings.TrimSpace(s)) > 64 {
			require.Equal(t, reasonNotNumeric, reason)
			return
		}
		switch {
		case math.IsInf(want, 0):
			require.Equal(t, reasonInfinite, reason)
		case err != nil:
			require.Equal(t, reasonNotNumeric, reason)
		case math.IsNaN(want):
			require.Equal(t, reasonNaN, reason)
		default:
			require.Equal(t, accepted, reason)
			require.Equal(t, want, n.float())
		}
	})
}

// FuzzSpans checks that arbitrary spans yield finite points without an error.
func FuzzSpans(f *testing.F) {
	marshaler := &ptrace.ProtoMarshaler{}
	for _, v := range []any{
		1, -2.5, "3", true, []any{1}, map[string]any{"a": 1},
		math.NaN(), math.Inf(-1), math.MaxInt64, math.MaxFloat64, 5e-324,
	} {
		td := span("a", v)
		event := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Events().AppendEmpty()
		if err := event.Attributes().PutEmpty("v").FromRaw(v); err != nil {
			f.Fatal(err)
		}
		data, err := marshaler.MarshalTraces(td)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	var defs []Definition
	for kind := KindGauge; kind <= KindExponentialHistogram; kind++ {
		for _, source := range []Source{SourceSpan, SourceResource, SourceScope, SourceEvent} {
			def := gaugeOf("k")
			def.Kind, def.Source, def.Length, def.Bounds, def.SeriesLimit = kind, source, true, []float64{0, 1}, 2
			if kind == KindGauge {
				def.Outputs = []Output{
					{Name: "last"},
					{Name: "mean", Aggregation: AggregationMean},
					{Name: "min", Aggregation: AggregationMin},
				}
			}
			defs = append(defs, def)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(data)
		if err != nil {
			return
		}
		sink := &consumertest.MetricsSink{}
		e := newEngine(t, Settings{Definitions: defs}, sink)
		require.NoError(t, e.Consume(t.Context(), td))
		require.NoError(t, e.Consume(t.Context(), td))
		require.NoError(t, e.Shutdown(t.Context()))
		eachPoint(sink, func(m pmetric.Metric, _ string, dp pmetric.NumberDataPoint) {
			if v := dp.DoubleValue(); math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("%s is %v", m.Name(), v)
			}
		})
	})
}
