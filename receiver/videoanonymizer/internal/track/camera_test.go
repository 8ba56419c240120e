// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// view returns what a camera at (x, y), in pixels, shows of a wall of bricks of random brightness, with grain. A
// figure, in pixels of the frame, hides part of the wall; it does not move with the camera.
func view(x, y int, figure vision.Box) *media.Frame {
	const brick, width, height = 40, 960, 540
	grain := rand.New(rand.NewPCG(uint64(x), uint64(y)))
	data := make([]byte, width*height)
	shade := func(i, j int) int { return int(rand.New(rand.NewPCG(uint64(i+1<<20), uint64(j+1<<20))).Uint32() % 160) }
	shades := map[[2]int]int{}
	for i := range data {
		at := [2]int{(i%width + x + 1<<20) / brick, (i/width + y + 1<<20) / brick}
		if _, ok := shades[at]; !ok {
			shades[at] = shade(at[0], at[1])
		}
		value := 40 + shades[at] + grain.IntN(9) - 4
		px, py := float32(i%width), float32(i/width)
		if px >= figure.X0 && px < figure.X1 && py >= figure.Y0 && py < figure.Y1 {
			value = 30 + (int(px-figure.X0)/20+int(py-figure.Y0)/20)%2*180
		}
		data[i] = byte(value)
	}
	return &media.Frame{Width: width, Height: height, Format: media.PixelFormat{Depth: 8},
		Planes: [4]media.Plane{{Data: data, Width: width, Height: height}}}
}

// plain returns a frame without any texture to show how it has moved.
func plain() *media.Frame {
	f := view(0, 0, vision.Box{})
	for i := range f.Planes[0].Data {
		f.Planes[0].Data[i] = 90
	}
	return f
}

// TestCamera checks that the camera's motion is found to a fraction of a head, that someone who crosses a still picture
// does not count as motion, and that the camera counts as still if nothing shows its motion.
func TestCamera(t *testing.T) {
	nobody := vision.Box{}
	near := func(x float32) vision.Box { return vision.Box{X0: x, Y0: 100, X1: x + 300, Y1: 540} }
	tests := map[string]struct {
		from, to *media.Frame
		cut      bool
		want     Vector
	}{
		"still":                  {from: view(0, 0, nobody), to: view(0, 0, nobody)},
		"pan":                    {from: view(0, 0, nobody), to: view(60, 0, nobody), want: Vector{-60, 0}},
		"pan back":               {from: view(60, 0, nobody), to: view(0, 0, nobody), want: Vector{60, 0}},
		"slow pan":               {from: view(0, 0, nobody), to: view(14, 0, nobody), want: Vector{-14, 0}},
		"whip pan":               {from: view(0, 0, nobody), to: view(300, 0, nobody), want: Vector{-300, 0}},
		"tilt":                   {from: view(0, 0, nobody), to: view(0, 45, nobody), want: Vector{0, -45}},
		"diagonal":               {from: view(0, 0, nobody), to: view(-35, 25, nobody), want: Vector{35, -25}},
		"someone crosses":        {from: view(0, 0, near(100)), to: view(0, 0, near(160))},
		"pan, someone crosses":   {from: view(0, 0, near(100)), to: view(40, 0, near(140)), want: Vector{-40, 0}},
		"nothing to tell by":     {from: plain(), to: plain()},
		"another picture":        {from: view(0, 0, nobody), to: view(9000, 4000, nobody)},
		"cut":                    {from: view(0, 0, nobody), to: view(60, 0, nobody), cut: true},
		"pan into plain picture": {from: view(0, 0, nobody), to: plain()},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var camera Camera
			from, to := NewGlance(tt.from), NewGlance(tt.to)
			camera.Follow(from, 0, false)
			camera.Follow(to, 1, tt.cut)
			moved := to.Motion(from)
			assert.InDelta(t, tt.want.X, moved.X, 2)
			assert.InDelta(t, tt.want.Y, moved.Y, 2)
		})
	}
	assert.Zero(t, (*Glance)(nil).Motion(NewGlance(plain())), "without a glance")
}

