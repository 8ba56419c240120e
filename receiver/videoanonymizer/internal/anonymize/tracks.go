// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
)

// trackNumbers number the people of a video from 1, in the order in which they are masked. Where a video resumes, the
// tracker numbers them anew, but here people keep the numbers that they had.
type trackNumbers struct {
	known map[int]int // by the tracker's number
	last  int
}

// resume continues numbering after last. Whoever is masked the same way in the frame before the boundary keeps their
// number. If two people are at the same place, each keeps one of their numbers.
func (n *trackNumbers) resume(last int, before, now []mask.Head) {
	n.known, n.last = map[int]int{}, last
	left := slices.Clone(before)
	for _, h := range now {
		i := slices.IndexFunc(left, func(b mask.Head) bool { return b.Track > 0 && sameMask(h, b) })
		if i >= 0 && h.Track > 0 && n.known[h.Track] == 0 {
			number := left[i].Track
			n.known[h.Track] = number
			left = slices.DeleteFunc(left, func(b mask.Head) bool { return b.Track == number })
		}
	}
}

// renumber gives the frame's masks their numbers. It changes copies, because neighboring frames use the originals.
func (n *trackNumbers) renumber(rec *record.Frame) {
	rec.Heads, rec.Bodies = slices.Clone(rec.Heads), slices.Clone(rec.Bodies)
	for i := range rec.Heads {
		rec.Heads[i].Track = n.of(rec.Heads[i].Track)
	}
	for i := range rec.Bodies {
		rec.Bodies[i].Track = n.of(rec.Bodies[i].Track)
	}
}

func (n *trackNumbers) of(track int) int {
	if track == 0 {
		return 0
	}
	if n.known == nil {
		n.known = map[int]int{}
	}
	if n.known[track] == 0 {
		n.last++
		n.known[track] = n.last
	}
	return n.known[track]
}
