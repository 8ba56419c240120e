// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// TestSumUp compares what is read from a line without parsing it to the result of parsing it as JSON.
func TestSumUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.report.json")
	recorder, err := report.NewRecorder(path + ".frames")
	require.NoError(t, err)
	defer recorder.Close()
	crowd := make([]mask.Head, 2000) // a line longer than a buffer
	for i := range crowd {
		crowd[i] = mask.Head{X: float32(i), Y: 5, RX: 3, RY: 4, Score: 0.25, Origin: mask.OriginPose}
	}
	found := []vision.Person{{}, {}}
	found[0].Score, found[1].Score = 0.01, 0.02
	frames := []*record.Frame{
		{People: 2, Heads: crowd[:2], Found: found}, {}, {WholeFrameMasked: true, People: 1, Heads: crowd[:1]},
		{People: 2000, Heads: crowd}, {People: 3},
	}
	for i, rec := range frames {
		rec.Index, rec.PTS = i, time.Duration(i)*40*time.Millisecond
		require.NoError(t, recorder.Add(rec))
	}
	require.NoError(t, recorder.Write(path, report.About{}))
	index, file, err := newReports().indexOf(path)
	require.NoError(t, err)
	defer file.Close()
	require.Len(t, index.timeline, len(frames))
	n := 0
	require.NoError(t, index.frames(file, 0, 100, func(f *frameLine) {
		want := f.sumUp()
		want.first = n
		assert.Equal(t, want, index.timeline[n])
		assert.Equal(t, frames[n].People, f.people())
		n++
	}))
	assert.Equal(t, len(frames), n)

	older, err := os.ReadFile(path)
	require.NoError(t, err)
	text := strings.NewReplacer(`"people_visible":2,`, "", `"people_visible":0`, `"look":"quick"`).Replace(string(older))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	index, file, err = newReports().indexOf(path)
	require.NoError(t, err)
	defer file.Close()
	assert.Equal(t, 2, index.timeline[0].people, "of a report that does not say it")
	assert.Zero(t, index.timeline[1].people)
}

func TestBrokenReports(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "not JSON": "x\n" + framesKey + "\n",
		"other schema":   "{\n  \"schema\": \"other/v9\",\n" + framesKey + "\n",
		"endless header": strings.Repeat("x\n", maxHeader), "no frames": "{\"schema\": \"" + report.Schema + "\"}\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.report.json")
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			r := newReports()
			_, _, err := r.indexOf(path)
			require.Error(t, err)
			assert.False(t, r.factsOf(path).ok)
		})
	}
}
