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

// guess returns a person whose keypoints show nothing.
func guess(p vision.Person) vision.Person {
	p.Pose = &vision.Pose{}
	return p
}

// spread returns a person with the arms spread: the box is so wide that the head may be almost anywhere in it.
func spread(p vision.Person) vision.Person {
	arms := p.Box.Height() * 0.25
	p.Box.X0, p.Box.X1 = p.Box.X0-arms, p.Box.X1+arms
	return p
}

// unsure returns a person whose keypoints score too low to settle others.
func unsure(p vision.Person) vision.Person {
	pose := *p.Pose
	for k := range pose {
		pose[k].Score = .25
	}
	p.Pose = &pose
	return p
}

// TestGuessIsSettledByTrack checks that a guess between sure sightings, or next to one, is masked where the head must
// be. A guess that is alone, next to sightings that are not sure, far from sure ones in time, or of another box stays
// as found.
func TestGuessIsSettledByTrack(t *testing.T) {
	const x, y, size, at = 600, 400, 60, 30
	moved := func(p vision.Person) vision.Person {
		p = guess(p)
		p.Box = p.Box.Moved(p.Box.Width(), 0)
		return p
	}
	for name, tt := range map[string]struct {
		sure    func(i int) bool
		others  func(vision.Person) vision.Person // in place of the sure ones; nil leaves them as they are
		guess   func(vision.Person) vision.Person
		opts    mask.GeometryOptions
		settled bool
	}{
		"between sure sightings":   {func(i int) bool { return i != at }, nil, guess, mask.GeometryOptions{}, true},
		"after a sure sighting":    {func(i int) bool { return i < at }, nil, guess, mask.GeometryOptions{}, true},
		"before a sure sighting":   {func(i int) bool { return i > at }, nil, guess, mask.GeometryOptions{}, true},
		"alone":                    {func(int) bool { return false }, nil, guess, mask.GeometryOptions{}, false},
		"between unsure sightings": {func(i int) bool { return i != at }, unsure, guess, mask.GeometryOptions{}, false},
		"sure long ago":            {func(i int) bool { return i < at-16 }, nil, guess, mask.GeometryOptions{}, false},
		"box of someone else":      {func(i int) bool { return i < at }, nil, moved, mask.GeometryOptions{}, false},
		"whole person by configuration": {
			func(i int) bool { return i != at }, nil, guess, mask.GeometryOptions{OnUncertain: mask.WholePerson}, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			tracker, rng := New(Options{Geometry: tt.opts}), rand.New(rand.NewPCG(1, 1))
			var results []Result
			var found mask.Head
			for i := range 61 {
				o := Observation{
					Index: i, Time: time.Duration(i) * time.Second / fps, Analyzed: i%3 == 0, Width: width, Height: height,
				}
				p := spread(person(x, y, size, rng))
				switch {
				case !o.Analyzed:
				case i == at:
					o.People = []vision.Person{tt.guess(p)}
					found = mask.LocateHeads(o.People, width, height, tt.opts)[0]
				case tt.sure(i) && tt.others != nil:
					o.People = []vision.Person{tt.others(p)}
				case tt.sure(i):
					o.People = []vision.Person{p}
				}
				results = append(results, tracker.Push(o)...)
			}
			results = append(results, tracker.Flush()...)
			if c := covered(x, y, size, results[at].Heads); c < 0.99 && name != "box of someone else" {
				t.Errorf("%.2f of the head is covered", c)
			}
			if got := !anyCovers(results[at].Heads, found); got != tt.settled {
				t.Errorf("settled: %v, want %v: found %+v, masked %+v", got, tt.settled, found, results[at].Heads)
			}
			if !tt.settled {
				return
			}
			for _, h := range results[at].Heads {
				if b := h.Bounds(); b.Width()*b.Height() > 3*size*size {
					t.Errorf("the mask is %.0f x %.0f for a head %d high", b.Width(), b.Height(), size)
				}
			}
		})
	}
}

