// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import "github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"

const (
	// blurLongSide is about the long side, in pixels, of the frame that detectors see: they do not notice finer blur.
	blurLongSide = 416
	// blurredBelow is the sharpness below which a frame is blurred. In the clips of `make recall`, sharpness is 0.26 to
	// 0.37 in the frames of the category blur, and 0.45 to 1.7 in all others, least in close-ups before a soft background.
	blurredBelow = 0.4
)

// Blurred reports whether a frame is so blurred, by a camera that moves or is out of focus, that detectors are less
// sure of people in it.
func Blurred(frame *media.Frame) bool { return sharpness(frame) < blurredBelow }

// sharpness returns how unevenly the first plane changes over two steps, along rows or along columns, whichever is
// less: about 1 where edges are sharp, and 0 where all changes are gradual. A step is a pixel of the frame scaled to
// blurLongSide. Noise counts as sharp, and so does a plane that does not change.
func sharpness(frame *media.Frame) float64 {
	plane, size := frame.Planes[0], frame.Format.BytesPerSample()
	if len(plane.Data) < plane.Width*plane.Height*size {
		return 1
	}
	sample := func(x, y int) int {
		at := (y*plane.Width + x) * size
		if size == 2 {
			return int(plane.Data[at]) | int(plane.Data[at+1])<<8
		}
		return int(plane.Data[at])
	}
	step := max(1, (max(plane.Width, plane.Height)+blurLongSide/2)/blurLongSide)
	var along, down change
	for y := 0; y < plane.Height-2*step; y += step {
		for x := 0; x < plane.Width-2*step; x += step {
			here := sample(x, y)
			along.add(here, sample(x+step, y), sample(x+2*step, y))
			down.add(here, sample(x, y+step), sample(x, y+2*step))
		}
	}
	return min(along.unevenness(), down.unevenness())
}

// change sums up how samples change over two steps: by how much in total, and by how much the two steps differ.
type change struct{ total, difference int }

func (c *change) add(a, b, d int) {
	c.total += distance(a, d)
	c.difference += distance(d-b, b-a)
}

func (c *change) unevenness() float64 {
	if c.total == 0 {
		return 1
	}
	return float64(c.difference) / float64(c.total)
}

func distance(a, b int) int { return max(a-b, b-a) }
