// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"image"
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// Method says how much of people is masked.
type Method string

const (
	// Heads masks heads.
	Heads Method = "heads"
	// Whitelist masks everything that segmentation takes for a person, except what the pose proves not to be the head;
	// see Body.
	Whitelist Method = "whitelist"
)

// Methods are all values of Method.
var Methods = []Method{Heads, Whitelist}

// Body covers a person, except what is proven not to be the head.
type Body struct {
	// Box is in pixels of the frame; the cells divide it evenly.
	Box vision.Box
	// Track is as in Head.
	Track int
	// covered are the cells to paint, shown those before trunk and limbs were uncovered. If nil, all of Box is painted.
	covered, shown *vision.Bitmap
}

// limbs are the limbs to uncover, with their dimensions in centimeters. To stay within the limbs, the length is at most
// that of 99 % of men, and the radius half that of adults (NASA-STD-3000, volume 1, section 3).
var limbs = [...]struct {
	a, b           int
	length, radius float64
}{
	{vision.LeftShoulder, vision.LeftElbow, 40, 3},
	{vision.RightShoulder, vision.RightElbow, 40, 3},
	{vision.LeftElbow, vision.LeftWrist, 34, 2.5},
	{vision.RightElbow, vision.RightWrist, 34, 2.5},
	{vision.LeftHip, vision.LeftKnee, 55, 5},
	{vision.RightHip, vision.RightKnee, 55, 5},
	{vision.LeftKnee, vision.LeftAnkle, 52, 3.5},
	{vision.RightKnee, vision.RightAnkle, 52, 3.5},
}

const (
	// provenScore is the minimum confidence at which a keypoint proves that its position is not on the head.
	provenScore = confirmingScore
	// trunkShare is the share of the quadrilateral of shoulders and hips, around its middle, that is uncovered.
	trunkShare = 0.8
	// headClearance enlarges the head's mask; nothing within it is uncovered.
	headClearance = 1.25
	// A silhouette that shows less than minShown of its person's box, or contains less than minPlaced of the trusted
	// keypoints, has missed the person.
	minShown  = 0.15
	minPlaced = 0.75
	// boxMargin is how far the mask of a person whom the silhouette missed exceeds the box on each side, relative to it.
	boxMargin = 0.05
)

// LocateBodies returns, for each person in order, what to cover besides the head, or nil if there is no silhouette: all
// that the silhouette shows except the trunk and limbs that the pose proves, or the person's box if the silhouette
// shows too little. heads are the result of LocateHeads; the frame's size is in pixels.
func LocateBodies(people []vision.Person, heads []Head, frameWidth, frameHeight int) []*Body {
	figures := make([]figure, len(people))
	for i, p := range people {
		figures[i] = newFigure(p, frameWidth, frameHeight, provenScore)
	}
	resolveSharedKeypoints(figures)
	bodies := make([]*Body, len(people))
	for i, p := range people {
		if p.Silhouette != nil && figures[i].valid {
			bodies[i] = figures[i].body(heads[i])
		}
	}
	return bodies
}

// body returns what to cover of a person with a silhouette.
func (f *figure) body(head Head) *Body {
	s := f.person.Silhouette
	if !f.shownBy(s) {
		b := f.person.Box
		dx, dy := boxMargin*b.Width(), boxMargin*b.Height()
		return &Body{Box: vision.Box{X0: b.X0 - dx, Y0: b.Y0 - dy, X1: b.X1 + dx, Y1: b.Y1 + dy}}
	}
	body := &Body{Box: s.Box, covered: &s.Cells, shown: &s.Cells}
	// If no facial keypoint is certain, the face may be in front of the trunk.
	_, face := f.mean(vision.Nose, vision.LeftEye, vision.RightEye, vision.LeftEar, vision.RightEar)
	if face && head.Origin == OriginPose && head.Sane() {
		head.RX, head.RY = head.RX*headClearance, head.RY*headClearance
		covered := s.Cells.Clone()
		body.covered = &covered
		for _, part := range f.provenParts() {
			body.uncover(part, head)
		}
	}
	return body
}

