// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "slices"

// ghostSeconds is how long a mask on nobody lives at least to be a ghost.
const ghostSeconds = 0.5

// sharedPart is the part of the overlap of two regions, in successive frames, from which on the overlap of one of them
// with a third counts as well, so that they merge or split.
const sharedPart = 0.25

// ghost is a mask that lives on nobody for at least ghostSeconds.
type ghost struct {
	Clip string
	// Frame is the first annotated frame that it lives through, and Box its bounding box there.
	Frame int
	Box   box
	// Seconds is its whole life.
	Seconds float64
}

// life is what is known about a region that is followed over time.
type life struct {
	first, last int // frames
	annotated   int // the first annotated frame in it; -1 if there is none
	box         box // in that frame
	pixels      int // at most, in annotated frames
	onHead      bool
}

// ghostWatch follows the masked regions of successive frames. A region continues one in the frame before if they
// overlap, and neither overlaps a third one by sharedPart of that. So new ones begin where regions merge or split, and
// a ghost is one even if a person passes it, or leaves it behind.
type ghostWatch struct {
	frames int
	last   regions
	lives  []*life // of the regions in last
	all    []*life
}

// next takes the regions of the next frame, and the annotations if it has any.
func (w *ghostWatch) next(now regions, annotated *annotatedFrame) {
	lives := make([]*life, len(now.sizes))
	for i, before := range continued(w.last, now) {
		if before >= 0 {
			lives[i] = w.lives[before]
		} else {
			lives[i] = &life{first: w.frames, annotated: -1}
			w.all = append(w.all, lives[i])
		}
		lives[i].last = w.frames
	}
	if annotated != nil && len(lives) > 0 {
		boxes, touching := now.boxes(), now.touching(annotated.Heads)
		for i, l := range lives {
			if l.annotated < 0 {
				l.annotated, l.box = w.frames, boxes[i]
			}
			l.pixels = max(l.pixels, now.sizes[i])
			l.onHead = l.onHead || len(touching[i]) > 0
		}
	}
	w.last, w.lives = now, lives
	w.frames++
}

// continued gives for each region the index of the one before that it continues, or -1.
func continued(before, now regions) []int {
	from := slices.Repeat([]int{-1}, len(now.sizes))
	overlaps := map[[2]int]int{}
	if len(before.sizes) > 0 {
		for i, label := range now.labels {
			if label != 0 && before.labels[i] != 0 {
				overlaps[[2]int{int(before.labels[i]) - 1, int(label) - 1}]++
			}
		}
	}
	for pair, size := range overlaps {
		alone := true
		for other, otherSize := range overlaps {
			if other != pair && (other[0] == pair[0] || other[1] == pair[1]) &&
				float64(otherSize) >= sharedPart*float64(size) {
				alone = false
				break
			}
		}
		if alone {
			from[pair[1]] = pair[0]
		}
	}
	return from
}

// ghosts are the ghosts among all regions, given the times of all frames in seconds.
func (w *ghostWatch) ghosts(clip string, times []float64) []ghost {
	var found []ghost
	for _, l := range w.all {
		seconds := endOf(times, l.last) - times[l.first]
		if l.annotated >= 0 && !l.onHead && l.pixels >= leastPixels && seconds >= ghostSeconds-1e-6 {
			found = append(found, ghost{Clip: clip, Frame: l.annotated, Box: l.box, Seconds: seconds})
		}
	}
	return found
}

// endOf is the time at which a frame is replaced by the next one; the last frame lasts as long as the one before it.
func endOf(times []float64, frame int) float64 {
	switch {
	case frame+1 < len(times):
		return times[frame+1]
	case frame > 0:
		return 2*times[frame] - times[frame-1]
	}
	return times[frame]
}
