// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"image"
	"iter"
)

// bitmap says for each pixel of a frame whether it is set.
type bitmap struct {
	width, height int
	set           []bool
}

func newBitmap(width, height int) bitmap {
	return bitmap{width: width, height: height, set: make([]bool, width*height)}
}

// masked compares a frame with its source. A pixel is masked if its luma differs, or if its chroma differs and it has
// the mask's luma, which is the most frequent luma among the pixels that differ. Chroma alone would include pixels next
// to a mask. Pixels that already had the mask's color are masked if masks enclose them.
func masked(source, output *image.YCbCr) bitmap {
	size := source.Rect.Size()
	m := newBitmap(size.X, size.Y)
	var lumas, blues, reds [256]int
	for y := range size.Y {
		was, is := source.Y[source.YOffset(0, y):][:size.X], output.Y[output.YOffset(0, y):][:size.X]
		for x, luma := range is {
			if luma != was[x] {
				m.set[y*m.width+x] = true
				lumas[luma]++
				blues[output.Cb[output.COffset(x, y)]]++
				reds[output.Cr[output.COffset(x, y)]]++
			}
		}
	}
	mask, blue, red := mostFrequent(lumas), mostFrequent(blues), mostFrequent(reds)
	same, found := newBitmap(size.X, size.Y), false
	for y := range size.Y {
		for x, luma := range output.Y[output.YOffset(0, y):][:size.X] {
			if luma != mask || m.set[y*m.width+x] {
				continue
			}
			was, is := source.COffset(x, y), output.COffset(x, y)
			if source.Cb[was] != output.Cb[is] || source.Cr[was] != output.Cr[is] {
				m.set[y*m.width+x] = true
			} else if output.Cb[is] == blue && output.Cr[is] == red {
				same.set[y*m.width+x], found = true, true
			}
		}
	}
	if found {
		m.addEnclosed(same)
	}
	return m
}

func mostFrequent(histogram [256]int) byte {
	most := 0
	for value, n := range histogram {
		if n > histogram[most] {
			most = value
		}
	}
	return byte(most)
}

// addEnclosed adds each of the others from which straight lines through others lead to a set pixel in all four
// directions. So black pixels in a black mask count, and black surroundings of the mask do not.
func (b bitmap) addEnclosed(others bitmap) {
	sides := make([]byte, len(b.set))
	scan := func(start, step, n int) {
		beyond := false
		for i := start; n > 0; i, n = i+step, n-1 {
			switch {
			case b.set[i]:
				beyond = true
			case !others.set[i]:
				beyond = false
			case beyond:
				sides[i]++
			}
		}
	}
	for y := range b.height {
		scan(y*b.width, 1, b.width)
		scan(y*b.width+b.width-1, -1, b.width)
	}
	for x := range b.width {
		scan(x, b.width, b.height)
		scan((b.height-1)*b.width+x, -b.width, b.height)
	}
	for i, n := range sides {
		if n == 4 {
			b.set[i] = true
		}
	}
}

// ellipse has its center at x, y, and the radii rx and ry.
type ellipse struct{ x, y, rx, ry float64 }

// ellipse returns the ellipse inscribed in a box.
func (b box) ellipse() ellipse {
	return ellipse{(b[0] + b[2]) / 2, (b[1] + b[3]) / 2, b.width() / 2, b.height() / 2}
}

// grown returns the ellipse enlarged about its center.
func (e ellipse) grown(times float64) ellipse { return ellipse{e.x, e.y, times * e.rx, times * e.ry} }

// distance returns the squared distance of a pixel's center from the ellipse's center, in radii: at most 1 inside the
// ellipse.
func (e ellipse) distance(x, y int) float64 {
	dx, dy := (float64(x)+0.5-e.x)/e.rx, (float64(y)+0.5-e.y)/e.ry
	return dx*dx + dy*dy
}

// pixels returns the indices of the pixels of a frame whose centers are in the ellipse.
func (e ellipse) pixels(width, height int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for y := max(int(e.y-e.ry), 0); y < min(int(e.y+e.ry)+1, height); y++ {
			for x := max(int(e.x-e.rx), 0); x < min(int(e.x+e.rx)+1, width); x++ {
				if e.distance(x, y) <= 1 && !yield(y*width+x) {
					return
				}
			}
		}
	}
}

// coverage returns the masked share, 0 to 1, of the ellipse inscribed in a box. It counts the pixels whose centers are
// in it.
func coverage(m bitmap, b box) float64 {
	inside, covered := 0, 0
	for i := range b.ellipse().pixels(m.width, m.height) {
		inside++
		if m.set[i] {
			covered++
		}
	}
	if inside == 0 {
		return 0
	}
	return float64(covered) / float64(inside)
}

// nearHead is the factor by which heads' ellipses are enlarged before what is masked around them counts as outside.
const nearHead = 1.8

// outside returns the share of the frame, 0 to 1, that is masked outside all heads' ellipses enlarged by nearHead.
func outside(m bitmap, heads []head) float64 {
	near := newBitmap(m.width, m.height)
	for _, h := range heads {
		for i := range h.Box.ellipse().grown(nearHead).pixels(m.width, m.height) {
			near.set[i] = true
		}
	}
	n := 0
	for i, set := range m.set {
		if set && !near.set[i] {
			n++
		}
	}
	return float64(n) / float64(len(m.set))
}

// leastPixels is the size from which a region counts.
const leastPixels = 12

// A tear is a connected region of at least leastPixels pixels that is masked in the frames before and after but not in
// this one, and that is at least tearShare of the connected mask in the frame before. If it is at least blinkShare of
// what is masked both before and after, the mask blinks; otherwise it shrinks for a frame.
const (
	tearShare  = 0.25
	blinkShare = 0.9
)

type tear struct {
	Box   box
	Blink bool
}

// tears finds the tears in the second of three successive frames.
func tears(before, now, after bitmap) []tear {
	both, torn := newBitmap(now.width, now.height), newBitmap(now.width, now.height)
	for i := range both.set {
		both.set[i] = before.set[i] && after.set[i]
		torn.set[i] = both.set[i] && !now.set[i]
	}
	tornIn := components(torn)
	if len(tornIn.sizes) == 0 {
		return nil
	}
	beforeIn, bothIn := components(before), components(both)
	boxes := tornIn.boxes()
	at := make([]int, len(boxes)) // a pixel of each; what is connected in torn is also connected in before and both
	for i, label := range tornIn.labels {
		if label != 0 {
			at[label-1] = i
		}
	}
	var found []tear
	for i, size := range tornIn.sizes {
		mask := beforeIn.sizes[beforeIn.labels[at[i]]-1]
		if size >= leastPixels && float64(size) >= tearShare*float64(mask) {
			stays := bothIn.sizes[bothIn.labels[at[i]]-1]
			found = append(found, tear{boxes[i], float64(size) >= blinkShare*float64(stays)})
		}
	}
	return found
}
