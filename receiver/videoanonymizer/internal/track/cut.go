// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

const (
	// A frame is compared as a picture of this many cells, each the mean of cellSamples x cellSamples samples.
	cutColumns, cutRows = 48, 27
	cellSamples         = 4
	// A cut leaves less than this correlation between two pictures: a camera's move or a change of light leaves more.
	cutCorrelation = 0.5
	// It changes the cells by this much of the 255 steps at least, and by cutRatio times the mean of the last frames, so
	// that a scene of quick movement is not cut to pieces. The ratio is that of PySceneDetect's adaptive detector.
	cutChange = 6.0
	cutRatio  = 3.0
	// cutMemory is the weight of the past in that mean.
	cutMemory = 0.8
)

// CutDetector tells where a new scene begins, by the luma of a small picture of each frame. It misses dissolves and
// fades, across which people can be followed as in any other scene; a false cut costs some certainty but uncovers nobody.
// It sees every frame of one video, in order, and is not safe for concurrent use.
type CutDetector struct {
	previous, current []float64
	seen              int
	change            float64 // running mean
}

// NewCutDetector returns a detector for one video.
func NewCutDetector() *CutDetector {
	return &CutDetector{previous: make([]float64, cutColumns*cutRows), current: make([]float64, cutColumns*cutRows)}
}

// Cut reports whether the frame begins a new scene. The first frame does not.
func (d *CutDetector) Cut(frame *media.Frame) bool {
	d.previous, d.current = d.current, d.previous
	thumbnail(frame, d.current)
	d.seen++
	if d.seen == 1 {
		return false
	}
	correlation, change := compare(d.previous, d.current)
	cut := correlation < cutCorrelation && change >= cutChange && change >= cutRatio*d.change
	switch {
	case cut || d.seen == 2:
		d.change = 0
	default:
		d.change = cutMemory*d.change + (1-cutMemory)*change
	}
	return cut
}

// compare gives the correlation of two pictures about their means, -1..1, and the mean change of a cell apart from the
// change of the mean. A picture without contrast correlates with nothing but its like.
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

// thumbnail fills cells with the means of luma in 8-bit steps.
func thumbnail(frame *media.Frame, cells []float64) {
	plane, size := frame.Planes[0], frame.Format.BytesPerSample()
	if plane.Width <= 0 || plane.Height <= 0 || len(plane.Data) < plane.Width*plane.Height*size {
		clear(cells)
		return
	}
	var columns [cutColumns * cellSamples]int
	for i := range columns {
		columns[i] = i * plane.Width / len(columns) * size
	}
	scale := 1 / float64(int(cellSamples*cellSamples)<<max(0, frame.Format.Depth-8))
	for cy := range cutRows {
		var sums [cutColumns]int
		for sy := range cellSamples {
			y := (cy*cellSamples + sy) * plane.Height / (cutRows * cellSamples)
			row := plane.Data[y*plane.Width*size:]
			for i, at := range columns {
				sample := int(row[at])
				if size == 2 {
					sample |= int(row[at+1]) << 8
				}
				sums[i/cellSamples] += sample
			}
		}
		for cx, sum := range sums {
			cells[cy*cutColumns+cx] = float64(sum) * scale
		}
	}
}
