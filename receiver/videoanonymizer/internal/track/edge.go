// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
)

const (
	// edgeDistance is how near to the frame's edge a head may be cut off by it, in radii of the head.
	edgeDistance = 0.4
	// edgeGrowth is by how much such a head may be larger than it seems, in radii, and edgeGrowthMax in diagonals of the
	// frame: of large heads, models see enough.
	edgeGrowth    = 0.35
	edgeGrowthMax = 0.015
	// entering is for how long after the first sighting somebody may still be coming into view.
	entering = time.Second
	// settlesIn is how long after the beginning of a scene people are found who were there from the beginning.
	settlesIn = 500 * time.Millisecond
)

// allowForEdge grows a head that the frame's edge may cut off while somebody comes into view: what models see of it
// tells too little of its size.
func (t *track) allowForEdge(h mask.Head, f *frame) mask.Head {
	if !t.enters || f.Time-t.began > entering {
		return h
	}
	radius := max(h.RX, h.RY)
	near := edgeDistance * radius
	b := h.Bounds()
	if b.X0 > near && b.Y0 > near && b.X1 < float32(f.Width)-near && b.Y1 < float32(f.Height)-near {
		return h
	}
	return h.Grow(min(edgeGrowth*radius, edgeGrowthMax*float32(math.Hypot(float64(f.Width), float64(f.Height)))))
}
