// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package attrtometrics // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics"

import (
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
)

// Config is the configuration of the processor and of the connector.
type Config struct {
	// FlushInterval is the length of the window that is aggregated into one point, at least 10ms and by default 15s.
	FlushInterval time.Duration `mapstructure:"flush_interval"`
	// Expiration ends a series that has received no value for this long. 0 keeps series forever; the default is 5m.
	Expiration time.Duration `mapstructure:"expiration"`
	// ScrapeInterval is how often the metrics are scraped. It is used only to warn if Expiration is shorter. The default,
	// 0, means unknown.
	ScrapeInterval time.Duration `mapstructure:"scrape_interval"`
	// SeriesLimit is the maximum number of series of a metric, at least 1 and by default 2000. Values of further series go
	// to an overflow series.
	SeriesLimit int `mapstructure:"series_limit"`
	// ErrorMode determines what happens to an unusable value, which is counted in any case: ignore (the default) logs it,
	// silent does not, propagate returns an error.
	ErrorMode ottl.ErrorMode `mapstructure:"error_mode"`
	// Metrics are the metrics to generate. A connector without metrics serves only as the outlet of a processor.
	Metrics []Metric `mapstructure:"metrics"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// Metric is an entry of Config.Metrics. The zero value of a field selects its default. The README describes each field.
type Metric struct {
	Name        string `mapstructure:"name"`
	Description string `mapstructure:"description"`
	Unit        string `mapstructure:"unit"`

	SpanName   string   `mapstructure:"span_name"`
	Conditions []string `mapstructure:"conditions"`

	Source    Source `mapstructure:"source"`
	EventName string `mapstructure:"event_name"`
	Attribute string `mapstructure:"attribute"`
	Length    bool   `mapstructure:"length"`
	Value     string `mapstructure:"value"`

	Type        Type         `mapstructure:"type"`
	Aggregation Aggregations `mapstructure:"aggregation"`
	EverySpan   bool         `mapstructure:"every_span"`
	Timestamp   Timestamp    `mapstructure:"timestamp"`
	Temporality Temporality  `mapstructure:"temporality"`
	Monotonic   *bool        `mapstructure:"monotonic"`
	Buckets     []float64    `mapstructure:"buckets"`
	MaxSize     int32        `mapstructure:"max_size"`
	Exemplars   *bool        `mapstructure:"exemplars"`

	Dimensions         []Dimension `mapstructure:"dimensions"`
	ResourceAttributes []string    `mapstructure:"resource_attributes"`
	SeriesLimit        int         `mapstructure:"series_limit"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// Dimension is an attribute of the data points. In YAML, it can be just the name of a span attribute.
type Dimension struct {
	Name      string `mapstructure:"name"`
	Source    Source `mapstructure:"source"`
	Attribute string `mapstructure:"attribute"`
	Default   any    `mapstructure:"default"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// UnmarshalText reads the short form, which is the name of a span attribute. It always succeeds.
func (d *Dimension) UnmarshalText(text []byte) error {
	*d = Dimension{Name: string(text)}
	return nil
}

type (
	// Source is where to find an attribute.
	Source string
	// Type is the type of a metric.
	Type string
	// Aggregation reduces the values of a flush window to the value of a gauge.
	Aggregation string
	// Timestamp selects the timestamp of the points of a gauge.
	Timestamp string
	// Temporality is the aggregation temporality of a sum or histogram.
	Temporality string
)

// The sources.
const (
	SourceSpan     Source = "span"
	SourceResource Source = "resource"
	SourceScope    Source = "scope"
	SourceEvent    Source = "event"
	SourceSpanName Source = "span_name" // dimensions only

	TypeGauge                Type = "gauge"
	TypeSum                  Type = "sum"
	TypeHistogram            Type = "histogram"
	TypeExponentialHistogram Type = "exponential_histogram"

	AggregationLast  Aggregation = "last"
	AggregationMin   Aggregation = "min"
	AggregationMax   Aggregation = "max"
	AggregationMean  Aggregation = "mean"
	AggregationCount Aggregation = "count"

	TimestampSpanEnd Timestamp = "span_end"
	TimestampFlush   Timestamp = "flush"

	TemporalityCumulative Temporality = "cumulative"
	TemporalityDelta      Temporality = "delta"
)

// Aggregations is a list of aggregations. In YAML, it can be a single aggregation.
type Aggregations []Aggregation

// UnmarshalText reads the short form, which is a single aggregation. It always succeeds.
func (a *Aggregations) UnmarshalText(text []byte) error {
	*a = Aggregations{Aggregation(text)}
	return nil
}

const (
	defaultSeriesLimit = 2000 // https://opentelemetry.io/docs/specs/otel/metrics/sdk/#cardinality-limits
	// https://opentelemetry.io/docs/specs/otel/metrics/sdk/#base2-exponential-bucket-histogram-aggregation
	defaultMaxSize = 160
)

// defaultBuckets: https://opentelemetry.io/docs/specs/otel/metrics/sdk/#explicit-bucket-histogram-aggregation
var defaultBuckets = []float64{0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000}

var _ confmap.Validator = (*Config)(nil)

func createDefaultConfig() component.Config {
	return &Config{
		FlushInterval: 15 * time.Second,
		Expiration:    5 * time.Minute,
		SeriesLimit:   defaultSeriesLimit,
		ErrorMode:     ottl.IgnoreError,
	}
}

func (m *Metric) aggregations() Aggregations {
	if len(m.Aggregation) == 0 {
		return Aggregations{AggregationLast}
	}
	return m.Aggregation
}

// outputNames returns the name of the metric for each aggregation. If there are several aggregations, each name except
// that of last ends with its aggregation.
func (m *Metric) outputNames() []string {
	aggregations := m.aggregations()
	names := make([]string, len(aggregations))
	for i, a := range aggregations {
		names[i] = m.Name
		if len(aggregations) > 1 && a != AggregationLast {
			names[i] += "_" + string(a)
		}
	}
	return names
}

// resolved returns d with defaults filled in: name defaults to attribute and attribute to name.
func (d Dimension) resolved() Dimension {
	if d.Source == "" {
		d.Source = SourceSpan
	}
	if d.Name == "" && d.Source == SourceSpanName {
		d.Name = "span.name"
	}
	if d.Name == "" {
		d.Name = d.Attribute
	}
	if d.Attribute == "" {
		d.Attribute = d.Name
	}
	return d
}
