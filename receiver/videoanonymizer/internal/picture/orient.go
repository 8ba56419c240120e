// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"image"
	"image/draw"
)

// turn is how stored pixels are turned for display: transposed (rows become columns), then mirrored left to right
// (mirrorX), top to bottom (mirrorY), or both.
type turn struct{ transpose, mirrorX, mirrorY bool }

// turns are the turns of the EXIF orientations (EXIF 2.3, table 6), by their number.
var turns = [9]turn{
	2: {mirrorX: true},
	3: {mirrorX: true, mirrorY: true},
	4: {mirrorY: true},
	5: {transpose: true},
	6: {transpose: true, mirrorX: true},
	7: {transpose: true, mirrorX: true, mirrorY: true},
	8: {transpose: true, mirrorY: true},
}

// then returns the turn that first does t, then u.
func (t turn) then(u turn) turn {
	if u.transpose {
		t = turn{!t.transpose, t.mirrorY, t.mirrorX}
	}
	return turn{t.transpose, t.mirrorX != u.mirrorX, t.mirrorY != u.mirrorY}
}

// back returns the inverse of the turn.
func (t turn) back() turn {
	if t.transpose { // mirroring left to right afterwards is mirroring top to bottom before
		t.mirrorX, t.mirrorY = t.mirrorY, t.mirrorX
	}
	return t
}

// size returns the size of a picture of width x height after the turn.
func (t turn) size(width, height int) (int, int) {
	if t.transpose {
		return height, width
	}
	return width, height
}

// plane turns width x height pixels of size bytes each. It returns data itself if there is nothing to turn.
func (t turn) plane(data []byte, width, height, size int) []byte {
	if t == (turn{}) {
		return data
	}
	to := make([]byte, len(data))
	w, h := t.size(width, height)
	// Turn squares of pixels, so that both rows and columns stay in the cache.
	const square = 32
	for y0 := 0; y0 < h; y0 += square {
		for x0 := 0; x0 < w; x0 += square {
			for y := y0; y < min(h, y0+square); y++ {
				for x := x0; x < min(w, x0+square); x++ {
					fx, fy := x, y
					if t.mirrorX {
						fx = w - 1 - x
					}
					if t.mirrorY {
						fy = h - 1 - y
					}
					if t.transpose {
						fx, fy = fy, fx
					}
					if size == 1 {
						to[y*w+x] = data[fy*width+fx]
						continue
					}
					copy(to[(y*w+x)*size:(y*w+x+1)*size], data[(fy*width+fx)*size:])
				}
			}
		}
	}
	return to
}

// pixels turns a picture of one of the types that unify returns.
func (t turn) pixels(from draw.Image) draw.Image {
	if t == (turn{}) {
		return from
	}
	width, height := from.Bounds().Dx(), from.Bounds().Dy()
	w, h := t.size(width, height)
	r := image.Rect(0, 0, w, h)
	switch p := from.(type) {
	case *image.Gray:
		return &image.Gray{Pix: t.plane(p.Pix, width, height, 1), Stride: w, Rect: r}
	case *image.Gray16:
		return &image.Gray16{Pix: t.plane(p.Pix, width, height, 2), Stride: 2 * w, Rect: r}
	case *image.NRGBA:
		return &image.NRGBA{Pix: t.plane(p.Pix, width, height, 4), Stride: 4 * w, Rect: r}
	case *image.NRGBA64:
		return &image.NRGBA64{Pix: t.plane(p.Pix, width, height, 8), Stride: 8 * w, Rect: r}
	}
	return from
}
