// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math"
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
)

const (
	// Two frames agree if each head has one in the other frame that is at most agreeOffset head sizes away, and larger
	// or smaller by at most the factor agreeSize.
	agreeOffset, agreeSize = 2.0, 1.5
	// knownOffset is by how many head sizes the center of a head may be away from one that it is the same as.
	knownOffset = 1.0
)

// Heads are the heads found in a frame which count by themselves, without a track.
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

// Apart are the heads found in either of two frames that are not at about the same place in the other, in the scene or
// in the picture, given by how much the camera has moved the picture: those of a that have gone, and those of b that
// have come. Without any, the heads of a frame in between can be told from the two.
func Apart(a, b []mask.Head, moved Vector) (gone, come []mask.Head) {
	gone, come = unmatched(a, b, moved)
	if moved != (Vector{}) {
		gone, come = unmatched(gone, come, Vector{})
	}
	return gone, come
}

// unmatched are the heads of a that are near none of b, if moved, and those of b that are near none of a.
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

// nearest is the index of the head whose center is nearest, -1 if there is none.
func nearest(h mask.Head, heads []mask.Head) int {
	best, least := -1, math.Inf(1)
	for i, o := range heads {
		if d := math.Hypot(float64(h.X-o.X), float64(h.Y-o.Y)); d < least {
			best, least = i, d
		}
	}
	return best
}

// Unknown are the heads that are none of the known ones.
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
