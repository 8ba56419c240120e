// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"image"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// ellipsePixels returns the number of pixels in the ellipse of a box.
func ellipsePixels(b box) (n float64) {
	for range b.ellipse().pixels(1000, 1000) {
		n++
	}
	return n
}

func TestEllipsePixels(t *testing.T) {
	assert.InDelta(t, math.Pi*20*30, ellipsePixels(box{10, 20, 50, 80}), 10)
	assert.InDelta(t, math.Pi*4*10*10, ellipsePixels(box{100, 100, 120, 120})*4, 20)
	n := 0
	for range (box{-10, 0, 10, 20}).ellipse().pixels(100, 100) {
		n++
	}
	assert.InDelta(t, ellipsePixels(box{100, 0, 120, 20})/2, n, 0.1, "the half in the frame")
}

func TestTight(t *testing.T) {
	left, right := box{20, 20, 40, 40}, box{60, 20, 80, 40}
	one := ellipsePixels(left)
	tests := map[string]struct {
		mask  bitmap
		heads []box
		want  []float64
	}{
		"one head":         {filled(100, 60, image.Rect(15, 15, 45, 45)), []box{left}, []float64{900 / one}},
		"nothing masked":   {newBitmap(100, 60), []box{left}, []float64{0}},
		"a mask beside it": {filled(100, 60, image.Rect(60, 0, 100, 60)), []box{left}, []float64{0}},
		"a ghost far from it": {filled(100, 60, image.Rect(15, 15, 45, 45), image.Rect(80, 0, 90, 60)),
			[]box{left}, []float64{900 / one}},
		"in two parts": {filled(100, 60, image.Rect(15, 15, 45, 25), image.Rect(15, 35, 45, 45)), []box{left},
			[]float64{600 / one}},
		"two heads, a mask each": {filled(100, 60, image.Rect(15, 15, 45, 45), image.Rect(58, 18, 82, 42)),
			[]box{left, right}, []float64{900 / one, 24 * 24 / one}},
		"two alike under one mask": {filled(100, 60, image.Rect(10, 10, 90, 50)), []box{left, right},
			[]float64{1600 / one, 1600 / one}},
		// The larger head's share extends to where both are 1 radius away: x = 45 in the row of their centers.
		"a small one beside a large one": {filled(100, 60, image.Rect(5, 29, 55, 31)),
			[]box{{5, 10, 45, 50}, {45, 25, 55, 35}},
			[]float64{80 / ellipsePixels(box{5, 10, 45, 50}), 20 / ellipsePixels(box{45, 25, 55, 35})}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var heads []head
			for _, b := range tt.heads {
				heads = append(heads, head{Box: b})
			}
			assert.InDeltaSlice(t, tt.want, components(tt.mask).tight(heads), 1e-9)
		})
	}
}

func TestOutside(t *testing.T) {
	heads := []head{{Box: box{40, 40, 60, 60}}} // up to 18 pixels from 50, 50 is near it
	tests := map[string]struct {
		mask image.Rectangle
		want float64
	}{
		"on the head":     {image.Rect(40, 40, 60, 60), 0},
		"near it":         {image.Rect(38, 38, 62, 62), 0},
		"beside":          {image.Rect(68, 45, 78, 55), 0.01},
		"at the corner":   {image.Rect(66, 66, 68, 68), 0.0004},
		"the whole frame": {image.Rect(0, 0, 100, 100), 1 - ellipsePixels(box{32, 32, 68, 68})/1e4},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			assert.InDelta(t, tt.want, outside(filled(100, 100, tt.mask), heads), 1e-9)
		})
	}
	assert.InDelta(t, 0.04, outside(filled(100, 100, image.Rect(0, 0, 20, 20)), nil), 1e-9, "with nobody in the frame")
}

