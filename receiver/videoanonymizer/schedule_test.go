// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
)

// TestScheduleSuspends suspends a video in progress, and checks that it resumes from its last segment once the hold
// ends.
func TestScheduleSuspends(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	cfg := newTestConfig(t)
	cfg.Output.SegmentLength = time.Second
	r := start(t, cfg)
	clip(t, filepath.Join(r.in, "walk.mp4"), "-i", "testsrc2=size=320x240:rate=25:duration=12")
	require.Eventually(t, func() bool {
		sealed, _ := filepath.Glob(filepath.Join(r.out, ".anonymizing-*.checkpoint.json"))
		return len(sealed) > 0
	}, time.Minute, 5*time.Millisecond)
	r.watcher.Hold("at night", true)
	r.awaitLog(t, "interrupted", "walk.mp4")
	assert.NoFileExists(t, filepath.Join(r.out, "walk_anonymized.mp4"))
	r.watcher.Hold("", true)
	finished := r.awaitLog(t, "finished", "walk.mp4")
	resumed, ok := finished.Attributes().Get("anonymizer.video.frames_resumed")
	require.True(t, ok)
	assert.Positive(t, resumed.Int())
}

// TestScheduleOfGuide checks that the example in docs/service.md is valid, and that videos are held from the start
// outside the configured hours.
func TestScheduleOfGuide(t *testing.T) {
	guide, err := os.ReadFile("../../docs/service.md")
	require.NoError(t, err)
	example := regexp.MustCompile("(?s)## Shared machines.*?```yaml\n(.*?)```").FindSubmatch(guide)
	require.NotNil(t, example)
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, example[1], 0o600))
	loaded, err := config.Load(t.Context(), "", path)
	require.NoError(t, err)
	require.NoError(t, loaded.Validate())
	assert.Len(t, loaded.Schedule.Spans(), 2)

	cfg := newTestConfig(t)
	tomorrow := time.Now().Add(24 * time.Hour).Format("Mon")
	cfg.Schedule.Hours = []string{tomorrow}
	require.NoError(t, cfg.Validate())
	r := start(t, cfg)
	source := filepath.Join(r.in, "walk.mp4")
	clip(t, source, "-i", "testsrc2=size=320x240:rate=25:duration=0.2")
	require.Eventually(t, func() bool {
		all := r.watcher.Overview()
		return len(all) == 1 && all[0].Held == "it is outside the hours of schedule::hours"
	}, time.Minute, 20*time.Millisecond)
}
