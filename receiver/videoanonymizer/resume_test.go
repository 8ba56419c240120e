// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/anonymize"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
)

// checkpoints returns the paths of all checkpoints in the output directory.
func checkpoints(t *testing.T, out string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(out, ".anonymizing-*.checkpoint.json"))
	require.NoError(t, err)
	return found
}

// TestResumeAfterStop stops the receiver in the middle of a video and starts another one, which resumes the video, or
// restarts it from the beginning if it cannot resume.
func TestResumeAfterStop(t *testing.T) {
	for name, tc := range map[string]struct {
		between  func(t *testing.T, cfg *Config, path string)
		restarts bool
	}{
		"unchanged": {},
		"killed while finishing, then stopped at once, with settings that do not affect the output": {
			between: func(t *testing.T, cfg *Config, path string) {
				cfg.Retry.MaxAttempts, cfg.Telemetry.SpanAttributes = 7, map[string]any{"limit": math.Inf(1)}
				for _, suffix := range []string{".mp4", "_PREVIEW.mp4", ".report.json", ".review.jpg"} {
					require.NoError(t, os.WriteFile(strings.TrimSuffix(path, ".checkpoint.json")+suffix, []byte("half"), 0o600))
				}
				for wait := range 4 {
					r := start(t, cfg)
					time.Sleep(time.Duration(wait) * 30 * time.Millisecond)
					require.NoError(t, r.Shutdown(t.Context()))
				}
			},
		},
		"another configuration": {restarts: true, between: func(_ *testing.T, cfg *Config, _ string) {
			cfg.Mask.Scale = 1.5
		}},
		"a truncated checkpoint": {restarts: true, between: func(t *testing.T, _ *Config, path string) {
			require.NoError(t, os.Truncate(path, 20))
		}},
		"a checkpoint without its report": {restarts: true, between: func(t *testing.T, _ *Config, path string) {
			change(t, path, func(c map[string]any) { delete(c, "report") })
		}},
		"people have moved": {restarts: true, between: func(t *testing.T, _ *Config, path string) {
			change(t, path, func(c map[string]any) { c["heads"] = []mask.Head{{X: 10, Y: 10, RX: 5, RY: 5}} })
		}},
		"a checkpoint with fewer frames": {restarts: true, between: func(t *testing.T, _ *Config, path string) {
			change(t, path, func(c map[string]any) { c["done"].(map[string]any)["Frames"] = 5 })
		}},
		"segments with other bytes": {restarts: true, between: func(t *testing.T, cfg *Config, _ string) {
			flip(t, filepath.Join(cfg.Output.Directory, ".anonymizing-*.00000.segment"))
		}},
		"a report with other bytes": {restarts: true, between: func(t *testing.T, cfg *Config, _ string) {
			flip(t, filepath.Join(cfg.Output.Directory, ".anonymizing-*.frames.json"))
		}},
		"a segment is missing": {restarts: true, between: func(t *testing.T, cfg *Config, _ string) {
			segments, err := filepath.Glob(filepath.Join(cfg.Output.Directory, ".anonymizing-*.00000.segment"))
			require.NoError(t, err)
			require.Len(t, segments, 2, "of the output and of the preview")
			require.NoError(t, os.Remove(segments[0]))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "unchanged" {
				t.Skip("anonymizes a video of 12 s")
			}
			cfg := newTestConfig(t)
			cfg.Output.SegmentLength = time.Second
			cfg.Report.Preview = config.PreviewBoxes
			r := start(t, cfg)
			clip(t, filepath.Join(r.in, "long.mp4"), "-i", "testsrc2=size=192x144:rate=25:duration=12", "-preset", "ultrafast",
				"-g", "50")
			require.Eventually(t, func() bool { return len(checkpoints(t, r.out)) > 0 }, time.Minute, 5*time.Millisecond)
			require.NoError(t, r.Shutdown(t.Context()))
			r.awaitLog(t, "interrupted", "long.mp4")
			left := checkpoints(t, r.out)
			require.Len(t, left, 1)
			if tc.between != nil {
				tc.between(t, cfg, left[0])
			}

			again := start(t, cfg)
			finished := again.awaitLog(t, "finished", "long.mp4")
			require.NoError(t, again.Shutdown(t.Context()))
			resumed, ok := finished.Attributes().Get("anonymizer.video.frames_resumed")
			assert.NotEqual(t, tc.restarts, ok)
			frames := len(again.spans("process_single_frame"))
			if tc.restarts {
				assert.Equal(t, 300, frames)
			} else {
				assert.EqualValues(t, 300, resumed.Int()+int64(frames))
				assert.Zero(t, resumed.Int()%25, "whole segments")
			}
			output := filepath.Join(again.out, "long_anonymized.mp4")
			checkReport(t, output)
			text, err := os.ReadFile(report.Path(output))
			require.NoError(t, err)
			var written struct {
				Summary struct {
					Frames int `json:"frames"`
				} `json:"summary"`
				Frames []struct {
					Frame int `json:"frame"`
				} `json:"frames"`
			}
			require.NoError(t, json.Unmarshal(text, &written))
			assert.Equal(t, 300, written.Summary.Frames)
			require.Len(t, written.Frames, 300)
			for i, f := range written.Frames {
				require.Equal(t, i, f.Frame)
			}
			tools, err := media.FindTools("", "")
			require.NoError(t, err)
			for _, path := range []string{output, anonymize.PreviewPath(output)} {
				info, err := tools.Probe(t.Context(), path, media.Limits{})
				require.NoError(t, err)
				assert.EqualValues(t, 300, info.EstimatedFrames, path)
			}
			assert.Empty(t, hidden(t, again.out), "no temporary file is left")
		})
	}
}

