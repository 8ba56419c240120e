// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
)

// TestCheckBoundary checks that a mask that moved, changed its shape, is missing or is new at the boundary fails the
// check, and that another order of people does not.
func TestCheckBoundary(t *testing.T) {
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
		err := c.checkBoundary(&record.Frame{Heads: tc.heads, WholeFrameMasked: tc.whole})
		if tc.same {
			assert.NoError(t, err, name)
		} else {
			assert.ErrorIs(t, err, media.ErrResume, name)
		}
	}
}

// TestCheckpointIsConsistent checks that a checkpoint that contradicts itself, or was changed, is not resumed.
func TestCheckpointIsConsistent(t *testing.T) {
	whole := checkpoint{
		Format: checkpointFormat, Fingerprint: "f", Video: media.Progress{Frames: 150}, Preview: &media.Progress{Frames: 150},
		Report: &report.Progress{Bytes: 9}, Heads: []mask.Head{{X: 0.1, Y: 1e-7, Score: 0.3}},
		Done: record.Summary{Frames: 150},
	}
	cfg := config.Report{Enabled: true, Preview: config.PreviewBoxes}
	require.True(t, whole.complete(cfg))
	text, err := whole.encode()
	require.NoError(t, err)
	got, err := decodeCheckpoint(text)
	require.NoError(t, err)
	got.SHA256 = ""
	assert.Equal(t, whole, got)
	for _, change := range [][2]string{
		{`"frames":150`, `"frames":50`}, {`"X":0.1`, `"X":0.2`}, {`"fingerprint":"f"`, `"fingerprint":"g"`},
	} {
		changed := strings.Replace(string(text), change[0], change[1], 1)
		require.NotEqual(t, string(text), changed)
		_, err = decodeCheckpoint([]byte(changed))
		assert.Error(t, err, change)
	}
	for name, change := range map[string]func(c *checkpoint){
		"no frames":         func(c *checkpoint) { c.Video.Frames, c.Done.Frames, c.Preview.Frames = 0, 0, 0 },
		"fewer are done":    func(c *checkpoint) { c.Done.Frames = 50 },
		"more are done":     func(c *checkpoint) { c.Done.Frames = 200 },
		"a shorter preview": func(c *checkpoint) { c.Preview.Frames = 100 },
		"no preview":        func(c *checkpoint) { c.Preview = nil },
		"no report":         func(c *checkpoint) { c.Report = nil },
	} {
		c, preview := whole, *whole.Preview
		c.Preview = &preview
		change(&c)
		assert.False(t, c.complete(cfg), name)
	}
}

// TestCheckpointFormat checks that a checkpoint of another format is rejected, even if it has fields of the same names.
func TestCheckpointFormat(t *testing.T) {
	text, err := checkpoint{Fingerprint: "f"}.encode()
	require.NoError(t, err)
	newer := strings.Replace(string(text), `"format":1`, `"format":2`, 1)
	require.NotEqual(t, string(text), newer)
	_, err = decodeCheckpoint([]byte(newer))
	assert.EqualError(t, err, "it has format 2, but this program reads 1")
	_, err = decodeCheckpoint([]byte(`{"fingerprint":"f"}`))
	assert.EqualError(t, err, "it has format 0, but this program reads 1")
}

// TestMaker checks that releases of the same compatibility may finish each other's videos, and that other builds may
// not.
func TestMaker(t *testing.T) {
	defer func(before string) { outputCompatibility = before }(outputCompatibility)
	by := func(version string) string {
		name, err := maker(version)
		require.NoError(t, err)
		return name
	}
	first := by("v1.0.0")
	assert.Equal(t, first, by("v1.2.3"))
	assert.Equal(t, first, by("1.2.3"))
	own, err := executable()
	require.NoError(t, err)
	for _, version := range []string{"dev", "", "d852b77", "v1.0.0-3-gd852b77", "v1.0.0-dirty", "v1.0.0-rc.1"} {
		assert.Equal(t, own, by(version), version)
	}
	outputCompatibility = "2"
	assert.NotEqual(t, first, by("v1.0.0"))
}

// TestResumeAt checks that analysis resumes early enough before the boundary, at a frame that was analyzed.
func TestResumeAt(t *testing.T) {
	v := &video{Runner: &Runner{Config: config.Default()}}
	info := media.Info{TimeBase: media.Rational{Num: 1, Den: 25}}
	known := make([]int64, 1000)
	for i := range known {
		known[i] = int64(i)
	}
	assert.Equal(t, 672, v.resumeAt(known, info, 1), "13 s before the last, and a multiple of 6")
	assert.Zero(t, v.resumeAt(known[:50], info, 1))
}

// FuzzCheckpoint decodes arbitrary bytes: an accepted checkpoint must survive encoding and decoding unchanged.
func FuzzCheckpoint(f *testing.F) {
	text, err := checkpoint{Fingerprint: "f", Video: media.Progress{Frames: 3}, Heads: []mask.Head{{X: 1}}}.encode()
	require.NoError(f, err)
	f.Add(text)
	f.Add(text[:len(text)-3])
	f.Add([]byte(`{"fingerprint":null,"heads":[{}],"sha256":""}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := decodeCheckpoint(text)
		if err != nil {
			return
		}
		again, err := c.encode()
		require.NoError(t, err)
		back, err := decodeCheckpoint(again)
		require.NoError(t, err)
		require.Equal(t, c, back)
		_ = c.complete(config.Report{Enabled: true})
	})
}
