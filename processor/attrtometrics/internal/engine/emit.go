// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package engine // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/engine"

import (
	"time"

	"github.com/lightstep/go-expohisto/structure"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/metadata"
)

// batch is what one flush sends: resources, in each of them one scope, in it a metric for each output.
type batch struct {
	metrics   pmetric.Metrics
	version   string
	resources map[*resource]*resourceBatch
	current   *resourceBatch // of the series before, which is on the same resource more often than not
}

type resourceBatch struct {
	resource *resource
	metrics  pmetric.MetricSlice
	def      *definition
	byOutput []pmetric.Metric // of def; the zero value: not there yet
}

func newBatch(version string) *batch {
	return &batch{metrics: pmetric.NewMetrics(), version: version, resources: make(map[*resource]*resourceBatch)}
}

func (b *batch) resource(res *resource) *resourceBatch {
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

// metric returns the metric that the points of s belong to.
func (b *batch) metric(s *series, output int) pmetric.Metric {
	rb := b.resource(s.resource)
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

// cumulative tells whether a series says its value again in each flush.
func (d *definition) cumulative() bool {
	return d.Kind != KindGauge && d.Kind != KindEverySpan && !d.Delta
}

// end says that s is no more. Each such point has a metric of its own: the Prometheus exporter (v0.155.0, accumulator.go)
// skips whatever follows a point without a value in the same metric.
func (b *batch) end(s *series, now pcommon.Timestamp) {
	for output := range s.def.Outputs {
		m := s.def.appendMetric(b.resource(s.resource).metrics, output)
		none := pmetric.DefaultDataPointFlags.WithNoRecordedValue(true)
		switch s.def.Kind {
		case KindSum:
			dp := m.Sum().DataPoints().AppendEmpty()
			s.stamp(dp, s.start, now)
			dp.SetFlags(none)
		case KindHistogram:
			dp := m.Histogram().DataPoints().AppendEmpty()
			s.stamp(dp, s.start, now)
			dp.SetFlags(none)
		case KindExponentialHistogram:
			dp := m.ExponentialHistogram().DataPoints().AppendEmpty()
			s.stamp(dp, s.start, now)
			dp.SetFlags(none)
		default:
			dp := m.Gauge().DataPoints().AppendEmpty()
			s.stamp(dp, 0, now)
			dp.SetFlags(none)
		}
	}
}

// emission is what an accumulator needs to send its points.
type emission struct {
	out    *batch
	series *series
	start  pcommon.Timestamp // of the interval that a sum or histogram covers
	now    pcommon.Timestamp
}

func (s *series) emit(out *batch, windowStart, now pcommon.Timestamp) {
	e := emission{out: out, series: s, start: s.start, now: now}
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

// stamp sets what all kinds of points have. A gauge has no start (0).
func (s *series) stamp(dp dataPoint, start, at pcommon.Timestamp) {
	dp.SetTimestamp(at)
	if start != 0 {
		dp.SetStartTimestamp(start)
	}
	if s.overflow {
		dp.Attributes().PutBool(overflowAttribute, true)
		return
	}
	attributes := dp.Attributes()
	attributes.EnsureCapacity(len(s.labels))
	for i := range s.labels {
		s.labels[i].put(attributes, s.def.Dimensions[i].Name)
	}
}

func setNumber(dp pmetric.NumberDataPoint, n Number) {
	if n.isDouble {
		dp.SetDoubleValue(n.f)
	} else {
		dp.SetIntValue(n.i)
	}
}

// emit keeps the points of a series in order of time, though spans are not: a last value older than the one already sent is
// none, and what was made of late spans alone is stamped just after the point before it.
func (g *gauge) emit(e *emission) {
	s := e.series
	window := g.last.at
	if window <= s.stamped {
		window = s.stamped + pcommon.Timestamp(time.Millisecond)
	}
	for i, output := range s.def.Outputs {
		at := window
		if output.Aggregation == Last {
			if g.last.at < s.newest {
				continue
			}
			at = g.last.at
		}
		if s.def.FlushTimestamp {
			at = e.now
		}
		dp := e.out.metric(s, i).Gauge().DataPoints().AppendEmpty()
		s.stamp(dp, 0, at)
		number, from := g.value(output.Aggregation)
		setNumber(dp, number)
		if s.def.Exemplars {
			from.appendTo(dp.Exemplars())
		}
	}
	s.newest = max(s.newest, g.last.at)
	s.stamped = window
}

func (a *everySpan) emit(e *emission) {
	byTime(a.points)
	points := e.out.metric(e.series, 0).Gauge().DataPoints()
	points.EnsureCapacity(points.Len() + len(a.points))
	for i := range a.points {
		dp := points.AppendEmpty()
		e.series.stamp(dp, 0, a.points[i].at)
		setNumber(dp, a.points[i].number)
		if e.series.def.Exemplars {
			a.points[i].appendTo(dp.Exemplars())
		}
	}
}

func (a *sum) emit(e *emission) {
	dp := e.out.metric(e.series, 0).Sum().DataPoints().AppendEmpty()
	e.series.stamp(dp, e.start, e.now)
	setNumber(dp, a.total)
	a.last.appendTo(dp.Exemplars())
}

func (h *histogram) emit(e *emission) {
	dp := e.out.metric(e.series, 0).Histogram().DataPoints().AppendEmpty()
	e.series.stamp(dp, e.start, e.now)
	dp.SetCount(h.count)
	dp.SetMin(h.min)
	dp.SetMax(h.max)
	if h.min >= 0 { // OTLP: no sum with negative values, since OpenMetrics takes it for a counter
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
	e.series.stamp(dp, e.start, e.now)
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
