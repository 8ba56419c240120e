// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"math"
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// Origin says what a mask is derived from.
type Origin string

const (
	// OriginPose means that the head was located by facial keypoints or shoulders.
	OriginPose Origin = "pose"
	// OriginFace means that the head was located by a face whose person was not found.
	OriginFace Origin = "face"
	// OriginBox means that too few keypoints, or none, were trusted to be sure of a face; the mask covers them and the top
	// of the person's box.
	OriginBox Origin = "box"
	// OriginInterpolated means that the head lies between two sightings of the same person.
	OriginInterpolated Origin = "interpolated"
	// OriginHeld means that the head was carried beyond the first or last sighting of a person.
	OriginHeld Origin = "held"
	// OriginFrame means that the frame is masked whole: it could not be analyzed, or a head in it may be anywhere.
	OriginFrame Origin = "frame"
	// OriginScreen means that it is a screen instead of a head. The painter's options do not change its shape and size.
	OriginScreen Origin = "screen"
	// OriginAdded means that a reviewer drew it. Package edits paints it as drawn, whatever the options for other masks.
	OriginAdded Origin = "added"
)

// Head is the ellipse that covers a head.
type Head struct {
	// X and Y are the center, RX and RY the half axes, in pixels of the frame.
	X, Y   float32
	RX, RY float32
	// Angle is how far the ellipse is turned clockwise, in radians; at 0 RY is vertical.
	Angle float32
	// Box covers the upright rectangle around the ellipse instead of the ellipse.
	Box bool
	// Score is the confidence 0..1 of what the head is derived from.
	Score  float32
	Origin Origin
	// Track is the number of the person that the head belongs to, from 1 on; 0 if that is not known.
	Track int
}

// Sane reports whether the head has a position and a positive size, both within a million pixels. A head that is not
// sane may be anywhere.
func (h Head) Sane() bool {
	const limit = 1e6
	for _, v := range [...]float32{h.X, h.Y, h.Angle} {
		if !(v > -limit && v < limit) {
			return false
		}
	}
	return h.RX > 0 && h.RX < limit && h.RY > 0 && h.RY < limit
}

// Bounds returns the upright rectangle around the ellipse.
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

// containsBox reports whether the head covers the box.
func (h Head) containsBox(b vision.Box) bool {
	return h.Contains(b.X0, b.Y0) && h.Contains(b.X1, b.Y0) && h.Contains(b.X0, b.Y1) && h.Contains(b.X1, b.Y1)
}

// Contained reports whether one of the heads covers the point.
func Contained(x, y float32, heads []Head) bool {
	return slices.ContainsFunc(heads, func(h Head) bool { return h.Contains(x, y) })
}

// Grow adds pixels to both half axes.
func (h Head) Grow(pixels float32) Head {
	h.RX += pixels
	h.RY += pixels
	return h
}

// Union returns a head that covers both: the larger one if it covers the other already, otherwise an ellipse around the
// two, or a box if either is one. Score and origin are those of a.
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
	// Inscribe an ellipse in the box around both, along the first one's axes, then enlarge it to enclose them.
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

// edgePoints is the number of points that represent an ellipse's edge. Between them, the edge is at most
// 1/cos(pi/edgePoints) times as far out.
const edgePoints = 32

// reach returns the factor by which the ellipse's axes must grow to enclose the other head.
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
	return math.Sqrt(square) / math.Cos(math.Pi/edgePoints)
}

var unitCircle = func() (p [edgePoints][2]float64) {
	for i := range p {
		p[i][1], p[i][0] = math.Sincos(2 * math.Pi * float64(i) / edgePoints)
	}
	return p
}()

// norm returns the point's distance from the center, relative to the ellipse: 1 on its edge.
func (h Head) norm(x, y float64) float64 {
	sin, cos := math.Sincos(float64(h.Angle))
	dx, dy := x-float64(h.X), y-float64(h.Y)
	return math.Hypot((dx*cos+dy*sin)/float64(h.RX), (dy*cos-dx*sin)/float64(h.RY))
}

// extent returns the head's range x0, x1, y0, y1 along axes turned by the angle.
func (h Head) extent(angle float32) [4]float64 {
	sin, cos := math.Sincos(float64(angle))
	x, y := float64(h.X)*cos+float64(h.Y)*sin, float64(h.Y)*cos-float64(h.X)*sin
	turned := h
	turned.Angle -= angle
	q := turned.quadric()
	ex, ey := math.Sqrt(q.xx), math.Sqrt(q.yy)
	return [4]float64{x - ex, x + ex, y - ey, y + ey}
}

// quadric describes the ellipse around its center as {(x, y): M^-1 [x y] . [x y] <= 1} with M = [xx xy; xy yy]: it
// reaches sqrt(xx) to each side, and sqrt(yy) up and down.
type quadric struct{ xx, xy, yy float64 }

func (h Head) quadric() quadric {
	sin, cos := math.Sincos(float64(h.Angle))
	a, b := float64(h.RX)*float64(h.RX), float64(h.RY)*float64(h.RY)
	return quadric{xx: a*cos*cos + b*sin*sin, xy: (a - b) * sin * cos, yy: a*sin*sin + b*cos*cos}
}

// ellipse returns a head whose crown lies in the direction of the unit vector up.
func ellipse(center, up point, rx, ry float64) Head {
	return Head{
		X: float32(center.x), Y: float32(center.y), RX: float32(rx), RY: float32(ry),
		Angle: float32(math.Atan2(up.x, -up.y)),
	}
}

// FrameHead returns a head that covers a whole frame of the given size in pixels.
func FrameHead(width, height int) Head {
	w, h := float32(width)/2, float32(height)/2
	return Head{X: w, Y: h, RX: w, RY: h, Box: true, Origin: OriginFrame}
}
