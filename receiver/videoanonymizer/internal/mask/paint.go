// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"fmt"
	"image"
	"math"
	"runtime"
	"time"

	"gocv.io/x/gocv"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// Shape is the outline of a mask.
type Shape string

const (
	// Ellipse is the head's own ellipse.
	Ellipse Shape = "ellipse"
	// Circle is the circle around the ellipse.
	Circle Shape = "circle"
	// Box is the upright rectangle around the ellipse.
	Box Shape = "box"
	// NoseDisc is a disc around the nose, for comparison; see GeometryOptions.
	NoseDisc Shape = "nose_disc"
)

// Fill is what a mask shows instead of the head.
type Fill string

const (
	// Solid is one colour. Nothing of the head is left.
	Solid Fill = "solid"
	// Mosaic is flat cells, four along the mask's longer side and none smaller than 8 pixels. Networks recognise a
	// known face from cells of 16 pixels in a picture of 92 x 112 (McPherson, Shokri, Shmatikov, "Defeating Image
	// Obfuscation with Deep Learning", 2016), which is seven along the longer side; four keep a third of that, but more
	// than nothing.
	Mosaic Fill = "mosaic"
	// Blur blends the cells of a mosaic; it shows as little as one.
	Blur Fill = "blur"
)

const (
	cellsAcross = 4
	minCell     = 8
)

// RGB is a colour, 0..255 each.
type RGB struct{ R, G, B uint8 }

// Options say how masks look; the zero value gives solid black ellipses of the head's size.
type Options struct {
	// Shape is ellipse by default.
	Shape Shape
	// Fill is solid by default.
	Fill Fill
	// Color is that of solid masks and of frames masked whole.
	Color RGB
	// Scale multiplies the size of every mask: 0.5 to 10, 0 means 1.
	Scale float64
	// MaxSize bounds a mask's width and height, as a fraction 0..1 of the frame's shorter side; what is larger is cut to it about
	// the centre of the head. 0 does not bound them. Regions and whole frames are not bounded.
	MaxSize float64
	// Regions are masked always, or never.
	Regions []Region
}

// Masks are what to cover in a frame, beside the regions of Options.
type Masks struct {
	// At is the time since the first frame, which says what regions count.
	At     time.Duration
	Heads  []Head
	Bodies []Body
	// Before and After are those of the frames around, or nil: what both cover is covered here too, so that no mask blinks. Theirs
	// have no meaning.
	Before, After *Masks
}

// Painter covers heads in frames. It is safe for concurrent use on different frames.
type Painter struct{ opts Options }

// NewPainter returns a painter. It trusts its options: the configuration validates them, regions by Region.Validate.
func NewPainter(opts Options) *Painter {
	if opts.Shape == "" {
		opts.Shape = Ellipse
	}
	if opts.Fill == "" {
		opts.Fill = Solid
	}
	if opts.Scale == 0 {
		opts.Scale = 1
	}
	return &Painter{opts: opts}
}

// Paint covers the masks and the regions on the frame's planes, in place; samples outside them keep their values. A
// sample is covered if any part of its area lies in a mask, and kept if all of it lies in a region to keep, on subsampled
// planes too. Parts of a mask outside the frame are ignored. A head or body that is not sane, or with OriginFrame, has the whole
// frame covered. An error means that the frame was not or only partly masked and must not be shown.
func (p *Painter) Paint(frame *media.Frame, masks Masks) error {
	if err := checkFrame(frame); err != nil {
		return err
	}
	regions, whole := p.always(frame, masks.At)
	if whole {
		return p.PaintWhole(frame)
	}
	contours, sane := p.contours(frame, masks)
	if !sane {
		return p.PaintWhole(frame)
	}
	if masks.Before != nil && masks.After != nil {
		before, sane := p.contours(frame, *masks.Before)
		after, alsoSane := p.contours(frame, *masks.After)
		if sane && alsoSane {
			contours = append(contours, common{before, after})
		}
	}
	parts := p.setAside(frame, masks.At)
	if err := p.paint(frame, contours); err != nil {
		return err
	}
	putBack(frame, parts)
	return p.paint(frame, regions)
}