func TestGhosts(t *testing.T) {
	// In both frames: a person who stays, and both positions of one who passes.
	heads := []head{{Box: box{10, 10, 20, 20}}, {Box: box{95, 15, 99, 25}}, {Box: box{48, 15, 56, 25}}}
	onHead, pillar := image.Rect(8, 8, 22, 22), image.Rect(60, 10, 70, 40)
	type rects = []image.Rectangle
	steady := func(rect image.Rectangle) func(int) rects { return func(int) rects { return rects{rect} } }
	tests := map[string]struct {
		masks func(n int) rects // of frame n, at 10 frames/s
		want  []ghost
	}{
		"on a head": {steady(onHead), nil},
		"a pillar": {func(int) rects { return rects{onHead, pillar} },
			[]ghost{{Frame: 5, Box: box{60, 10, 70, 40}, Seconds: 2}}},
		"it moves": {func(n int) rects { return rects{pillar.Add(image.Pt(n-5, 0))} },
			[]ghost{{Frame: 5, Box: box{60, 10, 70, 40}, Seconds: 2}}},
		"half a second": {func(n int) rects {
			if n >= 3 && n < 8 {
				return rects{pillar}
			}
			return nil
		}, []ghost{{Frame: 5, Box: box{60, 10, 70, 40}, Seconds: 0.5}}},
		"less than half a second": {func(n int) rects {
			if n >= 3 && n < 7 {
				return rects{pillar}
			}
			return nil
		}, nil},
		"in no annotated frame": {func(n int) rects {
			if n > 5 && n < 15 {
				return rects{pillar}
			}
			return nil
		}, nil},
		"it was on a head before": {func(n int) rects {
			return rects{onHead.Add(image.Pt(max(0, n-5), 0))}
		}, nil},
		"left behind by a head": {func(n int) rects {
			if n < 2 {
				return rects{image.Rect(8, 8, 46, 22)}
			}
			return rects{onHead, image.Rect(30, 8, 46, 22)}
		}, []ghost{{Frame: 5, Box: box{30, 8, 46, 22}, Seconds: 1.8}}},
		// The masks form one region from frame 10 to 14.
		"someone passes it": {func(n int) rects {
			return rects{pillar, image.Rect(120-5*n, 10, 132-5*n, 40).Intersect(image.Rect(0, 0, 100, 50))}
		}, []ghost{{Frame: 5, Box: box{60, 10, 70, 40}, Seconds: 1}, {Frame: 15, Box: box{60, 10, 70, 40}, Seconds: 0.5}}},
		"too small": {steady(image.Rect(60, 10, 63, 13)), nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var watch ghostWatch
			var times []float64
			for n := range 20 {
				var annotated *annotatedFrame
				if n == 5 || n == 15 {
					annotated = &annotatedFrame{Frame: n, Heads: heads}
				}
				watch.next(components(filled(100, 50, tt.masks(n)...)), annotated)
				times = append(times, float64(n)/10)
			}
			found := watch.ghosts("", times)
			if assert.Len(t, found, len(tt.want)) {
				for i, g := range found {
					assert.InDelta(t, tt.want[i].Seconds, g.Seconds, 1e-9)
					g.Seconds = tt.want[i].Seconds
					assert.Equal(t, tt.want[i], g)
				}
			}
		})
	}
}

func TestPercentile(t *testing.T) {
	var hundred []float64
	for i := range 100 {
		hundred = append(hundred, float64(i+1))
	}
	assert.InDelta(t, 50, percentile(hundred, 0.5), 0)
	assert.InDelta(t, 95, percentile(hundred, 0.95), 0)
	assert.InDelta(t, 100, percentile(hundred, 1), 0)
	assert.InDelta(t, 2, percentile([]float64{1, 2, 9}, 0.5), 0)
	assert.InDelta(t, 9, percentile([]float64{1, 2, 9}, 0.95), 0)
	assert.InDelta(t, 7, percentile([]float64{7}, 0.95), 0)
	assert.True(t, math.IsNaN(percentile(nil, 0.5)))
}

