// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package repo

import (
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/otlptranslator"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// component is the part of a metadata.yaml that describes metrics.
type component struct {
	Attributes map[string]struct {
		NameOverride string `yaml:"name_override"`
	}
	Metrics   map[string]metric
	Telemetry struct{ Metrics map[string]metric }
}

type metric struct {
	Enabled    bool
	Unit       string
	Attributes []string
	Gauge      *struct{}
	Sum        *struct{ Monotonic bool }
}

func (m metric) translated(t *testing.T, name string) string {
	t.Helper()
	var kind otlptranslator.MetricType = otlptranslator.MetricTypeNonMonotonicCounter
	switch {
	case m.Gauge != nil:
		kind = otlptranslator.MetricTypeGauge
	case m.Sum != nil && m.Sum.Monotonic:
		kind = otlptranslator.MetricTypeMonotonicCounter
	}
	namer := otlptranslator.NewMetricNamer("otel", otlptranslator.UnderscoreEscapingWithSuffixes)
	prometheus, err := namer.Build(otlptranslator.Metric{Name: name, Unit: m.Unit, Type: kind})
	require.NoError(t, err)
	return prometheus
}

// TestEveryMetricIsDocumented compares docs/telemetry.md with the metadata of our components: metrics that are on by
// default have a row with their labels, the others are named, and no row is about a metric that does not exist.
func TestEveryMetricIsDocumented(t *testing.T) {
	page := read(t, "docs/telemetry.md")
	code := regexp.MustCompile("`([\\w.]+)`")
	rows := map[string]string{} // names to labels
	for _, row := range regexp.MustCompile("(?m)^\\| (`otel.*?) \\| (.*?) \\|").FindAllStringSubmatch(page, -1) {
		for _, name := range code.FindAllStringSubmatch(row[1], -1) {
			assert.NotContains(t, rows, name[1], "two rows about one metric")
			rows[name[1]] = row[2]
		}
	}

	exists := map[string]bool{}
	check := func(path, name string, attributes []string) {
		exists[name] = true
		labels, documented := rows[name]
		if !assert.True(t, documented, "%s has %s: add a row to docs/telemetry.md", path, name) {
			return
		}
		for _, attribute := range attributes {
			if label := strings.ReplaceAll(attribute, ".", "_"); !onEveryGPU[label] {
				assert.Contains(t, labels, "`"+label+"`", "labels of %s in docs/telemetry.md", name)
			}
		}
	}
	paths := files(t, "receiver/*/metadata.yaml", "processor/*/metadata.yaml")
	require.Len(t, paths, 3+1, "our components; attrtometrics has one for each kind")
	for _, path := range paths {
		var c component
		require.NoError(t, yaml.Unmarshal([]byte(read(t, path)), &c), path)
		names := func(attributes []string) (all []string) {
			for _, attribute := range attributes {
				if override := c.Attributes[attribute].NameOverride; override != "" {
					attribute = override
				}
				all = append(all, attribute)
			}
			return all
		}
		for name, m := range c.Metrics {
			if m.Enabled {
				check(path, m.translated(t, name), names(m.Attributes))
			} else {
				assert.True(t, strings.Contains(page, "`"+name+"`"), "%s has %s: name it in docs/telemetry.md", path, name)
			}
		}
		for name, m := range c.Telemetry.Metrics {
			check(path, "otelcol_"+name, names(m.Attributes))
		}
	}
	for name := range rows {
		assert.True(t, exists[name] || configured[name], "docs/telemetry.md documents %s, which does not exist", name)
	}
}

// onEveryGPU are the labels of every metric of a GPU, which the page explains once.
var onEveryGPU = map[string]bool{"hw_id": true, "hw_name": true, "hw_parent": true, "hw_type": true}

// configured are the metrics that config/config.yaml defines.
var configured = map[string]bool{
	"otel_detected_people_count": true, "otel_pose_time_per_person_seconds": true,
	"otel_traces_span_metrics_calls_total": true, "otel_traces_span_metrics_duration_milliseconds": true,
}