// contours are those of all heads and bodies; not sane means that one of them may be anywhere.
func (p *Painter) contours(frame *media.Frame, masks Masks) (contours []contour, sane bool) {
	contours = make([]contour, 0, len(masks.Heads)+len(masks.Bodies)+1)
	for _, h := range masks.Heads {
		if !h.Sane() || h.Origin == OriginFrame {
			return nil, false
		}
		contours = append(contours, p.outline(h, frame))
	}
	for _, b := range masks.Bodies {
		if !b.sane() {
			return nil, false
		}
		contours = append(contours, b)
	}
	return contours, true
}

func (p *Painter) paint(frame *media.Frame, contours []contour) error {
	if p.opts.Fill == Solid {
		p.paintSolid(frame, contours)
		return nil
	}
	for _, o := range contours {
		if err := p.paintCoarse(frame, o); err != nil {
			return err
		}
	}
	return nil
}

// PaintWhole covers the whole frame in the colour, whatever the fill and the regions.
func (p *Painter) PaintWhole(frame *media.Frame) error {
	if err := checkFrame(frame); err != nil {
		return err
	}
	for i, sample := range p.samples(frame) {
		fill(frame.Planes[i].Data, sample)
	}
	return nil
}

// paintSolid copies rows of the colour.
func (p *Painter) paintSolid(frame *media.Frame, contours []contour) {
	if len(contours) == 0 {
		return
	}
	for i, sample := range p.samples(frame) {
		size := len(sample)
		plane := &frame.Planes[i]
		row := make([]byte, plane.Width*size)
		fill(row, sample)
		for _, o := range contours {
			o.rows(frame, i, func(y, x0, x1 int) {
				copy(plane.Data[(y*plane.Width+x0)*size:(y*plane.Width+x1)*size], row)
			})
		}
	}
}

// paintCoarse replaces what lies in the outline by cells computed from a picture that has one pixel for each.
func (p *Painter) paintCoarse(frame *media.Frame, o contour) error {
	columns, rows := cells(o.extent(), o.area(frame, 0))
	for i := range frame.Format.Planes {
		area := o.area(frame, i)
		if area.Empty() {
			continue
		}
		if err := coarsen(frame, i, area, columns, rows, p.opts.Fill, func(coarse []byte) {
			size := frame.Format.BytesPerSample()
			plane := &frame.Planes[i]
			o.rows(frame, i, func(y, x0, x1 int) {
				from := ((y-area.Min.Y)*area.Dx() + x0 - area.Min.X) * size
				copy(plane.Data[(y*plane.Width+x0)*size:(y*plane.Width+x1)*size], coarse[from:])
			})
		}); err != nil {
			return err
		}
	}
	if alpha := frame.Format.Planes; frame.Format.Alpha {
		plane, opaque := &frame.Planes[alpha], opaque(frame.Format)
		o.rows(frame, alpha, func(y, x0, x1 int) {
			fill(plane.Data[(y*plane.Width+x0)*len(opaque):(y*plane.Width+x1)*len(opaque)], opaque)
		})
	}
	return nil
}

// coarsen calls use with the area of plane i as a picture of its own, reduced to columns x rows cells and enlarged
// again. OpenCV ends the process on an area that leaves the plane, so area must lie in it and not be empty.
func coarsen(frame *media.Frame, i int, area image.Rectangle, columns, rows int, fill Fill, use func([]byte)) error {
	kind, interpolation := gocv.MatTypeCV8UC1, gocv.InterpolationNearestNeighbor
	if frame.Format.BytesPerSample() == 2 {
		kind = gocv.MatTypeCV16UC1
	}
	if fill == Blur {
		interpolation = gocv.InterpolationLinear
	}
	plane := frame.Planes[i]
	// The Mat lies over the plane's own memory, which must stay where it is meanwhile.
	var pinner runtime.Pinner
	defer pinner.Unpin()
	pinner.Pin(&plane.Data[0])
	whole, err := gocv.NewMatFromBytes(plane.Height, plane.Width, kind, plane.Data)
	if err != nil {
		return fmt.Errorf("wrapping plane %d: %w", i, err)
	}
	defer whole.Close()
	region := whole.Region(area)
	defer region.Close()
	cells, coarse := gocv.NewMat(), gocv.NewMat()
	defer cells.Close()
	defer coarse.Close()
	size := image.Pt(min(columns, area.Dx()), min(rows, area.Dy()))
	if err := gocv.Resize(region, &cells, size, 0, 0, gocv.InterpolationArea); err != nil {
		return fmt.Errorf("reducing plane %d: %w", i, err)
	}
	if err := gocv.Resize(cells, &coarse, area.Size(), 0, 0, interpolation); err != nil {
		return fmt.Errorf("enlarging plane %d: %w", i, err)
	}
	data := coarse.ToBytes()
	if len(data) != area.Dx()*area.Dy()*frame.Format.BytesPerSample() {
		return fmt.Errorf("enlarging plane %d: got %d bytes for an area of %v", i, len(data), area.Size())
	}
	use(data)
	return nil
}

