// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
)

const (
	// edgeDistance is the distance from the frame's edge, in radii of the head, up to which the edge may cut off a head.
	edgeDistance = 0.4
	// edgeGrowth is how much larger than it looks such a head may be, in radii, and edgeGrowthMax the limit, in diagonals
	// of the frame: models see enough of large heads.
	edgeGrowth    = 0.35
	edgeGrowthMax = 0.015
	// entering is how long after the first sighting a person may still be coming into view.
	entering = time.Second
	// settlesIn is how long after a scene begins the people who are in it from the beginning are found.
	settlesIn = 500 * time.Millisecond
)

// allowForEdge grows a head that the frame's edge may cut off while its person comes into view: the part that models
// see says too little about its size.
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
