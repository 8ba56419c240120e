// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// picture returns a frame of 640 x 360 with a texture moved by some pixels, and a light box.
func picture(moved, brightness int, grain bool, box vision.Box) *media.Frame {
	const width, height = 640, 360
	random := rand.New(rand.NewPCG(uint64(moved), 1))
	data := make([]byte, width*height)
	for i := range data {
		x, y := i%width, i/width
		value := 60 + brightness + (x+moved)*7/20%5*15 + y/24%3*10
		if grain {
			value += random.IntN(11) - 5
		}
		if float32(x) >= box.X0 && float32(x) < box.X1 && float32(y) >= box.Y0 && float32(y) < box.Y1 {
			value = 220
		}
		data[i] = byte(value)
	}
	return &media.Frame{Width: width, Height: height, Format: media.PixelFormat{Depth: 8},
		Planes: [4]media.Plane{{Data: data, Width: width, Height: height}}}
}

// TestGlance checks that a glance sees what appears in a frame, unless a known person is there, and no change that the
// whole frame shares.
func TestGlance(t *testing.T) {
	person, nobody := vision.Box{X0: 300, Y0: 100, X1: 312, Y1: 136}, vision.Box{}
	speck := vision.Box{X0: 300, Y0: 100, X1: 305, Y1: 106}
	empty := func(moved int) *media.Frame { return picture(moved, 0, false, nobody) }
	grainy := func(brightness int, box vision.Box) *media.Frame { return picture(0, brightness, true, box) }
	tests := map[string]struct {
		before, after *media.Frame
		known         []vision.Box
		appeared      bool
		least, most   float64 // share that changed
	}{
		"nothing changed": {before: empty(0), after: empty(0)},
		"grain":           {before: grainy(0, nobody), after: grainy(0, nobody), most: 0.001},
		"light":           {before: grainy(0, nobody), after: grainy(40, nobody), most: 0.001},
		"someone far": {before: grainy(0, nobody), after: grainy(0, person),
			appeared: true, least: 0.0005, most: 0.01},
		"someone far is gone": {before: grainy(0, person), after: grainy(0, nobody),
			appeared: true, least: 0.0005, most: 0.01},
		"someone known": {before: grainy(0, nobody), after: grainy(0, person),
			known: []vision.Box{person.Grown(0.25)}, least: 0.0005, most: 0.01},
		"a speck":          {before: empty(0), after: picture(0, 0, false, speck), most: 0.001},
		"the camera moved": {before: empty(0), after: empty(10), least: 0.4, most: 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			before, after := NewGlance(tt.before), NewGlance(tt.after)
			boxes := after.Appeared(tt.known, before)
			assert.Equal(t, tt.appeared, len(boxes) == 1, "%v", boxes)
			if tt.appeared {
				assert.Greater(t, vision.IoU(person, boxes[0]), 0.6)
			}
			share := after.Changed(before)
			assert.GreaterOrEqual(t, share, tt.least)
			assert.LessOrEqual(t, share, tt.most)
		})
	}
	t.Run("for one frame", func(t *testing.T) {
		without, there := NewGlance(grainy(0, nobody)), NewGlance(grainy(0, person))
		assert.Len(t, there.Appeared(nil, without, without), 1)
		assert.Empty(t, without.Appeared(nil, without, there), "it is as one of them")
	})
	t.Run("in place", func(t *testing.T) {
		without, there := NewGlance(grainy(0, nobody)), NewGlance(grainy(0, person))
		assert.False(t, there.Still(without, person))
		assert.True(t, there.Still(without, person.Moved(100, 0)))
	})
}
