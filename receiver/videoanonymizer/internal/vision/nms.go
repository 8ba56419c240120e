// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"cmp"
	"slices"
)

// IoU is the intersection over union of two boxes, 0..1.
func IoU(a, b Box) float32 {
	w := min(a.X1, b.X1) - max(a.X0, b.X0)
	h := min(a.Y1, b.Y1) - max(a.Y0, b.Y0)
	if w <= 0 || h <= 0 {
		return 0
	}
	overlap := w * h
	return overlap / (a.Width()*a.Height() + b.Width()*b.Height() - overlap)
}

// suppress is greedy non-maximum suppression: best first, and candidates last, it keeps each detection that overlaps none kept
// before by more than the threshold. It reorders its argument and returns a part of it.
func suppress(detections []Detection, threshold float32) []Detection {
	slices.SortStableFunc(detections, func(a, b Detection) int {
		if a.Candidate != b.Candidate {
			if a.Candidate {
				return 1
			}
			return -1
		}
		return cmp.Compare(b.Score, a.Score)
	})
	kept := detections[:0]
	for _, d := range detections {
		if !slices.ContainsFunc(kept, func(k Detection) bool { return IoU(k.Box, d.Box) > threshold }) {
			kept = append(kept, d)
		}
	}
	return kept
}
