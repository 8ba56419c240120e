// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"cmp"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// Action says what happens to a region.
type Action string

const (
	// Mask covers the region in every frame.
	Mask Action = "mask"
	// Keep leaves the region unchanged, whoever is visible there.
	Keep Action = "keep"
)

// Region is a part of the frame that is always masked, or never. Where regions of both actions overlap, the frame is
// masked.
type Region struct {
	// Polygon has at least three corners, as fractions 0..1 of the frame's width and height from its upper left. Its
	// sides may cross (even-odd rule). Without a polygon, Mask covers the whole frame in the color.
	Polygon [][2]float64
	Action  Action
	// From and To bound when the region applies, as times since the first frame; To is excluded, and 0 means the end.
	From, To time.Duration
}

// Validate returns all errors in the region, or none if it is valid. Each begins with the field's name in lower case.
func (r Region) Validate() []error {
	var errs []error
	switch r.Action {
	case Mask, Keep:
	default:
		errs = append(errs, fmt.Errorf("action: %q is not known: use one of mask, keep", r.Action))
	}
	switch {
	case len(r.Polygon) == 0 && r.Action == Keep:
		errs = append(errs, errors.New("polygon: is required with action keep: "+
			"write its corners, such as [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]"))
	case len(r.Polygon) > 0:
		if err := validatePolygon(r.Polygon); err != nil {
			errs = append(errs, err)
		}
	}
	if r.From < 0 {
		errs = append(errs, fmt.Errorf("from: %v is negative: write a time since the video's beginning, such as 10s", r.From))
	}
	if r.To < 0 || r.To > 0 && r.To <= r.From {
		errs = append(errs, fmt.Errorf("to: %v is not after from, %v: write a later time, or remove it for the video's end",
			r.To, r.From))
	}
	return errs
}

func validatePolygon(corners [][2]float64) error {
	if len(corners) < 3 {
		return fmt.Errorf("polygon: has %d corners: write three or more", len(corners))
	}
	for i, c := range corners {
		if !(c[0] >= 0 && c[0] <= 1 && c[1] >= 0 && c[1] <= 1) {
			return fmt.Errorf("polygon: corner %d, [%v, %v], is outside the frame: "+
				"write fractions 0 to 1 of its width and height", i+1, c[0], c[1])
		}
	}
	a := corners[0]
	if !slices.ContainsFunc(corners, func(b [2]float64) bool {
		return slices.ContainsFunc(corners, func(c [2]float64) bool {
			return (b[0]-a[0])*(c[1]-a[1]) != (c[0]-a[0])*(b[1]-a[1])
		})
	}) {
		return errors.New("polygon: its corners lie on one line, so it has no area: move one")
	}
	return nil
}

func (r Region) at(t time.Duration) bool { return t >= r.From && (r.To == 0 || t < r.To) }

// polygon is a region's contour in pixels of a frame.
type polygon struct {
	corners []point
	box     struct{ x0, y0, x1, y1 float64 }
}

func newPolygon(corners [][2]float64, frame *media.Frame) *polygon {
	p := &polygon{}
	p.box.x0, p.box.y0 = math.Inf(1), math.Inf(1)
	for _, c := range corners {
		q := point{c[0] * float64(frame.Width), c[1] * float64(frame.Height)}
		p.corners = append(p.corners, q)
		p.box.x0, p.box.x1 = math.Min(p.box.x0, q.x), math.Max(p.box.x1, q.x)
		p.box.y0, p.box.y1 = math.Min(p.box.y0, q.y), math.Max(p.box.y1, q.y)
	}
	return p
}

func (p *polygon) area(frame *media.Frame, i int) image.Rectangle {
	w, h, sx, sy := planeSize(frame, i)
	x0, x1 := outward(p.box.x0, p.box.x1, sx, w)
	y0, y1 := outward(p.box.y0, p.box.y1, sy, h)
	return image.Rect(x0, y0, x1, y1)
}

func (p *polygon) extent() float64 { return math.Max(p.box.x1-p.box.x0, p.box.y1-p.box.y0) }

// rows calls use for the samples that the polygon touches: those that a side passes through, and those inside.
func (p *polygon) rows(frame *media.Frame, i int, use func(y, x0, x1 int)) {
	w, _, sx, _ := planeSize(frame, i)
	p.scan(frame, i, func(y int, inner, sides []span) {
		for _, s := range merged(append(inner, sides...)) {
			if x0, x1 := outward(s.from, s.to, sx, w); x0 < x1 {
				use(y, x0, x1)
			}
		}
	})
}

