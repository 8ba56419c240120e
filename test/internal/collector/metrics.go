// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"fmt"
	"math"
	"net/http"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/proto"
)

// Metrics are the metrics of the Prometheus endpoint, by name.
type Metrics map[string]*dto.MetricFamily

// Labels select series: a series matches if it has all of them.
type Labels map[string]string

// Scrape reads the Prometheus endpoint.
func (c *Collector) Scrape(ctx context.Context) (Metrics, error) {
	response, err := get(ctx, "http://"+c.addresses.Prometheus+"/metrics")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("scrape: %s", response.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	return families, err
}

// Series returns the series with that name that match the labels.
func (m Metrics) Series(name string, labels Labels) []*dto.Metric {
	var series []*dto.Metric
	for _, metric := range m[name].GetMetric() {
		if matches(metric, labels) {
			series = append(series, metric)
		}
	}
	return series
}

func matches(metric *dto.Metric, labels Labels) bool {
	found := 0
	for _, pair := range metric.GetLabel() {
		if want, ok := labels[pair.GetName()]; ok {
			if want != pair.GetValue() {
				return false
			}
			found++
		}
	}
	return found == len(labels)
}

// Sum returns the sum of matching counters and gauges; 0 if there are none.
func (m Metrics) Sum(name string, labels Labels) float64 {
	var sum float64
	for _, series := range m.Series(name, labels) {
		sum += series.GetCounter().GetValue() + series.GetGauge().GetValue()
	}
	return sum
}

// SpanDurations returns the histogram of a span's durations, in milliseconds, from span_metrics, over all models; nil
// if there is none.
func (m Metrics) SpanDurations(span string) *dto.Histogram {
	return m.Histogram("traces_span_metrics_duration_milliseconds", Labels{"span_name": span})
}

// Histogram returns the sum of matching histograms, which must have the same buckets; nil if there are none.
func (m Metrics) Histogram(name string, labels Labels) *dto.Histogram {
	var sum *dto.Histogram
	for _, series := range m.Series(name, labels) {
		sum = add(sum, series.GetHistogram())
	}
	return sum
}

// add returns the sum of two histograms with the same buckets; a may be nil.
func add(a, b *dto.Histogram) *dto.Histogram {
	if a == nil {
		return b
	}
	sum := &dto.Histogram{SampleCount: proto.Uint64(a.GetSampleCount() + b.GetSampleCount()),
		SampleSum: proto.Float64(a.GetSampleSum() + b.GetSampleSum())}
	for i, bucket := range a.GetBucket() {
		sum.Bucket = append(sum.Bucket, &dto.Bucket{UpperBound: bucket.UpperBound,
			CumulativeCount: proto.Uint64(bucket.GetCumulativeCount() + b.GetBucket()[i].GetCumulativeCount())})
	}
	return sum
}

// SpanCount returns the number of spans with that name.
func (m Metrics) SpanCount(span string) int {
	return int(m.Sum("traces_span_metrics_calls_total", Labels{"span_name": span}))
}

// Quantile estimates a quantile, 0 to 1, of a histogram by interpolating within a bucket, as Prometheus does.
func Quantile(histogram *dto.Histogram, q float64) float64 {
	rank := q * float64(histogram.GetSampleCount())
	lower, below := 0.0, 0.0
	for _, bucket := range histogram.GetBucket() {
		count, upper := float64(bucket.GetCumulativeCount()), bucket.GetUpperBound()
		if count >= rank && count > below {
			if math.IsInf(upper, 1) {
				return lower
			}
			return lower + (upper-lower)*(rank-below)/(count-below)
		}
		lower, below = upper, count
	}
	return lower
}
