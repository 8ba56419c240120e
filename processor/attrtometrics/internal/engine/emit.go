// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package engine // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/engine"

import (
	"cmp"
	"slices"
	"time"

	"github.com/lightstep/go-expohisto/structure"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/metadata"
)

// batch is the data of one flush. Each resource has a single scope with one metric per output.
type batch struct {
	metrics   pmetric.Metrics
	version   string
	resources map[*resource]*resourceBatch
	current   *resourceBatch // the batch of the previous series, which usually has the same resource
}

type resourceBatch struct {
	resource *resource
	metrics  pmetric.MetricSlice
	def      *definition
	byOutput []pmetric.Metric // the metrics of def; the zero value if not created yet
}

func newBatch(version string) *batch {
	return &batch{metrics: pmetric.NewMetrics(), version: version, resources: make(map[*resource]*resourceBatch)}
}

func (b *batch) forResource(res *resource) *resourceBatch {
	if b.current != nil && b.current.resource == res {
		return b.current
	}
	rb := b.resources[res]
	if rb == nil {
		rm := b.metrics.ResourceMetrics().AppendEmpty()
		res.attributes.CopyTo(rm.Resource().Attributes())
		sm := rm.ScopeMetrics().AppendEmpty()
		sm.Scope().SetName(metadata.ScopeName)
		sm.Scope().SetVersion(b.version)
		rb = &resourceBatch{resource: res, metrics: sm.Metrics()}
		b.resources[res] = rb
	}
	b.current = rb
	return rb
}

// metric returns the metric for the points of s in one of its outputs.
func (b *batch) metric(s *series, output int) pmetric.Metric {
	rb := b.forResource(s.resource)
	if rb.def != s.def {
		rb.def = s.def
		rb.byOutput = make([]pmetric.Metric, len(s.def.Outputs))
	}
	if rb.byOutput[output] == (pmetric.Metric{}) {
		rb.byOutput[output] = s.def.appendMetric(rb.metrics, output)
	}
	return rb.byOutput[output]
}

func (d *definition) appendMetric(metrics pmetric.MetricSlice, output int) pmetric.Metric {
	m := metrics.AppendEmpty()
	o := &d.Outputs[output]
	m.SetName(o.Name)
	m.SetDescription(o.Description)
	m.SetUnit(o.Unit)
	temporality := pmetric.AggregationTemporalityCumulative
	if d.Delta {
		temporality = pmetric.AggregationTemporalityDelta
	}
	switch d.Kind {
	case KindSum:
		m.SetEmptySum().SetAggregationTemporality(temporality)
		m.Sum().SetIsMonotonic(d.Monotonic)
	case KindHistogram:
		m.SetEmptyHistogram().SetAggregationTemporality(temporality)
	case KindExponentialHistogram:
		m.SetEmptyExponentialHistogram().SetAggregationTemporality(temporality)
	default:
		m.SetEmptyGauge()
	}
	return m
}

// cumulative reports whether a series is sent with each flush even if it has not changed.
func (d *definition) cumulative() bool {
	return d.Kind != KindGauge && d.Kind != KindEverySpan && !d.Delta
}

// endSeries adds no-recorded-value points for s, each in a separate metric, because the Prometheus exporter (v0.155.0,
// accumulator.go) ignores the points that follow a point without a value in the same metric.
func (b *batch) endSeries(s *series, now pcommon.Timestamp) {
	noValue := pmetric.DefaultDataPointFlags.WithNoRecordedValue(true)
	for output := range s.def.Outputs {
		m := s.def.appendMetric(b.forResource(s.resource).metrics, output)
		switch s.def.Kind {
		case KindSum:
			dp := m.Sum().DataPoints().AppendEmpty()
			s.setCommon(dp, s.start, now)
			dp.SetFlags(noValue)
		case KindHistogram:
			dp := m.Histogram().DataPoints().AppendEmpty()
			s.setCommon(dp, s.start, now)
			dp.SetFlags(noValue)
		case KindExponentialHistogram:
			dp := m.ExponentialHistogram().DataPoints().AppendEmpty()
			s.setCommon(dp, s.start, now)
			dp.SetFlags(noValue)
		default:
			dp := m.Gauge().DataPoints().AppendEmpty()
			s.setCommon(dp, 0, now)
			dp.SetFlags(noValue)
		}
	}
}

// emission holds what an accumulator needs to write its points.
type emission struct {
	out    *batch
	series *series
	start  pcommon.Timestamp // start of the period that a sum or histogram covers
	now    pcommon.Timestamp

	elapsed, maxLateness time.Duration // see Engine
	tally                *tally
}

// emit writes the points of s. A delta series starts with the window.
func (s *series) emit(e emission, windowStart pcommon.Timestamp) {
	e.series, e.start = s, s.start
	if s.def.Delta {
		e.start = windowStart
	}
	s.acc.emit(&e)
	s.acc.nextWindow()
}

type dataPoint interface {
	Attributes() pcommon.Map
	SetStartTimestamp(pcommon.Timestamp)
	SetTimestamp(pcommon.Timestamp)
}