// shownBy reports whether the silhouette shows the person.
func (f *figure) shownBy(s *vision.Silhouette) bool {
	g := gridOf(s.Box, s.Cells)
	x0, x1 := outward((f.box.x0-g.x)/g.w, (f.box.x1-g.x)/g.w, 1, s.Cells.Width)
	y0, y1 := outward((f.box.y0-g.y)/g.h, (f.box.y1-g.y)/g.h, 1, s.Cells.Height)
	shown := 0
	for y := y0; y < y1; y++ {
		for x := x0; x < x1; x++ {
			if s.Cells.At(x, y) {
				shown++
			}
		}
	}
	if float64(shown) < minShown*float64((x1-x0)*(y1-y0)) || shown == 0 {
		return false
	}
	trusted, placed := 0, 0
	for k, p := range f.at {
		x, y := int((p.x-g.x)/g.w), int((p.y-g.y)/g.h)
		if f.trusted[k] && x >= 0 && y >= 0 && x < s.Cells.Width && y < s.Cells.Height {
			trusted++
			if s.Cells.At(x, y) {
				placed++
			}
		}
	}
	return float64(placed) >= minPlaced*float64(trusted)
}

// convex is the area within a radius of the line between two points, or within four corners.
type convex struct {
	corners []point
	radius  float64
}

// provenParts returns the parts of trunk and limbs that the pose proves.
func (f *figure) provenParts() (parts []convex) {
	scale, _ := f.bodyScale()
	scale = f.clampScale(scale)
	for _, l := range limbs {
		a, b := f.at[l.a], f.at[l.b]
		if f.trusted[l.a] && f.trusted[l.b] && a.distance(b) <= l.length*scale+2*f.noise {
			parts = append(parts, convex{[]point{a, b}, l.radius * scale})
		}
	}
	trunk := [...]int{vision.LeftShoulder, vision.RightShoulder, vision.RightHip, vision.LeftHip}
	corners := make([]point, 0, len(trunk))
	for _, k := range trunk {
		if !f.trusted[k] {
			return parts
		}
		corners = append(corners, f.at[k])
	}
	middle, _ := f.mean(trunk[:]...)
	for i, c := range corners {
		corners[i] = middle.to(c, trunkShare)
	}
	return append(parts, convex{corners: corners})
}

func (c convex) contains(p point) bool {
	if len(c.corners) == 2 {
		a, b := c.corners[0], c.corners[1]
		along := b.sub(a)
		t := 0.0
		if square := along.dot(along); square > 0 {
			t = math.Max(0, math.Min(1, p.sub(a).dot(along)/square))
		}
		return p.distance(a.to(b, t)) <= c.radius
	}
	// A point inside is on the same side of all four; a trunk whose sides cross contains nothing.
	var left, right bool
	for i, a := range c.corners {
		side := c.corners[(i+1)%len(c.corners)].sub(a).turned().dot(p.sub(a))
		left, right = left || side > 0, right || side < 0
	}
	return !(left && right)
}

// uncover clears the cells that lie wholly within the part and outside the head.
func (b *Body) uncover(part convex, head Head) {
	g := gridOf(b.Box, *b.covered)
	low, high := part.corners[0], part.corners[0]
	for _, c := range part.corners {
		low = point{math.Min(low.x, c.x), math.Min(low.y, c.y)}
		high = point{math.Max(high.x, c.x), math.Max(high.y, c.y)}
	}
	x0, x1 := outward(low.x-part.radius-g.x, high.x+part.radius-g.x, g.w, b.covered.Width)
	y0, y1 := outward(low.y-part.radius-g.y, high.y+part.radius-g.y, g.h, b.covered.Height)
	for y := y0; y < y1; y++ {
		for x := x0; x < x1; x++ {
			if b.covered.At(x, y) && g.allCorners(x, y, func(p point) bool {
				return part.contains(p) && !head.Contains(float32(p.x), float32(p.y))
			}) {
				b.covered.Clear(x, y)
			}
		}
	}
}

