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
	// At a cut, the thumbnails correlate by less than this; across camera movement or a change of light, by more.
	cutCorrelation = 0.5
	// A cut changes the cells by at least this many of the 255 steps, and by cutRatio times the mean of the last
	// frames, so that quick movement does not look like cuts. The ratio is that of PySceneDetect's adaptive detector.
	cutChange = 6.0
	cutRatio  = 3.0
	// cutMemory is the weight of the past in that mean.
	cutMemory = 0.8
)

// CutDetector detects where a new scene begins, by the luma of a thumbnail of each frame. It misses dissolves and
// fades, across which people can be followed as within any scene. A false cut makes positions less certain but uncovers
// nobody. It must see every frame of one video, in order, and is not safe for concurrent use.
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

// compare returns the correlation of two thumbnails, -1..1, and the mean change of a cell less the change of the mean.
// A thumbnail without contrast correlates only with another such one.
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
