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
	agreeOffset, agreeSize = 1.0, 1.5
	// knownOffset is by how many head sizes the center of a head may be away from one that it is the same as.
	knownOffset = 1.0
	// stayOffset is by how many head sizes someone moves at most who stays in place.
	stayOffset = 0.5
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

// Agree reports whether the heads found in two frames are the same at about the same places, so that those of a frame
// in between can be told from the two.
func Agree(a, b []mask.Head) bool {
	if len(a) != len(b) {
		return false
	}
	left := slices.Clone(b)
	for _, h := range a {
		i := nearest(h, left)
		if distance := offset(sighting{head: h}, sighting{head: left[i]}); !(distance <= agreeOffset) ||
			!(math.Abs(math.Log(size(h)/size(left[i]))) <= math.Log(agreeSize)) {
			return false
		}
		left = slices.Delete(left, i, i+1)
	}
	return true
}

// nearest is the index of the head, of at least one, whose center is nearest.
func nearest(h mask.Head, heads []mask.Head) (best int) {
	least := math.Inf(1)
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

// Among reports whether each of the heads is at the same place as one of the others.
func Among(heads, others []mask.Head) bool {
	for _, h := range heads {
		if !slices.ContainsFunc(others, func(o mask.Head) bool {
			return offset(sighting{head: h}, sighting{head: o}) <= stayOffset
		}) {
			return false
		}
	}
	return true
}
