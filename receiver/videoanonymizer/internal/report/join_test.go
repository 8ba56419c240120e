// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
)

// dated matches the creation time of a report.
var dated = regexp.MustCompile(`"created": "[^"]*",`)

// TestAppendParts checks that a report joined from parts equals the report of a recorder that got all frames, except
// for pictures.
func TestAppendParts(t *testing.T) {
	shown := func(i, track int) *record.Frame {
		h := head(100+float32(i), 10, .5, mask.OriginPose)
		if i%7 > 3 {
			h.Origin = mask.OriginInterpolated
		}
		h.Track = track
		return frame(i, h)
	}
	whole := frameRecord(t)
	for i := range 60 {
		require.NoError(t, whole.Add(shown(i, 1+i/30)))
	}
	folder := t.TempDir()
	joined, err := NewRecorder(filepath.Join(folder, "joined"))
	require.NoError(t, err)
	t.Cleanup(joined.Close)
	for k := range 3 { // a track continues across the second seam, where it is the first of its part
		path := filepath.Join(folder, string(rune('a'+k)))
		part, err := NewPart(path, frame(0).PTS)
		require.NoError(t, err)
		for i := 20 * k; i < 20*(k+1); i++ {
			require.NoError(t, part.Add(shown(i, 1+i/30-[]int{0, 0, 1}[k])))
		}
		sealed, err := part.Seal()
		require.NoError(t, err)
		part.Close()
		require.NoError(t, joined.Append(path, sealed, func(track int) int { return track + []int{0, 0, 1}[k] }))
	}
	written := func(r *Recorder) string {
		path := filepath.Join(t.TempDir(), "report.json")
		require.NoError(t, r.Write(path, About{}))
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		return dated.ReplaceAllString(string(text), "")
	}
	assert.Equal(t, written(whole), written(joined))
}

func TestAppendRefusesWhatWasChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "part")
	part, err := NewPart(path, time.Second)
	require.NoError(t, err)
	require.NoError(t, part.Add(frame(3, head(1, 2, .5, mask.OriginPose))))
	sealed, err := part.Seal()
	require.NoError(t, err)
	part.Close()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	text[len(text)/2]++
	require.NoError(t, os.WriteFile(path, text, 0o600))
	same := func(track int) int { return track }
	require.Error(t, frameRecord(t).Append(path, sealed, same))
	require.NoError(t, os.Remove(path))
	require.ErrorIs(t, frameRecord(t).Append(path, sealed, same), os.ErrNotExist)
}