func TestHalfOfFrame(t *testing.T) {
	a := annotation{Frames: []annotatedFrame{{Frame: 10}, {Frame: 20, Half: heldOut}}}
	for n, want := range map[int]string{0: tuned, 10: tuned, 15: tuned, 16: heldOut, 20: heldOut, 99: heldOut} {
		assert.Equal(t, want, a.half(n), "frame %d", n)
	}
	assert.Equal(t, tuned, annotation{}.half(3))
}

// example has two clips: street, which is tuned except for its last annotated frame, and far, which is held out.
func example() result {
	all := []string{"all heads"}
	return result{variant: variant{name: "default", about: "as it comes", detail: true, targets: variants[0].targets},
		clips: []scoredClip{
			{Clip: "a.mp4", Category: "street", CPU: time.Second, Frames: map[string]int{tuned: 75, heldOut: 25},
				Heads: []scoredHead{
					{Half: tuned, Groups: []string{"all heads", "face visible"}, Coverage: 0.9, Tight: 2, head: head{ID: "a"}},
					{Half: tuned, Groups: all, Coverage: 1, Tight: 3, head: head{ID: "a"}},
					{Half: heldOut, Groups: all, Coverage: 0.5, Tight: 0.5, Clip: "a.mp4", Frame: 90,
						head: head{ID: "b", Box: box{1, 2, 3, 4}}},
				},
				Outside: []scoredFrame{{"a.mp4", 3, tuned, 0.01}, {"a.mp4", 90, heldOut, 0.03}},
				Tears: []scoredTear{{Clip: "a.mp4", Frame: 5, Half: tuned, tear: tear{Box: box{5, 6, 7, 8}, Blink: true}},
					{Clip: "a.mp4", Frame: 91, Half: heldOut}},
				Ghosts: []scoredGhost{{ghost{"a.mp4", 3, box{9, 9, 12, 12}, 1.5}, tuned}}},
			{Clip: "b.mp4", Category: "far", CPU: 3 * time.Second, Frames: map[string]int{heldOut: 100},
				Heads:   []scoredHead{{Half: heldOut, Groups: all, Coverage: 1, Tight: 4}},
				Outside: []scoredFrame{{"b.mp4", 3, heldOut, 0.2}}},
		}}
}

func TestHalves(t *testing.T) {
	r := example()
	tests := map[string]struct {
		category, half         string
		covered, all, distinct int
		blinks                 int
		frames                 int
		cpu, ghosts, tight     float64
		outside                []float64
	}{
		"all":              {"", both, 3, 4, 3, 1, 200, 20, 5, 3, []float64{0.01, 0.03, 0.2}},
		"tuned":            {"", tuned, 2, 2, 1, 1, 75, 10, 1000.0 / 75, 2, []float64{0.01}},
		"held out":         {"", heldOut, 1, 2, 2, 0, 125, 26, 0, 4, []float64{0.03, 0.2}},
		"street":           {"street", both, 2, 3, 2, 1, 100, 10, 10, 2, []float64{0.01, 0.03}},
		"street, held out": {"street", heldOut, 0, 1, 1, 0, 25, 10, 0, math.NaN(), []float64{0.03}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := r.selected(tt.category, tt.half)
			covered, all := s.count("all heads")
			blinks, _ := s.tears()
			assert.Equal(t, []int{tt.covered, tt.all, tt.distinct, tt.blinks, tt.frames},
				[]int{covered, all, s.distinct(), blinks, s.frames()})
			assert.InDelta(t, tt.cpu, s.cpu(), 1e-6)
			assert.InDelta(t, tt.ghosts, s.ghostRate(), 1e-9)
			assert.InDelta(t, tt.tight, percentile(s.tight(), 0.5), 0, "of covered heads only")
			assert.Equal(t, tt.outside, s.outside())
		})
	}
}