// setCommon sets the timestamps and attributes of a data point. It leaves a start of 0 unset, because gauges have none.
func (s *series) setCommon(dp dataPoint, start, at pcommon.Timestamp) {
	dp.SetTimestamp(at)
	if start != 0 {
		dp.SetStartTimestamp(start)
	}
	if s.overflow {
		dp.Attributes().PutBool(OverflowAttribute, true)
		return
	}
	attributes := dp.Attributes()
	attributes.EnsureCapacity(len(s.labels))
	for i := range s.labels {
		if s.labels[i] != "" {
			attributes.PutStr(s.def.Dimensions[i].Name, s.labels[i])
		}
	}
}

func setNumber(dp pmetric.NumberDataPoint, n number) {
	if n.isDouble {
		dp.SetDoubleValue(n.f)
	} else {
		dp.SetIntValue(n.i)
	}
}

// maxLateness is how long a last value takes precedence over values of spans that ended earlier. An exporter with the
// default settings retries a batch after at most 45 s (a max_interval of 30 s, randomized by half). A value that
// arrives even later is therefore not late: the producer's clock was set back.
const maxLateness = time.Minute

// late reports whether the newest span of the window is older than the last value sent, which was the newest until now.
func (g *gauge) late(e *emission) bool {
	return g.last.at < e.series.latestEnd && e.elapsed-e.series.latestEndAt < e.maxLateness
}

// emit keeps the points of a series in chronological order even if spans arrive out of order. It skips a last value
// that is late. Points that would be older than the previous one get the time of the flush.
func (g *gauge) emit(e *emission) {
	s := e.series
	late := g.late(e)
	end := g.last.at
	if end <= s.latestPoint {
		end = max(e.now, s.latestPoint+1)
	}
	for i, output := range s.def.Outputs {
		if late && output.Aggregation == AggregationLast {
			e.tally.rejected[reasonLate] += g.count
			continue
		}
		s.latestPoint = end
		at := end
		if s.def.FlushTimestamp {
			at = e.now
		}
		dp := e.out.metric(s, i).Gauge().DataPoints().AppendEmpty()
		s.setCommon(dp, 0, at)
		n, from := g.value(output.Aggregation)
		setNumber(dp, n)
		if s.def.Exemplars {
			from.appendTo(dp.Exemplars())
		}
	}
	if late {
		return
	}
	if g.last.at < s.latestEnd {
		e.tally.setBack++
	}
	s.latestEnd, s.latestEndAt = g.last.at, e.elapsed
}

func (a *everySpan) emit(e *emission) {
	slices.SortStableFunc(a.points, func(x, y exemplar) int { return cmp.Compare(x.at, y.at) })
	points := e.out.metric(e.series, 0).Gauge().DataPoints()
	points.EnsureCapacity(points.Len() + len(a.points))
	for i := range a.points {
		dp := points.AppendEmpty()
		e.series.setCommon(dp, 0, a.points[i].at)
		setNumber(dp, a.points[i].number)
		if e.series.def.Exemplars {
			a.points[i].appendTo(dp.Exemplars())
		}
	}
}

func (a *sum) emit(e *emission) {
	dp := e.out.metric(e.series, 0).Sum().DataPoints().AppendEmpty()
	e.series.setCommon(dp, e.start, e.now)
	setNumber(dp, a.total)
	a.last.appendTo(dp.Exemplars())
}

func (h *histogram) emit(e *emission) {
	dp := e.out.metric(e.series, 0).Histogram().DataPoints().AppendEmpty()
	e.series.setCommon(dp, e.start, e.now)
	dp.SetCount(h.count)
	dp.SetMin(h.min)
	dp.SetMax(h.max)
	if h.min >= 0 { // OTLP forbids a sum of negative values, because OpenMetrics treats it as a counter
		dp.SetSum(h.total.float())
	}
	dp.ExplicitBounds().FromRaw(h.def.Bounds)
	dp.BucketCounts().FromRaw(h.counts)
	for i := range h.exemplars {
		h.exemplars[i].appendTo(dp.Exemplars())
	}
}

func (h *exponentialHistogram) emit(e *emission) {
	dp := e.out.metric(e.series, 0).ExponentialHistogram().DataPoints().AppendEmpty()
	e.series.setCommon(dp, e.start, e.now)
	dp.SetCount(h.values.Count())
	dp.SetMin(h.values.Min())
	dp.SetMax(h.values.Max())
	if h.values.Min() >= 0 {
		dp.SetSum(h.values.Sum())
	}
	dp.SetScale(h.values.Scale())
	dp.SetZeroCount(h.values.ZeroCount())
	setBuckets(dp.Positive(), h.values.Positive())
	setBuckets(dp.Negative(), h.values.Negative())
	h.last.appendTo(dp.Exemplars())
	if h.max != h.last {
		h.max.appendTo(dp.Exemplars())
	}
}

func setBuckets(to pmetric.ExponentialHistogramDataPointBuckets, from *structure.Buckets) {
	to.SetOffset(from.Offset())
	counts := to.BucketCounts()
	counts.EnsureCapacity(int(from.Len()))
	for i := range from.Len() {
		counts.Append(from.At(i))
	}
}
