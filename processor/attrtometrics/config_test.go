// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package attrtometrics

import (
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.uber.org/zap"
	"go.yaml.in/yaml/v3"
)

// parseConfig decodes YAML into the default configuration and validates it, as the collector does.
func parseConfig(t testing.TB, text string) (*Config, error) {
	var raw map[string]any
	if err := yaml.Unmarshal([]byte(text), &raw); err != nil {
		return nil, err
	}
	cfg := createDefaultConfig().(*Config)
	if err := confmap.NewFromStringMap(raw).Unmarshal(cfg); err != nil {
		return nil, err
	}
	return cfg, confmap.Validate(cfg)
}

func TestReadmeConfig(t *testing.T) {
	cfg, err := parseConfig(t, `
flush_interval: 1s
expiration: 5m
metrics:
  - name: detected_people_count
    description: Number of people detected in the frame
    unit: "{person}"
    span_name: person_detection
    attribute: bbox.count
    dimensions: [anonymizer.video.name]
`)
	require.NoError(t, err)
	require.Equal(t, &Config{
		FlushInterval: time.Second,
		Expiration:    5 * time.Minute,
		SeriesLimit:   2000,
		ErrorMode:     ottl.IgnoreError,
		Metrics: []Metric{{
			Name:        "detected_people_count",
			Description: "Number of people detected in the frame",
			Unit:        "{person}",
			SpanName:    "person_detection",
			Attribute:   "bbox.count",
			Dimensions:  []Dimension{{Name: "anonymizer.video.name"}},
		}},
	}, cfg)
}

func TestConfigShortForms(t *testing.T) {
	cfg, err := parseConfig(t, `
error_mode: propagate
metrics:
  - name: one
    attribute: a
    aggregation: max
    resource_attributes: []
  - name: several
    attribute: a
    aggregation: [last, mean]
    exemplars: false
    dimensions:
      - short
      - {name: long, source: resource, attribute: service.name, default: 7}
`)
	require.NoError(t, err)
	require.Equal(t, ottl.PropagateError, cfg.ErrorMode)
	one, several := cfg.Metrics[0], cfg.Metrics[1]
	require.Equal(t, Aggregations{AggregationMax}, one.Aggregation)
	require.Equal(t, []string{"one"}, one.outputNames())
	require.NotNil(t, one.ResourceAttributes, "an empty list keeps no attributes, a missing list keeps all")
	require.Nil(t, several.ResourceAttributes)
	require.Equal(t, []string{"several", "several_mean"}, several.outputNames())
	require.False(t, *several.Exemplars)
	require.Equal(t, []Dimension{
		{Name: "short"}, {Name: "long", Source: SourceResource, Attribute: "service.name", Default: 7},
	}, several.Dimensions)
}

func TestConfigErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		config string
		want   []string
	}{
		"component": {
			config: `{flush_interval: 1ms, expiration: -1s, scrape_interval: -1s, series_limit: 0}`,
			want: []string{
				"flush_interval: 1ms is too short: use at least 10ms",
				"expiration: -1s is negative: use 0 to keep series forever",
				"scrape_interval: -1s is negative: omit it if it is unknown",
				"series_limit: 0 is too small: use 1 or more",
			},
		},
		"expiration shorter than flush interval": {
			config: `{flush_interval: 1m, expiration: 10s}`,
			want:   []string{"expiration: 10s is shorter than the flush_interval of 1m0s: use a multiple of it"},
		},
		"error mode":  {config: `{error_mode: panic}`, want: []string{"unknown error mode panic"}},
		"unknown key": {config: `{metrics: [{name: a, attribute: b, dimension: [c]}]}`, want: []string{"dimension"}},
		"empty metric": {
			config: `{metrics: [{}]}`,
			want: []string{
				`metrics[0].name: "" is not a valid metric name`,
				"metrics[0].attribute: is missing: name the attribute that holds the number",
			},
		},
		"names": {
			config: `{metrics: [{name: 1a, attribute: b}, {name: x_max, attribute: b},
				{name: X, attribute: b, aggregation: [last, max]}]}`,
			want: []string{
				`metrics[0].name: "1a" is not a valid metric name`,
				`metrics[2].name: "X_max" is also the name of metrics[1]`,
			},
		},
		"names that are one to Prometheus": {
			config: `{metrics: [{name: a.b, attribute: n}, {name: a_b, attribute: n}, {name: a/b, attribute: n, type: sum},
				{name: foo, attribute: n, type: histogram}, {name: foo_count, attribute: n},
				{name: bar, attribute: n, aggregation: [last, count]}, {name: bar.count.total, attribute: n, type: sum},
				{name: bar_count_total, attribute: n},
				{name: x, attribute: n, type: exponential_histogram, unit: ms}, {name: x.milliseconds.sum, attribute: n},
				{name: share, attribute: n, unit: "1"}, {name: share_ratio, attribute: n, type: sum, monotonic: false},
				{name: wait, attribute: n, unit: s}, {name: wait_seconds, attribute: n}]}`,
			want: []string{
				`metrics[1].name: "a_b" and "a.b" of metrics[0] are both a_b in Prometheus: choose another`,
				`metrics[2].name: "a/b" and "a.b" of metrics[0] are both a_b in Prometheus: choose another`,
				`metrics[4].name: "foo_count" and "foo" of metrics[3] are both foo_count in Prometheus`,
				`metrics[7].name: "bar_count_total" and "bar.count.total" of metrics[6] are both bar_count_total in`,
				`metrics[9].name: "x.milliseconds.sum" and "x" of metrics[8] are both x_milliseconds_sum in Prometheus`,
				`metrics[11].name: "share_ratio" and "share" of metrics[10] are both share_ratio in Prometheus`,
				`metrics[13].name: "wait_seconds" and "wait" of metrics[12] are both wait_seconds in Prometheus`,
			},
		},
		"value": {
			config: `{metrics: [{name: a, attribute: b, value: "1"},
				{name: c, value: "1", source: scope}, {name: d, attribute: b, event_name: e, source: moon}]}`,
			want: []string{
				"metrics[0].value: cannot be combined with attribute",
				"metrics[1].source: scope requires attribute; with value, use scope.attributes[...] in the expression",
				`metrics[2].source: "moon" is unknown: use one of span, resource, scope, event`,
				"metrics[2].event_name: requires source: event",
			},
		},
		"OTTL": {
			config: `{metrics: [{name: a, value: "1 +", conditions: ["true", "span.nam == 1"]},
				{name: b, source: event, value: "spanevent.atributes"},
				{name: c, attribute: x, conditions: ["set(span.name, 1)"]}]}`,
			want: []string{
				"metrics[0].conditions[1]: is not a valid OTTL condition",
				"value: is not a valid OTTL expression",
				"metrics[1].value: is not a valid OTTL expression",
				"metrics[2].conditions[0]: is not a valid OTTL condition",
			},
		},
		"gauge only": {
			config: `{metrics: [{name: a, attribute: b, type: sum, aggregation: last,
				every_span: true, timestamp: flush}]}`,
			want: []string{
				"metrics[0].aggregation: requires type: gauge",
				"metrics[0].every_span: requires type: gauge",
				"metrics[0].timestamp: requires type: gauge; a sum always has the time of the flush",
			},
		},
		"sums and histograms only": {
			config: `{metrics: [{name: a, attribute: b, temporality: delta, monotonic: true,
				buckets: [1], max_size: 3}]}`,
			want: []string{
				"metrics[0].temporality: requires a sum or histogram",
				"metrics[0].monotonic: requires type: sum",
				"metrics[0].buckets: requires type: histogram",
				"metrics[0].max_size: requires type: exponential_histogram",
			},
		},
		"unknown choices": {
			config: `{metrics: [{name: a, attribute: b, type: summary},
				{name: c, attribute: b, aggregation: [last, median, last], timestamp: now},
				{name: d, attribute: b, type: sum, temporality: both}]}`,
			want: []string{
				`metrics[0].type: "summary" is unknown: use one of gauge, sum, histogram, exponential_histogram`,
				`metrics[1].aggregation: "median" is unknown: use one of last, min, max, mean, count`,
				`metrics[1].aggregation: "last" is listed twice`,
				`metrics[1].timestamp: "now" is unknown: use one of span_end, flush`,
				`metrics[2].temporality: "both" is unknown: use one of cumulative, delta`,
			},
		},
		"every span": {
			config: `{metrics: [{name: a, attribute: b, every_span: true, aggregation: max, timestamp: flush}]}`,
			want: []string{
				"metrics[0].aggregation: cannot be combined with every_span",
				"metrics[0].timestamp: flush cannot be combined with every_span",
			},
		},
		"histograms": {
			config: `{metrics: [{name: a, attribute: b, type: histogram, buckets: [1, 1, .inf]},
				{name: c, attribute: b, type: histogram, buckets: []},
				{name: d, attribute: b, type: exponential_histogram, max_size: 1}]}`,
			want: []string{
				"metrics[0].buckets[1]: 1 is not greater than 1: list the bounds in increasing order",
				"metrics[0].buckets[2]: +Inf is not finite",
				"metrics[1].buckets: is empty",
				"metrics[2].max_size: 1 is out of range: use 2 to 16384",
			},
		},
		"dimensions": {
			config: `{metrics: [{name: a, attribute: b, series_limit: -1, resource_attributes: ["", r, r],
				dimensions: [x, x, {}, otel.metric.overflow,
				{name: e, source: event}, {source: span_name, attribute: n},
				{name: l, default: [1]}, {name: m, source: mars}, p.q, p_q, job, le]},
				{name: h, attribute: b, type: histogram, dimensions: [le, __, otel.scope.name]}]}`,
			want: []string{
				`metrics[0].dimensions[1].name: "x" is listed twice`,
				"metrics[0].dimensions[2].name: is missing",
				"metrics[0].dimensions[3].name: otel.metric.overflow marks the overflow series",
				"metrics[0].dimensions[4].source: event requires source: event on the metric as well",
				"metrics[0].dimensions[5].attribute: cannot be combined with source: span_name",
				"metrics[0].dimensions[6].default: [1] is not a string, number or boolean",
				`metrics[0].dimensions[7].source: "mars" is unknown`,
				`metrics[0].dimensions[9].name: "p_q" and "p.q" are both the label p_q in Prometheus: choose another`,
				"metrics[0].dimensions[10].name: job is a label that Prometheus gives every series: choose another",
				"metrics[1].dimensions[0].name: le is the label of a histogram's buckets in Prometheus: choose another",
				`metrics[1].dimensions[1].name: normalization for label name "__"`,
				"metrics[1].dimensions[2].name: otel_scope_name is a label that Prometheus gives every series",
				"metrics[0].resource_attributes[0]: is empty",
				`metrics[0].resource_attributes[2]: "r" is listed twice`,
				"metrics[0].series_limit: -1 is negative",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseConfig(t, tt.config)
			require.Error(t, err)
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

// TestNamesApart checks that names are rejected only if a backend cannot distinguish their series.
func TestNamesApart(t *testing.T) {
	_, err := parseConfig(t, `{metrics: [{name: foo, attribute: n, type: histogram}, {name: foo_counts, attribute: n},
		{name: bar, attribute: n, aggregation: [last, min, count]}, {name: bar_total, attribute: n, type: sum},
		{name: wait, attribute: n, unit: s}, {name: wait_ms, attribute: n, unit: ms},
		{name: people, attribute: n, unit: "{person}", dimensions: [le, a.b, a.c]}]}`)
	require.NoError(t, err)
}

// FuzzConfig checks that every configuration is either rejected or compiles.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{
		`{flush_interval: 1s, metrics: [{name: a, attribute: b,
			dimensions: [c, {name: d, source: resource, default: 1.5}]}]}`,
		`{metrics: [{name: a, value: "span.end_time - span.start_time",
			conditions: ["span.name == \"x\""], aggregation: [min, max]}]}`,
		`{metrics: [{name: a, source: event, attribute: b, type: histogram, buckets: [1, 2], temporality: delta}]}`,
		`{metrics: [{name: a, attribute: b, type: exponential_histogram, max_size: 7, resource_attributes: []}]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := parseConfig(t, text)
		if err != nil {
			return
		}
		if _, err := cfg.definitions(component.TelemetrySettings{Logger: zap.NewNop()}); err != nil {
			t.Errorf("valid, but does not compile: %v", err)
		}
	})
}
