// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestIdleCollector checks, with the intervals of the default configuration, that telemetry/metrics.json hardly grows
// when there is nothing to report, and that no series of a finished video is served a minute later.
func TestIdleCollector(t *testing.T) {
	s := newSite(t)
	s.configs = nil
	c := s.start()
	s.drop(s.clip("talk.mp4"), "talk.mp4")
	s.awaitVideos(c, "finished", 1)
	size := func() int64 {
		info, err := os.Stat(filepath.Join(s.dir, "telemetry", "metrics.json"))
		require.NoError(t, err)
		return info.Size()
	}
	const watched = 30 * time.Second
	time.Sleep(watched / 2) // until all series of the video have been sent
	before := size()
	time.Sleep(watched)
	growth := float64(size()-before) * float64(time.Minute/watched)
	t.Logf("idle, metrics.json grows by %.0f kB a minute", growth/1000)
	assert.Positive(t, growth, "metrics are still recorded")
	assert.Less(t, growth, 300e3, "bytes a minute")

	metrics, err := c.Scrape(t.Context())
	require.NoError(t, err)
	for name, family := range metrics {
		for _, series := range family.GetMetric() {
			for _, label := range series.GetLabel() {
				assert.NotEqual(t, "anonymizer_video_name", label.GetName(), "%s %s", name, series)
			}
		}
	}
	require.NoError(t, c.Stop(20*time.Second))
}
