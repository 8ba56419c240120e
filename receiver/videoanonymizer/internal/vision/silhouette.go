// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"math/bits"
	"slices"
)

// Silhouette marks the cells in a part of the frame that show people.
type Silhouette struct {
	// Box is the part, in pixels of the frame. The cells divide it evenly.
	Box Box
	// Cells are the cells that show people.
	Cells Bitmap
}

// Bitmap is a set of cells in a grid of Width x Height, counted from the upper left. Copies share their cells; see
// Clone.
type Bitmap struct {
	Width, Height int
	words         []uint64 // each row begins with a new word
}

// NewBitmap returns an empty set of width x height cells, both 1 or more.
func NewBitmap(width, height int) Bitmap {
	return Bitmap{Width: width, Height: height, words: make([]uint64, (width+63)/64*height)}
}

// Set adds a cell.
func (b Bitmap) Set(x, y int) { b.row(y)[x/64] |= 1 << (x % 64) }

// Clear removes a cell.
func (b Bitmap) Clear(x, y int) { b.row(y)[x/64] &^= 1 << (x % 64) }

// At reports whether a cell is in the set.
func (b Bitmap) At(x, y int) bool { return b.row(y)[x/64]>>(x%64)&1 == 1 }

// Clone returns a copy that shares no cells.
func (b Bitmap) Clone() Bitmap {
	b.words = slices.Clone(b.words)
	return b
}

// Runs calls use with the maximal runs of cells, from x0 to before x1, that are set in any of the rows y0 to before y1.
func (b Bitmap) Runs(y0, y1 int, use func(x0, x1 int)) {
	n := (b.Width + 63) / 64
	start := -1
	for i := range n {
		var word uint64
		for y := y0; y < y1; y++ {
			word |= b.words[y*n+i]
		}
		for x := 0; x < 64; {
			rest := word >> x
			if start >= 0 {
				rest = ^rest
			}
			step := bits.TrailingZeros64(rest)
			if x += step; x >= 64 {
				break
			}
			if start < 0 {
				start = i*64 + x
				continue
			}
			use(start, i*64+x)
			start = -1
		}
	}
	if start >= 0 {
		use(start, b.Width)
	}
}

func (b Bitmap) row(y int) []uint64 {
	n := (b.Width + 63) / 64
	return b.words[y*n:][:n]
}
