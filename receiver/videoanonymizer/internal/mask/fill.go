// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"fmt"
	"image"
	"math"
	"runtime"

	"gocv.io/x/gocv"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// Fill is what a mask shows instead of the head.
type Fill string

const (
	// Solid is one color. Nothing of the head remains.
	Solid Fill = "solid"
	// Mosaic is flat cells, four along the mask's longer side and none smaller than 8 pixels. Networks recognize a known
	// face from cells of 16 pixels in an image of 92 x 112 (McPherson, Shokri, Shmatikov, "Defeating Image Obfuscation
	// with Deep Learning", 2016), which is seven along the longer side. Four keep a third of that, which is not nothing.
	Mosaic Fill = "mosaic"
	// Blur blends the cells of a mosaic; it shows no more than a mosaic does.
	Blur Fill = "blur"
)

// Fills are all values of Fill.
var Fills = []Fill{Solid, Mosaic, Blur}

const (
	cellsAcross = 4 // along the longer side
	minCell     = 8 // in pixels of the frame
)

// paintSolid copies rows of the color.
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

// paintCoarse replaces the contour's area with the cells of a mosaic, blended or not.
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

// coarsen calls use with the samples of an area of plane i, reduced to columns x rows cells and enlarged again. OpenCV
// ends the process if an area exceeds the plane, so the area must lie within it, and must not be empty.
func coarsen(
	frame *media.Frame, i int, area image.Rectangle, columns, rows int, fill Fill, use func([]byte),
) error {
	kind, interpolation := gocv.MatTypeCV8UC1, gocv.InterpolationNearestNeighbor
	if frame.Format.BytesPerSample() == 2 {
		kind = gocv.MatTypeCV16UC1
	}
	if fill == Blur {
		interpolation = gocv.InterpolationLinear
	}
	plane := frame.Planes[i]
	// The Mat refers to the plane's memory, which must not move meanwhile.
	var pinner runtime.Pinner
	defer pinner.Unpin()
	pinner.Pin(&plane.Data[0])
	whole, err := gocv.NewMatFromBytes(plane.Height, plane.Width, kind, plane.Data)
	if err != nil {
		return fmt.Errorf("wrap plane %d: %w", i, err)
	}
	defer whole.Close()
	region := whole.Region(area)
	defer region.Close()
	cells, coarse := gocv.NewMat(), gocv.NewMat()
	defer cells.Close()
	defer coarse.Close()
	size := image.Pt(min(columns, area.Dx()), min(rows, area.Dy()))
	if err := gocv.Resize(region, &cells, size, 0, 0, gocv.InterpolationArea); err != nil {
		return fmt.Errorf("reduce plane %d: %w", i, err)
	}
	if err := gocv.Resize(cells, &coarse, area.Size(), 0, 0, interpolation); err != nil {
		return fmt.Errorf("enlarge plane %d: %w", i, err)
	}
	data := coarse.ToBytes()
	if len(data) != area.Dx()*area.Dy()*frame.Format.BytesPerSample() {
		return fmt.Errorf("enlarge plane %d: got %d bytes for an area of %v", i, len(data), area.Size())
	}
	use(data)
	return nil
}

// cells returns the number of mosaic cells along the sides of a mask's visible area in pixels. extent is that of the
// whole mask, so that the cells of a mask at the frame's edge are no smaller than those of others.
func cells(extent float64, area image.Rectangle) (columns, rows int) {
	cell := math.Max(minCell, extent/cellsAcross)
	count := func(side int) int { return max(1, int(float64(side)/cell)) }
	return count(area.Dx()), count(area.Dy())
}

// samples returns the color, opaque, as one sample in bytes for each of the frame's planes: by ITU-R BT.601 up to 576
// lines or if the frame says so, otherwise by BT.709; quantized for any depth as in BT.2100, table 9.
func (p *Painter) samples(frame *media.Frame) [][]byte {
	kr, kb := 0.299, 0.114
	if frame.Height > 576 && !frame.BT601 {
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

// opaque returns the alpha sample of full opacity: a mask must not depend on what a viewer puts behind the video.
func opaque(format media.PixelFormat) []byte {
	value := 1<<format.Depth - 1
	return []byte{byte(value), byte(value >> 8)}[:format.BytesPerSample()]
}

// fill fills data with copies of the sample.
func fill(data, sample []byte) {
	for n := copy(data, sample); n < len(data); n *= 2 {
		copy(data[n:], data[:n])
	}
}
