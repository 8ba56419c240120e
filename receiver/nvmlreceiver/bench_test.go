// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"testing"

	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/metadata"
)

const everything = "testdata/one_gpu_everything/config.yaml"

// BenchmarkScrape measures a scrape of 8 GPUs, including the calls to the fake driver.
//
//   - own: reads everything but records nothing, which leaves this module's own processing.
//   - default, everything: with recording, which is mostly the cost of pdata: it allocates several objects per point.
//   - copy: CopyTo of the result of everything, the minimum that these points cost in pdata, for reference.
func BenchmarkScrape(b *testing.B) {
	b.Run("own", func(b *testing.B) {
		h := newHarness(b, loadConfig(b, everything), eightGPUs()...)
		h.mustScrape(b)
		settings := h.settings
		for _, g := range h.gpus {
			g.builder = metadata.NewMetricsBuilder(metadata.MetricsBuilderConfig{}, settings)
		}
		scrapeLoop(b, h)
	})
	b.Run("default", func(b *testing.B) {
		scrapeLoop(b, newHarness(b, defaultConfig(), eightGPUs()...))
	})
	b.Run("everything", func(b *testing.B) {
		scrapeLoop(b, newHarness(b, loadConfig(b, everything), eightGPUs()...))
	})
	b.Run("copy", func(b *testing.B) {
		metrics := newHarness(b, loadConfig(b, everything), eightGPUs()...).mustScrape(b)
		b.ReportAllocs()
		for b.Loop() {
			metrics.CopyTo(pmetric.NewMetrics())
		}
		b.ReportMetric(float64(metrics.DataPointCount()), "points/op")
	})
}

func scrapeLoop(b *testing.B, h *harness) {
	points := h.mustScrape(b).DataPointCount()
	b.ReportAllocs()
	for b.Loop() {
		points = h.mustScrape(b).DataPointCount()
	}
	b.ReportMetric(float64(points), "points/op")
}
