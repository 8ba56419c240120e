// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"cmp"
	"slices"
)

// suppress is greedy non-maximum suppression: in the order given by compare, it keeps each item whose box does not
// overlap the box of any item kept before by more than the threshold. It reorders its argument and returns part of it.
func suppress[T any](items []T, threshold float32, compare func(a, b T) int, box func(T) Box) []T {
	slices.SortStableFunc(items, compare)
	kept := items[:0]
	for _, item := range items {
		if !slices.ContainsFunc(kept, func(k T) bool { return float32(IoU(box(k), box(item))) > threshold }) {
			kept = append(kept, item)
		}
	}
	return kept
}

// suppressPeople keeps the best of overlapping detections; any other detection is better than a candidate.
func suppressPeople(people []Detection, threshold float32) []Detection {
	return suppress(people, threshold, ByConfidence, func(d Detection) Box { return d.Box })
}

// ByConfidence compares detections for slices.SortFunc: candidates come last, and otherwise the higher score comes
// first.
func ByConfidence(a, b Detection) int {
	if a.Candidate != b.Candidate {
		if a.Candidate {
			return 1
		}
		return -1
	}
	return cmp.Compare(b.Score, a.Score)
}

// suppressFaces keeps the best of overlapping faces.
func suppressFaces(faces []Face, threshold float32) []Face {
	return suppress(faces, threshold,
		func(a, b Face) int { return cmp.Compare(b.Score, a.Score) }, func(f Face) Box { return f.Box })
}

// Merge returns the people of both, without those found twice: of two boxes whose intersection over union is larger
// than overlap, only the better is kept.
func Merge(a, b []Person, overlap float32) []Person {
	return suppress(slices.Concat(a, b), overlap,
		func(a, b Person) int { return ByConfidence(a.Detection, b.Detection) }, func(p Person) Box { return p.Box })
}

// FaceOverlap is the overlap (intersection over union) above which two boxes are the same face; the value is from
// BlazeFace's authors.
const FaceOverlap = 0.3

// MergeFaces is Merge for faces, with FaceOverlap.
func MergeFaces(a, b []Face) []Face { return suppressFaces(slices.Concat(a, b), FaceOverlap) }
