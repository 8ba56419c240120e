// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// TestOthers checks that a screen is covered in every frame in which it is found, in those between, for the look-ahead
// before the first time, and for otherHold after the last time. In the next scene, it is covered only in the first
// frame, which may show both.
func TestOthers(t *testing.T) {
	const frames, every = 300, 6 // 10 s
	screen := vision.Box{X0: 600, Y0: 300, X1: 900, Y1: 480}
	still := func(int) vision.Box { return screen }
	tests := map[string]struct {
		at      func(frame int) vision.Box
		found   func(frame int) bool
		cut     int
		covered [2]int // numbers of the first frame and of the one after the last
		numbers int
	}{
		"always found": {at: still, found: func(int) bool { return true }, covered: [2]int{0, frames}, numbers: 1},
		"lost for 2.8 s": {
			at: still, found: func(i int) bool { return i <= 60 || i >= 144 }, covered: [2]int{0, frames}, numbers: 1,
		},
		"found every third time": {
			at: still, found: func(i int) bool { return i%18 == 0 }, covered: [2]int{0, frames}, numbers: 1,
		},
		"found late": {
			at: still, found: func(i int) bool { return i >= 150 }, covered: [2]int{120, frames}, numbers: 1,
		},
		"found once": {
			at: still, found: func(i int) bool { return i == 150 }, covered: [2]int{120, 241}, numbers: 1,
		},
		"cut": {
			at: still, found: func(i int) bool { return i < 150 }, cut: 150, covered: [2]int{0, 151}, numbers: 1,
		},
		"carried around": {
			at:    func(i int) vision.Box { return screen.Moved(float32(2*i), float32(100*math.Sin(float64(i)/50))) },
			found: func(int) bool { return true }, covered: [2]int{0, frames}, numbers: 1,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tracker := New(Options{})
			var results []Result
			for i := range frames {
				o := Observation{Index: i, Time: time.Duration(i) * time.Second / fps, Analyzed: i%every == 0, Width: width,
					Height: height, Cut: tt.cut > 0 && i == tt.cut}
				o.Analyzed = o.Analyzed || o.Cut || i == frames-1
				if o.Analyzed && tt.found(i) {
					o.Others = []vision.Detection{{Box: tt.at(i), Score: 0.4}}
				}
				results = append(results, tracker.Push(o)...)
				for _, other := range tracker.others {
					assert.LessOrEqual(t, len(other.seen), 40, "memory does not grow with the video")
				}
			}
			results = append(results, tracker.Flush()...)
			numbers := map[int]bool{}
			for i, r := range results {
				assert.Zero(t, r.People)
				if i < tt.covered[0] || i >= tt.covered[1] {
					assert.Empty(t, r.Heads, "frame %d", i)
					continue
				}
				b := tt.at(i).Clipped(width, height)
				hidden := false
				for _, h := range r.Heads {
					assert.Equal(t, mask.OriginScreen, h.Origin, "frame %d", i)
					numbers[h.Track] = true
					m := h.Bounds()
					hidden = hidden || m.X0 < b.X0 && m.Y0 < b.Y0 && m.X1 > b.X1 && m.Y1 > b.Y1
					assert.Less(t, m.Width(), 1.5*b.Width()+80, "frame %d", i)
				}
				assert.True(t, hidden, "frame %d", i)
			}
			assert.Len(t, numbers, tt.numbers)
		})
	}
}

// TestOthersFollowCamera checks that a screen lost while the camera pans is covered where the camera has moved it.
func TestOthersFollowCamera(t *testing.T) {
	const step, every = 9, 6 // step in pixels per frame
	at := func(i int) vision.Box {
		return vision.Box{X0: 900, Y0: 300, X1: 1100, Y1: 420}.Moved(-float32(step*i), 0)
	}
	tracker := New(Options{})
	var camera Camera
	var results []Result
	for i := range 20 { // drawing views takes long
		g := NewGlance(view(step*i/2, 0, vision.Box{}))
		g.width, g.height = width, height // pixels are twice as large
		camera.Follow(g, i, false)
		o := Observation{Index: i, Time: time.Duration(i) * time.Second / fps, Analyzed: i%every == 0, Width: width,
			Height: height, Glance: g}
		if o.Analyzed && i < 9 {
			o.Others = []vision.Detection{{Box: at(i), Score: 0.4}}
		}
		results = append(results, tracker.Push(o)...)
	}
	results = append(results, tracker.Flush()...)
	for i, r := range results {
		if !assert.Len(t, r.Heads, 1, "frame %d", i) {
			continue
		}
		m, b := r.Heads[0].Bounds(), at(i)
		assert.True(t, m.X0 < b.X0 && m.X1 > b.X1 && m.Y0 < b.Y0 && m.Y1 > b.Y1, "frame %d: %v does not cover %v", i, m, b)
		assert.Less(t, m.Width(), 1.5*b.Width(), "frame %d: no trail", i)
	}
}

// TestOthersBesidePeople checks that screens neither count as people nor change people's masks, except their numbers.
func TestOthersBesidePeople(t *testing.T) {
	scenario := func(others bool) (results []Result) {
		tracker := New(Options{})
		for i := range 90 {
			o := Observation{Index: i, Time: time.Duration(i) * time.Second / fps, Analyzed: i%3 == 0, Width: width,
				Height: height}
			if o.Analyzed {
				o.People = []vision.Person{person(500+4*float64(i), 500, 60, rand.New(rand.NewPCG(uint64(i), 1)))}
			}
			if o.Analyzed && others {
				o.Others = []vision.Detection{{Box: vision.Box{X0: 1500, Y0: 200, X1: 1700, Y1: 320}, Score: 0.9}}
			}
			results = append(results, tracker.Push(o)...)
		}
		return append(results, tracker.Flush()...)
	}
	alone, beside := scenario(false), scenario(true)
	for i := range alone {
		assert.Equal(t, alone[i].People, beside[i].People)
		people := slices.DeleteFunc(slices.Clone(beside[i].Heads), func(h mask.Head) bool {
			return h.Origin == mask.OriginScreen
		})
		assert.Equal(t, alone[i].Heads, people, "frame %d", i)
		assert.Len(t, beside[i].Heads, len(people)+1)
	}
}
