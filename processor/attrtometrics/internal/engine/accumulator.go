// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package engine // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/engine"

import (
	"sort"

	"github.com/lightstep/go-expohisto/structure"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// accumulator aggregates the values of one series.
type accumulator interface {
	// observe adds a value. It does not retain the span.
	observe(sample)
	// merge adds the values of other, an accumulator of the same definition.
	merge(other accumulator)
	// clear resets the accumulator but keeps its memory.
	clear()
	// nextWindow resets what belongs to the window that has just been emitted.
	nextWindow()
	// emit writes the points of the series.
	emit(*emission)
}

// sample is a value to aggregate.
type sample struct {
	number number
	at     pcommon.Timestamp // end of the span, or time of the event
	span   ptrace.Span
}

// exemplar refers to the span that a value came from. It is empty if its trace ID is.
type exemplar struct {
	at      pcommon.Timestamp
	traceID pcommon.TraceID
	spanID  pcommon.SpanID
	number  number
}

// set fills x in place, which avoids a copy per value.
func (x *exemplar) set(s sample) {
	x.at, x.number = s.at, s.number
	x.traceID, x.spanID = s.span.TraceID(), s.span.SpanID()
}

func (x *exemplar) appendTo(exemplars pmetric.ExemplarSlice) {
	if x.traceID.IsEmpty() {
		return
	}
	to := exemplars.AppendEmpty()
	to.SetTimestamp(x.at)
	to.SetTraceID(x.traceID)
	to.SetSpanID(x.spanID)
	if x.number.isDouble {
		to.SetDoubleValue(x.number.f)
	} else {
		to.SetIntValue(x.number.i)
	}
}

func (d *definition) newAccumulator() accumulator {
	switch d.Kind {
	case KindEverySpan:
		return &everySpan{}
	case KindSum:
		return &sum{def: d}
	case KindHistogram:
		h := &histogram{def: d, counts: make([]uint64, len(d.Bounds)+1)}
		if d.Exemplars {
			h.exemplars = make([]exemplar, len(d.Bounds)+1)
		}
		return h
	case KindExponentialHistogram:
		h := &exponentialHistogram{def: d}
		h.values.Init(structure.NewConfig(structure.WithMaxSize(d.MaxSize)))
		return h
	}
	return &gauge{}
}

// gauge keeps what the aggregations need. The exemplars are the spans of the last, lowest, and highest values.
type gauge struct {
	count          int64
	total          float64
	last, min, max exemplar
}

func (g *gauge) observe(s sample) {
	if g.count == 0 {
		g.last.set(s)
		g.min, g.max = g.last, g.last
	} else {
		if s.at >= g.last.at {
			g.last.set(s)
		}
		if s.number.less(g.min.number) {
			g.min.set(s)
		}
		if g.max.number.less(s.number) {
			g.max.set(s)
		}
	}
	g.count++
	g.total += s.number.float()
}

func (g *gauge) merge(other accumulator) {
	o := other.(*gauge)
	if o.count == 0 {
		return
	}
	if g.count == 0 {
		*g = *o
		return
	}
	if o.last.at >= g.last.at {
		g.last = o.last
	}
	if o.min.number.less(g.min.number) {
		g.min = o.min
	}
	if g.max.number.less(o.max.number) {
		g.max = o.max
	}
	g.count += o.count
	g.total += o.total
}

func (g *gauge) clear()      { *g = gauge{} }
func (g *gauge) nextWindow() { g.clear() }

// value returns the aggregated value, and the span it came from if it is the value of a single span.
func (g *gauge) value(a Aggregation) (number, exemplar) {
	switch a {
	case AggregationMin:
		return g.min.number, g.min
	case AggregationMax:
		return g.max.number, g.max
	case AggregationMean:
		// Clamp the mean to the extremes, in case the total overflowed or lost precision.
		mean := max(g.min.number.float(), min(g.total/float64(g.count), g.max.number.float()))
		return number{isDouble: true, f: mean}, exemplar{}
	case AggregationCount:
		return intNumber(g.count), exemplar{}
	}
	return g.last.number, g.last
}

// everySpan keeps every value. The stripe limits their number.
type everySpan struct {
	points []exemplar
}

func (e *everySpan) observe(s sample) {
	var x exemplar
	x.set(s)
	e.points = append(e.points, x)
}

func (e *everySpan) merge(other accumulator) {
	e.points = append(e.points, other.(*everySpan).points...)
}

func (e *everySpan) clear()      { e.points = e.points[:0] }
func (e *everySpan) nextWindow() { e.points = nil }

// sum keeps the total, which is an integer as long as all values are integers.
type sum struct {
	def   *definition
	total number
	last  exemplar
}

func (a *sum) observe(s sample) {
	a.total = a.total.plus(s.number)
	if a.def.Exemplars && s.at >= a.last.at {
		a.last.set(s)
	}
}

func (a *sum) merge(other accumulator) {
	o := other.(*sum)
	a.total = a.total.plus(o.total)
	if o.last.at >= a.last.at {
		a.last = o.last
	}
}

func (a *sum) clear() { *a = sum{def: a.def} }

func (a *sum) nextWindow() {
	a.last = exemplar{}
	if a.def.Delta {
		a.clear()
	}
}

// histogram counts values in the buckets (def.Bounds[i-1], def.Bounds[i]] and keeps the latest exemplar of each.
type histogram struct {
	def       *definition
	count     uint64
	total     number
	min, max  float64
	counts    []uint64
	exemplars []exemplar
}

func (h *histogram) observe(s sample) {
	v := s.number.float()
	if h.count == 0 {
		h.min, h.max = v, v
	}
	h.min, h.max = min(h.min, v), max(h.max, v)
	h.count++
	h.total = h.total.plus(s.number)
	bucket := sort.SearchFloat64s(h.def.Bounds, v)
	h.counts[bucket]++
	if h.exemplars != nil && s.at >= h.exemplars[bucket].at {
		h.exemplars[bucket].set(s)
	}
}

func (h *histogram) merge(other accumulator) {
	o := other.(*histogram)
	if o.count == 0 {
		return
	}
	if h.count == 0 {
		h.min, h.max = o.min, o.max
	}
	h.min, h.max = min(h.min, o.min), max(h.max, o.max)
	h.count += o.count
	h.total = h.total.plus(o.total)
	for i, n := range o.counts {
		h.counts[i] += n
	}
	for i, x := range o.exemplars {
		if x.at >= h.exemplars[i].at {
			h.exemplars[i] = x
		}
	}
}

func (h *histogram) clear() {
	clear(h.counts)
	clear(h.exemplars)
	*h = histogram{def: h.def, counts: h.counts, exemplars: h.exemplars}
}

func (h *histogram) nextWindow() {
	clear(h.exemplars)
	if h.def.Delta {
		h.clear()
	}
}

// exponentialHistogram adapts its buckets to the values. The exemplars are the spans of the last and the highest
// values.
type exponentialHistogram struct {
	def       *definition
	values    structure.Float64
	last, max exemplar
}

func (h *exponentialHistogram) observe(s sample) {
	h.values.Update(s.number.float())
	if !h.def.Exemplars {
		return
	}
	if s.at >= h.last.at {
		h.last.set(s)
	}
	if h.max.traceID.IsEmpty() || h.max.number.less(s.number) {
		h.max.set(s)
	}
}

func (h *exponentialHistogram) merge(other accumulator) {
	o := other.(*exponentialHistogram)
	if o.values.Count() == 0 {
		return
	}
	h.values.MergeFrom(&o.values)
	if o.last.at >= h.last.at {
		h.last = o.last
	}
	if h.max.traceID.IsEmpty() || h.max.number.less(o.max.number) {
		h.max = o.max
	}
}

func (h *exponentialHistogram) clear() {
	h.values.Clear()
	h.last, h.max = exemplar{}, exemplar{}
}

func (h *exponentialHistogram) nextWindow() {
	h.last, h.max = exemplar{}, exemplar{}
	if h.def.Delta {
		h.values.Clear()
	}
}
