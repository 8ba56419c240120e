// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
)

// gapSize is the maximum size of a head interpolated between two to close a gap, relative to the smaller of the two.
const gapSize = 1.2

// closeGaps adds to the heads of a frame what the frames before and after it both cover but the frame itself does not:
// a mask missing from a single frame would reveal a face there.
func closeGaps(before, heads, after []mask.Head) []mask.Head {
	heads = heads[:len(heads):len(heads)] // appending makes a copy
	var near []mask.Head
	for _, a := range before {
		for _, b := range after {
			if !mayOverlap(a, b) {
				continue
			}
			part := smaller(a, b)
			near = near[:0]
			for _, h := range heads {
				if mayOverlap(h, part) {
					near = append(near, h)
				}
			}
			if !uncovered(a, b, near) {
				continue
			}
			middle := between(a, b, 0.5)
			// Its shape may differ from both, and between the heads of two people it is larger than what both cover.
			if size(middle) > gapSize*size(part) || uncovered(a, b, []mask.Head{middle}) {
				middle = part
			}
			middle.Origin = mask.OriginInterpolated
			if a.Origin == mask.OriginScreen && b.Origin == mask.OriginScreen {
				middle.Origin = mask.OriginScreen // so that the painter does not resize it
			}
			heads = append(heads, middle)
		}
	}
	return heads
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
