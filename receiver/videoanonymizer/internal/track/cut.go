// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

const (
	// Frames are compared as thumbnails of this many cells.
	cutColumns, cutRows = 48, 27
	// At a cut, the correlation of the thumbnails is below this; when the camera moves or the light changes, it is above.
	cutCorrelation = 0.5
	// A cut changes the cells by at least cutChange of 255 steps, and by at least cutRatio times the mean change of the
	// last frames, so that fast movement is not taken for a cut. The ratio is the one of PySceneDetect's adaptive
	// detector.
	cutChange = 6.0
	cutRatio  = 3.0
	// cutMemory is the weight of the past in the running mean.
	cutMemory = 0.8
	// A frame next to a cut may be blended with the other scene, or show part of it. It counts as mixed if, of the area
	// where the two scenes differ by at least mixedContrast, at least mixedShare differs from its own scene by at least
	// mixedPart of the way to the other. Blocks of mixedBlock x mixedBlock cells are compared, so that noise averages out.
	mixedContrast = 16.0
	mixedPart     = 0.1
	mixedShare    = 0.1
	mixedBlock    = 6
)

// CutDetector detects where a new scene begins by comparing luma thumbnails of the frames. It misses dissolves and
// fades, across which people can be followed as within a scene. A false cut makes positions less certain but uncovers
// no one. A detector must see every frame of one video, in order, and is not safe for concurrent use.
type CutDetector struct {
	previous, current *thumbnail
	seen              int
	change            float64 // running mean
}

// NewCutDetector returns a detector for one video.
func NewCutDetector() *CutDetector {
	return &CutDetector{previous: newThumbnail(cutColumns, cutRows), current: newThumbnail(cutColumns, cutRows)}
}

// Cut reports whether the frame begins a new scene. The first frame of a video does not.
func (d *CutDetector) Cut(frame *media.Frame) bool {
	d.previous, d.current = d.current, d.previous
	d.current.take(frame)
	d.seen++
	if d.seen == 1 {
		return false
	}
	correlation, change := compare(d.previous.cells, d.current.cells)
	cut := correlation < cutCorrelation && change >= cutChange && change >= cutRatio*d.change
	switch {
	case cut || d.seen == 2:
		d.change = 0
	default:
		d.change = cutMemory*d.change + (1-cutMemory)*change
	}
	return cut
}

// compare returns the correlation of two thumbnails, -1..1, and the mean change of their cells after each thumbnail's
// mean is subtracted. A thumbnail without contrast correlates only with another one without contrast.
func compare(a, b []float64) (correlation, change float64) {
	n := float64(len(a))
	var meanA, meanB float64
	for i := range a {
		meanA, meanB = meanA+a[i]/n, meanB+b[i]/n
	}
	var aa, bb, ab float64
	for i := range a {
		x, y := a[i]-meanA, b[i]-meanB
		aa, bb, ab = aa+x*x, bb+y*y, ab+x*y
		change += math.Abs(x-y) / n
	}
	if aa == 0 || bb == 0 {
		if aa == bb {
			return 1, change
		}
		return 0, change
	}
	return ab / math.Sqrt(aa*bb), change
}

// mixes reports whether a frame next to a cut may show parts of the scene on the other side, given the glances at its
// neighbors in its own scene and in the other. If any of the glances is nil, it may.
func (g *Glance) mixes(own, other *Glance) bool {
	if g == nil || own == nil || other == nil {
		return true
	}
	differ, mixed := 0, 0
	for y := 0; y < g.rows; y += mixedBlock {
		for x := 0; x < g.columns; x += mixedBlock {
			n, part := g.toward(own, other, x, y)
			differ += n
			if n > 0 && part >= mixedPart && part <= 1+mixedPart {
				mixed += n
			}
		}
	}
	return differ == 0 || float64(mixed) >= mixedShare*float64(differ)
}

// toward returns the number of cells of the block at x, y in which two other glances differ, and at which fraction of
// the way from the first to the second this one is there, by least squares.
func (g *Glance) toward(from, to *Glance, x, y int) (n int, part float64) {
	var way, all float64
	for j := y; j < min(g.rows, y+mixedBlock); j++ {
		for i := j*g.columns + x; i < j*g.columns+min(g.columns, x+mixedBlock); i++ {
			d := to.cells[i] - from.cells[i]
			if math.Abs(d) < mixedContrast {
				continue
			}
			n++
			way, all = way+(g.cells[i]-from.cells[i])*d, all+d*d
		}
	}
	return n, way / max(1, all)
}
