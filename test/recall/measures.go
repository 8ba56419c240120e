// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"slices"
	"time"
)

// The halves of the annotations. Heads that are held out are evaluated only after tuning.
const (
	tuned   = "tuned"
	heldOut = "held out"
	both    = "all"
)

// selected returns the measurements in the clips of a category, or in all clips if it is empty, and in a half of their
// frames.
func (r result) selected(category, half string) (s scoredClip) {
	s.Frames = map[string]int{}
	in := func(h string) bool { return half == both || h == half }
	for _, clip := range r.clips {
		if category != "" && clip.Category != category {
			continue
		}
		s.Excerpt = s.Excerpt || clip.Excerpt
		all, some := 0, 0
		for h, n := range clip.Frames {
			all += n
			if in(h) {
				some += n
				s.Frames[h] += n
			}
		}
		s.CPU += time.Duration(float64(clip.CPU) * float64(some) / float64(max(1, all)))
		s.Heads = append(s.Heads, filtered(clip.Heads, func(h scoredHead) bool { return in(h.Half) })...)
		s.Tears = append(s.Tears, filtered(clip.Tears, func(t scoredTear) bool { return in(t.Half) })...)
		s.Ghosts = append(s.Ghosts, filtered(clip.Ghosts, func(g scoredGhost) bool { return in(g.Half) })...)
		s.Outside = append(s.Outside, filtered(clip.Outside, func(f scoredFrame) bool { return in(f.Half) })...)
		s.Faces += clip.Faces
		s.Again += clip.Again
	}
	return s
}

func filtered[T any](all []T, keep func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(all), func(t T) bool { return !keep(t) })
}

// frames returns the number of all frames.
func (s scoredClip) frames() (n int) {
	for _, frames := range s.Frames {
		n += frames
	}
	return n
}

// count returns how many heads of a group are covered, and how many there are.
func (s scoredClip) count(group string) (covered, all int) {
	for _, h := range s.Heads {
		if slices.Contains(h.Groups, group) {
			all++
			if h.covered() {
				covered++
			}
		}
	}
	return covered, all
}

// distinct returns the number of different heads: copies that share an ID count once.
func (s scoredClip) distinct() (n int) {
	seen := map[string]bool{}
	for _, h := range s.Heads {
		if h.ID == "" || !seen[h.ID] {
			n++
			seen[h.ID] = true
		}
	}
	return n
}

// tears counts the masks that blink, and those that shrink for a frame.
func (s scoredClip) tears() (blinks, shrinks int) {
	for _, t := range s.Tears {
		if t.Blink {
			blinks++
		} else {
			shrinks++
		}
	}
	return blinks, shrinks
}

// outside returns the shares of the annotated frames, 0 to 1, that are masked where no head is, in ascending order.
func (s scoredClip) outside() (shares []float64) {
	for _, frame := range s.Outside {
		shares = append(shares, frame.Share)
	}
	slices.Sort(shares)
	return shares
}

// tight returns the areas masked for the covered heads, relative to their ellipses, in ascending order. A head that is
// not covered would make masks look tight.
func (s scoredClip) tight() (ratios []float64) {
	for _, h := range s.Heads {
		if h.covered() {
			ratios = append(ratios, h.Tight)
		}
	}
	slices.Sort(ratios)
	return ratios
}

// ghostRate returns the number of ghosts per 1000 frames.
func (s scoredClip) ghostRate() float64 {
	return 1000 * float64(len(s.Ghosts)) / float64(max(1, s.frames()))
}

// cpu returns the CPU time per frame in milliseconds.
func (s scoredClip) cpu() float64 { return s.CPU.Seconds() * 1000 / float64(max(1, s.frames())) }

// percentile returns the smallest of ascending values that at least a part, 0 to 1, of them does not exceed; NaN if
// there are no values.
func percentile(ascending []float64, part float64) float64 {
	if len(ascending) == 0 {
		return math.NaN()
	}
	return ascending[max(0, int(math.Ceil(part*float64(len(ascending))-1e-9))-1)]
}

// mean returns the mean of values; NaN if there are none.
func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
