// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.uber.org/goleak"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/metadatatest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock stands still until it is told otherwise.
type clock struct{ nano atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nano.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.nano.Load()) }
func (c *clock) advance(d time.Duration) { c.nano.Add(int64(d)) }

// gaugeOf is a definition like most.
func gaugeOf(dimensions ...string) Definition {
	d := Definition{
		Name: "m", Outputs: []Output{{Name: "m"}}, Attribute: "v", SeriesLimit: 2000, Exemplars: true, MaxSize: 160,
	}
	for _, name := range dimensions {
		d.Dimensions = append(d.Dimensions, Dimension{Name: name, Attribute: name})
	}
	return d
}

func newEngine(t testing.TB, set Settings, next consumer.Metrics) *Engine {
	if set.FlushInterval == 0 {
		set.FlushInterval = time.Hour
	}
	if set.Telemetry.Logger == nil {
		set.Telemetry = componenttest.NewNopTelemetrySettings()
	}
	if set.Now == nil {
		set.Now = time.Now
	}
	set.ErrorMode = ottl.IgnoreError
	e, err := New(set)
	require.NoError(t, err)
	e.Start(next)
	return e
}

// span makes a trace of one span with the value v and the dimension k.
func span(k string, v any) ptrace.Traces {
	td := ptrace.NewTraces()
	addSpan(td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty(), k, v)
	return td
}

func addSpan(ss ptrace.ScopeSpans, k string, v any) {
	s := ss.Spans().AppendEmpty()
	s.Attributes().PutStr("k", k)
	if err := s.Attributes().PutEmpty("v").FromRaw(v); err != nil {
		panic(err)
	}
}

// TestConcurrentConsume: no value is lost or counted twice while goroutines consume, flushes merge and series expire and
// come back all the time.
func TestConcurrentConsume(t *testing.T) {
	for _, limit := range []int{3, 100} {
		t.Run(fmt.Sprintf("series_limit %d", limit), func(t *testing.T) {
			const goroutines, batches, keys = 8, 400, 10
			def := gaugeOf("k")
			def.Kind, def.Delta, def.SeriesLimit = KindSum, true, limit
			sink := &consumertest.MetricsSink{}
			e := newEngine(t, Settings{Definitions: []Definition{def}, FlushInterval: time.Millisecond, Expiration: time.Millisecond}, sink)

			var wg sync.WaitGroup
			for g := range goroutines {
				wg.Go(func() {
					for i := range batches {
						if err := e.Consume(context.Background(), span(strconv.Itoa((g+i)%keys), 1)); err != nil {
							t.Error(err)
						}
						runtime.Gosched()
					}
				})
			}
			wg.Wait()
			require.NoError(t, e.Shutdown(t.Context()))

			total, intervals := int64(0), map[string]pcommon.Timestamp{}
			eachPoint(sink, func(m pmetric.Metric, key string, dp pmetric.NumberDataPoint) {
				total += dp.IntValue()
				require.GreaterOrEqual(t, dp.StartTimestamp(), intervals[key], "the intervals of %s overlap", key)
				require.Greater(t, dp.Timestamp(), dp.StartTimestamp())
				intervals[key] = dp.Timestamp()
			})
			require.EqualValues(t, goroutines*batches, total)
			if limit < keys {
				require.Contains(t, intervals, "overflow")
			}
		})
	}
}

func eachPoint(sink *consumertest.MetricsSink, f func(m pmetric.Metric, key string, dp pmetric.NumberDataPoint)) {
	for _, md := range sink.AllMetrics() {
		for _, rm := range md.ResourceMetrics().All() {
			for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
				var dps pmetric.NumberDataPointSlice
				switch m.Type() {
				case pmetric.MetricTypeGauge:
					dps = m.Gauge().DataPoints()
				case pmetric.MetricTypeSum:
					dps = m.Sum().DataPoints()
				default:
					continue
				}
				for _, dp := range dps.All() {
					key := "overflow"
					if _, overflow := dp.Attributes().Get(overflowAttribute); !overflow {
						key = ""
						if v, ok := dp.Attributes().Get("k"); ok {
							key = v.AsString()
						}
					}
					if !dp.Flags().NoRecordedValue() {
						f(m, key, dp)
					}
				}
			}
		}
	}
}

