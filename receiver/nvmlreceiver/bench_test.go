// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"testing"

	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/metadata"
)

const everything = "testdata/one_gpu_everything/config.yaml"

// BenchmarkScrape is a scrape of 8 GPUs, driver calls (of the fake) included.
//
//   - own: reading everything, but recording nothing. What is left is this module's own work.
//   - default and everything: with the recording. Its cost is that of pdata, which keeps each point in objects of its own.
//   - copy: pdata.CopyTo of the result of everything, the least that these points cost in pdata. The reference for the others.
func BenchmarkScrape(b *testing.B) {
	b.Run("own", func(b *testing.B) {
		s := newBench(b, loadConfig(b, everything), eightGPUs()...)
		s.mustScrape(b)
		settings := s.settings
		for _, g := range s.gpus {
			g.builder = metadata.NewMetricsBuilder(metadata.MetricsBuilderConfig{}, settings)
		}
		scrapeLoop(b, s)
	})
	b.Run("default", func(b *testing.B) { scrapeLoop(b, newBench(b, defaultConfig(), eightGPUs()...)) })
	b.Run("everything", func(b *testing.B) { scrapeLoop(b, newBench(b, loadConfig(b, everything), eightGPUs()...)) })
	b.Run("copy", func(b *testing.B) {
		metrics := newBench(b, loadConfig(b, everything), eightGPUs()...).mustScrape(b)
		b.ReportAllocs()
		for b.Loop() {
			metrics.CopyTo(pmetric.NewMetrics())
		}
		b.ReportMetric(float64(metrics.DataPointCount()), "points/op")
	})
}

func scrapeLoop(b *testing.B, s *bench) {
	points := s.mustScrape(b).DataPointCount()
	b.ReportAllocs()
	for b.Loop() {
		points = s.mustScrape(b).DataPointCount()
	}
	b.ReportMetric(float64(points), "points/op")
}
