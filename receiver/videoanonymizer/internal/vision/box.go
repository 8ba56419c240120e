// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

// Box is an upright rectangle in pixels of the frame, without its right and lower edges X1 and Y1. It may reach beyond
// the frame.
type Box struct{ X0, Y0, X1, Y1 float32 }

// Width returns the horizontal side in pixels.
func (b Box) Width() float32 { return b.X1 - b.X0 }

// Height returns the vertical side in pixels.
func (b Box) Height() float32 { return b.Y1 - b.Y0 }

// Center returns the middle of the box.
func (b Box) Center() (x, y float32) { return (b.X0 + b.X1) / 2, (b.Y0 + b.Y1) / 2 }

// Moved returns the box shifted by a number of pixels.
func (b Box) Moved(dx, dy float32) Box {
	return Box{X0: b.X0 + dx, Y0: b.Y0 + dy, X1: b.X1 + dx, Y1: b.Y1 + dy}
}

// Contains reports whether the box contains a point.
func (b Box) Contains(x, y float32) bool { return x >= b.X0 && x <= b.X1 && y >= b.Y0 && y <= b.Y1 }

// Grown returns the box with a share of its size added on each side.
func (b Box) Grown(share float32) Box {
	dx, dy := share*b.Width(), share*b.Height()
	return Box{X0: b.X0 - dx, Y0: b.Y0 - dy, X1: b.X1 + dx, Y1: b.Y1 + dy}
}

// Clipped returns the part of the box within a frame of the given size in pixels; without area if the box lies outside.
func (b Box) Clipped(width, height int) Box {
	return Box{X0: max(b.X0, 0), Y0: max(b.Y0, 0), X1: min(b.X1, float32(width)), Y1: min(b.Y1, float32(height))}
}

// Overlaps reports whether the boxes have more than an edge in common.
func (b Box) Overlaps(o Box) bool {
	return b.X0 < o.X1 && o.X0 < b.X1 && b.Y0 < o.Y1 && o.Y0 < b.Y1
}

// Union returns the smallest box around both.
func (b Box) Union(o Box) Box {
	return Box{X0: min(b.X0, o.X0), Y0: min(b.Y0, o.Y0), X1: max(b.X1, o.X1), Y1: max(b.Y1, o.Y1)}
}

// Within reports whether the box lies within another.
func (b Box) Within(o Box) bool { return b.X0 >= o.X0 && b.Y0 >= o.Y0 && b.X1 <= o.X1 && b.Y1 <= o.Y1 }

// IoU returns the intersection over union of two boxes, 0..1.
func IoU(a, b Box) float64 {
	w := float64(min(a.X1, b.X1) - max(a.X0, b.X0))
	h := float64(min(a.Y1, b.Y1) - max(a.Y0, b.Y0))
	if !(w > 0 && h > 0) {
		return 0
	}
	both := float64(a.Width())*float64(a.Height()) + float64(b.Width())*float64(b.Height())
	return w * h / (both - w*h)
}

// Shared returns the share 0..1 of the box that another one covers; 0 if the box is empty.
func (b Box) Shared(o Box) float32 {
	width, height := min(b.X1, o.X1)-max(b.X0, o.X0), min(b.Y1, o.Y1)-max(b.Y0, o.Y0)
	if !(width > 0 && height > 0) {
		return 0
	}
	return width * height / (b.Width() * b.Height())
}
