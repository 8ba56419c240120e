// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"image/jpeg"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
)

// reviewed returns the outputs with the companion files that they have by default, sorted.
func reviewed(outputs ...string) (files []string) {
	for _, output := range outputs {
		files = append(files, output, output+".report.json", output+".review.jpg")
	}
	return files
}

// report has the fields of a report that the tests read.
type report struct {
	Salvage        *struct{ Damage string }
	Source, Output struct {
		Name, SHA256 string
	}
	Models  []struct{ Name, SHA256 string }
	Summary struct {
		Frames, Masks int
		Duration      float64        `json:"duration_s"`
		Analyzed      int            `json:"frames_judged"`
		MaskedWhole   int            `json:"frames_masked_whole"`
		MasksByOrigin map[string]int `json:"masks_by_origin"`
	}
	Weakest []struct {
		Reason, At string
		Frame      int
		Score      float64
	}
	Frames []struct {
		Frame    int
		Time     float64 `json:"time_s"`
		Analyzed bool    `json:"judged"`
		People   []struct{ Box [4]int }
		Masks    []struct {
			Box    [4]int
			Origin string
		}
	}
}

func readReport(t *testing.T, output string) (r report) {
	t.Helper()
	require.NoError(t, json.Unmarshal(read(t, output+".report.json"), &r))
	return r
}

func sumOf(t *testing.T, path string) string {
	t.Helper()
	sum := sha256.Sum256(read(t, path))
	return hex.EncodeToString(sum[:])
}

// checkReview compares the companion files of an output with the videos.
func checkReview(t *testing.T, source, output string, frames footage.Info) report {
	var document any
	require.NoError(t, json.Unmarshal(read(t, output+".report.json"), &document))
	schema, err := jsonschema.NewCompiler().Compile("../../receiver/videoanonymizer/report.schema.json")
	require.NoError(t, err)
	require.NoError(t, schema.Validate(document))

	r := readReport(t, output)
	assert.Equal(t, filepath.Base(source), r.Source.Name)
	assert.Equal(t, sumOf(t, source), r.Source.SHA256)
	assert.Equal(t, filepath.Base(output), r.Output.Name)
	assert.Equal(t, sumOf(t, output), r.Output.SHA256)
	assert.Len(t, r.Models, 5, "people, people and faces in surveys, faces, poses")
	assert.Equal(t, len(frames.Times), r.Summary.Frames)
	assert.Zero(t, r.Summary.MaskedWhole)
	assert.Positive(t, r.Summary.MasksByOrigin["pose"])
	require.Len(t, r.Frames, len(frames.Times))
	masks := 0
	for i, frame := range r.Frames {
		require.Equal(t, i, frame.Frame)
		masks += len(frame.Masks)
		if !frame.Analyzed {
			assert.Empty(t, frame.People, "frame %d was not analyzed", i)
		}
	}
	assert.Equal(t, r.Summary.Masks, masks)

	require.NotEmpty(t, r.Weakest)
	lowest := 1.0
	for _, moment := range r.Weakest {
		require.Less(t, moment.Frame, len(r.Frames))
		if moment.Reason == "low_score" {
			lowest = min(lowest, moment.Score)
		}
	}
	assert.Equal(t, "low_score", r.Weakest[0].Reason)
	assert.InDelta(t, lowest, r.Weakest[0].Score, 1e-9, "the weakest comes first")

	sheet, err := jpeg.DecodeConfig(bytes.NewReader(read(t, output+".review.jpg")))
	require.NoError(t, err)
	assert.Greater(t, sheet.Width, 320, "tiles")
	return r
}

func TestPreviewShowsAnonymizedVideo(t *testing.T) {
	s := newSite(t)
	s.configs = append(s.configs,
		"yaml:{receivers: {videoanonymizer: {report: {preview: boxes, enabled: false, contact_sheet: false}}}}")
	talk := s.clip("talk.mp4")
	c := s.start()
	s.drop(talk, "talk.mp4")
	s.awaitVideos(c, "finished", 1)
	require.NoError(t, c.Stop(20*time.Second))

	assert.Equal(t, []string{"talk_anonymized.mp4", "talk_anonymized_PREVIEW.mp4"}, s.produced())
	output := s.output("talk.mp4")
	preview := strings.TrimSuffix(output, ".mp4") + "_PREVIEW.mp4"
	assert.Equal(t, probe(t, output), probe(t, preview), "size, number and times of frames")
	before, after, drawn := decode(t, talk), decode(t, output), decode(t, preview)
	checkTalkMasked(t, before, after)
	for i := range before {
		// The face, where keypoints may be drawn.
		shown := share(drawn[i], 170, 140, 245, 210, func(x,
			y int) bool {
			return near(before[i].At(x, y), drawn[i].At(x, y), 12)
		})
		require.Less(t, shown, 0.1, "face in frame %d", i)
		// The line of text.
		same := share(drawn[i], 0, 0, 200, 14, func(x, y int) bool {
			return near(after[i].At(x, y), drawn[i].At(x, y),
				12)
		})
		require.Less(t, same, 0.3, "frame %d is labeled as a preview", i)
	}
}