// TestOversizedHeadIsSettled checks that keypoints that score low and imply a head several times as large as the sure
// ones around it are a guess.
func TestOversizedHeadIsSettled(t *testing.T) {
	const x, y, size, at = 600, 400, 60, 30
	tracker, rng := New(Options{}), rand.New(rand.NewPCG(1, 1))
	var results []Result
	for i := range 61 {
		o := Observation{Index: i, Time: time.Duration(i) * time.Second / fps, Analyzed: true, Width: width, Height: height}
		p := person(x, y, size, rng)
		if i == at {
			p = unsure(p)
			p.Pose[vision.LeftEar].X += 1.5 * size
			p.Pose[vision.LeftEye].X += 1.2 * size
		}
		o.People = []vision.Person{p}
		results = append(results, tracker.Push(o)...)
	}
	results = append(results, tracker.Flush()...)
	if c := covered(x, y, size, results[at].Heads); c < 0.99 {
		t.Errorf("%.2f of the head is covered", c)
	}
	for _, h := range results[at].Heads {
		if b := h.Bounds(); b.Width() > 2*size {
			t.Errorf("the mask is %.0f wide for a head %d high", b.Width(), size)
		}
	}
}

// TestHeldMaskFollowsAndEnds checks that a held mask moves on with its person, leaves the place where they were, and
// grows by at most half the head's size. If the head was never more than a guess, the mask ends sooner.
func TestHeldMaskFollowsAndEnds(t *testing.T) {
	const x, y, high, speed, last = 300, 400, 60, 250, 30
	for name, tt := range map[string]struct {
		change func(vision.Person) vision.Person
		until  int
	}{
		"sure": {func(p vision.Person) vision.Person { return p }, last + fps},
		"guess": {func(p vision.Person) vision.Person {
			p.Pose = &vision.Pose{}
			return p
		}, last + fps*guessHold},
	} {
		t.Run(name, func(t *testing.T) {
			tracker, rng := New(Options{}), rand.New(rand.NewPCG(1, 1))
			var results []Result
			for i := range 90 {
				o := Observation{
					Index: i, Time: time.Duration(i) * time.Second / fps, Analyzed: i%3 == 0, Width: width, Height: height,
				}
				if o.Analyzed && i <= last {
					o.People = []vision.Person{tt.change(person(x+speed*float64(i)/fps, y, high, rng))}
				}
				results = append(results, tracker.Push(o)...)
			}
			results = append(results, tracker.Flush()...)
			found := results[last].Heads[0]
			for i := last + 1; i < 90; i++ {
				if held := len(results[i].Heads) > 0; held != (i <= tt.until) {
					t.Fatalf("frame %d: held %v, want until %d", i, held, tt.until)
				}
				for _, h := range results[i].Heads {
					seconds := float64(i-last) / fps
					if seconds <= steady+.1 || name == "guess" {
						continue
					}
					if most := float32(maxGrowth*size(found)) + 1; h.RX > found.RX+most || h.RY > found.RY+most {
						t.Errorf("frame %d: the mask has grown from %.0f x %.0f to %.0f x %.0f", i, found.RX, found.RY, h.RX, h.RY)
					}
					if h.Contains(x+speed*last/fps, y) {
						t.Errorf("frame %d: the mask hangs where the head was", i)
					}
				}
			}
		})
	}
}

// TestGuessMissedOnce checks that someone whose head is only ever guessed does not blink if few frames are analyzed and
// one of them misses the person.
func TestGuessMissedOnce(t *testing.T) {
	const x, y, size, speed = 300, 400, 60, 60
	tracker, rng := New(Options{}), rand.New(rand.NewPCG(1, 1))
	var results []Result
	for i := range 90 {
		o := Observation{
			Index: i, Time: time.Duration(i) * time.Second / fps, Analyzed: i%14 == 0, Width: width, Height: height,
		}
		if o.Analyzed && i != 42 {
			o.People = []vision.Person{guess(person(x+speed*float64(i)/fps, y, size, rng))}
		}
		results = append(results, tracker.Push(o)...)
	}
	for i, r := range append(results, tracker.Flush()...) {
		if c := covered(x+speed*float64(i)/fps, y, size, r.Heads); c < .9 {
			t.Errorf("frame %d: %.2f of the head is covered", i, c)
		}
	}
}
