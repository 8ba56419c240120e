// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "slices"

// ghostSeconds is the minimum lifetime of a ghost.
const ghostSeconds = 0.5

// sharedPart is a share of the overlap of two regions in successive frames. If one of them overlaps a third region by
// at least that much, the regions merge or split.
const sharedPart = 0.25

// ghost is a mask that covers no one for at least ghostSeconds.
type ghost struct {
	Clip string
	// Frame is the first annotated frame that it lives through, and Box its bounding box there.
	Frame int
	Box   box
	// Seconds is its whole lifetime.
	Seconds float64
}

// life is what is known about a region that is followed over time.
type life struct {
	first, last int // frames
	annotated   int // the first annotated frame in it; -1 if there is none
	box         box // in that frame
	pixels      int // maximum, in annotated frames
	onHead      bool
}

// ghostWatch follows the masked regions of successive frames. A region continues one in the previous frame if they
// overlap, and neither overlaps a third one by sharedPart of that. So new lives begin where regions merge or split, and
// a ghost is found even if a person passes it or leaves it behind.
type ghostWatch struct {
	frames int
	last   regions
	lives  []*life // of the regions in last
	all    []*life
}

// next adds the regions of the next frame, and its annotations if it has any.
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

// continued returns, for each region, the index of the previous region that it continues, or -1.
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

// ghosts returns the ghosts among all regions, given the times of all frames in seconds.
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

// endOf returns the time at which the next frame replaces a frame; the last frame lasts as long as the one before it.
func endOf(times []float64, frame int) float64 {
	switch {
	case frame+1 < len(times):
		return times[frame+1]
	case frame > 0:
		return 2*times[frame] - times[frame-1]
	}
	return times[frame]
}
