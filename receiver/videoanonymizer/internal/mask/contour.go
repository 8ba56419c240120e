// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"image"
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// Shape is the outline of a mask.
type Shape string

const (
	// Ellipse is the head's own ellipse.
	Ellipse Shape = "ellipse"
	// Circle is the smallest circle around the ellipse.
	Circle Shape = "circle"
	// Box is the upright rectangle around the ellipse.
	Box Shape = "box"
	// NoseDisc is a disc around the nose, for comparison; see GeometryOptions.
	NoseDisc Shape = "nose_disc"
)

// Shapes are all values of Shape.
var Shapes = []Shape{Ellipse, Circle, Box, NoseDisc}

// contour is the exact shape of a mask.
type contour interface {
	// area is the smallest rectangle around the samples of plane i that the mask touches.
	area(frame *media.Frame, i int) image.Rectangle
	// rows calls use for the samples of plane i that the mask touches, in runs from x0 to before x1.
	rows(frame *media.Frame, i int, use func(y, x0, x1 int))
	// extent is the longer side of the upright rectangle around the mask, in pixels of the frame, visible or not.
	extent() float64
}

// oval is the contour of a head: an ellipse or the upright rectangle around it, in pixels of the frame.
type oval struct {
	x, y      float64
	ex, ey    float64 // half the sides of the rectangle around the ellipse
	tilt      float64 // xy of the ellipse's quadric
	rectangle bool    // rather than the ellipse
}

// outline returns the contour of a head in the painter's shape and size.
func (p *Painter) outline(h Head, frame *media.Frame) oval {
	if h.Origin == OriginScreen {
		return oval{x: float64(h.X), y: float64(h.Y), ex: float64(h.RX), ey: float64(h.RY), rectangle: true}
	}
	h.RX *= float32(p.opts.Scale)
	h.RY *= float32(p.opts.Scale)
	if p.opts.Shape == Circle && !h.Box {
		h.RX = max(h.RX, h.RY)
		h.RY = h.RX
	}
	if p.opts.MaxSize > 0 {
		limit := float32(p.opts.MaxSize) * float32(min(frame.Width, frame.Height)) / 2
		h.RX, h.RY = min(h.RX, limit), min(h.RY, limit)
	}
	q := h.quadric()
	return oval{
		x: float64(h.X), y: float64(h.Y), ex: math.Sqrt(q.xx), ey: math.Sqrt(q.yy), tilt: q.xy,
		rectangle: h.Box || p.opts.Shape == Box,
	}
}

func (o oval) extent() float64 { return 2 * math.Max(o.ex, o.ey) }

func (o oval) area(frame *media.Frame, i int) image.Rectangle {
	w, h, sx, sy := planeSize(frame, i)
	x0, x1 := outward(o.x-o.ex, o.x+o.ex, sx, w)
	y0, y1 := outward(o.y-o.ey, o.y+o.ey, sy, h)
	return image.Rect(x0, y0, x1, y1)
}

func (o oval) rows(frame *media.Frame, i int, use func(y, x0, x1 int)) {
	w, _, sx, sy := planeSize(frame, i)
	area := o.area(frame, i)
	for y := area.Min.Y; y < area.Max.Y; y++ {
		left, right := -o.ex, o.ex
		if !o.rectangle {
			left, right = o.chord(float64(y)*sy-o.y, float64(y+1)*sy-o.y)
		}
		if x0, x1 := outward(o.x+left, o.x+right, sx, w); x0 < x1 {
			use(y, x0, x1)
		}
	}
}

// chord returns how far the part of the ellipse between two heights extends to the left and right, all relative to the
// center.
//
// At height y the ellipse spans tilt/ey^2 * y +- sqrt(det)/ey * sqrt(1 - y^2/ey^2). Its right side is a concave
// function of y with its maximum, ex, at y = tilt/ex. So within a range of heights it extends furthest where y is
// nearest to that. The left side is point symmetric to it.
func (o oval) chord(top, bottom float64) (left, right float64) {
	top, bottom = math.Max(top, -o.ey), math.Min(bottom, o.ey)
	det := o.ex*o.ex*o.ey*o.ey - o.tilt*o.tilt
	side := func(y float64) (middle, half float64) {
		t := y / o.ey
		return o.tilt / o.ey * t, math.Sqrt(math.Max(0, det*(1-t*t))) / o.ey
	}
	clamp := func(y float64) float64 { return math.Max(top, math.Min(bottom, y)) }
	middle, half := side(clamp(o.tilt / o.ex))
	right = middle + half
	middle, half = side(clamp(-o.tilt / o.ex))
	left = middle - half
	return left, right
}

// intersection is the area that both a contour of the first list and one of the second touch.
type intersection [2][]contour

func (c intersection) area(frame *media.Frame, i int) image.Rectangle {
	var areas [2]image.Rectangle
	for k, contours := range c {
		for _, o := range contours {
			areas[k] = areas[k].Union(o.area(frame, i))
		}
	}
	return areas[0].Intersect(areas[1])
}

func (c intersection) extent() (longest float64) {
	for _, contours := range c {
		for _, o := range contours {
			longest = math.Max(longest, o.extent())
		}
	}
	return longest
}

func (c intersection) rows(frame *media.Frame, i int, use func(y, x0, x1 int)) {
	area := c.area(frame, i)
	if area.Empty() {
		return
	}
	// One bit for each of the two lists.
	touched := make([]uint8, area.Dx()*area.Dy())
	for k, contours := range c {
		for _, o := range contours {
			o.rows(frame, i, func(y, x0, x1 int) {
				if x0, x1 = max(x0, area.Min.X), min(x1, area.Max.X); x0 >= x1 || y < area.Min.Y || y >= area.Max.Y {
					return
				}
				row := touched[(y-area.Min.Y)*area.Dx():][:area.Dx()]
				for x := x0; x < x1; x++ {
					row[x-area.Min.X] |= 1 << k
				}
			})
		}
	}
	for y := range area.Dy() {
		row := touched[y*area.Dx():][:area.Dx()]
		for x0 := 0; x0 < len(row); x0++ {
			if row[x0] != 3 {
				continue
			}
			x1 := x0 + 1
			for x1 < len(row) && row[x1] == 3 {
				x1++
			}
			use(area.Min.Y+y, area.Min.X+x0, area.Min.X+x1)
			x0 = x1
		}
	}
}

// outward returns the range of samples, each scale pixels wide, that the range of pixels from a to b touches, limited
// to a plane of size samples.
func outward(a, b, scale float64, size int) (from, to int) {
	limit := func(v float64) int { return int(math.Max(0, math.Min(float64(size), v))) }
	return limit(math.Floor(a / scale)), limit(math.Ceil(b / scale))
}

// planeSize returns the size of plane i in samples, and the size of a sample in pixels of the frame.
func planeSize(frame *media.Frame, i int) (width, height int, scaleX, scaleY float64) {
	scaleX, scaleY = 1, 1
	if frame.Format.IsChroma(i) {
		scaleX, scaleY = float64(int(1)<<frame.Format.ChromaShiftX), float64(int(1)<<frame.Format.ChromaShiftY)
	}
	return frame.Planes[i].Width, frame.Planes[i].Height, scaleX, scaleY
}
