// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/recall/scene"
)

func TestComposedAnnotations(t *testing.T) {
	source := annotation{Frames: []annotatedFrame{
		{Frame: 10, Heads: []head{{Box: box{100, 100, 120, 140}, ID: "a", FaceVisible: true}}},
		{Frame: 20, Heads: []head{{Box: box{300, 100, 320, 140}, ID: "b", View: "away"}}}}}
	s := scene.Scene{Clip: "recall/far-2.mp4", Half: "held out", Category: "far", Size: [2]int{320, 240}, Frames: 30,
		Every: 1, Pictures: []scene.Picture{
			{From: "empty street", Crop: [4]int{0, 0, 10, 10}, Size: [2]int{320, 240}, Shown: []int{0, 29}},
			{From: "stills", Frame: 5, Step: 1, Crop: [4]int{0, 0, 640, 480}, Size: [2]int{320, 240}, Shown: []int{0, 24}}}}
	got := composed(s, map[string]annotation{"stills": source})
	var frames []int
	for _, f := range got.Frames {
		assert.Equal(t, "held out", f.Half)
		frames = append(frames, f.Frame)
	}
	assert.Equal(t, []int{5, 15, 25, 26, 27, 28, 29}, frames,
		"where the picture shows an annotated frame, and where there is no picture of people")
	assert.Equal(t, []head{{Box: box{50, 50, 60, 70}, ID: "a", FaceVisible: true}}, got.Frames[0].Heads)
	assert.Equal(t, []head{{Box: box{150, 50, 160, 70}, ID: "b", View: "away"}}, got.Frames[1].Heads)
	assert.Empty(t, got.Frames[2].Heads)
}

// TestHarderFootage: each of the harder categories has at least 40 different heads, half of them held out.
func TestHarderFootage(t *testing.T) {
	annotations, err := readAnnotations()
	require.NoError(t, err)
	ids := map[string]map[string]map[string]bool{}
	heads := 0
	for _, a := range annotations {
		if ids[a.Category] == nil {
			ids[a.Category] = map[string]map[string]bool{"tuned": {}, "held out": {}}
		}
		for _, f := range a.Frames {
			for _, h := range f.Heads {
				ids[a.Category][f.Half][h.ID] = true
				heads++
			}
		}
	}
	assert.GreaterOrEqual(t, heads, 900)
	for _, category := range categories[4:] {
		tuned, heldOut := ids[category]["tuned"], ids[category]["held out"]
		assert.InDelta(t, len(tuned), len(heldOut), 5, category)
		maps.Copy(tuned, heldOut)
		assert.GreaterOrEqual(t, len(tuned), 40, category)
	}
}
