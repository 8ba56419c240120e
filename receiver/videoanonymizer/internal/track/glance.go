// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

const (
	// A glance has this many cells along the frame's longer side: a person 20 pixels wide in 1080p covers two columns.
	glanceColumns = 192
	// A cell has changed if it differs by at least this many of 255 steps from the change that all cells share.
	glanceChange = 8.0
	// A change of at least this many connected cells may be a person or a head.
	glanceCells = 8
	// If more than this share of the frame, or more than glanceParts parts of it, have changed, the camera or the light
	// has changed rather than something in the scene.
	glanceEverywhere = 0.25
	glanceParts      = 12
)

// Glance is a small picture of a frame, with which frames can be compared long after their memory was reused.
type Glance struct {
	thumbnail
	width, height int // of the frame
	// at is where the camera has moved the picture since the first frame, in pixels.
	at shift
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

// Changed returns the share 0..1 of the picture that differs from another frame's or is not visible there.
func (g *Glance) Changed(from *Glance) float64 {
	return float64(countOf(g.changes(from, true))) / float64(len(g.cells))
}

func countOf(changed []bool) (n int) {
	for _, c := range changed {
		if c {
			n++
		}
	}
	return n
}

// Appeared returns the parts of the frame, as large as a person or a head, that differ from all the given frames and
// lie outside the known boxes, all in pixels. It does not see what a camera movement newly shows, nor what moves while
// most of the picture changes.
func (g *Glance) Appeared(known []vision.Box, from ...*Glance) []vision.Box {
	changed := g.changes(from[0], false)
	for _, f := range from[1:] {
		for i, c := range g.changes(f, false) {
			changed[i] = changed[i] && c
		}
	}
	if float64(countOf(changed)) > glanceEverywhere*float64(len(changed)) {
		return nil
	}
	for _, b := range known {
		g.clear(changed, b)
	}
	boxes := g.connected(changed)
	if len(boxes) > glanceParts {
		return nil
	}
	return boxes
}

// Still reports whether a part of the frame, in pixels, looks as it does in another frame: whoever is there was there.
func (g *Glance) Still(from *Glance, b vision.Box) bool {
	changed := g.changes(from, true)
	all := countOf(changed)
	g.clear(changed, b)
	return all == countOf(changed)
}

// changes reports which cells differ from those of another frame that show the same part of the scene, apart from a
// change in brightness that all of them share. fresh is the answer for cells that the other frame does not show.
func (g *Glance) changes(from *Glance, fresh bool) []bool {
	changed := make([]bool, len(g.cells))
	if len(from.cells) != len(g.cells) {
		return changed
	}
	moved := g.cellsMovedFrom(from)
	differences := make([]float64, 0, len(g.cells))
	shown := make([]int, 0, len(g.cells))
	for i, c := range g.cells {
		x, y := float64(i%g.columns)-moved.x, float64(i/g.columns)-moved.y
		if x < 0 || y < 0 || x > float64(g.columns-1) || y > float64(g.rows-1) {
			changed[i] = fresh
			continue
		}
		was := from.cells[i]
		if moved != (shift{}) { // allow for a fraction of a cell
			least, most := from.around(int(math.Round(x)), int(math.Round(y)))
			was = min(max(c, least), most)
		}
		differences, shown = append(differences, c-was), append(shown, i)
	}
	all := median(differences)
	for k, i := range shown {
		changed[i] = math.Abs(differences[k]-all) >= glanceChange
	}
	return changed
}

// around returns the minimum and maximum of a cell and its neighbors.
func (g *Glance) around(x, y int) (least, most float64) {
	least, most = math.Inf(1), math.Inf(-1)
	for j := max(0, y-1); j <= min(g.rows-1, y+1); j++ {
		for _, c := range g.cells[j*g.columns+max(0, x-1) : j*g.columns+min(g.columns, x+2)] {
			least, most = min(least, c), max(most, c)
		}
	}
	return least, most
}

// median returns the median of values -255..255, to a quarter of a step.
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

// connected returns the boxes around groups of at least glanceCells changed cells that touch at their sides or corners.
// It resets the cells.
func (g *Glance) connected(changed []bool) (boxes []vision.Box) {
	var open []int
	for i := range changed {
		if !changed[i] {
			continue
		}
		size, box := 0, g.cell(i)
		changed[i] = false
		for open = append(open[:0], i); len(open) > 0; size++ {
			at := open[len(open)-1]
			open = open[:len(open)-1]
			box = box.Union(g.cell(at))
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
			boxes = append(boxes, box)
		}
	}
	return boxes
}

// cell returns the part of the frame that a cell shows, in pixels.
func (g *Glance) cell(i int) vision.Box {
	width, height := float32(g.width)/float32(g.columns), float32(g.height)/float32(g.rows)
	x, y := float32(i%g.columns)*width, float32(i/g.columns)*height
	return vision.Box{X0: x, Y0: y, X1: x + width, Y1: y + height}
}
