// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

const (
	// Between two compared frames, the camera may move the picture by up to this share of each side.
	cameraReach = 1.0 / 3
	// cameraCoarse is the number of cells per side averaged into one cell of the coarse picture, which is searched first.
	cameraCoarse = 4
	// Differences are capped at this many of 255 steps: what moves by itself counts as much as what is hidden.
	cameraMost = 24.0
	// The picture is divided into blocks of this many cells along each side. A block has enough texture to be compared if
	// neighboring cells differ by at least blockTexture on average. It is still if two pictures of it differ by at most
	// blockStill.
	blockSide    = 12
	blockTexture = 1.5
	blockStill   = 1.5
	// A block moved with the camera if shifting the picture leaves at most this share of its difference.
	blockMoved = 0.6
	// The camera has moved if at least this share of the blocks, and at least minBlocks, moved with it.
	blocksMoved = 0.6
	minBlocks   = 6
	// A shift is ambiguous if another one, at least otherShift cells away along an axis, fits about as well: the pictures
	// then differ by at most alikeShift times as much plus alikeNoise.
	otherShift = 3
	alikeShift = 1.1
	alikeNoise = 0.3
	// If two estimates of a frame's position differ by more than this many cells, neither counts.
	agreeCells = 2.0
	// Shifts are multiples of 1/shiftGrid of a pixel, so that their sums are exact in any order.
	shiftGrid = 16
)

// cameraEvery is the number of frames from one reference frame, with which others are compared, to the next: over
// several frames, even a slow move is larger than the error.
const cameraEvery = 6

// Camera follows how a camera moves the picture. It must see a glance at every frame of one video, in order, and is not
// safe for concurrent use. From the first frame whose index is a multiple of cameraEvery, the moves between frames do
// not depend on which frame it began with.
type Camera struct{ reference, last *Glance }

// Follow records in a glance where the camera has moved the picture.
func (c *Camera) Follow(g *Glance, index int, cut bool) {
	if c.last != nil && !cut {
		g.at = c.place(g)
	}
	if c.last == nil || cut || index%cameraEvery == 0 {
		c.reference = g
	}
	c.last = g
}

// place returns where the camera has moved the picture of the next frame. If both the reference and the previous frame
// give an estimate, the two must agree. Without a valid estimate, the camera counts as still.
func (c *Camera) place(g *Glance) shift {
	byReference, okReference := g.cameraShift(c.reference)
	byLast, okLast := g.cameraShift(c.last)
	far, near := c.reference.at.plus(g.pixels(byReference)), c.last.at.plus(g.pixels(byLast))
	limit := agreeCells * float64(g.width) / float64(g.columns)
	switch apart := far.minus(near); {
	case okReference && okLast && math.Hypot(apart.x, apart.y) > limit:
		return c.last.at
	case okReference:
		return far
	case okLast:
		return near
	}
	return c.last.at
}

// pixels converts a shift in cells to pixels, rounded to shiftGrid.
func (g *Glance) pixels(s shift) shift {
	round := func(cells float64, pixels, count int) float64 {
		return math.Round(shiftGrid*cells*float64(pixels)/float64(count)) / shiftGrid
	}
	return shift{round(s.x, g.width, g.columns), round(s.y, g.height, g.rows)}
}

// Motion returns how far the camera has moved the picture since another frame; zero if either glance is nil.
func (g *Glance) Motion(from *Glance) Vector {
	if g == nil || from == nil {
		return Vector{}
	}
	s := g.at.minus(from.at)
	return Vector{float32(s.x), float32(s.y)}
}

// shift is how far something moved from one frame to another, in pixels or in cells.
type shift struct{ x, y float64 }

func (s shift) plus(o shift) shift  { return shift{s.x + o.x, s.y + o.y} }
func (s shift) minus(o shift) shift { return shift{s.x - o.x, s.y - o.y} }