// TestCameraForgets checks that, from a few frames after the first, motion does not depend on which frame that was, so
// that a resumed video is masked as if it had not been interrupted.
func TestCameraForgets(t *testing.T) {
	motions := func(first int) (all []Vector) {
		var camera Camera
		var last *Glance
		for i := first; i < 30; i++ {
			g := NewGlance(view(i*i, i*7, vision.Box{}))
			camera.Follow(g, i, false)
			if i > 2*cameraEvery {
				all = append(all, g.Motion(last))
			}
			last = g
		}
		return all
	}
	want := motions(0)
	assert.NotZero(t, want[0])
	for _, first := range []int{1, 4, 7} {
		assert.Equal(t, want, motions(first), "from frame %d", first)
	}
}

// pan returns the results of frames in which the camera pans to the right by step pixels per frame. Each every-th frame
// is analyzed: find adds what is found in it.
func pan(frames, step, every int, find func(*Observation)) (results []Result) {
	tracker := New(Options{})
	var camera Camera
	for i := range frames {
		g := NewGlance(view(step*i/2, 0, vision.Box{}))
		g.width, g.height = width, height // pixels are twice as large
		camera.Follow(g, i, false)
		o := Observation{Index: i, Time: time.Duration(i) * time.Second / fps, Analyzed: i%every == 0, Width: width,
			Height: height, Glance: g}
		if o.Analyzed {
			find(&o)
		}
		results = append(results, tracker.Push(o)...)
	}
	return append(results, tracker.Flush()...)
}

// TestHeadsFollowCamera checks that someone who stands still while the camera pans is covered between sightings and
// when they are missed, without a trail.
func TestHeadsFollowCamera(t *testing.T) {
	const size, step, every = 60, 9, 6 // step in pixels per frame
	at := func(i int) float64 { return 900 - step*float64(i) }
	missed := func(i int) bool { return i == 24 || i == 30 }
	results := pan(60, step, every, func(o *Observation) {
		if i := o.Index; !missed(i) {
			o.People = []vision.Person{person(at(i), 500, size, rand.New(rand.NewPCG(uint64(i), 1)))}
		}
	})
	for i, r := range results {
		assert.GreaterOrEqual(t, covered(at(i), 500, size, r.Heads), 0.95, "frame %d", i)
		for _, h := range r.Heads {
			assert.InDelta(t, at(i), h.X, size/2, "frame %d", i)
			assert.Less(t, h.RX, float32(size), "frame %d", i)
		}
	}
}

// TestSamePlaceInPicture checks that someone whom a panning camera brings to where someone else was in the picture is
// also covered in the frames before, as if the two were not taken for one person whom the camera follows.
func TestSamePlaceInPicture(t *testing.T) {
	const size, step, every, gone = 60, 60, 3, 9 // step in pixels per frame
	one := func(i int) float64 { return 1100 - step*float64(i) }
	other := func(i int) float64 { return one(i - every) } // where one was in the analyzed frame before
	results := pan(30, step, every, func(o *Observation) {
		i, x := o.Index, one(o.Index)
		if i >= gone {
			x = other(i)
		}
		if x > 0 {
			o.People = []vision.Person{person(x, 500, size, rand.New(rand.NewPCG(uint64(i), 1)))}
		}
	})
	for i := gone - every; i <= gone; i++ {
		assert.GreaterOrEqual(t, covered(one(i), 500, size, results[i].Heads), 0.95, "frame %d", i)
		assert.GreaterOrEqual(t, covered(other(i), 500, size, results[i].Heads), 0.95, "frame %d", i)
	}
}

