// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
)

// checkpoints are the paths of those that stand in the folder.
func checkpoints(t *testing.T, out string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(out, ".anonymizing-*.checkpoint.json"))
	require.NoError(t, err)
	return found
}

// TestGoesOn stops the receiver in mid-video, and has another one go on, or begin anew where it cannot.
func TestGoesOn(t *testing.T) {
	for name, tc := range map[string]struct {
		between func(t *testing.T, cfg *Config, path string)
		anew    bool
	}{
		"as it was": {},
		"killed while it was finished, then stopped at once, with settings that make no other output": {between: func(t *testing.T, cfg *Config, path string) {
			cfg.Retry.MaxAttempts, cfg.Telemetry.SpanAttributes = 7, map[string]any{"limit": math.Inf(1)}
			for _, suffix := range []string{".mp4", previewMark + ".mp4", ".report.json", ".review.jpg"} {
				require.NoError(t, os.WriteFile(strings.TrimSuffix(path, ".checkpoint.json")+suffix, []byte("half"), 0o600))
			}
			for wait := range 4 {
				r := start(t, cfg)
				time.Sleep(time.Duration(wait) * 30 * time.Millisecond)
				require.NoError(t, r.Shutdown(t.Context()))
			}
		}},
		"another configuration": {anew: true, between: func(_ *testing.T, cfg *Config, _ string) { cfg.Mask.Scale = 1.5 }},
		"a torn checkpoint": {anew: true, between: func(t *testing.T, _ *Config, path string) {
			require.NoError(t, os.Truncate(path, 20))
		}},
		"a checkpoint without its report": {anew: true, between: func(t *testing.T, _ *Config, path string) {
			change(t, path, func(c *checkpoint) { c.Report = nil })
		}},
		"people were elsewhere": {anew: true, between: func(t *testing.T, _ *Config, path string) {
			change(t, path, func(c *checkpoint) { c.Heads = append(c.Heads, mask.Head{X: 10, Y: 10, RX: 5, RY: 5}) })
		}},
		"a segment is missing": {anew: true, between: func(t *testing.T, cfg *Config, _ string) {
			segments, err := filepath.Glob(filepath.Join(cfg.Output.Directory, ".anonymizing-*.00000.segment"))
			require.NoError(t, err)
			require.Len(t, segments, 2, "of the output and of the preview")
			require.NoError(t, os.Remove(segments[0]))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := newTestConfig(t)
			cfg.Output.SegmentLength = time.Second
			cfg.Report.Preview = PreviewBoxes
			r := start(t, cfg)
			clip(t, filepath.Join(r.in, "long.mp4"), "-i", "testsrc2=size=192x144:rate=25:duration=12", "-preset", "ultrafast", "-g", "50")
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
			assert.NotEqual(t, tc.anew, ok)
			frames := len(again.spans("process_single_frame"))
			if tc.anew {
				assert.Equal(t, 300, frames)
			} else {
				assert.EqualValues(t, 300, resumed.Int()+int64(frames))
				assert.Zero(t, resumed.Int()%25, "whole segments")
			}
			output := filepath.Join(again.out, "long_anonymized.mp4")
			checkReport(t, output)
			text, err := os.ReadFile(reportPath(output))
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
			for _, path := range []string{output, previewPath(output)} {
				info, err := again.tools.Probe(t.Context(), path, media.Limits{})
				require.NoError(t, err)
				assert.EqualValues(t, 300, info.EstimatedFrames, path)
			}
			assert.Empty(t, hidden(t, again.out), "no temporary file is left")
		})
	}
}

// change edits the checkpoint at the path.
func change(t *testing.T, path string, edit func(*checkpoint)) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var c checkpoint
	require.NoError(t, json.Unmarshal(text, &c))
	edit(&c)
	text, err = json.Marshal(c)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o600))
}

// hidden are the names of temporary files in a folder.
func hidden(t *testing.T, out string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(out, ".anonymizing-*"))
	require.NoError(t, err)
	return found
}

// TestSeam: a mask that is elsewhere, of another shape, missing or new at the seam is found out. Two people in another order are not.
func TestSeam(t *testing.T) {
	head, other := mask.Head{X: 100, Y: 80, RX: 20, RY: 30}, mask.Head{X: 300, Y: 80, RX: 25, RY: 25}
	moved, larger, boxed, turned, round := head, head, head, head, other
	moved.X += 2
	turned.Angle += 0.1
	round.Angle += 1
	larger.RY += 3
	boxed.Box = true
	hair := head
	hair.X += 0.01
	for name, tc := range map[string]struct {
		heads []mask.Head
		whole bool
		same  bool
	}{
		"the same":         {heads: []mask.Head{head, other}, same: true},
		"in another order": {heads: []mask.Head{other, head}, same: true},
		"a hair":           {heads: []mask.Head{hair, other}, same: true},
		"a circle turned":  {heads: []mask.Head{head, round}, same: true},
		"turned":           {heads: []mask.Head{turned, other}},
		"moved":            {heads: []mask.Head{moved, other}},
		"larger":           {heads: []mask.Head{larger, other}},
		"boxed":            {heads: []mask.Head{boxed, other}},
		"missing":          {heads: []mask.Head{head}},
		"nobody":           {},
		"one twice":        {heads: []mask.Head{head, head}},
		"one more":         {heads: []mask.Head{head, other, moved}},
		"whole":            {heads: []mask.Head{head, other}, whole: true},
	} {
		c := checkpoint{Heads: []mask.Head{head, other}}
		err := c.seam(&telemetry.FrameRecord{Heads: tc.heads, WholeFrameMasked: tc.whole})
		if tc.same {
			assert.NoError(t, err, name)
		} else {
			assert.ErrorIs(t, err, media.ErrResume, name)
		}
	}
}

// TestResumeAt begins early enough before the seam, on a frame that was judged.
func TestResumeAt(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	v := &video{receiver: &videoReceiver{cfg: cfg}}
	info := media.Info{TimeBase: media.Rational{Num: 1, Den: 25}}
	known := make([]int64, 1000)
	for i := range known {
		known[i] = int64(i)
	}
	assert.Equal(t, 873, v.resumeAt(known, info), "5 s before the last, and a multiple of 3")
	assert.Zero(t, v.resumeAt(known[:50], info))
}
