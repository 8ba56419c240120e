// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

const (
	// settleOver is how far away in time a sure sighting can be and still settle a guess.
	settleOver = 500 * time.Millisecond
	// sureScore is the minimum score of a head, other than a guess, that settles those near it.
	sureScore = 0.4
	// A guess is settled only if its box has an intersection over union of at least settleOverlap with the box
	// interpolated between the sure sightings, or of at least carryOverlap with the box of one of them moved to the same
	// top. Otherwise, the sure head may be another person's.
	settleOverlap = 0.4
	carryOverlap  = 0.6
	// settleMargin is the share of its size by which a settled head grows, besides the growth of any estimated head.
	settleMargin = 0.2
	// sameSize is the largest ratio of two sizes that agree.
	sameSize = 1.5
	// A head located by keypoints is a guess, too, if it is over this many times as large as a sure one near it in time.
	oversize = 1.8
)

// settled returns the head of sighting i as it was found or, for a guess, the head that the sure sightings before and
// after it imply, grown by a margin. That requires that they are near in time and show the same person's box, and that
// the implied head is smaller than the guess and has its center in it. sure means that the head is not a guess, or no
// longer.
func (t *track) settled(i int) (head mask.Head, sure bool) {
	s := t.seen[i]
	if !t.guess(i) {
		return s.head, true
	}
	implied, away, ok := t.implied(i)
	if !ok {
		return s.head, false
	}
	implied = grown(implied, size(implied), away.Seconds(), 0)
	implied = implied.Grow(float32(settleMargin * size(implied)))
	if size(implied) >= size(s.head) || !s.head.Contains(implied.X, implied.Y) {
		return s.head, false
	}
	return implied, true
}

// implied returns the head that the sure sightings near sighting i imply for it, and how far away in time the nearest
// of them is: interpolated between the two around it, or as far from the box's top as in the one before or after it.
func (t *track) implied(i int) (head mask.Head, away time.Duration, ok bool) {
	s := t.seen[i]
	before, after := t.sureNear(i, -1), t.sureNear(i, +1)
	if before >= 0 && after >= 0 && agree(t.seen[before].head, t.seen[after].head) {
		a, b := t.seen[before], t.seen[after]
		u := 0.5
		if whole := (b.time - a.time).Seconds(); whole > 0 {
			u = (s.time - a.time).Seconds() / whole
		}
		if vision.IoU(boxBetween(a.box, b.box, float32(u)), s.box) >= settleOverlap {
			head = between(a.head, b.head, u)
			head.Origin = mask.OriginInterpolated
			return head, min(s.time-a.time, b.time-s.time), true
		}
	}
	for _, k := range [...]int{before, after} {
		if k < 0 {
			continue
		}
		o := t.seen[k]
		dx, dy := (s.box.X0+s.box.X1-o.box.X0-o.box.X1)/2, s.box.Y0-o.box.Y0
		if vision.IoU(o.box.Moved(dx, dy), s.box) >= carryOverlap {
			head = o.head
			head.X, head.Y, head.Origin = head.X+dx, head.Y+dy, mask.OriginHeld
			return head, (s.time - o.time).Abs(), true
		}
	}
	return mask.Head{}, 0, false
}

// agree reports whether two heads of one person are about the same size.
func agree(a, b mask.Head) bool {
	return max(size(a), size(b)) <= sameSize*min(size(a), size(b))
}

// boxBetween returns the box at the fraction u, 0..1, of the way from a to b.
func boxBetween(a, b vision.Box, u float32) vision.Box {
	return vision.Box{
		X0: a.X0 + (b.X0-a.X0)*u, Y0: a.Y0 + (b.Y0-a.Y0)*u, X1: a.X1 + (b.X1-a.X1)*u, Y1: a.Y1 + (b.Y1-a.Y1)*u,
	}
}

// guess reports whether the head of sighting i is a guess: no keypoint shows it, or it is far larger than the sure ones
// of the same person at about the same time.
func (t *track) guess(i int) bool {
	s := t.seen[i]
	if s.guess || s.sure() {
		return s.guess
	}
	for _, direction := range [...]int{-1, +1} {
		if k := t.sureNear(i, direction); k >= 0 && size(s.head) > oversize*size(t.seen[k].head) {
			return true
		}
	}
	return false
}

// sure reports whether the head was found well enough to settle those near it.
func (s sighting) sure() bool { return !s.guess && s.head.Score >= sureScore }

// sureNear returns the index of the nearest sure sighting in a direction that may settle sighting i, or -1.
func (t *track) sureNear(i, direction int) int {
	for j := i + direction; j >= 0 && j < len(t.seen); j += direction {
		if t.seen[max(j, j-direction)].doubtful || (t.seen[j].time-t.seen[i].time).Abs() > settleOver {
			return -1
		}
		if t.seen[j].sure() {
			return j
		}
	}
	return -1
}
