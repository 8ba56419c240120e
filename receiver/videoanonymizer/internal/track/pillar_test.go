// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// TestPillars checks that what a detector takes for a person is not masked if it never moves and neither keypoints nor
// a face show a person. Someone who stands still with their back to the camera is masked, and so is everything in
// doubt.
func TestPillars(t *testing.T) {
	const x, y, size, frames = 600, 400, 60, 90
	scored := func(score float32) func(int, *vision.Person) {
		return func(_ int, p *vision.Person) {
			for k := range p.Pose {
				p.Pose[k].Score = score
			}
		}
	}
	for name, tt := range map[string]struct {
		see    func(i int, p *vision.Person)
		faces  func(i int) bool
		opts   Options
		masked func(i int) bool
	}{
		"pillar": {see: scored(.2), masked: func(int) bool { return false }},
		"person from behind": {see: func(_ int, p *vision.Person) {
			for k := range p.Pose {
				if p.Pose[k].Score = .1; k == vision.LeftShoulder || k == vision.RightShoulder {
					p.Pose[k].Score = .4
				}
			}
		}},
		"hardly visible person": {see: func(_ int, p *vision.Person) {
			scored(.1)(0, p)
			p.Pose[vision.LeftHip].Score = .35
		}},
		"without a pose model": {see: func(_ int, p *vision.Person) { p.Pose = nil }},
		"moves": {see: func(i int, p *vision.Person) {
			scored(.2)(i, p)
			p.Box = p.Box.Moved(float32(i)*3, 0)
		}, masked: func(i int) bool { return i < 10 }},
		"bust": {see: func(i int, p *vision.Person) {
			scored(.2)(i, p)
			p.Box.Y1 = p.Box.Y0 + 1.5*p.Box.Width()
		}},
		"face": {
			see: scored(.2), faces: func(i int) bool { return i == 45 }, masked: func(i int) bool { return i > 15 && i < 75 },
		},
		"whole person": {
			see: scored(.2), opts: Options{Geometry: mask.GeometryOptions{OnUncertain: mask.WholePerson}},
		},
		"seen for half a second": {see: func(i int, p *vision.Person) {
			if scored(.2)(i, p); i > 15 {
				p.Box = vision.Box{X0: 1800, Y0: 900, X1: 1830, Y1: 1000}
			}
		}, masked: func(i int) bool { return i < 20 }},
	} {
		t.Run(name, func(t *testing.T) {
			tracker, rng := New(tt.opts), rand.New(rand.NewPCG(1, 1))
			var results []Result
			for i := range frames {
				o := Observation{
					Index: i, Time: time.Duration(i) * time.Second / fps, Analyzed: i%3 == 0, Width: width, Height: height,
				}
				if o.Analyzed {
					p := person(x, y, size, rng)
					tt.see(i, &p)
					o.People = []vision.Person{p}
					if tt.faces != nil && tt.faces(i) {
						o.Faces = []vision.Face{{Score: .9, Box: vision.Box{X0: x - 20, Y0: y - 20, X1: x + 20, Y1: y + 20}}}
					}
				}
				results = append(results, tracker.Push(o)...)
			}
			for i, r := range append(results, tracker.Flush()...) {
				want := tt.masked == nil || tt.masked(i)
				if got := mask.Contained(x, y, r.Heads); got != want && (want || name == "pillar") {
					t.Fatalf("frame %d: masked %v, want %v", i, got, want)
				}
			}
		})
	}
}

// TestSecondBoxIsHeldBriefly checks that a second box of someone, with the keypoints of the first, is masked where it
// was found, but does not linger for a second.
func TestSecondBoxIsHeldBriefly(t *testing.T) {
	const x, y, size, at = 600, 400, 60, 45
	tracker, rng := New(Options{}), rand.New(rand.NewPCG(1, 1))
	var results []Result
	var second mask.Head
	for i := range 90 {
		o := Observation{
			Index: i, Time: time.Duration(i) * time.Second / fps, Analyzed: i%3 == 0, Width: width, Height: height,
		}
		if o.Analyzed {
			p := person(x, y, size, rng)
			o.People = []vision.Person{p}
			if i == at {
				box := p.Box
				box.X0, box.X1 = box.X0+box.Width()*.45, box.X1+box.Width()*1.5
				q := vision.Person{Detection: vision.Detection{Score: .4, Box: box}, Pose: p.Pose}
				o.People = append(o.People, q)
				second = mask.LocateHeads(o.People, width, height, mask.GeometryOptions{})[1]
			}
		}
		results = append(results, tracker.Push(o)...)
	}
	if second.Origin != mask.OriginBox {
		t.Fatalf("the head of the second box is no guess: %+v", second)
	}
	results = append(results, tracker.Flush()...)
	for i, r := range results {
		want := i >= at-fps*candidateHold && i <= at+fps*candidateHold
		if got := mask.Contained(second.X, second.Y, r.Heads); got != want {
			t.Errorf("frame %d: the second box is masked: %v, want %v", i, got, want)
		}
		if c := covered(x, y, size, r.Heads); c < .99 {
			t.Errorf("frame %d: %.2f of the head is covered", i, c)
		}
	}
	if !anyCovers(results[at].Heads, second) {
		t.Error("the second box is not masked where it was found")
	}
}

// TestHug checks that two people whose boxes overlap by half get a mask each, and that no mask spans both.
func TestHug(t *testing.T) {
	const x, y, size, apart = 600, 400, 80, 70
	s := scenario{frames: 60, actors: []actor{
		{head: walk(x, y, 5, 0), size: size},
		{head: walk(x+apart, y+10, 5, 0), size: size, seen: func(i int) bool { return i < 24 || i > 33 }},
	}, check: count(2)}
	for i, r := range s.run(1) {
		for k, a := range s.actors {
			ax, ay := a.head(i)
			if c := covered(ax, ay, size, r.Heads); c < .9 {
				t.Errorf("frame %d: %.2f of head %d is covered", i, c, k)
			}
		}
		for _, h := range r.Heads {
			if b := h.Bounds(); b.Width() > 1.9*size {
				t.Errorf("frame %d: a mask is %.0f wide, for heads %d high and %d apart", i, b.Width(), size, apart)
			}
		}
	}
}