// cameraShift estimates by how many cells the camera has moved the picture since another frame; ok is false if the two
// frames do not show it. Most of the picture's blocks must agree, so that a person who crosses it does not count as a
// move of the camera. It estimates translations alone: zoom and roll appear as the shift of the frame's middle, if at
// all.
func (g *Glance) cameraShift(from *Glance) (s shift, ok bool) {
	if len(from.cells) != len(g.cells) {
		return shift{}, false
	}
	blocks := g.textured()
	still := g.count(blocks, func(b block) bool { return g.difference(from, b, shift{}) <= blockStill })
	if 2*still >= len(blocks) {
		return shift{}, len(blocks) > 0
	}
	fine, before := g.thumbnail, from.thumbnail
	best, ok := coarse(&fine).search(coarse(&before), shift{}, int(cameraReach*float64(g.columns/cameraCoarse)),
		int(cameraReach*float64(g.rows/cameraCoarse)))
	if !ok {
		return shift{}, false
	}
	best = shift{best.x * cameraCoarse, best.y * cameraCoarse}
	if best, ok = fine.search(&before, best, cameraCoarse+1, cameraCoarse+1); !ok {
		return shift{}, false
	}
	best = fine.refine(&before, best)
	moved, seen := 0, 0
	for _, b := range blocks {
		if !g.holds(b, best) {
			continue
		}
		seen++
		if g.difference(from, b, best) <= blockMoved*g.difference(from, b, shift{}) {
			moved++
		}
	}
	if moved < minBlocks || float64(moved) < blocksMoved*float64(seen) {
		return shift{}, false
	}
	return best, true
}

// block is a part of a glance, identified by its first cell.
type block struct{ x, y int }

// textured returns the blocks with enough texture to be compared.
func (g *Glance) textured() (blocks []block) {
	for y := 0; y+blockSide <= g.rows; y += blockSide {
		for x := 0; x+blockSide <= g.columns; x += blockSide {
			sum := 0.0
			for cy := y; cy < y+blockSide-1; cy++ {
				for i := cy*g.columns + x; i < cy*g.columns+x+blockSide-1; i++ {
					sum += math.Abs(g.cells[i]-g.cells[i+1]) + math.Abs(g.cells[i]-g.cells[i+g.columns])
				}
			}
			if sum >= 2*blockTexture*(blockSide-1)*(blockSide-1) {
				blocks = append(blocks, block{x, y})
			}
		}
	}
	return blocks
}

func (g *Glance) count(blocks []block, is func(block) bool) (n int) {
	for _, b := range blocks {
		if is(b) {
			n++
		}
	}
	return n
}

// holds reports whether a block was in the picture before the shift.
func (g *Glance) holds(b block, s shift) bool {
	x, y := float64(b.x)-s.x, float64(b.y)-s.y
	return x >= 0 && y >= 0 && x+blockSide <= float64(g.columns-1) && y+blockSide <= float64(g.rows-1)
}

// difference returns the mean difference of a block from where it was before the shift.
func (g *Glance) difference(from *Glance, b block, s shift) float64 {
	sum := 0.0
	for y := b.y; y < b.y+blockSide; y++ {
		for x := b.x; x < b.x+blockSide; x++ {
			sum += min(cameraMost, math.Abs(g.cells[y*g.columns+x]-from.between(float64(x)-s.x, float64(y)-s.y)))
		}
	}
	return sum / (blockSide * blockSide)
}

// between returns the value at a position between cells.
func (t *thumbnail) between(x, y float64) float64 {
	x, y = min(max(x, 0), float64(t.columns-1)), min(max(y, 0), float64(t.rows-1))
	x0, y0 := int(x), int(y)
	u, v := x-float64(x0), y-float64(y0)
	i := y0*t.columns + x0
	right, below := min(1, t.columns-1-x0), t.columns*min(1, t.rows-1-y0)
	top := t.cells[i] + (t.cells[i+right]-t.cells[i])*u
	bottom := t.cells[i+below] + (t.cells[i+below+right]-t.cells[i+below])*u
	return top + (bottom-top)*v
}

