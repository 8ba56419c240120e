// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// resolveSharedKeypoints handles poses that locked on to a neighbor: where the faces of two people coincide, it
// distrusts the shared keypoints of the person they fit less well.
func resolveSharedKeypoints(figures []figure) {
	for i := range figures {
		for j := i + 1; j < len(figures); j++ {
			a, b := &figures[i], &figures[j]
			if shared := sharedKeypoints(a, b); sameFace(shared, a, b) {
				loser := a
				if a.claim() > b.claim() {
					loser = b
				}
				loser.distrust(shared)
			}
		}
	}
}

// sharedKeypoints reports which trusted keypoints of two people lie in the same place.
func sharedKeypoints(a, b *figure) (shared [vision.KeypointCount]bool) {
	if !a.valid || !b.valid || a.box.x0 > b.box.x1 || b.box.x0 > a.box.x1 || a.box.y0 > b.box.y1 || b.box.y0 > a.box.y1 {
		return shared
	}
	near := math.Max(6*math.Min(a.minScale, b.minScale), 1.5*math.Max(a.noise, b.noise))
	for k := range shared {
		shared[k] = a.trusted[k] && b.trusted[k] && a.at[k].distance(b.at[k]) < near
	}
	return shared
}

// sameFace reports whether most of the facial keypoints that both have are shared.
func sameFace(shared [vision.KeypointCount]bool, a, b *figure) bool {
	var both, same int
	for k := vision.Nose; k <= vision.RightEar; k++ {
		if a.trusted[k] && b.trusted[k] {
			both++
		}
		if shared[k] {
			same++
		}
	}
	return same > 0 && 2*same > both
}

// claim returns how well the facial keypoints fit the person: it increases with their scores, and with how near they
// are to the top and the middle of the box.
func (f *figure) claim() float64 {
	face := [...]int{vision.Nose, vision.LeftEye, vision.RightEye, vision.LeftEar, vision.RightEar}
	middle, ok := f.mean(face[:]...)
	if !ok {
		return math.Inf(-1)
	}
	aside := math.Abs(middle.x-(f.box.x0+f.box.x1)/2) / f.box.w
	below := math.Max(0, middle.y-f.box.y0) / f.box.h
	return f.meanScore(face[:]...) - aside - below
}

// distrust stops trusting the shared keypoints and all facial ones.
func (f *figure) distrust(shared [vision.KeypointCount]bool) {
	for k := range shared {
		// If most of a face belongs to someone else, the rest of it is no better.
		f.trusted[k] = f.trusted[k] && !shared[k] && k > vision.RightEar
	}
}