// TestRevival: a series that expires between two batches of the same stripe begins anew, regular or overflow.
func TestRevival(t *testing.T) {
	clock := newClock()
	def := gaugeOf("k")
	def.Kind, def.SeriesLimit = KindSum, 1
	sink := &consumertest.MetricsSink{}
	e := newEngine(t, Settings{Definitions: []Definition{def}, Expiration: time.Second, Now: clock.now}, sink)
	for round := range 3 {
		sink.Reset()
		require.NoError(t, e.Consume(t.Context(), span("a", 1)))
		require.NoError(t, e.Consume(t.Context(), span("b", 2)))
		clock.advance(time.Second)
		require.NoError(t, e.Flush(t.Context()))
		got := map[string]int64{}
		eachPoint(sink, func(_ pmetric.Metric, key string, dp pmetric.NumberDataPoint) {
			got[key] = dp.IntValue()
			require.EqualValues(t, clock.now().Add(-time.Second).UnixNano(), dp.StartTimestamp(), "round %d", round)
		})
		require.Equal(t, map[string]int64{"a": 1, "overflow": 2}, got, "the totals begin anew")

		// Expired in this flush, but still known to the stripe: the next round reaches the dead entries.
		clock.advance(time.Second)
		require.NoError(t, e.Flush(t.Context()))
		require.Empty(t, e.registry.snapshot(e.definitions[0]))
		require.Empty(t, e.registry.resources)
		clock.advance(1)
		require.NoError(t, e.Flush(t.Context()))
		require.Empty(t, e.stripes[0].tables[0].entries)
	}
	require.NoError(t, e.Shutdown(t.Context()))
}

// TestDeadEntry is TestRevival with the batch between the flush in which a series expires and the next.
func TestDeadEntry(t *testing.T) {
	clock := newClock()
	def := gaugeOf("k")
	def.Kind, def.SeriesLimit = KindSum, 1
	sink := &consumertest.MetricsSink{}
	e := newEngine(t, Settings{Definitions: []Definition{def}, Expiration: time.Second, Now: clock.now}, sink)
	for range 3 {
		require.NoError(t, e.Consume(t.Context(), span("a", 1)))
		require.NoError(t, e.Consume(t.Context(), span("b", 2)))
		require.NoError(t, e.Flush(t.Context()))
		clock.advance(2 * time.Second)
		require.NoError(t, e.Flush(t.Context())) // ends both
		sink.Reset()
		require.NoError(t, e.Consume(t.Context(), span("a", 4)))
		require.NoError(t, e.Consume(t.Context(), span("b", 8)))
		require.NoError(t, e.Flush(t.Context()))
		got := map[string]int64{}
		eachPoint(sink, func(_ pmetric.Metric, key string, dp pmetric.NumberDataPoint) { got[key] += dp.IntValue() })
		require.Equal(t, map[string]int64{"a": 4, "overflow": 8}, got)
		require.Len(t, e.registry.snapshot(e.definitions[0]), 2)
		require.Equal(t, 1, e.registry.series[0].regular)
		clock.advance(2 * time.Second)
		require.NoError(t, e.Flush(t.Context()))
		clock.advance(1)
		require.NoError(t, e.Flush(t.Context()))
	}
	require.NoError(t, e.Shutdown(t.Context()))
}

