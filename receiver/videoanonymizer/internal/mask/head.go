// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// Origin tells where a mask comes from.
type Origin string

const (
	// OriginPose: the head was located by facial keypoints or shoulders.
	OriginPose Origin = "pose"
	// OriginFace: located by a face alone, whose person was not found.
	OriginFace Origin = "face"
	// OriginBox: no trustworthy keypoint, or too few to be sure of a face; the top of the person's box, with those.
	OriginBox Origin = "box"
	// OriginInterpolated: between two sightings of the same person.
	OriginInterpolated Origin = "interpolated"
	// OriginHeld: carried beyond a person's first or last sighting.
	OriginHeld Origin = "held"
	// OriginFrame: the frame could not be judged and is masked whole.
	OriginFrame Origin = "frame"
)

// Head is the ellipse that covers a head: centre and half axes in pixels of the frame, and the angle in radians by
// which the ellipse's vertical axis is turned clockwise (0: upright).
type Head struct {
	X, Y   float32
	RX, RY float32
	Angle  float32
	// Box asks for the upright rectangle around the ellipse to be covered rather than the ellipse.
	Box bool
	// Score is the confidence 0..1 of what the head was derived from.
	Score  float32
	Origin Origin
}

// Sane reports whether the head has a place and a positive size, both within a million pixels. Of a head that has not
// nothing is known, not even where it is.
func (h Head) Sane() bool {
	const most = 1e6
	for _, v := range [...]float32{h.X, h.Y, h.Angle} {
		if !(v > -most && v < most) {
			return false
		}
	}
	return h.RX > 0 && h.RX < most && h.RY > 0 && h.RY < most
}

// Bounds is the upright rectangle around the ellipse.
func (h Head) Bounds() vision.Box {
	q := h.quadric()
	ex, ey := float32(math.Sqrt(q.xx)), float32(math.Sqrt(q.yy))
	return vision.Box{X0: h.X - ex, Y0: h.Y - ey, X1: h.X + ex, Y1: h.Y + ey}
}

// Contains reports whether the head covers the point.
func (h Head) Contains(x, y float32) bool {
	if h.Box {
		b := h.Bounds()
		return x >= b.X0 && x <= b.X1 && y >= b.Y0 && y <= b.Y1
	}
	return h.norm(float64(x), float64(y)) <= 1
}

// Grow adds pixels to both half axes.
func (h Head) Grow(pixels float32) Head {
	h.RX += pixels
	h.RY += pixels
	return h
}

// Union is a head that covers both: the larger one where it covers the other already, otherwise an ellipse (or, where
// either is one, a box) around the two. Score and origin are those of a.
func Union(a, b Head) Head {
	switch {
	case a.covers(b):
		return a
	case b.covers(a):
		b.Score, b.Origin = a.Score, a.Origin
		return b
	}
	out := a
	if a.Box || b.Box {
		out.Angle, out.Box = 0, true
	}
	// The ellipse inscribed in the box around both, in the axes of the first, then grown to reach around them.
	la, lb := a.extent(out.Angle), b.extent(out.Angle)
	x0, x1 := math.Min(la[0], lb[0]), math.Max(la[1], lb[1])
	y0, y1 := math.Min(la[2], lb[2]), math.Max(la[3], lb[3])
	sin, cos := math.Sincos(float64(out.Angle))
	cx, cy := (x0+x1)/2, (y0+y1)/2
	out.X, out.Y = float32(cx*cos-cy*sin), float32(cx*sin+cy*cos)
	out.RX, out.RY = float32((x1-x0)/2), float32((y1-y0)/2)
	if !out.Box {
		reach := float32(math.Max(out.reach(a), out.reach(b)))
		out.RX, out.RY = out.RX*reach, out.RY*reach
	}
	return out
}

// covers reports whether every point of the other head is covered.
func (h Head) covers(o Head) bool {
	if h.Box {
		a, b := h.Bounds(), o.Bounds()
		return a.X0 <= b.X0 && a.Y0 <= b.Y0 && a.X1 >= b.X1 && a.Y1 >= b.Y1
	}
	return h.reach(o) <= 1
}

// outline is the number of points that stand for an ellipse's edge; between them the edge lies at most
// 1/cos(pi/outline) further out.
const outline = 32

// reach is the factor by which the ellipse's axes must grow to reach around the other head.
func (h Head) reach(o Head) float64 {
	if o == h {
		return 1
	}
	sin, cos := math.Sincos(float64(h.Angle))
	ax, ay, bx, by := cos/float64(h.RX), sin/float64(h.RX), -sin/float64(h.RY), cos/float64(h.RY)
	var square float64
	include := func(x, y float64) {
		x, y = x-float64(h.X), y-float64(h.Y)
		u, v := x*ax+y*ay, x*bx+y*by
		square = max(square, u*u+v*v)
	}
	if o.Box {
		b := o.Bounds()
		for _, p := range [...][2]float32{{b.X0, b.Y0}, {b.X1, b.Y0}, {b.X0, b.Y1}, {b.X1, b.Y1}} {
			include(float64(p[0]), float64(p[1]))
		}
		return math.Sqrt(square)
	}
	sin, cos = math.Sincos(float64(o.Angle))
	ux, uy, vx, vy := cos*float64(o.RX), sin*float64(o.RX), -sin*float64(o.RY), cos*float64(o.RY)
	for _, p := range unitCircle {
		include(float64(o.X)+p[0]*ux+p[1]*vx, float64(o.Y)+p[0]*uy+p[1]*vy)
	}
	return math.Sqrt(square) / math.Cos(math.Pi/outline)
}

var unitCircle = func() (p [outline][2]float64) {
	for i := range p {
		p[i][1], p[i][0] = math.Sincos(2 * math.Pi * float64(i) / outline)
	}
	return p
}()

// norm is the point's distance from the centre where the ellipse's edge is at 1.
func (h Head) norm(x, y float64) float64 {
	sin, cos := math.Sincos(float64(h.Angle))
	dx, dy := x-float64(h.X), y-float64(h.Y)
	return math.Hypot((dx*cos+dy*sin)/float64(h.RX), (dy*cos-dx*sin)/float64(h.RY))
}

// extent is the head's reach x0, x1, y0, y1 along axes turned by the angle.
func (h Head) extent(angle float32) [4]float64 {
	sin, cos := math.Sincos(float64(angle))
	x, y := float64(h.X)*cos+float64(h.Y)*sin, float64(h.Y)*cos-float64(h.X)*sin
	turned := h
	turned.Angle -= angle
	q := turned.quadric()
	ex, ey := math.Sqrt(q.xx), math.Sqrt(q.yy)
	return [4]float64{x - ex, x + ex, y - ey, y + ey}
}

// quadric describes the ellipse about its centre as {(x, y): M^-1 [x y] . [x y] <= 1} with M = [xx xy; xy yy]: it
// reaches sqrt(xx) to each side and sqrt(yy) up and down.
type quadric struct{ xx, xy, yy float64 }

func (h Head) quadric() quadric {
	sin, cos := math.Sincos(float64(h.Angle))
	a, b := float64(h.RX)*float64(h.RX), float64(h.RY)*float64(h.RY)
	return quadric{xx: a*cos*cos + b*sin*sin, xy: (a - b) * sin * cos, yy: a*sin*sin + b*cos*cos}
}
