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

// TestCandidates checks that a candidate that nothing confirms masks nothing, that one that continues a track is
// masked, and that any face is masked, whether it is a candidate's or no person was found.
func TestCandidates(t *testing.T) {
	const frames, x, y, size = 60, 400, 300, 60
	weak := func(rng *rand.Rand) vision.Person {
		p := person(x, y, size, rng)
		p.Candidate, p.Score = true, .2
		for k := range p.Pose {
			p.Pose[k].Score = .3 // trusted, but too low to confirm
		}
		return p
	}
	confirmed := func(rng *rand.Rand) vision.Person {
		p := person(x, y, size, rng)
		p.Candidate, p.Score = true, .2
		return p
	}
	poseless := func(rng *rand.Rand) vision.Person {
		p := weak(rng)
		p.Pose = nil
		return p
	}
	confirmedOnce := func(o *Observation, rng *rand.Rand) {
		if o.Index == 30 {
			o.People = []vision.Person{confirmed(rng)}
		}
	}
	face := vision.Face{Score: .9, Box: vision.Box{X0: x - 20, Y0: y - 20, X1: x + 20, Y1: y + 20}}
	always, never := func(int) bool { return true }, func(int) bool { return false }
	briefly := func(i int) bool { return i >= 24 && i <= 36 } // held for a fifth of a second
	for name, tt := range map[string]struct {
		observe func(o *Observation, rng *rand.Rand)
		masked  func(i int) bool
	}{
		"candidate only": {func(o *Observation, rng *rand.Rand) { o.People = []vision.Person{weak(rng)} }, never},
		"candidate after detection": {func(o *Observation, rng *rand.Rand) {
			if o.People = []vision.Person{weak(rng)}; o.Index == 0 {
				o.People = []vision.Person{person(x, y, size, rng)}
			}
		}, always},
		"candidate with face": {func(o *Observation, rng *rand.Rand) {
			o.People, o.Faces = []vision.Person{weak(rng)}, []vision.Face{face}
		}, always},
		"confirmed once": {confirmedOnce, briefly},
		"detected once": {func(o *Observation, rng *rand.Rand) {
			if o.Index == 30 {
				o.People = []vision.Person{person(x, y, size, rng)}
			}
		}, func(i int) bool { return i <= 60 }}, // held for a second
		"confirmed all the time": {func(o *Observation, rng *rand.Rand) {
			o.People = []vision.Person{confirmed(rng)}
		}, always},
		"candidate without pose after detection": {func(o *Observation, rng *rand.Rand) {
			if o.People = []vision.Person{poseless(rng)}; o.Index == 0 {
				o.People = []vision.Person{person(x, y, size, rng)}
			}
		}, func(i int) bool { return i <= fps }}, // held for a second
		"candidate without pose with face": {func(o *Observation, rng *rand.Rand) {
			o.People, o.Faces = []vision.Person{poseless(rng)}, []vision.Face{face}
		}, always},
		"face only": {func(o *Observation, _ *rand.Rand) { o.Faces = []vision.Face{face} }, always},
	} {
		t.Run(name, func(t *testing.T) {
			tracker, rng := New(Options{}), rand.New(rand.NewPCG(1, 1))
			var results []Result
			for i := range frames {
				o := Observation{
					Index: i, Time: time.Duration(i) * time.Second / fps, Analyzed: i%3 == 0, Width: width, Height: height,
				}
				if o.Analyzed {
					tt.observe(&o, rng)
				}
				results = append(results, tracker.Push(o)...)
			}
			results = append(results, tracker.Flush()...)
			if len(results) != frames {
				t.Fatalf("%d results", len(results))
			}
			for i, r := range results {
				if got, want := mask.Contained(x, y, r.Heads), tt.masked(i); got != want || r.WholeFrame {
					t.Fatalf("frame %d: masked %v, want %v; whole frame %v", i, got, want, r.WholeFrame)
				}
			}
		})
	}
}

// TestCandidateDuplicates checks that a candidate with the head of someone found more confidently is no second person.
func TestCandidateDuplicates(t *testing.T) {
	const x, y, size = 400, 300, 60
	rng := rand.New(rand.NewPCG(1, 1))
	same := func(score float32) vision.Person {
		p := person(x, y, size, rng)
		p.Candidate, p.Score = true, score
		return p
	}
	sure, neighbor := person(x, y, size, rng), person(x+4*size, y, size, rng)
	neighbor.Candidate = true
	for name, tt := range map[string]struct {
		people []vision.Person
		want   int
	}{
		"detection and candidates":    {[]vision.Person{same(.3), sure, same(.2)}, 1},
		"candidates":                  {[]vision.Person{same(.3), same(.2), same(.25)}, 1},
		"neighbor":                    {[]vision.Person{neighbor, same(.3), sure}, 2},
		"two detections in one place": {[]vision.Person{sure, sure}, 1},
		"candidate without a face":    {[]vision.Person{{Detection: vision.Detection{Box: sure.Box, Candidate: true}}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			tracker := New(Options{})
			tracker.Push(Observation{Analyzed: true, Width: width, Height: height, People: tt.people})
			results := tracker.Flush()
			if n := len(results[0].Heads); n != tt.want {
				t.Errorf("%d heads, want %d", n, tt.want)
			}
		})
	}
}

// TestCandidateHeadNotShown checks that a candidate with hardly any keypoint, whose head could be anywhere in a box of
// half the frame, continues no track: the mask stays with the head that was found.
func TestCandidateHeadNotShown(t *testing.T) {
	const frames, x, y, size = 20, 400, 300, 60
	tracker, rng := New(Options{}), rand.New(rand.NewPCG(1, 1))
	var results []Result
	for i := range frames {
		p := person(x, y, size, rng)
		if i > 0 {
			p.Candidate, p.Score = true, .2
			p.Box.X0, p.Box.X1 = p.Box.X0-300, p.Box.X1+300
			p.Pose = &vision.Pose{vision.LeftEar: {X: p.Pose[vision.LeftEar].X, Y: p.Pose[vision.LeftEar].Y, Score: .25}}
		}
		results = append(results, tracker.Push(Observation{
			Index: i, Time: time.Duration(i) * time.Second / fps, Analyzed: true,
			Width: width, Height: height, People: []vision.Person{p},
		})...)
	}
	for _, r := range append(results, tracker.Flush()...) {
		if !mask.Contained(x, y, r.Heads) {
			t.Errorf("frame %d: the head is not masked", r.Index)
		}
		if mask.Contained(x+4*size, y+2*size, r.Heads) {
			t.Errorf("frame %d: the mask reaches far beyond the head", r.Index)
		}
	}
}
