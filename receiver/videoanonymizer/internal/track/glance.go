// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

const (
	// A glance has this many cells along the frame's longer side: someone 20 pixels wide in 1080p covers two columns.
	glanceColumns = 192
	// A cell has changed if it differs by at least this many of the 255 steps, besides what all cells differ by.
	glanceChange = 10.0
	// A change this many connected cells large may be a person, or a head.
	glanceCells = 4
	// If more than this share of the frame has changed, the camera or the light has, rather than something in the scene.
	glanceEverywhere = 0.35
)

// Glance is a small picture of a frame, by which frames are compared long after their memory was reused.
type Glance struct {
	thumbnail
	width, height int // of the frame
}

// NewGlance takes a glance at a frame.
func NewGlance(frame *media.Frame) *Glance {
	columns, rows := glanceColumns, glanceColumns
	if frame.Width >= frame.Height {
		rows = max(1, glanceColumns*frame.Height/max(1, frame.Width))
	} else {
		columns = max(1, glanceColumns*frame.Width/frame.Height)
	}
	g := &Glance{thumbnail: *newThumbnail(columns, rows), width: frame.Width, height: frame.Height}
	g.take(frame)
	return g
}

// Changed is the share 0..1 of the picture that differs from another frame's.
func (g *Glance) Changed(from *Glance) float64 {
	n := 0
	for _, changed := range g.changes(from) {
		if changed {
			n++
		}
	}
	return float64(n) / float64(len(g.cells))
}

// Appeared reports whether something as large as a person or a head differs from all the given frames, outside the
// boxes, which are in pixels of the frame. It does not see what moves when the camera or the light does.
func (g *Glance) Appeared(known []vision.Box, from ...*Glance) bool {
	changed := g.changes(from[0])
	for _, f := range from[1:] {
		for i, c := range g.changes(f) {
			changed[i] = changed[i] && c
		}
	}
	count := 0
	for _, c := range changed {
		if c {
			count++
		}
	}
	if float64(count) > glanceEverywhere*float64(len(changed)) {
		return false
	}
	for _, b := range known {
		g.clear(changed, b)
	}
	return g.connected(changed)
}

// changes tells which cells differ from another frame's, besides a change of brightness that all of them share.
func (g *Glance) changes(from *Glance) []bool {
	changed := make([]bool, len(g.cells))
	if len(from.cells) != len(g.cells) {
		return changed
	}
	differences := make([]float64, len(g.cells))
	for i := range g.cells {
		differences[i] = g.cells[i] - from.cells[i]
	}
	shift := median(differences)
	for i, d := range differences {
		changed[i] = math.Abs(d-shift) >= glanceChange
	}
	return changed
}

// median is that of values -255..255, to a quarter of a step.
func median(values []float64) float64 {
	const low, resolution = 255, 4
	var counts [2*low*resolution + 1]int
	for _, v := range values {
		counts[int(math.Round((v+low)*resolution))]++
	}
	below := 0
	for i, n := range counts {
		if below += n; 2*below >= len(values) {
			return float64(i)/resolution - low
		}
	}
	return 0
}

// clear resets the cells that a box touches.
func (g *Glance) clear(changed []bool, b vision.Box) {
	sx, sy := float64(g.columns)/float64(g.width), float64(g.rows)/float64(g.height)
	x0, x1 := max(0, int(float64(b.X0)*sx)), min(g.columns, int(math.Ceil(float64(b.X1)*sx)))
	y0, y1 := max(0, int(float64(b.Y0)*sy)), min(g.rows, int(math.Ceil(float64(b.Y1)*sy)))
	for y := y0; y < y1; y++ {
		for x := x0; x < x1; x++ {
			changed[y*g.columns+x] = false
		}
	}
}

// connected reports whether glanceCells changed cells are connected by their sides or corners. It resets them.
func (g *Glance) connected(changed []bool) bool {
	var open []int
	for i := range changed {
		if !changed[i] {
			continue
		}
		size := 0
		changed[i] = false
		for open = append(open[:0], i); len(open) > 0; size++ {
			at := open[len(open)-1]
			open = open[:len(open)-1]
			for y := max(0, at/g.columns-1); y <= min(g.rows-1, at/g.columns+1); y++ {
				for x := max(0, at%g.columns-1); x <= min(g.columns-1, at%g.columns+1); x++ {
					if j := y*g.columns + x; changed[j] {
						changed[j] = false
						open = append(open, j)
					}
				}
			}
		}
		if size >= glanceCells {
			return true
		}
	}
	return false
}
