// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
)

const (
	// edgeDistance is how near to the frame's edge a head may be cut off by it, in radii of the head.
	edgeDistance = 0.4
	// edgeGrowth is by how much such a head may be larger than it seems, in radii, and edgeGrowthMax in diagonals of the
	// frame. On the footage of docs/recall.md, most heads that were not covered as people come in were cut off, and half
	// to nine tenths of them masked. Of large heads, models see enough.
	edgeGrowth    = 0.35
	edgeGrowthMax = 0.015
)

// allowForEdge grows a head that the frame's edge may cut off: what models see of it tells too little of its size.
func allowForEdge(h mask.Head, f *frame) mask.Head {
	radius := max(h.RX, h.RY)
	near := edgeDistance * radius
	b := h.Bounds()
	if b.X0 > near && b.Y0 > near && b.X1 < float32(f.Width)-near && b.Y1 < float32(f.Height)-near {
		return h
	}
	return h.Grow(min(edgeGrowth*radius, edgeGrowthMax*float32(math.Hypot(float64(f.Width), float64(f.Height)))))
}
