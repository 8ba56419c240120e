// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"image"
	"math/bits"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// Coverage is the set of pixels of a frame that masks cover.
type Coverage struct {
	width, height int
	words         []uint64 // each row begins with a new word
}

// NewCoverage returns an empty coverage for a frame of the given size in pixels.
func NewCoverage(width, height int) *Coverage {
	return &Coverage{width: width, height: height, words: make([]uint64, (width+63)/64*height)}
}

// Cover returns the pixels that Paint covers in luma. Paint covers them in chroma, too, since a chroma sample is
// covered if any of its pixels is.
func (p *Painter) Cover(width, height int, masks Masks) *Coverage {
	c := NewCoverage(width, height)
	frame := &media.Frame{Width: width, Height: height, Format: media.PixelFormat{Planes: 1, Depth: 8}}
	frame.Planes[0] = media.Plane{Width: width, Height: height}
	regions, whole := p.maskedRegions(frame, masks.At)
	contours, sane := p.masked(frame, masks)
	if whole || !sane {
		c.Fill()
		return c
	}
	for _, o := range contours {
		o.rows(frame, 0, c.set)
	}
	for _, r := range p.opts.Regions {
		if r.Action == Keep && r.at(masks.At) {
			newPolygon(r.Polygon, frame).inside(frame, 0, c.clear)
		}
	}
	for _, o := range regions {
		o.rows(frame, 0, c.set)
	}
	return c
}

// Fill covers all pixels.
func (c *Coverage) Fill() {
	for y := range c.height {
		c.set(y, 0, c.width)
	}
}

// Add covers what another coverage of the same size covers.
func (c *Coverage) Add(other *Coverage) {
	for i, w := range other.words {
		c.words[i] |= w
	}
}

// Missing returns how many pixels that both a and b cover are not covered here, and the smallest rectangle around them.
// All three must have the same size.
func (c *Coverage) Missing(a, b *Coverage) (pixels int, around image.Rectangle) {
	n := (c.width + 63) / 64
	for i, w := range c.words {
		missing := a.words[i] & b.words[i] &^ w
		if missing == 0 {
			continue
		}
		pixels += bits.OnesCount64(missing)
		x, y := i%n*64, i/n
		around = around.Union(image.Rect(x+bits.TrailingZeros64(missing), y, x+64-bits.LeadingZeros64(missing), y+1))
	}
	return pixels, around
}

func (c *Coverage) set(y, x0, x1 int) {
	c.run(y, x0, x1, func(word *uint64, bits uint64) { *word |= bits })
}

func (c *Coverage) clear(y, x0, x1 int) {
	c.run(y, x0, x1, func(word *uint64, bits uint64) { *word &^= bits })
}

// run calls use with each word of the pixels x0 to before x1 of a row, and their bits in it.
func (c *Coverage) run(y, x0, x1 int, use func(word *uint64, bits uint64)) {
	row := c.words[y*((c.width+63)/64):]
	for x := x0; x < x1; x = x/64*64 + 64 {
		bits := ^uint64(0) << (x % 64)
		if end := x/64*64 + 64; end > x1 {
			bits &= ^uint64(0) >> (end - x1)
		}
		use(&row[x/64], bits)
	}
}
