// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"cmp"
	"slices"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// Screens are followed by position alone: they stay in place, or move with the camera, and a detector loses them now
// and then, for example when someone walks past. So they are covered for longer than people are.
const (
	// otherHold is how long a thing is covered after it was last seen, unless the scene ends. A resumed video is analyzed
	// from at least this long before it continues.
	otherHold = 3 * time.Second
	// otherOverlap is the minimum intersection over union of the boxes of the same thing in two analyzed frames.
	otherOverlap = 0.2
	// otherSmooth is how far away in time boxes seen before and after a frame are covered in it, too, since boxes jitter.
	otherSmooth = 500 * time.Millisecond
	// otherMargin is the share of its width and height by which a thing's mask exceeds the box on each side;
	// otherMarginPixels is added to that.
	otherMargin       = 0.08
	otherMarginPixels = 4
)

// other is a thing to cover besides people, within one scene. Coordinates are those of the newest frame.
type other struct {
	scene  int
	number int // from 1 on, in one sequence with people
	seen   []spot
}

// spot is where a thing was seen in an analyzed frame.
type spot struct {
	number int // of the frame
	time   time.Duration
	box    vision.Box
	score  float32
}

func (o *other) last() spot { return o.seen[len(o.seen)-1] }

// linkOthers adds the things found in a frame to those known, highest score first.
func (t *Tracker) linkOthers(f *frame) {
	found := slices.Clone(f.Others)
	f.Others = nil
	slices.SortStableFunc(found, func(a, b vision.Detection) int { return cmp.Compare(b.Score, a.Score) })
	for _, d := range found {
		s := spot{number: f.number, time: f.Time, box: d.Box, score: d.Score}
		if known := t.knownOther(s, f); known != nil {
			known.seen = append(known.seen, s)
			continue
		}
		t.numbered++
		t.others = append(t.others, &other{scene: f.scene, number: t.numbered, seen: []spot{s}})
	}
}

// knownOther returns the thing that overlaps a spot most, of those seen lately but not in the same frame, or nil.
func (t *Tracker) knownOther(s spot, f *frame) (known *other) {
	best := otherOverlap
	for _, o := range t.others {
		last := o.last()
		if o.scene != f.scene || last.number == s.number || s.time-last.time > otherHold {
			continue
		}
		if overlap := vision.IoU(last.box, s.box); overlap >= best {
			best, known = overlap, o
		}
	}
	return known
}

// move moves the coordinates of all spots.
func (o *other) move(by Vector) {
	for i := range o.seen {
		o.seen[i].box = o.seen[i].box.Moved(by.X, by.Y)
	}
}

// coverOthers returns the masks of things in a frame: where they were seen in it, and before and after.
func (t *Tracker) coverOthers(f *frame) (heads []mask.Head) {
	for _, o := range t.others {
		if !t.within(o.scene, f) {
			continue
		}
		box, score, ok := o.at(f, t.opts.LookAhead)
		if !ok {
			continue
		}
		box = box.Grown(otherMargin).Moved(f.offset.X, f.offset.Y)
		x, y := box.Center()
		h := mask.Head{X: x, Y: y, RX: box.Width() / 2, RY: box.Height() / 2, Box: true, Score: score,
			Origin: mask.OriginScreen, Track: o.number}.Grow(otherMarginPixels)
		if inFrame(h, f) {
			heads = append(heads, h)
		}
	}
	return heads
}

// at returns the part of the frame that covers the thing, in coordinates of the newest frame, and the score of the
// nearest spot. Between two spots, that is both of them and the lower score.
func (o *other) at(f *frame, ahead time.Duration) (box vision.Box, score float32, ok bool) {
	next := slices.IndexFunc(o.seen, func(s spot) bool { return s.number >= f.number })
	switch {
	case next < 0: // it was seen only before
		last := o.last()
		if f.Time-last.time > otherHold {
			return box, 0, false
		}
		box, score = last.box, last.score
	case next == 0 && o.seen[0].number > f.number:
		first := o.seen[0]
		if first.time-f.Time > ahead {
			return box, 0, false
		}
		box, score = first.box, first.score
	default:
		box, score = o.seen[next].box, o.seen[next].score
		if next > 0 && o.seen[next].number > f.number {
			before := o.seen[next-1]
			box, score = box.Union(before.box), min(score, before.score)
		}
	}
	for _, s := range o.seen {
		if (s.time - f.Time).Abs() <= otherSmooth {
			box = box.Union(s.box)
		}
	}
	return box, score, true
}

// retireOthers drops what can no longer matter after a frame.
func (t *Tracker) retireOthers(f *frame) {
	t.others = slices.DeleteFunc(t.others, func(o *other) bool {
		if last := o.last(); last.number < f.number && (f.Time-last.time > otherHold || f.scene > o.scene+1) {
			return true
		}
		keep, _ := slices.BinarySearchFunc(o.seen, f.number, func(s spot, number int) int {
			return cmp.Compare(s.number, number)
		})
		for keep = max(0, keep-1); keep > 0 && f.Time-o.seen[keep].time <= otherSmooth; keep-- {
		}
		o.seen = slices.Delete(o.seen, 0, keep)
		return false
	})
}
