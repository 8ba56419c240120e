// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package attrtometrics // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics"

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.uber.org/zap"
)

// Config of either face.
type Config struct {
	// FlushInterval is the length of the window that is aggregated into one point. At least 10ms; default 15s.
	FlushInterval time.Duration `mapstructure:"flush_interval"`
	// Expiration ends a series for which nothing arrived for so long. 0: never. Default 5m.
	Expiration time.Duration `mapstructure:"expiration"`
	// ScrapeInterval is how often the metrics are collected, if the user says so. It only serves to warn. Default 0: unknown.
	ScrapeInterval time.Duration `mapstructure:"scrape_interval"`
	// SeriesLimit is how many series a metric may have before values go to its overflow series. Default 2000.
	SeriesLimit int `mapstructure:"series_limit"`
	// ErrorMode says what becomes of a value that cannot be used: ignore (log), silent, propagate. It is counted in any case.
	ErrorMode ottl.ErrorMode `mapstructure:"error_mode"`
	// Metrics to make. A connector without any serves as the outlet of a processor.
	Metrics []Metric `mapstructure:"metrics"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// Metric is one entry of Config.Metrics. Zero values stand for the defaults, which the README lists.
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

// Dimension is an attribute of the data points. In YAML the name of a span attribute will do.
type Dimension struct {
	Name      string `mapstructure:"name"`
	Source    Source `mapstructure:"source"`
	Attribute string `mapstructure:"attribute"`
	Default   any    `mapstructure:"default"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// UnmarshalText reads the short form: the name of a span attribute.
func (d *Dimension) UnmarshalText(text []byte) error {
	*d = Dimension{Name: string(text)}
	return nil
}

type (
	Source      string
	Type        string
	Aggregation string
	Timestamp   string
	Temporality string
)

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

// Aggregations is one aggregation or a list of them.
type Aggregations []Aggregation

// UnmarshalText reads the short form: one aggregation.
func (a *Aggregations) UnmarshalText(text []byte) error {
	*a = Aggregations{Aggregation(text)}
	return nil
}

const (
	minFlushInterval   = 10 * time.Millisecond
	defaultSeriesLimit = 2000 // https://opentelemetry.io/docs/specs/otel/metrics/sdk/#cardinality-limits

	// What go-expohisto allows. Default as in the specification of the SDK's exponential histogram.
	minMaxSize, maxMaxSize, defaultMaxSize = 2, 16384, 160

	overflowAttribute = "otel.metric.overflow"
)

// defaultBuckets are those of the specification of the SDK's explicit bucket histogram.
var defaultBuckets = []float64{0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000}

// nameSyntax is that of an instrument: https://opentelemetry.io/docs/specs/otel/metrics/api/#instrument-name-syntax
var nameSyntax = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.\-/]{0,254}$`)

var _ confmap.Validator = (*Config)(nil)

func createDefaultConfig() component.Config {
	return &Config{
		FlushInterval: 15 * time.Second,
		Expiration:    5 * time.Minute,
		SeriesLimit:   defaultSeriesLimit,
		ErrorMode:     ottl.IgnoreError,
	}
}

// Validate returns every error at once, each with its key.
func (c *Config) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.FlushInterval < minFlushInterval {
		fail("flush_interval: %s is too short, use at least %s", c.FlushInterval, minFlushInterval)
	}
	if c.Expiration < 0 {
		fail("expiration: %s is negative, use 0 to keep series for ever", c.Expiration)
	} else if c.Expiration > 0 && c.Expiration < c.FlushInterval {
		fail("expiration: %s is shorter than the flush_interval of %s, use a multiple of it", c.Expiration, c.FlushInterval)
	}
	if c.ScrapeInterval < 0 {
		fail("scrape_interval: %s is negative, leave it out if it is not known", c.ScrapeInterval)
	}
	if c.SeriesLimit < 1 {
		fail("series_limit: %d is too small, use 1 or more", c.SeriesLimit)
	}
	if !slices.Contains([]ottl.ErrorMode{ottl.IgnoreError, ottl.SilentError, ottl.PropagateError}, c.ErrorMode) {
		fail("error_mode: %q is unknown, use ignore, silent or propagate", c.ErrorMode)
	}
	taken := map[string]string{} // name in lower case -> key
	for i := range c.Metrics {
		m, key := &c.Metrics[i], fmt.Sprintf("metrics[%d]", i)
		for _, err := range m.validate() {
			fail("%s.%w", key, err)
		}
		for _, name := range m.outputNames() {
			if other, ok := taken[strings.ToLower(name)]; ok && name != "" {
				fail("%s.name: %q is the name of %s, too; choose another", key, name, other)
			}
			taken[strings.ToLower(name)] = key
		}
	}
	return errors.Join(errs...)
}

func (m *Metric) validate() []error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if !nameSyntax.MatchString(m.Name) {
		fail("name: %q is no metric name, use a letter and then letters, digits, _ . - / (at most 255 in all)", m.Name)
	}
	oneOf(fail, "type", m.Type, TypeGauge, TypeSum, TypeHistogram, TypeExponentialHistogram)
	m.validateValue(fail)
	m.validateType(fail)
	m.validateDimensions(fail)
	for i, a := range m.ResourceAttributes {
		if a == "" {
			fail("resource_attributes[%d]: is empty, use the name of a resource attribute", i)
		} else if slices.Contains(m.ResourceAttributes[:i], a) {
			fail("resource_attributes[%d]: %q is listed twice", i, a)
		}
	}
	if m.SeriesLimit < 0 {
		fail("series_limit: %d is negative, leave it out to use that of the whole component", m.SeriesLimit)
	}
	return errs
}

func (m *Metric) validateValue(fail func(string, ...any)) {
	oneOf(fail, "source", m.Source, SourceSpan, SourceResource, SourceScope, SourceEvent)
	switch {
	case m.Attribute == "" && m.Value == "":
		fail("attribute: is missing, name the attribute that holds the number, or give an OTTL expression as value")
	case m.Attribute != "" && m.Value != "":
		fail("value: cannot stand beside attribute, leave out one of them")
	case m.Value != "" && (m.Source == SourceResource || m.Source == SourceScope):
		fail("source: %s goes with attribute, an OTTL value says itself where it looks (%[1]s.attributes[...])", m.Source)
	}
	if m.EventName != "" && m.Source != SourceEvent {
		fail("event_name: needs source: event")
	}
	if _, err := m.compile(component.TelemetrySettings{Logger: zap.NewNop()}); err != nil {
		fail("%w", err)
	}
}

func (m *Metric) validateType(fail func(string, ...any)) {
	isGauge := m.Type == "" || m.Type == TypeGauge
	if len(m.Aggregation) > 0 && !isGauge {
		fail("aggregation: belongs to type: gauge, leave it out")
	}
	for i, a := range m.Aggregation {
		if a == "" {
			fail("aggregation: is empty, use last, min, max, mean or count")
		} else if slices.Contains(m.Aggregation[:i], a) {
			fail("aggregation: %q is listed twice", a)
		}
		oneOf(fail, "aggregation", a, AggregationLast, AggregationMin, AggregationMax, AggregationMean, AggregationCount)
	}
	if m.EverySpan && !isGauge {
		fail("every_span: belongs to type: gauge, leave it out")
	}
	if m.EverySpan && len(m.Aggregation) > 0 {
		fail("aggregation: cannot stand beside every_span, which aggregates nothing")
	}
	if m.EverySpan && m.Timestamp == TimestampFlush {
		fail("timestamp: flush cannot stand beside every_span, whose points would all be of the same time")
	}
	oneOf(fail, "timestamp", m.Timestamp, TimestampSpanEnd, TimestampFlush)
	if m.Timestamp != "" && !isGauge {
		fail("timestamp: belongs to type: gauge, a %s always carries the time of the flush", m.Type)
	}
	oneOf(fail, "temporality", m.Temporality, TemporalityCumulative, TemporalityDelta)
	if m.Temporality != "" && isGauge {
		fail("temporality: belongs to sums and histograms, leave it out")
	}
	if m.Monotonic != nil && m.Type != TypeSum {
		fail("monotonic: belongs to type: sum, leave it out")
	}
	if m.Buckets != nil && m.Type != TypeHistogram {
		fail("buckets: belongs to type: histogram, leave it out")
	}
	if m.Buckets != nil && len(m.Buckets) == 0 {
		fail("buckets: is empty, give at least one upper bound or leave it out for the default")
	}
	for i, b := range m.Buckets {
		if math.IsNaN(b) || math.IsInf(b, 0) {
			fail("buckets[%d]: %v is not finite; the last bucket has no bound anyway", i, b)
		} else if i > 0 && b <= m.Buckets[i-1] {
			fail("buckets[%d]: %v does not come after %v, use increasing bounds", i, b, m.Buckets[i-1])
		}
	}
	if m.MaxSize != 0 && m.Type != TypeExponentialHistogram {
		fail("max_size: belongs to type: exponential_histogram, leave it out")
	} else if m.MaxSize != 0 && (m.MaxSize < minMaxSize || m.MaxSize > maxMaxSize) {
		fail("max_size: %d is out of range, use %d to %d", m.MaxSize, minMaxSize, maxMaxSize)
	}
}

func (m *Metric) validateDimensions(fail func(string, ...any)) {
	names := map[string]bool{}
	for i := range m.Dimensions {
		d, key := m.Dimensions[i].resolved(), fmt.Sprintf("dimensions[%d]", i)
		oneOf(fail, key+".source", d.Source, SourceSpan, SourceResource, SourceScope, SourceEvent, SourceSpanName)
		switch {
		case d.Name == "":
			fail("%s.name: is missing, name the attribute", key)
		case d.Name == overflowAttribute:
			fail("%s.name: %s marks the overflow series, choose another", key, overflowAttribute)
		case names[d.Name]:
			fail("%s.name: %q is listed twice", key, d.Name)
		}
		names[d.Name] = true
		if d.Source == SourceSpanName && m.Dimensions[i].Attribute != "" {
			fail("%s.attribute: cannot stand beside source: span_name", key)
		}
		if d.Source == SourceEvent && m.Source != SourceEvent {
			fail("%s.source: event needs source: event on the metric, too", key)
		}
		switch d.Default.(type) {
		case nil, string, bool, int, int64, float64:
		default:
			fail("%s.default: %v is neither text, number nor boolean", key, d.Default)
		}
	}
}

// resolved returns d with its defaults: name and attribute stand in for each other.
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

// oneOf fails unless value is empty, that is the default, or one of allowed.
func oneOf[T ~string](fail func(string, ...any), key string, value T, allowed ...T) {
	if value == "" || slices.Contains(allowed, value) {
		return
	}
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = string(a)
	}
	fail("%s: %q is unknown, use one of %s", key, value, strings.Join(names, ", "))
}

func (m *Metric) aggregations() Aggregations {
	if len(m.Aggregation) == 0 {
		return Aggregations{AggregationLast}
	}
	return m.Aggregation
}

// outputNames returns the name of the metric for each aggregation: of several, all but last say which they are.
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
