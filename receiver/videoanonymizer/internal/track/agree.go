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

// Apart are the heads found in either of two frames that are not at about the same place in the other. Without any, the
// heads of a frame in between can be told from the two.
func Apart(a, b []mask.Head) (apart []mask.Head) {
	left := slices.Clone(b)
	for _, h := range a {
		i := nearest(h, left)
		if i < 0 || !near(h, left[i]) {
			apart = append(apart, h)
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	return append(apart, left...)
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
