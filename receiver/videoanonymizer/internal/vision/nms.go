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

// suppress is greedy non-maximum suppression: in the order given by before, it keeps each thing found whose box overlaps none kept
// before by more than the threshold. It reorders its argument and returns a part of it.
func suppress[T any](found []T, threshold float32, before func(a, b T) int, box func(T) Box) []T {
	slices.SortStableFunc(found, before)
	kept := found[:0]
	for _, f := range found {
		if !slices.ContainsFunc(kept, func(k T) bool { return IoU(box(k), box(f)) > threshold }) {
			kept = append(kept, f)
		}
	}
	return kept
}

// suppressPeople keeps the best of detections that overlap; candidates come last.
func suppressPeople(people []Detection, threshold float32) []Detection {
	return suppress(people, threshold, BySureness, func(d Detection) Box { return d.Box })
}

// BySureness orders detections by how sure they are, the surest first and candidates last, as slices.SortFunc wants it.
func BySureness(a, b Detection) int {
	if a.Candidate != b.Candidate {
		if a.Candidate {
			return 1
		}
		return -1
	}
	return cmp.Compare(b.Score, a.Score)
}

// suppressFaces keeps the best of faces that overlap.
func suppressFaces(faces []Face, threshold float32) []Face {
	return suppress(faces, threshold, func(a, b Face) int { return cmp.Compare(b.Score, a.Score) }, func(f Face) Box { return f.Box })
}
