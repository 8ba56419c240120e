// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package engine // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/engine"

import (
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlspan"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlspanevent"
)

// Source is where a value or a dimension is found.
type Source int

const (
	SourceSpan Source = iota
	SourceResource
	SourceScope
	SourceEvent
	SourceSpanName // dimensions only
)

// Kind is the type of the metric.
type Kind int

const (
	KindGauge     Kind = iota
	KindEverySpan      // a gauge with a point for each value
	KindSum
	KindHistogram
	KindExponentialHistogram
)

// Aggregation is what a gauge shows of the values of a flush window.
type Aggregation int

const (
	Last Aggregation = iota // of the span that ended last
	Min
	Max
	Mean
	Count
)

// Definition is one configured metric, checked and compiled.
type Definition struct {
	Name     string // the configured name, for self-telemetry
	Outputs  []Output
	Kind     Kind
	SpanName string // only spans of that name; empty: all

	// Source of Attribute. With SourceEvent each event of a span is looked at, otherwise each span.
	Source    Source
	EventName string // with SourceEvent: only events of that name; empty: all
	Attribute string // empty: the value comes from an expression
	Length    bool   // an array or map counts as its length

	OnSpan  Expressions[*ottlspan.TransformContext]      // Source is not SourceEvent
	OnEvent Expressions[*ottlspanevent.TransformContext] // Source is SourceEvent

	Dimensions []Dimension
	// ResourceAttributes that make the output resource; nil: all of them.
	ResourceAttributes []string
	SeriesLimit        int // at least 1

	FlushTimestamp bool // gauges: stamp points with the flush time, not with the end of the span
	Exemplars      bool
	Delta          bool      // sums and histograms
	Monotonic      bool      // sums
	Bounds         []float64 // histograms: upper inclusive, increasing
	MaxSize        int32     // exponential histograms: buckets each for positive and negative values
}

// Output is a metric that leaves the engine. Only a gauge has more than one: one for each aggregation.
type Output struct {
	Name, Description, Unit string
	Aggregation             Aggregation
}

// Dimension is an attribute of the data points.
type Dimension struct {
	Name      string
	Source    Source
	Attribute string
	Default   any // string, bool, int64 or float64; nil: the data point goes without
}

// Expressions are compiled OTTL: conditions (any of which must hold, if there are any) and the value (or nil).
type Expressions[K any] struct {
	Conditions []*ottl.Condition[K]
	Value      *ottl.ValueExpression[K]
}

func (x *Expressions[K]) empty() bool {
	return len(x.Conditions) == 0 && x.Value == nil
}