// coarse returns the thumbnail at a quarter of its width and height.
func coarse(t *thumbnail) *thumbnail {
	c := &thumbnail{columns: max(1, t.columns/cameraCoarse), rows: max(1, t.rows/cameraCoarse)}
	c.cells = make([]float64, c.columns*c.rows)
	for y := range c.rows {
		for x := range c.columns {
			sum := 0.0
			for cy := y * cameraCoarse; cy < (y+1)*cameraCoarse && cy < t.rows; cy++ {
				for cx := x * cameraCoarse; cx < (x+1)*cameraCoarse && cx < t.columns; cx++ {
					sum += t.cells[cy*t.columns+cx]
				}
			}
			c.cells[y*c.columns+x] = sum / (cameraCoarse * cameraCoarse)
		}
	}
	return c
}

// search returns the shift by whole cells, at most reachX and reachY from the given one, at which the pictures differ
// least. ok is false if they differ about as little at another shift, as they do with bricks, windows or a fence.
func (t *thumbnail) search(from *thumbnail, around shift, reachX, reachY int) (best shift, ok bool) {
	x, y := int(math.Round(around.x)), int(math.Round(around.y))
	width := 2*reachX + 1
	apart := make([]float64, width*(2*reachY+1))
	least := 0
	for i := range apart {
		apart[i] = t.apart(from, x-reachX+i%width, y-reachY+i/width)
		if apart[i] < apart[least] {
			least = i
		}
	}
	for i, d := range apart {
		dx, dy := i%width-least%width, i/width-least/width
		if max(dx, -dx, dy, -dy) >= otherShift && d <= alikeShift*apart[least]+alikeNoise {
			return shift{}, false
		}
	}
	return shift{float64(x - reachX + least%width), float64(y - reachY + least/width)}, true
}

// apart returns the mean difference of the area that two pictures share if one is shifted by whole cells.
func (t *thumbnail) apart(from *thumbnail, dx, dy int) float64 {
	x0, x1 := max(0, dx), min(t.columns, t.columns+dx)
	y0, y1 := max(0, dy), min(t.rows, t.rows+dy)
	if x1 <= x0 || y1 <= y0 {
		return math.Inf(1)
	}
	sum := 0.0
	for y := y0; y < y1; y++ {
		now, was := t.cells[y*t.columns+x0:y*t.columns+x1], from.cells[(y-dy)*t.columns+x0-dx:]
		for i, c := range now {
			sum += min(cameraMost, math.Abs(c-was[i]))
		}
	}
	return sum / float64((x1-x0)*(y1-y0))
}

// refine moves a whole shift by up to half a cell to the minimum that the differences around it imply; see lowest.
func (t *thumbnail) refine(from *thumbnail, s shift) shift {
	x, y := int(s.x), int(s.y)
	here := t.apart(from, x, y)
	s.x += lowest(t.apart(from, x-1, y), here, t.apart(from, x+1, y))
	s.y += lowest(t.apart(from, x, y-1), here, t.apart(from, x, y+1))
	return s
}

// lowest returns where, -0.5..0.5, two lines of equal and opposite slope through the values at -1, 0 and 1 meet: the
// difference between shifted pictures grows linearly from its minimum.
func lowest(before, here, after float64) float64 {
	steep := max(before, after) - here
	if !(steep > 0) || math.IsInf(steep, 1) {
		return 0
	}
	return (before - after) / (2 * steep)
}

// cellsMovedFrom returns by how many cells the camera has moved the picture since another frame.
func (g *Glance) cellsMovedFrom(from *Glance) shift {
	s := g.at.minus(from.at)
	return shift{s.x * float64(g.columns) / float64(g.width), s.y * float64(g.rows) / float64(g.height)}
}

// Moved returns where the camera has moved a box of another frame, in pixels; the same box if either glance is nil.
func (g *Glance) Moved(from *Glance, b vision.Box) vision.Box {
	by := g.Motion(from)
	return b.Moved(by.X, by.Y)
}

// Vector is a distance in pixels of the frame.
type Vector struct{ X, Y float32 }
