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

// clock moves only when advanced.
type clock struct{ nano atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nano.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.nano.Load()) }
func (c *clock) advance(d time.Duration) { c.nano.Add(int64(d)) }

// gaugeOf defines a gauge of the attribute v with the given dimensions.
func gaugeOf(dimensions ...string) Definition {
	d := Definition{
		Name: "m", Outputs: []Output{{Name: "m"}}, Attribute: "v", SeriesLimit: 2000, Exemplars: true, MaxSize: 160,
	}
	for _, name := range dimensions {
		d.Dimensions = append(d.Dimensions, Dimension{Name: name, Attribute: name})
	}
	return d
}

// componentID is the attribute that the collector gives a component in its internal telemetry.
var componentID = attribute.String("connector", "attrtometrics/test")

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
	set.ErrorMode, set.Component = ottl.IgnoreError, componentID
	e, err := New(set)
	require.NoError(t, err)
	e.Start(next)
	return e
}

// span returns a single span with the dimension k and the value v.
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

// TestConcurrentConsume checks that no value is lost or counted twice while goroutines consume, flushes merge, and
// series expire and come back.
func TestConcurrentConsume(t *testing.T) {
	for _, limit := range []int{3, 100} {
		t.Run(fmt.Sprintf("series_limit %d", limit), func(t *testing.T) {
			const goroutines, batches, keys = 8, 400, 10
			def := gaugeOf("k")
			def.Kind, def.Delta, def.SeriesLimit = KindSum, true, limit
			sink := &consumertest.MetricsSink{}
			e := newEngine(t, Settings{
				Definitions: []Definition{def}, FlushInterval: time.Millisecond, Expiration: time.Millisecond,
			}, sink)

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

// eachPoint calls f for each number point that has a value. key is the value of dimension k, or overflow.
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
					if _, overflow := dp.Attributes().Get(OverflowAttribute); !overflow {
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

// TestSeriesRestartsAfterExpiration checks that a regular series and an overflow series start over if they expire
// between two batches of the same stripe.
func TestSeriesRestartsAfterExpiration(t *testing.T) {
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
		require.Equal(t, map[string]int64{"a": 1, "overflow": 2}, got, "the totals start over")

		// This flush expires the series, but the stripe still has entries for them. The next flush drops the entries.
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

// TestSeriesRestartsBeforeStripeDropsIt is like TestSeriesRestartsAfterExpiration, but a batch arrives while the stripe
// still has entries for the expired series.
func TestSeriesRestartsBeforeStripeDropsIt(t *testing.T) {
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
		require.NoError(t, e.Flush(t.Context())) // expires both
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

// TestSeriesLimitBoundsMemory sends a million series and resources, some of them huge, under a limit of 1000.
func TestSeriesLimitBoundsMemory(t *testing.T) {
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
	t.Logf("%d bytes per series of %d", grown/limit, limit)
	require.Less(t, grown, int64(limit)*4096)
	require.NoError(t, e.Shutdown(t.Context()))
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestLargeResourceOverflows checks that the values of a resource that is too large to keep are not lost.
func TestLargeResourceOverflows(t *testing.T) {
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

func TestLongDimensionIsTruncated(t *testing.T) {
	long := strings.Repeat("ä", maxLabelLength) // two bytes each
	sink := &consumertest.MetricsSink{}
	e := newEngine(t, Settings{Definitions: []Definition{gaugeOf("k")}}, sink)
	require.NoError(t, e.Consume(t.Context(), span("x"+long, 1)))
	require.NoError(t, e.Shutdown(t.Context()))
	eachPoint(sink, func(_ pmetric.Metric, key string, _ pmetric.NumberDataPoint) {
		require.Equal(t, "x"+long[:maxLabelLength-2], key)
	})
}

// TestEverySpanBuffer checks that a half-full buffer requests a flush and a full one rejects values.
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
	for range maxBufferedPoints / 2 {
		require.NoError(t, e.Consume(t.Context(), td))
	}
	require.Equal(t, maxBufferedPoints/2, <-flushed, "long before the flush interval")
	for range maxBufferedPoints + 10 {
		require.NoError(t, e.Consume(t.Context(), td))
	}
	var rejected int64
	for _, s := range e.stripes {
		s.mu.Lock()
		rejected += s.tables[0].rejected[reasonBufferFull]
		s.mu.Unlock()
	}
	require.EqualValues(t, 10, rejected,
		"while the next component blocks the first flush, later values fill the buffer")
	close(release)
	require.Equal(t, maxBufferedPoints, <-flushed)
	require.NoError(t, e.Shutdown(t.Context()))
	require.Zero(t, e.definitions[0].bufferedPoints.Load())
}

func TestInternalTelemetry(t *testing.T) {
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
	points := func(value int64) []metricdata.DataPoint[int64] {
		return []metricdata.DataPoint[int64]{{Attributes: attribute.NewSet(componentID, m), Value: value}}
	}
	ignore := metricdatatest.IgnoreTimestamp()
	metadatatest.AssertEqualAttrtometricsValues(t, tel, points(2), ignore)
	metadatatest.AssertEqualAttrtometricsValuesOverflowed(t, tel, points(1), ignore)
	metadatatest.AssertEqualAttrtometricsSeries(t, tel, points(2), ignore)
	metadatatest.AssertEqualAttrtometricsFlushFailures(t, tel, []metricdata.DataPoint[int64]{{
		Attributes: attribute.NewSet(componentID), Value: 1,
	}}, ignore)
	var rejected []metricdata.DataPoint[int64]
	for _, reason := range []string{"missing", "not_numeric", "nan", "infinite"} {
		rejected = append(rejected, metricdata.DataPoint[int64]{
			Attributes: attribute.NewSet(componentID, m, attribute.String("reason", reason)), Value: 1,
		})
	}
	metadatatest.AssertEqualAttrtometricsValuesRejected(t, tel, rejected, ignore)

	clock.advance(2 * time.Second)
	require.Error(t, e.Flush(t.Context()))
	metadatatest.AssertEqualAttrtometricsSeriesExpired(t, tel, points(2), ignore)
	metadatatest.AssertEqualAttrtometricsSeries(t, tel, points(0), ignore)
	require.NoError(t, e.Shutdown(t.Context()), "there is nothing left to send")
	require.NoError(t, tel.Shutdown(context.Background()))
}

// TestConsumeDoesNotAllocate checks each kind of metric in steady state.
func TestConsumeDoesNotAllocate(t *testing.T) {
	td := ptrace.NewTraces()
	ss := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty()
	for i := range 1000 {
		addSpan(ss, strconv.Itoa(i%200), i%17)
		ss.Spans().At(i).Attributes().PutInt("integer", int64(i%200)*1000)
	}
	td.ResourceSpans().At(0).Resource().Attributes().PutInt("process.pid", 12345)
	for name, kind := range map[string]Kind{
		"gauge": KindGauge, "sum": KindSum,
		"histogram": KindHistogram, "exponential_histogram": KindExponentialHistogram,
	} {
		t.Run(name, func(t *testing.T) {
			def := gaugeOf("k", "integer")
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

// TestClockSetBack checks that the timestamps of the points keep increasing.
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