// inside calls use for the samples that lie wholly within the polygon: those inside that no side passes through.
func (p *polygon) inside(frame *media.Frame, i int, use func(y, x0, x1 int)) {
	w, _, sx, _ := planeSize(frame, i)
	inward := func(y int, from, to float64) {
		x0, x1 := int(math.Max(0, math.Ceil(from/sx))), int(math.Min(float64(w), math.Floor(to/sx)))
		if x0 < x1 {
			use(y, x0, x1)
		}
	}
	p.scan(frame, i, func(y int, inner, sides []span) {
		sides = merged(sides)
		for _, s := range inner {
			from := s.from
			for _, side := range sides {
				if side.from < s.to && side.to > from {
					inward(y, from, side.from)
					from = side.to
				}
			}
			inward(y, from, s.to)
		}
	})
}

// span is a range of x.
type span struct{ from, to float64 }

// merged sorts the spans and joins those that meet. It reuses the memory of its argument.
func merged(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	out := spans[:0]
	for _, s := range spans {
		if n := len(out); n > 0 && s.from <= out[n-1].to {
			out[n-1].to = math.Max(out[n-1].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

// scan calls use for each row of plane i that the polygon touches, with the spans inside it at half the row's height,
// and those that its sides pass through. A sample through which no side passes is wholly inside or wholly outside.
func (p *polygon) scan(frame *media.Frame, i int, use func(y int, inner, sides []span)) {
	_, _, _, sy := planeSize(frame, i)
	area := p.area(frame, i)
	var inner, sides []span
	var crossings []float64
	for y := area.Min.Y; y < area.Max.Y; y++ {
		inner, sides = inner[:0], sides[:0]
		top, bottom := float64(y)*sy, float64(y+1)*sy
		crossings = p.crossings(crossings[:0], (top+bottom)/2)
		for k := 0; k+1 < len(crossings); k += 2 {
			inner = append(inner, span{crossings[k], crossings[k+1]})
		}
		for k, a := range p.corners {
			if s, ok := passing(a, p.corners[(k+1)%len(p.corners)], top, bottom); ok {
				sides = append(sides, s)
			}
		}
		use(y, inner, sides)
	}
}

// crossings appends the x coordinates, from left to right, at which the sides cross the height y.
func (p *polygon) crossings(to []float64, y float64) []float64 {
	for k, a := range p.corners {
		b := p.corners[(k+1)%len(p.corners)]
		if (a.y <= y) != (b.y <= y) {
			to = append(to, a.to(b, (y-a.y)/(b.y-a.y)).x)
		}
	}
	slices.Sort(to)
	return to
}

// passing returns the range of x of the part of a line that lies between two heights.
func passing(a, b point, top, bottom float64) (s span, ok bool) {
	if a.y > b.y {
		a, b = b, a
	}
	if b.y <= top || a.y >= bottom {
		return s, false
	}
	at := func(y float64) float64 { return a.to(b, (y-a.y)/(b.y-a.y)).x }
	x0, x1 := a.x, b.x
	if a.y < top {
		x0 = at(top)
	}
	if b.y > bottom {
		x1 = at(bottom)
	}
	return span{math.Min(x0, x1), math.Max(x0, x1)}, true
}

// savedSamples is a run of samples of a frame, with which restore can undo a mask.
type savedSamples struct {
	plane, at int // at is the offset in bytes
	data      []byte
}

// saveKeptRegions copies the samples in the regions to keep.
func (p *Painter) saveKeptRegions(frame *media.Frame, at time.Duration) (saved []savedSamples) {
	size := frame.Format.BytesPerSample()
	for _, r := range p.opts.Regions {
		if r.Action != Keep || !r.at(at) {
			continue
		}
		contour := newPolygon(r.Polygon, frame)
		for i := range frame.Format.AllPlanes() {
			plane := &frame.Planes[i]
			contour.inside(frame, i, func(y, x0, x1 int) {
				from, to := (y*plane.Width+x0)*size, (y*plane.Width+x1)*size
				saved = append(saved, savedSamples{plane: i, at: from, data: slices.Clone(plane.Data[from:to])})
			})
		}
	}
	return saved
}

func restore(frame *media.Frame, saved []savedSamples) {
	for _, s := range saved {
		copy(frame.Planes[s.plane].Data[s.at:], s.data)
	}
}

// maskedRegions returns the contours of the regions to mask at a time; whole means that the whole frame is one.
func (p *Painter) maskedRegions(frame *media.Frame, at time.Duration) (contours []contour, whole bool) {
	for _, r := range p.opts.Regions {
		if r.Action == Mask && r.at(at) {
			if len(r.Polygon) == 0 {
				return nil, true
			}
			contours = append(contours, newPolygon(r.Polygon, frame))
		}
	}
	return contours, false
}
