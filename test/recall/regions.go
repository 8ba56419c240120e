// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "slices"

// regions are the 4-connected regions of a bitmap. A pixel's label is 0 if the pixel is not set, and n if it is in the
// region with sizes[n-1] pixels.
type regions struct {
	width, height int
	labels        []int32
	sizes         []int
}

// components finds the regions of a bitmap.
func components(b bitmap) regions {
	found := regions{width: b.width, height: b.height, labels: make([]int32, len(b.set))}
	var stack []int
	for start := range b.set {
		if !b.set[start] || found.labels[start] != 0 {
			continue
		}
		label := int32(len(found.sizes) + 1)
		size := 0
		found.labels[start] = label
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
				if j := next[1]*b.width + next[0]; b.set[j] && found.labels[j] == 0 {
					found.labels[j] = label
					stack = append(stack, j)
				}
			}
		}
		found.sizes = append(found.sizes, size)
	}
	return found
}

// boxes returns the bounding boxes of the regions.
func (r regions) boxes() []box {
	boxes := make([]box, len(r.sizes))
	for i, label := range r.labels {
		if label == 0 {
			continue
		}
		x, y := float64(i%r.width), float64(i/r.width)
		b := &boxes[label-1]
		if b[2] == 0 {
			*b = box{x, y, x + 1, y + 1}
		}
		*b = box{min(b[0], x), min(b[1], y), max(b[2], x+1), max(b[3], y+1)}
	}
	return boxes
}

// touching returns, for each region, the heads whose ellipses it intersects.
func (r regions) touching(heads []head) [][]int {
	touching := make([][]int, len(r.sizes))
	for i, h := range heads {
		for pixel := range h.Box.ellipse().pixels(r.width, r.height) {
			label := r.labels[pixel]
			if label != 0 && !slices.Contains(touching[label-1], i) {
				touching[label-1] = append(touching[label-1], i)
			}
		}
	}
	return touching
}

// tight returns, for each head, the area masked for it divided by the area of its ellipse. The regions that intersect
// its ellipse are masked for it. If a region intersects several ellipses, each pixel is masked for the nearest head,
// measured from the head's center in radii of its ellipse: the larger head has the larger share.
func (r regions) tight(heads []head) []float64 {
	touching := r.touching(heads)
	areas := make([]int, len(heads))
	for i, sharing := range touching {
		if len(sharing) == 1 {
			areas[sharing[0]] += r.sizes[i]
		}
	}
	ellipses := make([]ellipse, len(heads))
	for i, h := range heads {
		ellipses[i] = h.Box.ellipse()
	}
	for pixel, label := range r.labels {
		if label == 0 || len(touching[label-1]) < 2 {
			continue
		}
		sharing := touching[label-1]
		nearest, least := 0, 0.0
		for i, h := range sharing {
			if d := ellipses[h].distance(pixel%r.width, pixel/r.width); i == 0 || d < least {
				nearest, least = h, d
			}
		}
		areas[nearest]++
	}
	ratios := make([]float64, len(heads))
	for i, e := range ellipses {
		size := 0
		for range e.pixels(r.width, r.height) {
			size++
		}
		ratios[i] = float64(areas[i]) / float64(max(1, size))
	}
	return ratios
}