// contour is a mask's exact shape.
type contour interface {
	// area is the part of plane i that the mask touches.
	area(frame *media.Frame, i int) image.Rectangle
	// rows calls use with runs of samples of plane i, from x0 to before x1, that together are those that the mask touches.
	rows(frame *media.Frame, i int, use func(y, x0, x1 int))
	// extent is the longer side in pixels of the rectangle around it, within the frame or not.
	extent() float64
}

// cells is the number of mosaic cells along the sides of that part of a mask that lies in the frame.
func cells(extent float64, area image.Rectangle) (columns, rows int) {
	cell := math.Max(minCell, extent/cellsAcross)
	count := func(side int) int { return max(1, int(float64(side)/cell)) }
	return count(area.Dx()), count(area.Dy())
}

// oval is an ellipse or the upright rectangle around it, in pixels of the frame, in double precision.
type oval struct {
	x, y     float64
	ex, ey   float64 // half the size of the rectangle around it
	tilt     float64 // an ellipse's xy of the quadric
	straight bool    // a rectangle
}

func (p *Painter) outline(h Head, frame *media.Frame) oval {
	h.RX *= float32(p.opts.Scale)
	h.RY *= float32(p.opts.Scale)
	if p.opts.Shape == Circle && !h.Box {
		h.RX = max(h.RX, h.RY)
		h.RY = h.RX
	}
	if p.opts.MaxSize > 0 {
		most := float32(p.opts.MaxSize) * float32(min(frame.Width, frame.Height)) / 2
		h.RX, h.RY = min(h.RX, most), min(h.RY, most)
	}
	q := h.quadric()
	return oval{
		x: float64(h.X), y: float64(h.Y), ex: math.Sqrt(q.xx), ey: math.Sqrt(q.yy), tilt: q.xy,
		straight: h.Box || p.opts.Shape == Box,
	}
}

func (o oval) extent() float64 { return 2 * math.Max(o.ex, o.ey) }

func (o oval) area(frame *media.Frame, i int) image.Rectangle {
	w, h, sx, sy := geometry(frame, i)
	x0, x1 := outward(o.x-o.ex, o.x+o.ex, sx, w)
	y0, y1 := outward(o.y-o.ey, o.y+o.ey, sy, h)
	return image.Rect(x0, y0, x1, y1)
}

func (o oval) rows(frame *media.Frame, i int, use func(y, x0, x1 int)) {
	w, _, sx, sy := geometry(frame, i)
	area := o.area(frame, i)
	for y := area.Min.Y; y < area.Max.Y; y++ {
		left, right := -o.ex, o.ex
		if !o.straight {
			left, right = o.chord(float64(y)*sy-o.y, float64(y+1)*sy-o.y)
		}
		if x0, x1 := outward(o.x+left, o.x+right, sx, w); x0 < x1 {
			use(y, x0, x1)
		}
	}
}

// chord is the reach to the left and right, about the centre, of the part of the ellipse between two heights.
//
// At height y the ellipse lies within tilt/ey^2 * y +- sqrt(det)/ey * sqrt(1 - y^2/ey^2). Its right side is concave and
// is furthest out, at ex, where y = tilt/ex; so over a range of heights it is furthest out as near to that as can be.
// Its left side is the same about the centre.
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

// common is what one of the first contours and one of the second both touch.
type common [2][]contour

func (c common) area(frame *media.Frame, i int) image.Rectangle {
	var areas [2]image.Rectangle
	for k, contours := range c {
		for _, o := range contours {
			areas[k] = areas[k].Union(o.area(frame, i))
		}
	}
	return areas[0].Intersect(areas[1])
}

func (c common) extent() (most float64) {
	for _, contours := range c {
		for _, o := range contours {
			most = math.Max(most, o.extent())
		}
	}
	return most
}

