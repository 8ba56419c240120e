// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math"
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
)

const (
	// Two frames agree if each head has a counterpart in the other frame that is at most agreeOffset head sizes away, and
	// larger or smaller by at most the factor agreeSize.
	agreeOffset, agreeSize = 2.0, 1.5
	// knownOffset is the largest distance, in head sizes, between the centers of two heads that count as the same.
	knownOffset = 1.0
)

// Heads returns the heads found in a frame that count by themselves, without a track.
func Heads(o Observation, opts mask.GeometryOptions) []mask.Head {
	f := &frame{Observation: o}
	confirmed, _ := f.sightings(opts)
	heads := make([]mask.Head, len(confirmed))
	for i, s := range confirmed {
		heads[i] = s.head
	}
	if f.whole {
		heads = append(heads, mask.FrameHead(o.Width, o.Height))
	}
	return heads
}

// Apart returns the heads of either of two frames that have no counterpart at about the same place in the other, in the
// scene or in the picture: gone are those of a, come those of b. moved is how far the camera has moved the picture. If
// there are none, the heads of a frame in between follow from the two.
func Apart(a, b []mask.Head, moved Vector) (gone, come []mask.Head) {
	gone, come = unmatched(a, b, moved)
	if moved != (Vector{}) {
		gone, come = unmatched(gone, come, Vector{})
	}
	return gone, come
}

// unmatched returns the heads of a that, once moved, are near no head of b, and the heads of b that are near none of a.
func unmatched(a, b []mask.Head, moved Vector) (ofA, ofB []mask.Head) {
	ofB = slices.Clone(b)
	for _, h := range a {
		at := h
		at.X, at.Y = at.X+moved.X, at.Y+moved.Y
		i := nearest(at, ofB)
		if i < 0 || !near(at, ofB[i]) {
			ofA = append(ofA, h)
			continue
		}
		ofB = slices.Delete(ofB, i, i+1)
	}
	return ofA, ofB
}

func near(a, b mask.Head) bool {
	return offset(sighting{head: a}, sighting{head: b}) <= agreeOffset &&
		math.Abs(math.Log(size(a)/size(b))) <= math.Log(agreeSize)
}

// nearest returns the index of the head whose center is nearest, or -1 if there is none.
func nearest(h mask.Head, heads []mask.Head) int {
	best, least := -1, math.Inf(1)
	for i, o := range heads {
		if d := math.Hypot(float64(h.X-o.X), float64(h.Y-o.Y)); d < least {
			best, least = i, d
		}
	}
	return best
}

// Unknown returns the heads that are not among the known ones.
func Unknown(heads, known []mask.Head) (unknown []mask.Head) {
	for _, h := range heads {
		if !slices.ContainsFunc(known, func(k mask.Head) bool {
			return k.Contains(h.X, h.Y) || offset(sighting{head: h}, sighting{head: k}) <= knownOffset
		}) {
			unknown = append(unknown, h)
		}
	}
	return unknown
}
