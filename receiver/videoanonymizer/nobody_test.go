// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
)

// written is the part of a report that the tests read.
type written struct {
	Settings   report.Settings    `json:"settings"`
	SecondPass *report.SecondPass `json:"second_pass"`
	Summary    struct {
		Masks       int  `json:"masks"`
		NobodyFound bool `json:"nobody_found"`
	} `json:"summary"`
	Weakest []report.Moment `json:"weakest"`
}

func readReport(t *testing.T, output string) (w written) {
	t.Helper()
	checkReport(t, output)
	text, err := os.ReadFile(report.Path(output))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &w))
	return w
}

// TestNobodyFoundIsReported checks that a video without people finishes, and that its report says so.
func TestNobodyFoundIsReported(t *testing.T) {
	for _, recall := range []string{"fast", "balanced", "thorough"} {
		t.Run(recall, func(t *testing.T) {
			cfg := newTestConfig(t)
			setRecall(t, cfg, recall)
			r := start(t, cfg)
			clip(t, filepath.Join(r.in, "empty.mp4"), "-i", "color=gray:size=320x240:rate=10:duration=0.8")
			finished := r.awaitLog(t, "finished", "empty.mp4")
			require.NoError(t, r.Shutdown(t.Context()))

			nobody, _ := finished.Attributes().Get("anonymizer.video.nobody_found")
			assert.True(t, nobody.Bool())
			assert.Equal(t, plog.SeverityNumberWarn, finished.SeverityNumber())
			_, again := finished.Attributes().Get("anonymizer.video.second_pass")
			assert.False(t, again)
			output := filepath.Join(r.out, "empty_anonymized.mp4")
			assert.FileExists(t, report.SheetPath(output))
			w := readReport(t, output)
			assert.True(t, w.Summary.NobodyFound)
			assert.Nil(t, w.SecondPass)
			assert.Equal(t, recall, w.Settings.Recall)
			require.Len(t, w.Weakest, 8)
			for i, m := range w.Weakest {
				assert.Equal(t, report.NobodyFound, m.Reason)
				assert.Equal(t, i, m.Frame)
			}
		})
	}
}

// TestNobodyFoundIsNotBelieved checks the second pass: recall: fast finds nobody in ffmpeg's test pattern, but thorough
// takes parts of it for people. The video is processed again, and stays in its second pass if interrupted there.
func TestNobodyFoundIsNotBelieved(t *testing.T) {
	for name, tc := range map[string]struct {
		stop     bool
		between  func(cfg *Config)
		resumes  bool
		explains bool // the report says why thorough was used
	}{
		"undisturbed":                {explains: true},
		"stopped in its second pass": {stop: true, resumes: true, explains: true},
		"then thorough": {stop: true, resumes: true, explains: true, between: func(cfg *Config) {
			*cfg = *cfg.AsThorough()
		}},
		"then configured anew": {stop: true, between: func(cfg *Config) {
			setRecall(t, cfg, "balanced")
			cfg.Mask.Scale = 1.5
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "stopped in its second pass" {
				t.Skip("anonymizes a video of 2 s several times")
			}
			cfg := newTestConfig(t)
			setRecall(t, cfg, "fast")
			cfg.Output.SegmentLength = 300 * time.Millisecond
			r := start(t, cfg)
			clip(t, filepath.Join(r.in, "people.mp4"), "-i", "testsrc2=size=320x240:rate=10:duration=2")
			if tc.stop {
				require.Eventually(t, func() bool { return inSecondPass(t, r.out) }, time.Minute, time.Millisecond)
				require.NoError(t, r.Shutdown(t.Context()))
				require.True(t, inSecondPass(t, r.out))
				if tc.between != nil {
					tc.between(cfg)
				}
				r = start(t, cfg)
			}
			finished := r.awaitLog(t, "finished", "people.mp4")
			require.NoError(t, r.Shutdown(t.Context()))

			resumed, ok := finished.Attributes().Get("anonymizer.video.frames_resumed")
			assert.Equal(t, tc.resumes, ok)
			frames, _ := finished.Attributes().Get("anonymizer.video.frames")
			done := frames.Int()
			if ok {
				done += resumed.Int()
			}
			assert.EqualValues(t, 20, done, "frames of the second pass alone")
			reason, _ := finished.Attributes().Get("anonymizer.video.second_pass")
			w := readReport(t, filepath.Join(r.out, "people_anonymized.mp4"))
			assert.Positive(t, w.Summary.Masks)
			assert.False(t, w.Summary.NobodyFound)
			if !tc.explains {
				assert.Equal(t, "balanced", w.Settings.Recall)
				assert.Nil(t, w.SecondPass)
				return
			}
			assert.Equal(t, report.SampleShowsPeople, reason.Str())
			assert.Equal(t, "thorough", w.Settings.Recall)
			require.NotNil(t, w.SecondPass)
			assert.Equal(t, report.SampleShowsPeople, w.SecondPass.Reason)
			assert.Equal(t, 20, w.SecondPass.FirstFrames)
			assert.Empty(t, hidden(t, r.out), "no temporary file is left")
		})
	}
}

// inSecondPass reports whether there is a checkpoint of a second pass.
func inSecondPass(t *testing.T, out string) bool {
	for _, path := range checkpoints(t, out) {
		text, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(text), `"second_pass"`) {
			return true
		}
	}
	return false
}

func setRecall(t *testing.T, cfg *Config, recall string) {
	t.Helper()
	require.NoError(t, cfg.Unmarshal(confmap.NewFromStringMap(map[string]any{"recall": recall})))
}