func (c common) rows(frame *media.Frame, i int, use func(y, x0, x1 int)) {
	area := c.area(frame, i)
	if area.Empty() {
		return
	}
	// A bit for each of the two.
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

// outward is the range of samples, each scale pixels wide, that the range of pixels from a to b touches, within a
// plane's size.
func outward(a, b, scale float64, size int) (from, to int) {
	limit := func(v float64) int { return int(math.Max(0, math.Min(float64(size), v))) }
	return limit(math.Floor(a / scale)), limit(math.Ceil(b / scale))
}

// geometry is the size of plane i in samples, and that of a sample in pixels.
func geometry(frame *media.Frame, i int) (width, height int, scaleX, scaleY float64) {
	scaleX, scaleY = 1, 1
	if frame.Format.IsChroma(i) {
		scaleX, scaleY = float64(int(1)<<frame.Format.ChromaShiftX), float64(int(1)<<frame.Format.ChromaShiftY)
	}
	return frame.Planes[i].Width, frame.Planes[i].Height, scaleX, scaleY
}

// samples is the colour as one sample, in bytes, of each of the frame's planes, and opaque: by ITU-R BT.601 up to 576 lines, by
// BT.709 above, quantized as BT.2100 table 9 says for any depth.
func (p *Painter) samples(frame *media.Frame) [][]byte {
	kr, kb := 0.299, 0.114
	if frame.Height > 576 {
		kr, kb = 0.2126, 0.0722
	}
	r, g, b := float64(p.opts.Color.R)/255, float64(p.opts.Color.G)/255, float64(p.opts.Color.B)/255
	y := kr*r + (1-kr-kb)*g + kb*b
	u, v := (b-y)/(2*(1-kb)), (r-y)/(2*(1-kr))

	one := float64(int(1) << (frame.Format.Depth - 8))
	highest := 256*one - 1
	luma := func(e float64) float64 { return (219*e + 16) * one }
	chroma := func(e float64) float64 { return (224*e + 128) * one }
	if frame.FullRange {
		luma = func(e float64) float64 { return highest * e }
		chroma = func(e float64) float64 { return highest*e + 128*one }
	}
	out := make([][]byte, 0, 4)
	for _, e := range []float64{luma(y), chroma(u), chroma(v)}[:frame.Format.Planes] {
		value := uint16(math.Round(math.Max(0, math.Min(highest, e))))
		out = append(out, []byte{byte(value), byte(value >> 8)}[:frame.Format.BytesPerSample()])
	}
	if frame.Format.Alpha {
		out = append(out, opaque(frame.Format))
	}
	return out
}

// opaque is the sample of alpha that lets nothing through: what is masked must not depend on what a viewer puts behind it.
func opaque(format media.PixelFormat) []byte {
	value := 1<<format.Depth - 1
	return []byte{byte(value), byte(value >> 8)}[:format.BytesPerSample()]
}

// fill repeats the sample.
func fill(data, sample []byte) {
	for n := copy(data, sample); n < len(data); n *= 2 {
		copy(data[n:], data[:n])
	}
}

// checkFrame says whether the frame is what its format promises.
func checkFrame(frame *media.Frame) error {
	f := frame.Format
	if f.Depth < 8 || f.Depth > 16 || f.Planes != 1 && f.Planes != 3 || f.Alpha && f.Planes != 3 ||
		f.ChromaShiftX < 0 || f.ChromaShiftX > 2 || f.ChromaShiftY < 0 || f.ChromaShiftY > 2 {
		return fmt.Errorf("frame %d: pixel format %q cannot be masked: %d planes of %d bit", frame.Index, f.Name, f.Planes, f.Depth)
	}
	for i := range f.AllPlanes() {
		p := frame.Planes[i]
		w, h, _, _ := geometry(frame, i)
		wantW, wantH := frame.Width, frame.Height
		if f.IsChroma(i) {
			wantW, wantH = ceilShift(wantW, f.ChromaShiftX), ceilShift(wantH, f.ChromaShiftY)
		}
		if w <= 0 || h <= 0 || w != wantW || h != wantH || len(p.Data) != w*h*f.BytesPerSample() {
			return fmt.Errorf("frame %d: plane %d is %dx%d in %d bytes, which a %dx%d frame of %s cannot have",
				frame.Index, i, w, h, len(p.Data), frame.Width, frame.Height, f.Name)
		}
	}
	return nil
}

func ceilShift(n, shift int) int { return (n + 1<<shift - 1) >> shift }