// TestMemoryBound: a million series, resources and huge values under a limit of 1000.
func TestMemoryBound(t *testing.T) {
	const limit, distinct = 1000, 1_000_000
	def := gaugeOf("k")
	def.SeriesLimit = limit
	e := newEngine(t, Settings{Definitions: []Definition{def}}, consumertest.NewNop())

	before := heap()
	td := span("", 1)
	rs := td.ResourceSpans().At(0)
	attributes := rs.ScopeSpans().At(0).Spans().At(0).Attributes()
	for i := range distinct {
		name := strconv.Itoa(i)
		attributes.PutStr("k", name)
		rs.Resource().Attributes().PutStr("instance", name)
		if i%10_000 == 0 {
			attributes.PutStr("k", name+strings.Repeat("x", 1<<20))
		}
		require.NoError(t, e.Consume(t.Context(), td))
	}
	grown := heap() - before
	require.LessOrEqual(t, len(e.registry.snapshot(e.definitions[0])), limit+1)
	require.LessOrEqual(t, len(e.registry.resources), limit+1)
	for _, s := range e.stripes {
		require.LessOrEqual(t, len(s.tables[0].entries), limit+1)
	}
	t.Logf("%d bytes for each of %d series", grown/limit, limit)
	require.Less(t, grown, int64(limit)*4096)
	require.NoError(t, e.Shutdown(t.Context()))
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestLargeResource: a resource that is too large to keep does not take its values down with it.
func TestLargeResource(t *testing.T) {
	sink := &consumertest.MetricsSink{}
	e := newEngine(t, Settings{Definitions: []Definition{gaugeOf("k")}}, sink)
	td := span("a", 7)
	td.ResourceSpans().At(0).Resource().Attributes().PutStr("huge", strings.Repeat("x", maxResourceSize))
	require.NoError(t, e.Consume(t.Context(), td))
	require.NoError(t, e.Consume(t.Context(), td))
	require.NoError(t, e.Shutdown(t.Context()))
	got := map[string]int64{}
	eachPoint(sink, func(_ pmetric.Metric, key string, dp pmetric.NumberDataPoint) { got[key] = dp.IntValue() })
	require.Equal(t, map[string]int64{"overflow": 7}, got)
}

func TestLongDimensionIsCut(t *testing.T) {
	long := strings.Repeat("ä", maxLabelLength) // two bytes each
	sink := &consumertest.MetricsSink{}
	e := newEngine(t, Settings{Definitions: []Definition{gaugeOf("k")}}, sink)
	require.NoError(t, e.Consume(t.Context(), span("x"+long, 1)))
	require.NoError(t, e.Shutdown(t.Context()))
	eachPoint(sink, func(_ pmetric.Metric, key string, _ pmetric.NumberDataPoint) {
		require.Equal(t, "x"+long[:maxLabelLength-2], key)
	})
}

// TestEverySpanBuffer: half a buffer asks for a flush, a full one refuses.
func TestEverySpanBuffer(t *testing.T) {
	def := gaugeOf()
	def.Kind = KindEverySpan
	flushed := make(chan int, 1)
	release := make(chan struct{})
	next, err := consumer.NewMetrics(func(_ context.Context, md pmetric.Metrics) error {
		flushed <- md.DataPointCount()
		<-release
		return nil
	})
	require.NoError(t, err)
	e := newEngine(t, Settings{Definitions: []Definition{def}}, next)
	td := span("a", 1)
	for range maxPoints / 2 {
		require.NoError(t, e.Consume(t.Context(), td))
	}
	require.Equal(t, maxPoints/2, <-flushed, "long before the flush interval")
	for range maxPoints + 10 {
		require.NoError(t, e.Consume(t.Context(), td))
	}
	var rejected int64
	for _, s := range e.stripes {
		s.mu.Lock()
		rejected += s.tables[0].rejected[BufferFull]
		s.mu.Unlock()
	}
	require.EqualValues(t, 10, rejected, "the next component holds the first flush, and what came since fills the buffer")
	close(release)
	require.Equal(t, maxPoints, <-flushed)
	require.NoError(t, e.Shutdown(t.Context()))
	require.Zero(t, e.definitions[0].points.Load())
}

func TestSelfTelemetry(t *testing.T) {
	tel := componenttest.NewTelemetry()
	clock := newClock()
	def := gaugeOf("k")
	def.SeriesLimit = 1
	e := newEngine(t, Settings{
		Definitions: []Definition{def}, Expiration: time.Second, Telemetry: tel.NewTelemetrySettings(), Now: clock.now,
	}, consumertest.NewErr(context.DeadlineExceeded))
	for k, v := range map[string]any{"a": 1, "bad": "x", "nan": math.NaN(), "inf": math.Inf(1)} {
		require.NoError(t, e.Consume(t.Context(), span(k, v)))
	}
	require.NoError(t, e.Consume(t.Context(), span("b", 2)))
	td := span("none", 1)
	td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Attributes().Remove("v")
	require.NoError(t, e.Consume(t.Context(), td))
	require.ErrorIs(t, e.Flush(t.Context()), context.DeadlineExceeded)

	m := attribute.String("metric", "m")
	ignore := metricdatatest.IgnoreTimestamp()
	metadatatest.AssertEqualAttrtometricsValues(t, tel, []metricdata.DataPoint[int64]{{Attributes: attribute.NewSet(m), Value: 2}}, ignore)
	metadatatest.AssertEqualAttrtometricsValuesOverflowed(t, tel, []metricdata.DataPoint[int64]{{Attributes: attribute.NewSet(m), Value: 1}}, ignore)
	metadatatest.AssertEqualAttrtometricsSeries(t, tel, []metricdata.DataPoint[int64]{{Attributes: attribute.NewSet(m), Value: 2}}, ignore)
	metadatatest.AssertEqualAttrtometricsFlushFailures(t, tel, []metricdata.DataPoint[int64]{{Value: 1}}, ignore)
	var rejected []metricdata.DataPoint[int64]
	for _, reason := range []string{"missing", "not_numeric", "nan", "infinite"} {
		rejected = append(rejected, metricdata.DataPoint[int64]{Attributes: attribute.NewSet(m, attribute.String("reason", reason)), Value: 1})
	}
	metadatatest.AssertEqualAttrtometricsValuesRejected(t, tel, rejected, ignore)

	clock.advance(2 * time.Second)
	require.Error(t, e.Flush(t.Context()))
	metadatatest.AssertEqualAttrtometricsSeriesExpired(t, tel, []metricdata.DataPoint[int64]{{Attributes: attribute.NewSet(m), Value: 2}}, ignore)
	metadatatest.AssertEqualAttrtometricsSeries(t, tel, []metricdata.DataPoint[int64]{{Attributes: attribute.NewSet(m), Value: 0}}, ignore)
	require.NoError(t, e.Shutdown(t.Context()), "nothing is left to send")
	require.NoError(t, tel.Shutdown(context.Background()))
}

// TestNoAllocations: in the steady state a span costs no memory, of whatever kind the metric is.
func TestNoAllocations(t *testing.T) {
	td := ptrace.NewTraces()
	ss := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty()
	for i := range 1000 {
		addSpan(ss, strconv.Itoa(i%200), i%17)
	}
	for name, kind := range map[string]Kind{
		"gauge": KindGauge, "sum": KindSum, "histogram": KindHistogram, "exponential_histogram": KindExponentialHistogram,
	} {
		t.Run(name, func(t *testing.T) {
			def := gaugeOf("k")
			def.Kind, def.Bounds = kind, []float64{1, 2, 5, 10}
			e := newEngine(t, Settings{Definitions: []Definition{def}}, consumertest.NewNop())
			allocations := testing.AllocsPerRun(20, func() {
				if err := e.Consume(context.Background(), td); err != nil {
					t.Error(err)
				}
			})
			require.NoError(t, e.Shutdown(t.Context()))
			require.Zero(t, allocations)
		})
	}
}

// TestClockSetBack: time goes on in what is sent.
func TestClockSetBack(t *testing.T) {
	clock := newClock()
	def := gaugeOf("k")
	def.Kind = KindSum
	sink := &consumertest.MetricsSink{}
	e := newEngine(t, Settings{Definitions: []Definition{def}, Expiration: time.Minute, Now: clock.now}, sink)
	for range 3 {
		require.NoError(t, e.Consume(t.Context(), span("a", 1)))
		require.NoError(t, e.Flush(t.Context()))
		clock.advance(-time.Hour)
	}
	require.NoError(t, e.Shutdown(t.Context()))
	last := pcommon.Timestamp(0)
	eachPoint(sink, func(_ pmetric.Metric, _ string, dp pmetric.NumberDataPoint) {
		require.Greater(t, dp.Timestamp(), last)
		require.Less(t, dp.StartTimestamp(), dp.Timestamp())
		last = dp.Timestamp()
	})
}

// FuzzNumber: text is a number exactly if Go reads a finite one, and then it is that number.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0", "-1", "+7", "1.5", "1e400", "NaN", "inf", "0x1p4", "9223372036854775808", " 3 ", "--1", "1_000", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, reason := fromString(s)
		want, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if len(strings.TrimSpace(s)) > 64 {
			require.Equal(t, NotNumeric, reason)
			return
		}
		switch {
		case math.IsInf(want, 0):
			require.Equal(t, Infinite, reason)
		case err != nil:
			require.Equal(t, NotNumeric, reason)
		case math.IsNaN(want):
			require.Equal(t, NaN, reason)
		default:
			require.Equal(t, accepted, reason)
			require.Equal(t, want, n.float())
		}
	})
}