// TestGone checks that someone who is no longer found is masked until several frames were searched in vain if the
// picture shows that they have left, and otherwise for the whole look-ahead; a guess is held more briefly anyway.
func TestGone(t *testing.T) {
	const size, every, last = 60, 6, 30
	figure := vision.Box{X0: 185, Y0: 85, X1: 215, Y1: 165} // in the glance, which is half as large
	tests := map[string]struct {
		leaves, blind, guess bool
		until                int // the last frame that is masked
	}{
		"left":                    {leaves: true, until: last + 3*every + every - 1},
		"stays":                   {until: last + fps},
		"left, without a glance":  {leaves: true, blind: true, until: last + fps},
		"guess":                   {guess: true, until: last + fps*guessHold},
		"guess, without a glance": {guess: true, blind: true, until: last + fps*guessHold},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tracker := New(Options{})
			var results []Result
			for i := range 90 {
				o := Observation{Index: i, Time: time.Duration(i) * time.Second / fps, Analyzed: i%every == 0,
					Width: width, Height: height}
				if shown := figure; !tt.blind {
					if tt.leaves && i > last {
						shown = vision.Box{}
					}
					o.Glance = NewGlance(view(0, 0, shown))
					o.Glance.width, o.Glance.height = width, height
				}
				if o.Analyzed && i <= last {
					p := person(400, 200, size, rand.New(rand.NewPCG(uint64(i), 1)))
					if tt.guess {
						p.Pose = nil
					}
					o.People = []vision.Person{p}
				}
				results = append(results, tracker.Push(o)...)
			}
			for i, r := range append(results, tracker.Flush()...) {
				assert.Equal(t, i <= tt.until, len(r.Heads) > 0, "frame %d", i)
			}
		})
	}
}

// TestSharpCut checks that heads are carried across a cut only into a frame that may show both scenes.
func TestSharpCut(t *testing.T) {
	const size, cut = 60, 12
	before, after := view(0, 0, vision.Box{}), view(5000, 3000, vision.Box{})
	blended := view(0, 0, vision.Box{})
	torn := view(0, 0, vision.Box{})
	for i := range blended.Planes[0].Data {
		a, b := int(before.Planes[0].Data[i]), int(after.Planes[0].Data[i])
		blended.Planes[0].Data[i] = byte((a + 2*b) / 3)
		if torn.Planes[0].Data[i] = after.Planes[0].Data[i]; i < len(before.Planes[0].Data)/4 {
			torn.Planes[0].Data[i] = before.Planes[0].Data[i]
		}
	}
	noisy, rng := view(5000, 3000, vision.Box{}), rand.New(rand.NewPCG(1, 1))
	for i := range noisy.Planes[0].Data {
		noisy.Planes[0].Data[i] = byte(min(255, max(0, float64(noisy.Planes[0].Data[i])+20*rng.NormFloat64())))
	}
	tests := map[string]struct {
		first *media.Frame // of the new scene
		want  bool
	}{
		"sharp":   {first: after},
		"noisy":   {first: noisy},
		"blended": {first: blended, want: true},
		"torn":    {first: torn, want: true},
		"blind":   {want: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tracker := New(Options{})
			var results []Result
			for i := range 2 * cut {
				o := Observation{Index: i, Time: time.Duration(i) * time.Second / fps, Analyzed: i%3 == 0 || i == cut-1,
					Cut: i == cut, Width: width, Height: height}
				switch {
				case i < cut:
					o.Glance = NewGlance(before)
				case i == cut && tt.first != nil:
					o.Glance = NewGlance(tt.first)
				case i > cut:
					o.Glance = NewGlance(after)
				}
				if o.Analyzed && i < cut {
					o.People = []vision.Person{person(400, 300, size, rand.New(rand.NewPCG(uint64(i), 1)))}
				}
				results = append(results, tracker.Push(o)...)
			}
			results = append(results, tracker.Flush()...)
			assert.NotEmpty(t, results[cut-1].Heads)
			assert.Equal(t, tt.want, len(results[cut].Heads) > 0)
			assert.Empty(t, results[cut+1].Heads)
		})
	}
}

// TestSecondBox checks that no mask is added for a guess whose pose shows the head of another box.
func TestSecondBox(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	one := person(400, 300, 60, rng)
	second, beside, other := one, one, one
	second.Box = vision.Box{X0: one.Box.X0 - 10, Y0: one.Box.Y0 + 60, X1: one.Box.X1 + 10, Y1: one.Box.Y1}
	beside.Box = second.Box.Moved(80, 0)
	other.Box, other.Pose = second.Box, nil
	heads := func(people ...vision.Person) []mask.Head {
		return Heads(Observation{People: people, Width: width, Height: height}, mask.GeometryOptions{})
	}
	alone, both := heads(one), heads(one, second)
	assert.Len(t, both, 1)
	assert.InDelta(t, alone[0].RX, both[0].RX, 1)
	assert.Len(t, heads(one, beside), 2, "the boxes share too little")
	assert.Len(t, heads(one, other), 2, "no pose shows whose head it is")
}