// TestResumeKeepsRepairs checks that report and log record count the repaired times of the whole source, including
// those before the resume.
func TestResumeKeepsRepairs(t *testing.T) {
	cfg := newTestConfig(t)
	cfg.Output.SegmentLength, cfg.DetectEvery = time.Second, 5
	r := start(t, cfg)
	clip(t, filepath.Join(r.in, "long.mkv"), "-i", "testsrc2=size=192x144:rate=5:duration=40", "-preset", "ultrafast",
		"-g", "10", "-bf", "0", "-bsf:v", "setts=ts='(N-floor((min(N,25)+1)/5))*200'")
	require.Eventually(t, func() bool {
		for _, path := range checkpoints(t, r.out) {
			var c struct{ Done record.Summary }
			text, err := os.ReadFile(path)
			return err == nil && json.Unmarshal(text, &c) == nil && c.Done.Frames > 125
		}
		return false
	}, time.Minute, 5*time.Millisecond, "so far that resuming seeks")
	require.NoError(t, r.Shutdown(t.Context()))
	r.awaitLog(t, "interrupted", "long.mkv")

	again := start(t, cfg)
	attributes := again.awaitLog(t, "finished", "long.mkv").Attributes().AsRaw()
	require.NoError(t, again.Shutdown(t.Context()))
	require.Greater(t, attributes["anonymizer.video.frames_resumed"], int64(125))
	assert.EqualValues(t, 5, attributes["anonymizer.video.times_repaired"])
	var written struct {
		Repairs media.Repairs `json:"source_times"`
	}
	text, err := os.ReadFile(report.Path(filepath.Join(again.out, "long_anonymized.mkv")))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &written))
	assert.Equal(t, media.Repairs{Times: 5}, written.Repairs)
}

// change edits the checkpoint at the path.
func change(t *testing.T, path string, edit func(map[string]any)) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var c map[string]any
	require.NoError(t, json.Unmarshal(text, &c))
	edit(c)
	text, err = json.Marshal(c)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o600))
}

// flip flips a bit in the middle of the last file that matches the pattern; in JSON, one of a digit.
func flip(t *testing.T, pattern string) {
	t.Helper()
	found, err := filepath.Glob(pattern)
	require.NoError(t, err)
	require.NotEmpty(t, found)
	path := found[len(found)-1]
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	at := len(data) / 2
	if digit := bytes.IndexAny(data[at:], "0123456789"); filepath.Ext(path) == ".json" {
		at += digit
	}
	data[at] ^= 1
	require.NoError(t, os.WriteFile(path, data, 0o600))
}

// hidden returns the paths of temporary files in a directory.
func hidden(t *testing.T, out string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(out, ".anonymizing-*"))
	require.NoError(t, err)
	return found
}
