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
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/collector/component"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/engine"
)

const (
	minFlushInterval = 10 * time.Millisecond
	// The range that go-expohisto allows for MaxSize.
	minMaxSize, maxMaxSize = 2, 16384
)

// reservedLabels identify the source of a series. The Prometheus exporter sets them from the resource. A scrape fails
// if a series has the same label twice.
var reservedLabels = []string{"job", "instance", "otel_scope_name", "otel_scope_version", "otel_scope_schema_url"}

const bucketLabel = "le"

// nameSyntax: https://opentelemetry.io/docs/specs/otel/metrics/api/#instrument-name-syntax
var nameSyntax = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.\-/]{0,254}$`)

// Validate reports all errors together, each with its configuration key.
func (c *Config) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.FlushInterval < minFlushInterval {
		fail("flush_interval: %s is too short: use at least %s", c.FlushInterval, minFlushInterval)
	}
	if c.Expiration < 0 {
		fail("expiration: %s is negative: use 0 to keep series forever", c.Expiration)
	} else if c.Expiration > 0 && c.Expiration < c.FlushInterval {
		fail("expiration: %s is shorter than the flush_interval of %s: use a multiple of it",
			c.Expiration, c.FlushInterval)
	}
	if c.ScrapeInterval < 0 {
		fail("scrape_interval: %s is negative: omit it if it is unknown", c.ScrapeInterval)
	}
	if c.SeriesLimit < 1 {
		fail("series_limit: %d is too small: use 1 or more", c.SeriesLimit)
	}
	if !slices.Contains([]ottl.ErrorMode{ottl.IgnoreError, ottl.SilentError, ottl.PropagateError}, c.ErrorMode) {
		fail("error_mode: %q is unknown: use ignore, silent or propagate", c.ErrorMode)
	}
	for i := range c.Metrics {
		for _, err := range c.Metrics[i].validate() {
			fail("metrics[%d].%w", i, err)
		}
	}
	checkNames(fail, c.outputNames(""))
	return errors.Join(errs...)
}

func (m *Metric) validate() []error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if !nameSyntax.MatchString(m.Name) {
		fail("name: %q is not a valid metric name: "+
			"use a letter followed by letters, digits, _ . - / (at most 255 characters)", m.Name)
	}
	oneOf(fail, "type", m.Type, TypeGauge, TypeSum, TypeHistogram, TypeExponentialHistogram)
	m.validateValue(fail)
	m.validateGaugeOptions(fail)
	m.validateSumAndHistogramOptions(fail)
	m.validateDimensions(fail)
	for i, a := range m.ResourceAttributes {
		if a == "" {
			fail("resource_attributes[%d]: is empty: name a resource attribute", i)
		} else if slices.Contains(m.ResourceAttributes[:i], a) {
			fail("resource_attributes[%d]: %q is listed twice", i, a)
		}
	}
	if m.SeriesLimit < 0 {
		fail("series_limit: %d is negative: omit it to use the component's series_limit", m.SeriesLimit)
	}
	return errs
}

func (m *Metric) validateValue(fail func(string, ...any)) {
	oneOf(fail, "source", m.Source, SourceSpan, SourceResource, SourceScope, SourceEvent)
	switch {
	case m.Attribute == "" && m.Value == "":
		fail("attribute: is missing: name the attribute that holds the number or set value to an OTTL expression")
	case m.Attribute != "" && m.Value != "":
		fail("value: cannot be combined with attribute: remove one of them")
	case m.Value != "" && (m.Source == SourceResource || m.Source == SourceScope):
		fail("source: %s requires attribute; with value, use %[1]s.attributes[...] in the expression", m.Source)
	}
	if m.EventName != "" && m.Source != SourceEvent {
		fail("event_name: requires source: event")
	}
	if _, err := m.compile(component.TelemetrySettings{Logger: zap.NewNop()}); err != nil {
		fail("%w", err)
	}
}

func (m *Metric) isGauge() bool { return m.Type == "" || m.Type == TypeGauge }

func (m *Metric) validateGaugeOptions(fail func(string, ...any)) {
	if len(m.Aggregation) > 0 && !m.isGauge() {
		fail("aggregation: requires type: gauge; remove it")
	}
	for i, a := range m.Aggregation {
		if a == "" {
			fail("aggregation: is empty: use last, min, max, mean or count")
		} else if slices.Contains(m.Aggregation[:i], a) {
			fail("aggregation: %q is listed twice", a)
		}
		oneOf(fail, "aggregation", a,
			AggregationLast, AggregationMin, AggregationMax, AggregationMean, AggregationCount)
	}
	if m.EverySpan && !m.isGauge() {
		fail("every_span: requires type: gauge; remove it")
	}
	if m.EverySpan && len(m.Aggregation) > 0 {
		fail("aggregation: cannot be combined with every_span, which does not aggregate")
	}
	if m.EverySpan && m.Timestamp == TimestampFlush {
		fail("timestamp: flush cannot be combined with every_span: all points would have the same timestamp")
	}
	oneOf(fail, "timestamp", m.Timestamp, TimestampSpanEnd, TimestampFlush)
	if m.Timestamp != "" && !m.isGauge() {
		fail("timestamp: requires type: gauge; a %s always has the time of the flush", m.Type)
	}
}

func (m *Metric) validateSumAndHistogramOptions(fail func(string, ...any)) {
	oneOf(fail, "temporality", m.Temporality, TemporalityCumulative, TemporalityDelta)
	if m.Temporality != "" && m.isGauge() {
		fail("temporality: requires a sum or histogram: remove it")
	}
	if m.Monotonic != nil && m.Type != TypeSum {
		fail("monotonic: requires type: sum; remove it")
	}
	if m.Buckets != nil && m.Type != TypeHistogram {
		fail("buckets: requires type: histogram; remove it")
	}
	if m.Buckets != nil && len(m.Buckets) == 0 {
		fail("buckets: is empty: list at least one upper bound or omit the key to use the default")
	}
	for i, b := range m.Buckets {
		if math.IsNaN(b) || math.IsInf(b, 0) {
			fail("buckets[%d]: %v is not finite: remove it; the last bucket is unbounded anyway", i, b)
		} else if i > 0 && b <= m.Buckets[i-1] {
			fail("buckets[%d]: %v is not greater than %v: list the bounds in increasing order", i, b, m.Buckets[i-1])
		}
	}
	if m.MaxSize != 0 && m.Type != TypeExponentialHistogram {
		fail("max_size: requires type: exponential_histogram; remove it")
	} else if m.MaxSize != 0 && (m.MaxSize < minMaxSize || m.MaxSize > maxMaxSize) {
		fail("max_size: %d is out of range: use %d to %d", m.MaxSize, minMaxSize, maxMaxSize)
	}
}

func (m *Metric) validateDimensions(fail func(string, ...any)) {
	names := map[string]string{} // by Prometheus label
	for i := range m.Dimensions {
		d, key := m.Dimensions[i].resolved(), fmt.Sprintf("dimensions[%d]", i)
		oneOf(fail, key+".source", d.Source, SourceSpan, SourceResource, SourceScope, SourceEvent, SourceSpanName)
		switch d.Name {
		case "":
			fail("%s.name: is missing: name the attribute", key)
		case engine.OverflowAttribute:
			fail("%s.name: %s marks the overflow series: choose another", key, engine.OverflowAttribute)
		default:
			m.validateLabel(fail, key, d.Name, names)
		}
		if d.Source == SourceSpanName && m.Dimensions[i].Attribute != "" {
			fail("%s.attribute: cannot be combined with source: span_name; remove it", key)
		}
		if d.Source == SourceEvent && m.Source != SourceEvent {
			fail("%s.source: event requires source: event on the metric as well", key)
		}
		switch d.Default.(type) {
		case nil, string, bool, int, int64, float64:
		default:
			fail("%s.default: %v is not a string, number or boolean", key, d.Default)
		}
	}
}

// validateLabel checks the name of a dimension as a Prometheus label. It must not collide with a label that is already
// present.
func (m *Metric) validateLabel(fail func(string, ...any), key, name string, names map[string]string) {
	namer := otlptranslator.LabelNamer{}
	label, err := namer.Build(name)
	if err != nil {
		fail("%s.name: %w: choose another", key, err)
		return
	}
	other, taken := names[label]
	switch {
	case taken && other == name:
		fail("%s.name: %q is listed twice", key, name)
	case taken:
		fail("%s.name: %q and %q are both the label %s in Prometheus: choose another", key, name, other, label)
	case slices.Contains(reservedLabels, label):
		fail("%s.name: %s is a label that Prometheus gives every series: choose another", key, label)
	case label == bucketLabel && (m.Type == TypeHistogram || m.Type == TypeExponentialHistogram):
		fail("%s.name: %s is the label of a histogram's buckets in Prometheus: choose another", key, label)
	}
	names[label] = name
}

// oneOf calls fail unless value is empty (the default) or one of allowed.
func oneOf[T ~string](fail func(string, ...any), key string, value T, allowed ...T) {
	if value == "" || slices.Contains(allowed, value) {
		return
	}
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = string(a)
	}
	fail("%s: %q is unknown: use one of %s", key, value, strings.Join(names, ", "))
}
