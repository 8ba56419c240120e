// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"encoding/binary"
	"image"
	"image/draw"
	"math/bits"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// view is a way to see a picture. Anyone who can be seen in one of the views has to be masked, so all are searched.
type view struct {
	// gain is the number of bits by which 16-bit samples are shifted up before their upper 8 bits are taken. Samples that
	// get too bright are white.
	gain int
	// over is the backdrop behind transparent pixels. With nothing, they show their own colors.
	over backdrop
}

type backdrop int

const (
	nothing backdrop = iota
	black
	white
)

// viewsOf returns the ways to see a picture, at least one.
func viewsOf(pixels draw.Image) []view {
	var views []view
	for _, gain := range gains(pixels) {
		views = append(views, view{gain: gain})
		if opacityVaries(pixels) { // opacity may show what the colors do not
			views = append(views, view{gain, black}, view{gain, white})
		}
	}
	return views
}

// The gains for 16-bit pictures.
const (
	mostGain = 8 // only the lower 8 bits are seen
	// A step makes a picture four times as bright. Parts less than a quarter as bright as the rest get another view if
	// they are at least an eighth of the picture, as when a few bright pixels or a caption are added to 12-bit samples.
	gainStep  = 2
	leastPart = 8
)

// gains returns the gains that make the content of a picture visible: cameras and scanners store 10 or 12 bits in the
// lower bits of 16, whose upper 8 bits show next to nothing.
func gains(pixels draw.Image) []int {
	var pix []byte
	var samples, colors int // per pixel
	switch p := pixels.(type) {
	case *image.Gray16:
		pix, samples, colors = p.Pix, 1, 1
	case *image.NRGBA64:
		pix, samples, colors = p.Pix, 4, 3
	default:
		return []int{0}
	}
	var count [17]int // pixels by the bit length of their largest sample
	for at := 0; at < len(pix); at += 2 * samples {
		largest := uint16(0)
		for i := range colors {
			largest = max(largest, binary.BigEndian.Uint16(pix[at+2*i:]))
		}
		count[bits.Len16(largest)]++
	}
	top := 16
	for top > 1 && count[top] == 0 {
		top--
	}
	all := []int{16 - max(top, 16-mostGain)}
	for gain := all[0] + gainStep; gain <= mostGain; gain += gainStep {
		part := 0
		for n := 16 - gain; n > 0 && (n > 16-gain-gainStep || gain+gainStep > mostGain); n-- {
			part += count[n]
		}
		if part > 0 && part >= len(pix)/(2*samples)/leastPart {
			all = append(all, gain)
		}
	}
	return all
}

// opacityVaries reports whether some pixels are more opaque than others.
func opacityVaries(pixels draw.Image) bool {
	switch p := pixels.(type) {
	case *image.NRGBA:
		for i := 3; i < len(p.Pix); i += 4 {
			if p.Pix[i] != p.Pix[3] {
				return true
			}
		}
	case *image.NRGBA64:
		for i := 6; i < len(p.Pix); i += 8 {
			if p.Pix[i] != p.Pix[6] || p.Pix[i+1] != p.Pix[7] {
				return true
			}
		}
	}
	return false
}

// frame returns a new frame of the view.
func (v view) frame(pixels draw.Image) *media.Frame {
	size := pixels.Bounds().Size()
	f := newFrame(size.X, size.Y, 0, 0)
	toPlanes(f, func(y int, row []byte) {
		switch p := pixels.(type) {
		case *image.Gray:
			for x, s := range p.Pix[y*p.Stride:][:size.X] {
				row[4*x], row[4*x+1], row[4*x+2] = s, s, s
			}
		case *image.Gray16:
			for x := range size.X {
				s := v.upper(p.Pix[y*p.Stride+2*x:])
				row[4*x], row[4*x+1], row[4*x+2] = s, s, s
			}
		case *image.NRGBA:
			copy(row, p.Pix[y*p.Stride:][:4*size.X])
		case *image.NRGBA64:
			for i := range row {
				if i%4 == 3 { // opacity
					row[i] = p.Pix[y*p.Stride+2*i]
				} else {
					row[i] = v.upper(p.Pix[y*p.Stride+2*i:])
				}
			}
		}
		v.blend(row)
	})
	return f
}

// upper returns the 8 bits of a sample that are seen.
func (v view) upper(sample []byte) byte {
	return byte(min(255, int(binary.BigEndian.Uint16(sample))<<v.gain>>8))
}

// blend blends a row of RGBA with the backdrop.
func (v view) blend(row []byte) {
	behind := 0
	switch v.over {
	case nothing:
		return
	case white:
		behind = 255
	}
	for i := 0; i < len(row); i += 4 {
		opacity := int(row[i+3])
		for j := range 3 {
			row[i+j] = byte((int(row[i+j])*opacity + behind*(255-opacity) + 127) / 255)
		}
	}
}
