// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package scene

import "math"

// Box is left, top, right, bottom in pixels.
type Box [4]float64

func (b Box) moved(x, y int) Box {
	return Box{b[0] + float64(x), b[1] + float64(y), b[2] + float64(x), b[3] + float64(y)}
}

func (b Box) area() float64 { return max(b[2]-b[0], 0) * max(b[3]-b[1], 0) }

func (b Box) intersection(o Box) Box {
	return Box{max(b[0], o[0]), max(b[1], o[1]), min(b[2], o[2]), min(b[3], o[3])}
}

// Visible reports whether a frame of the clip shows the picture.
func (p Picture) Visible(frame int) bool { return frame >= p.Shown[0] && frame <= p.Shown[1] }

// SourceFrame returns the frame of the source that a frame of the clip shows.
func (p Picture) SourceFrame(frame int) int { return p.Frame + (frame-p.Shown[0])*p.Step }

// on returns where a box of the source is on the canvas.
func (p Picture) on(frame int, b Box) Box {
	w, h := float64(p.Crop[2]), float64(p.Crop[3])
	b = b.moved(-p.Crop[0], -p.Crop[1])
	if p.Mirror {
		b = Box{w - b[2], b[1], w - b[0], b[3]}
	}
	switch p.Turn {
	case 90:
		b = Box{h - b[3], b[0], h - b[1], b[2]}
	case 180:
		b = Box{w - b[2], h - b[3], w - b[0], h - b[1]}
	case 270:
		b = Box{b[1], w - b[2], b[3], w - b[0]}
	}
	if p.Turn%180 != 0 {
		w, h = h, w
	}
	sx, sy := float64(p.Size[0])/w, float64(p.Size[1])/h
	b = Box{b[0] * sx, b[1] * sy, b[2] * sx, b[3] * sy}
	n := frame - p.Shown[0]
	return b.moved(p.At[0]+n*p.Move[0], p.At[1]+n*p.Move[1])
}

// area returns what the picture covers of the canvas.
func (p Picture) area(frame int) Box {
	c := p.Crop
	return p.on(frame, Box{float64(c[0]), float64(c[1]), float64(c[0] + c[2]), float64(c[1] + c[3])})
}

// camera returns the upper left corner of a frame on the canvas. Its coordinates are even, because ffmpeg crops at
// whole chroma pixels.
func (s Scene) camera(frame int) [2]int {
	at := s.path(frame)
	return [2]int{at[0] &^ 1, at[1] &^ 1}
}

func (s Scene) path(frame int) [2]int {
	if len(s.Camera) == 0 {
		return [2]int{}
	}
	last := s.Camera[0]
	for _, next := range s.Camera[1:] {
		if frame < next.Frame {
			f, n := frame-last.Frame, next.Frame-last.Frame
			return [2]int{last.At[0] + (next.At[0]-last.At[0])*f/n, last.At[1] + (next.At[1]-last.At[1])*f/n}
		}
		last = next
	}
	return last.At
}

// Place returns where a head of picture i is in a frame of the clip. The box contains its visible part, and part is the
// share of the head, 0 to 1, that is visible; pictures painted later hide what they cover.
func (s Scene) Place(i, frame int, head Box) (box Box, part float64) {
	p := s.Pictures[i]
	whole := p.on(frame, head)
	at := s.camera(frame)
	window := Box{0, 0, float64(s.Size[0]), float64(s.Size[1])}.moved(at[0], at[1])
	box = whole.intersection(p.area(frame)).intersection(window)
	hidden := 0.0
	for _, over := range s.Pictures[i+1:] {
		if !over.Visible(frame) {
			continue
		}
		cover := over.area(frame)
		switch {
		case cover[1] <= box[1] && cover[3] >= box[3]:
			box[0], box[2] = uncovered(box[0], box[2], cover[0], cover[2])
		case cover[0] <= box[0] && cover[2] >= box[2]:
			box[1], box[3] = uncovered(box[1], box[3], cover[1], cover[3])
		default: // a corner, which stays in the box
			hidden += box.intersection(cover).area()
		}
	}
	box = box.moved(-at[0], -at[1])
	for k := range box {
		box[k] = math.Round(box[k]*10) / 10
	}
	return box, max(box.area()-hidden, 0) / whole.area()
}

// uncovered returns what a cover leaves of an interval: the longer side, if it leaves two.
func uncovered(from, to, coverFrom, coverTo float64) (float64, float64) {
	if coverFrom >= to || coverTo <= from {
		return from, to
	}
	if coverFrom-from >= to-coverTo {
		return from, coverFrom
	}
	return coverTo, to
}
