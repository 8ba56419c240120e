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

// TestBodies: someone who walks is covered where he is, from the frames before he is found to those after he is lost, and in
// between where a frame misses him; and nobody is where nobody was.
func TestBodies(t *testing.T) {
	const frames, size = 60, 60
	at := walk(300, 300, 90, 0)
	missed := func(i int) bool { return i < 10 || i > 50 || i >= 20 && i < 24 }
	tracker, rng := New(Options{}), rand.New(rand.NewPCG(1, 1))
	var results []Result
	for i := range frames {
		o := Observation{Index: i, Time: time.Duration(i) * time.Second / fps, Judged: true, Width: width, Height: height}
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
			t.Errorf("frame %d: a body is where nobody was", i)
		}
	}
	if n := len(results[30].Bodies); n != 1 {
		t.Errorf("%d bodies where one was found", n)
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
