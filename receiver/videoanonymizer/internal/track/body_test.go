// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// TestBodiesFollowPeople checks that someone who walks is covered from before they are found until after they are lost,
// also in the frames in between that miss them, and that no body is covered elsewhere.
func TestBodiesFollowPeople(t *testing.T) {
	const frames, size = 60, 60
	at := walk(300, 300, 90, 0)
	missed := func(i int) bool { return i < 10 || i > 50 || i >= 20 && i < 24 }
	tracker, rng := New(Options{}), rand.New(rand.NewPCG(1, 1))
	var results []Result
	for i := range frames {
		o := Observation{Index: i, Time: time.Duration(i) * time.Second / fps, Analyzed: true, Width: width, Height: height}
		if !missed(i) {
			x, y := at(i)
			p := person(x, y, size, rng)
			cells := vision.NewBitmap(1, 1)
			cells.Set(0, 0)
			p.Silhouette = &vision.Silhouette{Box: p.Box, Cells: cells}
			o.People = []vision.Person{p}
		}
		results = append(results, tracker.Push(o)...)
	}
	results = append(results, tracker.Flush()...)
	if len(results) != frames {
		t.Fatalf("%d results", len(results))
	}
	for i, r := range results {
		x, y := at(i)
		if !inBody(r.Bodies, float32(x), float32(y)+1.5*size) {
			t.Errorf("frame %d: the trunk at (%v, %v) is not covered", i, x, y+1.5*size)
		}
		if inBody(r.Bodies, float32(x)-400, float32(y)) {
			t.Errorf("frame %d: a body is covered where nobody is", i)
		}
	}
	if n := len(results[30].Bodies); n != 1 {
		t.Errorf("%d bodies, want one", n)
	}
}

func inBody(bodies []mask.Body, x, y float32) bool {
	for _, b := range bodies {
		if b.Covers(x, y) {
			return true
		}
	}
	return false
}

// TestBodiesDoNotBlink checks that silhouettes that change at random in each frame uncover no pixel for a single frame.
func TestBodiesDoNotBlink(t *testing.T) {
	const frames = 20
	rng := rand.New(rand.NewPCG(1, 1))
	tracker := New(Options{})
	var results []Result
	for i := range frames {
		p := person(160, 60, 30, rng)
		cells := vision.NewBitmap(16, 16)
		for at := range 256 {
			if rng.IntN(2) == 0 {
				cells.Set(at%16, at/16)
			}
		}
		p.Silhouette = &vision.Silhouette{Box: p.Box, Cells: cells}
		results = append(results, tracker.Push(Observation{
			Index: i, Time: time.Duration(i) * time.Second / fps, Analyzed: true,
			Width: 320, Height: 320, People: []vision.Person{p},
		})...)
	}
	results = append(results, tracker.Flush()...)
	painter := mask.NewPainter(mask.Options{})
	var masked [frames][]byte
	for i, r := range results {
		f := &media.Frame{Width: 320, Height: 320, Format: media.PixelFormat{Name: "gray", Depth: 8, Planes: 1}}
		f.Planes[0] = media.Plane{Data: make([]byte, 320*320), Width: 320, Height: 320}
		masks := mask.Masks{Heads: r.Heads, Bodies: r.Bodies, Before: r.Before, After: r.After}
		if err := painter.Paint(f, masks); err != nil {
			t.Fatal(err)
		}
		masked[i] = f.Planes[0].Data
	}
	changed := 0
	for i := 1; i < frames-1; i++ {
		for at := range masked[i] {
			if masked[i-1][at] != 0 && masked[i][at] == 0 && masked[i+1][at] != 0 {
				t.Fatalf("frame %d: pixel (%d, %d) is uncovered for one frame", i, at%320, at/320)
			}
			if masked[i-1][at] != masked[i][at] {
				changed++
			}
		}
	}
	if changed == 0 {
		t.Fatal("the silhouettes did not change")
	}
}
