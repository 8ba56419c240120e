// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package engine // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/engine"

import (
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlspan"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlspanevent"
)

// Source is where to find the attribute of a value or dimension.
type Source int

// The sources.
const (
	SourceSpan Source = iota
	SourceResource
	SourceScope
	SourceEvent
	SourceSpanName // dimensions only
)

// Kind is the type of a metric.
type Kind int

// The kinds.
const (
	KindGauge     Kind = iota
	KindEverySpan      // a gauge with one point per value
	KindSum
	KindHistogram
	KindExponentialHistogram
)

// Aggregation reduces the values of a flush window to the value of a gauge.
type Aggregation int

// The aggregations.
const (
	AggregationLast Aggregation = iota // the value of the span that ended last
	AggregationMin
	AggregationMax
	AggregationMean
	AggregationCount
)

// Definition is a configured metric after validation and compilation.
type Definition struct {
	Name     string // as configured; identifies the metric in internal telemetry
	Outputs  []Output
	Kind     Kind
	SpanName string // only spans with this name; empty for all

	// Source is the source of Attribute. SourceEvent reads a value from each event of a span; the others read one from
	// each span.
	Source    Source
	EventName string // with SourceEvent: only events with this name; empty for all
	Attribute string // empty if an expression gives the value
	Length    bool   // the value of an array or map is its length

	OnSpan  Expressions[*ottlspan.TransformContext]      // unless Source is SourceEvent
	OnEvent Expressions[*ottlspanevent.TransformContext] // if Source is SourceEvent

	Dimensions []Dimension
	// ResourceAttributes are the names of the resource attributes to keep; nil keeps all.
	ResourceAttributes []string
	SeriesLimit        int // at least 1

	FlushTimestamp bool // gauges: timestamp points with the time of the flush instead of the span's end
	Exemplars      bool
	Delta          bool      // sums and histograms
	Monotonic      bool      // sums
	Bounds         []float64 // histograms: inclusive upper bounds in increasing order
	MaxSize        int32     // exponential histograms: maximum number of buckets in each of the two ranges, 2 to 16384
}

// Output is a metric that the engine sends. A gauge has one output per aggregation, other kinds have a single output.
type Output struct {
	Name, Description, Unit string
	Aggregation             Aggregation
}

// Dimension is an attribute of the data points.
type Dimension struct {
	Name      string
	Source    Source
	Attribute string
	Default   any // string, bool, int, int64, or float64; nil or empty omits the attribute from the point
}

// Expressions are compiled OTTL expressions. If there are conditions, at least one must be true. Value may be nil.
type Expressions[K any] struct {
	Conditions []*ottl.Condition[K]
	Value      *ottl.ValueExpression[K]
}

func (x *Expressions[K]) empty() bool {
	return len(x.Conditions) == 0 && x.Value == nil
}
