// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"image"
	"slices"

	"golang.org/x/image/draw"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// picture is the picture of a moment on a contact sheet.
type picture struct {
	frame int
	part  image.Rectangle // of the frame, in pixels
	// image is the part, scaled to the size of a tile. It is nil until it is developed from the negative.
	image    *image.RGBA
	negative *negative
}

// negative is a copy of the planes of a part of a frame. Copying takes microseconds, and most pictures are replaced by
// a better one of the same moment.
type negative struct {
	view
	buffer []byte // of the planes
}

// view is a frame or, if its edges are cut off, the rest of it.
type view struct {
	*media.Frame
	origin      image.Point // position of the first pixel in the whole frame
	wholeHeight int
}

func viewOf(frame *media.Frame) view { return view{Frame: frame, wholeHeight: frame.Height} }

// take replaces the picture, which may be nil, with one of a moment in the frame.
func (p *picture) take(frame *media.Frame, m Moment) *picture {
	if p == nil {
		p = &picture{}
	}
	if p.negative == nil {
		p.negative = &negative{}
	}
	p.frame, p.part, p.image = frame.Index, around(m, frame.Width, frame.Height), nil
	p.negative.copy(frame, p.part)
	return p
}

// settle develops the picture if the image takes less memory than the negative. Otherwise it does not, because most
// pictures are never shown.
func (p *picture) settle() {
	if p.negative != nil && len(p.negative.buffer) > 4*tileWidth*tileHeight {
		p.develop()
	}
}

// develop creates the image and discards the negative.
func (p *picture) develop() {
	if p.negative != nil {
		p.image, p.negative = shrink(p.negative.view, p.part), nil
	}
}

// photograph returns a developed picture of a moment in a frame.
func photograph(frame *media.Frame, m Moment) *picture {
	part := around(m, frame.Width, frame.Height)
	return &picture{frame: m.Frame, part: part, image: shrink(viewOf(frame), part)}
}

// shrink scales a part of a frame to the size of a tile.
func shrink(v view, part image.Rectangle) *image.RGBA {
	small := image.NewRGBA(image.Rectangle{Max: fit(part, image.Rect(0, 0, tileWidth, tileHeight)).Size()})
	draw.ApproxBiLinear.Scale(small, small.Bounds(), crop(v, part), part, draw.Src, nil)
	return small
}

// copy copies a part of a frame, extended to whole chroma samples.
func (n *negative) copy(frame *media.Frame, part image.Rectangle) {
	format := frame.Format
	format.Alpha = false // not shown
	part.Min.X = part.Min.X >> format.ChromaShiftX << format.ChromaShiftX
	part.Min.Y = part.Min.Y >> format.ChromaShiftY << format.ChromaShiftY
	width, height := part.Dx(), part.Dy()
	n.view = view{origin: part.Min, wholeHeight: frame.Height,
		Frame: &media.Frame{Width: width, Height: height, Format: format, FullRange: frame.FullRange}}
	n.buffer = slices.Grow(n.buffer[:0], format.FrameBytes(width, height))
	bytes := format.BytesPerSample()
	for i := range format.Planes {
		from, at := &frame.Planes[i], part.Min
		if format.IsChroma(i) {
			at = image.Pt(at.X>>format.ChromaShiftX, at.Y>>format.ChromaShiftY)
		}
		w, h := format.PlaneSize(i, width, height)
		for y := range h {
			row := ((at.Y+y)*from.Width + at.X) * bytes
			n.buffer = append(n.buffer, from.Data[row:row+w*bytes]...)
		}
	}
	rest := n.buffer
	for i := range format.Planes {
		w, h := format.PlaneSize(i, width, height)
		n.Planes[i] = media.Plane{Data: rest[:w*h*bytes], Width: w, Height: h}
		rest = rest[w*h*bytes:]
	}
}