// FuzzSpans: any spans are consumed and flushed, into points that are finite.
func FuzzSpans(f *testing.F) {
	marshaler := &ptrace.ProtoMarshaler{}
	for _, v := range []any{1, -2.5, "3", true, []any{1}, map[string]any{"a": 1}, math.NaN(), math.Inf(-1), math.MaxInt64, math.MaxFloat64, 5e-324} {
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
				def.Outputs = []Output{{Name: "last"}, {Name: "mean", Aggregation: Mean}, {Name: "min", Aggregation: Min}}
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

// BenchmarkFlush flushes live series, all of which have a new value. The cost for each series must not grow with their number.
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

// BenchmarkMillionSeries fills a series_limit of a million, each series with a value of its own.
func BenchmarkMillionSeries(b *testing.B) {
	const limit = 1_000_000
	for b.Loop() {
		def := gaugeOf("k")
		def.SeriesLimit = limit
		before := heap()
		e := newEngine(b, Settings{Definitions: []Definition{def}}, consumertest.NewNop())
		td := span("", 1)
		attributes := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Attributes()
		for i := range limit * 3 / 2 { // half of them again beyond the limit
			attributes.PutStr("k", strconv.Itoa(i))
			require.NoError(b, e.Consume(b.Context(), td))
		}
		b.ReportMetric(float64(heap()-before)/limit, "B/series")
		require.Len(b, e.registry.snapshot(e.definitions[0]), limit+1)
		require.NoError(b, e.Shutdown(context.Background()))
	}
}
