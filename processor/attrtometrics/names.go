// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package attrtometrics // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics"

import (
	"fmt"
	"strings"

	"github.com/prometheus/otlptranslator"
)

// outputName is the name of a metric, with what Prometheus derives its own names from.
type outputName struct {
	key    string // key in the configuration
	metric otlptranslator.Metric
}

// outputNames returns the names of all metrics, each with its configuration key prefixed with prefix.
func (c *Config) outputNames(prefix string) []outputName {
	var names []outputName
	for i := range c.Metrics {
		m := &c.Metrics[i]
		if m.Name == "" {
			continue
		}
		for _, o := range m.outputs() {
			names = append(names, outputName{
				key:    fmt.Sprintf("%smetrics[%d]", prefix, i),
				metric: otlptranslator.Metric{Name: o.Name, Unit: o.Unit, Type: m.translatedType()},
			})
		}
	}
	return names
}

func (m *Metric) translatedType() otlptranslator.MetricType {
	switch m.Type {
	case TypeSum:
		if m.Monotonic == nil || *m.Monotonic {
			return otlptranslator.MetricTypeMonotonicCounter
		}
		return otlptranslator.MetricTypeNonMonotonicCounter
	case TypeHistogram:
		return otlptranslator.MetricTypeHistogram
	case TypeExponentialHistogram:
		return otlptranslator.MetricTypeExponentialHistogram
	}
	return otlptranslator.MetricTypeGauge
}

// namings are the ways in which backends name the series of a metric. OpenTelemetry's names are case-insensitive.
// Prometheus allows only letters, digits, and underscores, and adds the unit and type as suffixes or not:
// https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
var namings = []func(otlptranslator.Metric) []string{
	func(m otlptranslator.Metric) []string { return []string{strings.ToLower(m.Name)} },
	func(m otlptranslator.Metric) []string { return prometheusNames(m, true) },
	func(m otlptranslator.Metric) []string { return prometheusNames(m, false) },
}

// prometheusNames returns the names of the metric's series in Prometheus, or nil if the name is invalid.
func prometheusNames(m otlptranslator.Metric, suffixes bool) []string {
	namer := otlptranslator.MetricNamer{WithMetricSuffixes: suffixes}
	name, err := namer.Build(m)
	if err != nil {
		return nil
	}
	switch m.Type {
	case otlptranslator.MetricTypeHistogram, otlptranslator.MetricTypeExponentialHistogram:
		return []string{name, name + "_bucket", name + "_count", name + "_sum"}
	}
	return []string{name}
}

// checkNames calls fail for each pair of names that a backend cannot distinguish.
func checkNames(fail func(string, ...any), names []outputName) {
	type pair struct{ earlier, later int }
	failed := map[pair]bool{}
	for _, naming := range namings {
		takenBy := map[string]int{}
		for later, name := range names {
			for _, series := range naming(name.metric) {
				earlier, taken := takenBy[series]
				if !taken {
					takenBy[series] = later
					continue
				}
				if earlier == later || failed[pair{earlier, later}] {
					continue
				}
				failed[pair{earlier, later}] = true
				failName(fail, names[earlier], name, series)
			}
		}
	}
}

func failName(fail func(string, ...any), earlier, later outputName, series string) {
	if strings.EqualFold(earlier.metric.Name, later.metric.Name) {
		fail("%s.name: %q is also the name of %s: choose another", later.key, later.metric.Name, earlier.key)
		return
	}
	fail("%s.name: %q and %q of %s are both %s in Prometheus: choose another",
		later.key, later.metric.Name, earlier.metric.Name, earlier.key, series)
}
