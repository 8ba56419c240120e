// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "image"

// bitmap tells for each pixel of a frame whether it is set.
type bitmap struct {
	width, height int
	set           []bool
}

func newBitmap(width, height int) bitmap {
	return bitmap{width: width, height: height, set: make([]bool, width*height)}
}

func (b bitmap) at(x, y int) bool { return b.set[y*b.width+x] }

// share is the part 0..1 of the pixels that is set.
func (b bitmap) share() float64 {
	n := 0
	for _, set := range b.set {
		if set {
			n++
		}
	}
	return float64(n) / float64(len(b.set))
}

// masked compares a frame with its source. A pixel is masked if its luma differs, or if its chroma differs and its luma
// is that of the mask, which is the most frequent luma among the pixels that differ. Chroma alone would include pixels
// next to a mask.
func masked(source, output *image.YCbCr) bitmap {
	size := source.Rect.Size()
	m := newBitmap(size.X, size.Y)
	var lumas [256]int
	for y := range size.Y {
		for x := range size.X {
			luma := output.Y[output.YOffset(x, y)]
			if luma != source.Y[source.YOffset(x, y)] {
				m.set[y*m.width+x] = true
				lumas[luma]++
			}
		}
	}
	mask := 0
	for luma, n := range lumas {
		if n > lumas[mask] {
			mask = luma
		}
	}
	for y := range size.Y {
		for x := range size.X {
			if m.at(x, y) || int(output.Y[output.YOffset(x, y)]) != mask {
				continue
			}
			was, is := source.COffset(x, y), output.COffset(x, y)
			m.set[y*m.width+x] = source.Cb[was] != output.Cb[is] || source.Cr[was] != output.Cr[is]
		}
	}
	return m
}

// coverage is the masked part 0..1 of the ellipse inscribed in a box, counted over the pixels with their center in it.
func coverage(m bitmap, b box) float64 {
	cx, cy := (b[0]+b[2])/2, (b[1]+b[3])/2
	rx, ry := b.width()/2, b.height()/2
	inside, covered := 0, 0
	for y := max(int(b[1]), 0); y < min(int(b[3])+1, m.height); y++ {
		for x := max(int(b[0]), 0); x < min(int(b[2])+1, m.width); x++ {
			dx, dy := (float64(x)+0.5-cx)/rx, (float64(y)+0.5-cy)/ry
			if dx*dx+dy*dy > 1 {
				continue
			}
			inside++
			if m.at(x, y) {
				covered++
			}
		}
	}
	if inside == 0 {
		return 0
	}
	return float64(covered) / float64(inside)
}

// person is the region of the person that a head belongs to: from half a head above it to six heads below it, and one
// and a half head widths to each side.
func person(head box) box { return head.grown(1.5, 0.5, 6) }

// outside is the part 0..1 of the frame that is masked and does not belong to a person.
func outside(m bitmap, heads []head) float64 {
	n := 0
	for y := range m.height {
	pixels:
		for x := range m.width {
			if !m.at(x, y) {
				continue
			}
			for _, h := range heads {
				if person(h.Box).contains(float64(x)+0.5, float64(y)+0.5) {
					continue pixels
				}
			}
			n++
		}
	}
	return float64(n) / float64(len(m.set))
}

// A tear is a connected region of at least tearPixels pixels that is masked in the frames before and after but not in
// this one, and that is at least tearShare of the connected mask in the frame before. If it is at least blinkShare of
// what is masked both before and after, the mask blinks; otherwise it shrinks for a frame.
const (
	tearPixels = 12
	tearShare  = 0.25
	blinkShare = 0.9
)

type tear struct {
	box   box
	blink bool
}

// tears finds the tears in the second of three successive frames.
func tears(before, now, after bitmap) []tear {
	both, torn := newBitmap(now.width, now.height), newBitmap(now.width, now.height)
	for i := range both.set {
		both.set[i] = before.set[i] && after.set[i]
		torn.set[i] = both.set[i] && !now.set[i]
	}
	tornLabels, tornSizes := components(torn)
	if len(tornSizes) == 0 {
		return nil
	}
	beforeLabels, beforeSizes := components(before)
	bothLabels, bothSizes := components(both)
	boxes := make([]box, len(tornSizes))
	at := make([]int, len(tornSizes)) // a pixel of each; what is connected in torn is also connected in the others
	for i, label := range tornLabels {
		if label == 0 {
			continue
		}
		x, y := float64(i%now.width), float64(i/now.width)
		b := &boxes[label-1]
		if b[2] == 0 {
			*b = box{x, y, x + 1, y + 1}
		}
		*b = box{min(b[0], x), min(b[1], y), max(b[2], x+1), max(b[3], y+1)}
		at[label-1] = i
	}
	var found []tear
	for i, size := range tornSizes {
		mask := beforeSizes[beforeLabels[at[i]]-1]
		if size >= tearPixels && float64(size) >= tearShare*float64(mask) {
			stays := bothSizes[bothLabels[at[i]]-1]
			found = append(found, tear{boxes[i], float64(size) >= blinkShare*float64(stays)})
		}
	}
	return found
}

// components labels the 4-connected regions of a bitmap: 0 is not set, n is the region of sizes[n-1].
func components(b bitmap) (labels, sizes []int) {
	labels = make([]int, len(b.set))
	var stack []int
	for start := range b.set {
		if !b.set[start] || labels[start] != 0 {
			continue
		}
		label := len(sizes) + 1
		size := 0
		labels[start] = label
		stack = append(stack[:0], start)
		for len(stack) > 0 {
			i := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			size++
			x, y := i%b.width, i/b.width
			for _, next := range [4][2]int{{x - 1, y}, {x + 1, y}, {x, y - 1}, {x, y + 1}} {
				if next[0] < 0 || next[1] < 0 || next[0] >= b.width || next[1] >= b.height {
					continue
				}
				if j := next[1]*b.width + next[0]; b.set[j] && labels[j] == 0 {
					labels[j] = label
					stack = append(stack, j)
				}
			}
		}
		sizes = append(sizes, size)
	}
	return labels, sizes
}
