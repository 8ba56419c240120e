// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
)

// TestProfilesAreUsed anonymizes one video with a profile and one without, and checks their reports, spans and pixels.
func TestProfilesAreUsed(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	base := newTestConfig(t)
	in := filepath.Dir(base.Watch.Include[0])
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, confmap.NewFromStringMap(map[string]any{
		"watch":  map[string]any{"include": []any{in + "/**"}, "poll_interval": "20ms", "stable_for": "40ms"},
		"output": map[string]any{"directory": base.Output.Directory, "preset": "ultrafast"},
		"models": map[string]any{"directory": base.Models.Directory}, "telemetry": map[string]any{"batch_interval": "50ms"},
		"recall": "thorough", "detect_every": 3, "detector": map[string]any{"survey": map[string]any{"enabled": false}},
		"profiles": []any{map[string]any{"name": "ward", "include": []any{"ward/**"}, "mask": map[string]any{
			"color": "#ffffff", "regions": []any{map[string]any{"action": "mask"}}}}},
	}).Unmarshal(cfg))
	require.NoError(t, cfg.Validate())
	require.NoError(t, os.Mkdir(filepath.Join(in, "ward"), 0o755))
	r := start(t, cfg)
	for _, name := range []string{"ward/bed.mp4", "walk.mp4"} {
		clip(t, filepath.Join(in, name), "-i", "color=gray:size=320x240:rate=25:duration=0.4")
		r.awaitLog(t, "finished", filepath.Base(name))
	}
	require.NoError(t, r.Shutdown(t.Context()))
	for output, want := range map[string]struct {
		profile string
		luma    int
	}{"ward/bed_anonymized.mp4": {"ward", 235}, "walk_anonymized.mp4": {"", 126}} {
		path := filepath.Join(r.out, output)
		written, err := report.Read(report.Path(path))
		require.NoError(t, err)
		assert.Equal(t, want.profile, written.Settings.Profile)
		assert.InDelta(t, want.luma, lumaOf(t, path), 3, output)
	}
	byVideo := map[string]string{}
	for _, name := range []string{"process_single_frame", "anonymize_video"} {
		for _, span := range r.spans(name) {
			video, ok := span.Attributes().Get("anonymizer.video.name")
			require.True(t, ok)
			profile, _ := span.Attributes().Get("anonymizer.profile")
			byVideo[name+" "+video.Str()] = profile.Str()
		}
	}
	assert.Equal(t, map[string]string{"process_single_frame bed.mp4": "ward", "anonymize_video bed.mp4": "ward",
		"process_single_frame walk.mp4": "", "anonymize_video walk.mp4": ""}, byVideo)
}

// lumaOf returns the mean luma of a video.
func lumaOf(t *testing.T, path string) float64 {
	t.Helper()
	gray, err := exec.Command("ffmpeg", "-v", "error", "-i", path, "-vf", "extractplanes=y", "-f", "rawvideo",
		"-").Output()
	require.NoError(t, err)
	require.NotEmpty(t, gray)
	sum := 0
	for _, luma := range gray {
		sum += int(luma)
	}
	return float64(sum) / float64(len(gray))
}