// grid is the position of cells in the frame: the upper left corner, and the size of a cell, in pixels.
type grid struct{ x, y, w, h float64 }

func gridOf(b vision.Box, cells vision.Bitmap) grid {
	w, h := float64(b.Width())/float64(cells.Width), float64(b.Height())/float64(cells.Height)
	return grid{x: float64(b.X0), y: float64(b.Y0), w: w, h: h}
}

// allCorners reports whether all four corners of a cell match.
func (g grid) allCorners(x, y int, match func(point) bool) bool {
	for _, c := range [...][2]int{{0, 0}, {1, 0}, {0, 1}, {1, 1}} {
		if !match(point{g.x + float64(x+c[0])*g.w, g.y + float64(y+c[1])*g.h}) {
			return false
		}
	}
	return true
}

// Moved returns the body shifted by a number of pixels. No pose proves anything there, so trunk and limbs are covered.
func (b Body) Moved(dx, dy float32) Body {
	b.Box = b.Box.Moved(dx, dy)
	b.covered = b.shown
	return b
}

// NewBody returns a body that covers cells of a box, or all of it if cells is nil.
func NewBody(box vision.Box, track int, cells *vision.Bitmap) Body {
	return Body{Box: box, Track: track, covered: cells, shown: cells}
}

// Cells returns the cells of Box that are covered; nil means all of it. They must not be modified.
func (b Body) Cells() *vision.Bitmap { return b.covered }

// Covers reports whether a point, in pixels of the frame, is covered.
func (b Body) Covers(x, y float32) bool {
	if x < b.Box.X0 || y < b.Box.Y0 || x >= b.Box.X1 || y >= b.Box.Y1 {
		return false
	}
	if b.covered == nil {
		return true
	}
	g := gridOf(b.Box, *b.covered)
	column, row := int((float64(x)-g.x)/g.w), int((float64(y)-g.y)/g.h)
	return b.covered.At(min(column, b.covered.Width-1), min(row, b.covered.Height-1))
}

// sane reports whether the body has a position and a size as [Head.Sane] requires.
func (b Body) sane() bool {
	x, y := b.Box.Center()
	return Head{X: x, Y: y, RX: b.Box.Width(), RY: b.Box.Height()}.Sane()
}

func (b Body) area(frame *media.Frame, i int) image.Rectangle {
	w, h, sx, sy := planeSize(frame, i)
	x0, x1 := outward(float64(b.Box.X0), float64(b.Box.X1), sx, w)
	y0, y1 := outward(float64(b.Box.Y0), float64(b.Box.Y1), sy, h)
	return image.Rect(x0, y0, x1, y1)
}

func (b Body) extent() float64 { return float64(max(b.Box.Width(), b.Box.Height())) }

func (b Body) rows(frame *media.Frame, i int, use func(y, x0, x1 int)) {
	w, _, sx, sy := planeSize(frame, i)
	area := b.area(frame, i)
	if b.covered == nil {
		for y := area.Min.Y; y < area.Max.Y; y++ {
			use(y, area.Min.X, area.Max.X)
		}
		return
	}
	g := gridOf(b.Box, *b.covered)
	for y := area.Min.Y; y < area.Max.Y; y++ {
		from, to := outward(float64(y)*sy-g.y, float64(y+1)*sy-g.y, g.h, b.covered.Height)
		b.covered.Runs(from, to, func(left, right int) {
			if x0, x1 := outward(g.x+float64(left)*g.w, g.x+float64(right)*g.w, sx, w); x0 < x1 {
				use(y, x0, x1)
			}
		})
	}
}
