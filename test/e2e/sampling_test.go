// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/telemetry"
)

// TestSamplingDoesNotBiasMetrics runs config/examples/sampling.yaml with files instead of a server: one receives every
// span, for comparison, the other only the sampled ones.
func TestSamplingDoesNotBiasMetrics(t *testing.T) {
	s := newSite(t)
	s.configs = append(s.configs, filepath.Join(collector.Root(), "config", "examples", "sampling.yaml"), `yaml:{
		processors: {probabilistic_sampler: {sampling_percentage: 25}},
		connectors: {attrtometrics: {metrics: [
			{name: people, span_name: process_single_frame, attribute: bbox.count, type: histogram}]}},
		exporters: {file/sampled: {path: sampled/telemetry/traces.json, create_directory: true}},
		service: {pipelines: {
			traces: {exporters: [span_metrics, attrtometrics, forward, file/traces]},
			traces/sampled: {exporters: [file/sampled]}}}}`)
	c := s.start()
	s.drop(s.clip("walk.mp4"), "walk.mp4")
	s.drop(s.clip("talk.mp4"), "talk.mp4")
	s.awaitVideos(c, "finished", 2)

	// Connectors and processors forward their metrics at different times.
	var counted float64
	s.await(c, "every frame of both videos to be counted", func(metrics collector.Metrics) bool {
		people := metrics.Histogram("people", nil)
		counted = people.GetSampleSum()
		return metrics.SpanCount("process_single_frame") == 250 && people.GetSampleCount() == 250
	})
	require.NoError(t, c.Stop(20*time.Second))

	all, sampled := readSpans(t, s.dir), readSpans(t, filepath.Join(s.dir, "sampled"))
	people := 0
	for _, frame := range all.Named("process_single_frame") {
		people += frame.Int("bbox.count")
	}
	require.Positive(t, people)
	assert.InDelta(t, people, counted, 0, "the people of all frames, sampled or not")

	sizes := func(spans telemetry.Spans) map[pcommon.TraceID]int {
		count := map[pcommon.TraceID]int{}
		for _, span := range spans {
			count[span.TraceID()]++
		}
		return count
	}
	whole, kept := sizes(all), sizes(sampled)
	share := float64(len(kept)) / float64(len(whole))
	// A quarter of 252, with more than four standard deviations on either side.
	assert.InDelta(t, 0.25, share, 0.12, "the share of traces that are kept")
	for trace, spans := range kept {
		assert.Equal(t, whole[trace], spans, "a kept trace is complete")
	}
}
