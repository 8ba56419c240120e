// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math"
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
)

// gapSize is the maximum size of a head interpolated between two to close a gap, relative to the smaller of the two.
const gapSize = 1.2

// closeGaps adds to the heads of a frame what the frames before and after it both cover but the frame itself does not:
// a mask missing from a single frame would reveal a face there. What it adds opens no gap in the frame before, which
// earlier, the frame before that, covers, too.
func closeGaps(earlier, before, heads, after []mask.Head) []mask.Head {
	heads = heads[:len(heads):len(heads)] // appending makes a copy
	for _, a := range before {
		for _, b := range after {
			if !mayOverlap(a, b) || !opens(a, b, heads) {
				continue
			}
			added := between(a, b, 0.5)
			part := smaller(a, b)
			// Its shape may differ from both, and between the heads of two people it is larger than what both cover.
			if size(added) > gapSize*size(part) || uncovered(a, b, []mask.Head{added}) {
				added = part
			}
			tears := func(e mask.Head) bool { return mayOverlap(e, added) && opens(e, added, before) }
			if slices.ContainsFunc(earlier, tears) {
				added = a
			}
			added.Origin = mask.OriginInterpolated
			if a.Origin == mask.OriginScreen && b.Origin == mask.OriginScreen {
				added.Origin = mask.OriginScreen // so that the painter does not resize it
			}
			heads = append(heads, added)
		}
	}
	return heads
}

// opens reports whether the heads of a frame leave part of what a and b, in the frames before and after it, both cover
// uncovered.
func opens(a, b mask.Head, heads []mask.Head) bool {
	part := smaller(a, b)
	var near []mask.Head
	for _, h := range heads {
		if mayOverlap(h, part) {
			near = append(near, h)
		}
	}
	return uncovered(a, b, near)
}

// uncovered reports whether the heads leave part of the intersection of a and b uncovered, at 37 points of the smaller
// one.
func uncovered(a, b mask.Head, heads []mask.Head) bool {
	if s := smaller(a, b); s != a {
		a, b = b, a
	}
	shows := func(x, y float32) bool { return b.Contains(x, y) && !mask.Contained(x, y, heads) }
	if shows(a.X, a.Y) {
		return true
	}
	sin, cos := math.Sincos(float64(a.Angle))
	for _, radius := range [...]float64{0.4, 0.7, 0.95} {
		for i := range 12 {
			v, u := math.Sincos(float64(i) * math.Pi / 6)
			u, v = u*radius*float64(a.RX), v*radius*float64(a.RY)
			if shows(a.X+float32(u*cos-v*sin), a.Y+float32(u*sin+v*cos)) {
				return true
			}
		}
	}
	return false
}

// smaller returns the head with the smaller ellipse.
func smaller(a, b mask.Head) mask.Head {
	if b.RX*b.RY < a.RX*a.RY {
		return b
	}
	return a
}

// mayOverlap reports whether two heads may overlap.
func mayOverlap(a, b mask.Head) bool {
	if a.Origin == mask.OriginFrame || b.Origin == mask.OriginFrame {
		return false
	}
	// Heads farther apart than this cannot overlap, which rules out most pairs in a crowd.
	dx, dy, reach := a.X-b.X, a.Y-b.Y, a.RX+a.RY+b.RX+b.RY
	if dx*dx+dy*dy > reach*reach {
		return false
	}
	return a.Bounds().Overlaps(b.Bounds())
}
