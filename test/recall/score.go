// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "image"

// bitmap says of each pixel of a frame whether it is masked.
type bitmap struct {
	width, height int
	set           []bool
}

func newBitmap(width, height int) bitmap {
	return bitmap{width: width, height: height, set: make([]bool, width*height)}
}

func (b bitmap) at(x, y int) bool { return b.set[y*b.width+x] }

// share is the part 0..1 of the frame that is set.
func (b bitmap) share() float64 {
	n := 0
	for _, set := range b.set {
		if set {
			n++
		}
	}
	return float64(n) / float64(len(b.set))
}

// masked compares a frame with its source. A pixel is masked when its luma differs, or when its chroma does and its luma is the
// mask's, that is the most frequent one among those that differ: chroma alone would also tell of the pixel next to a mask.
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

// coverage is the part 0..1 of the ellipse inscribed in a box that is masked: of the pixels whose centre lies in it.
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

// person is the part of a frame in which a mask may lie on the person that a head belongs to, and not beside: from half a head
// above it to six heads below it, and a head's width and a half to each side.
func person(head box) box { return head.grown(1.5, 0.5, 6) }

// outside is the part 0..1 of the frame that is masked and lies on no person.
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

// A blink is a connected region of at least blinkPixels pixels that is masked in the frames before and after but not in this
// one, and at least a quarter as large as the connected mask of the frame before that it is torn out of.
const (
	blinkPixels = 12
	blinkShare  = 0.25
)

// blinks counts them in three successive frames.
func blinks(before, now, after bitmap) int {
	torn := newBitmap(now.width, now.height)
	any := false
	for i := range torn.set {
		torn.set[i] = before.set[i] && after.set[i] && !now.set[i]
		any = any || torn.set[i]
	}
	if !any {
		return 0
	}
	labels, sizes := components(before)
	count := 0
	tornLabels, tornSizes := components(torn)
	for label, size := range tornSizes {
		if size < blinkPixels {
			continue
		}
		// A region that is connected in torn is connected in before, so that any of its pixels names the mask.
		for i := range tornLabels {
			if tornLabels[i] == label+1 {
				if float64(size) >= blinkShare*float64(sizes[labels[i]-1]) {
					count++
				}
				break
			}
		}
	}
	return count
}

// components labels the regions of a bitmap that are connected over edges: 0 is not set, n is region n-1 of the sizes.
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
