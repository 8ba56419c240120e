// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"slices"
	"sync"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/track"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// level is how hard a frame is searched; each level includes those below it.
type level int

const (
	unseen level = iota
	quickLook
	fullLook
	turnedLook
)

// analysis is what is known of a frame.
type analysis struct {
	// level is what the frame is searched at, or will be in the next round; seen is what it was searched at.
	level, seen level
	// regions are the parts that will be searched in the next round, searched those that were.
	regions, searched []vision.Box
	people            []vision.Person
	faces             []vision.Face
	// heads are those that count without a track; hidden those of them that a quick look does not show, and turned those
	// that only a turned frame does.
	heads, hidden, turned []mask.Head
	err                   error
	// ended is closed once a frame that begins a block will not be searched any further; nil for other frames.
	ended chan struct{}
}

// schedule raises the level at which the frame is searched next. The cause of the first look stays, unless a later one
// searches harder.
func (it *item) schedule(cause record.Cause, l level) {
	if l > it.level {
		it.level, it.record.LookCause = l, cause
	}
}

// A frame is searched in parts if they are few and small: otherwise a full look costs less.
const maxRegions, maxRegionShare = 4, 0.25

// scheduleRegion makes a part of the frame be searched in the next round, unless it was.
func (r *run) scheduleRegion(it *item, cause record.Cause, box vision.Box) {
	box = box.Grown(regionMargin).Clipped(it.frame.Width, it.frame.Height)
	switch {
	case !r.opts.surveys():
		it.schedule(cause, quickLook)
		return
	case it.seen >= fullLook || slices.ContainsFunc(it.searched, box.Within):
		return
	}
	it.schedule(cause, quickLook)
	for i := 0; i < len(it.regions); i++ {
		if it.regions[i].Overlaps(box) {
			box = box.Union(it.regions[i])
			it.regions = slices.Delete(it.regions, i, i+1)
			i = -1
		}
	}
	it.regions = append(it.regions, box)
	it.record.LookCause = cause
	area := float32(0)
	for _, b := range it.regions {
		area += b.Width() * b.Height()
	}
	if len(it.regions) > maxRegions || area > maxRegionShare*float32(it.frame.Width*it.frame.Height) {
		it.regions = nil
		it.schedule(cause, fullLook)
	}
}

func (o *Options) surveys() bool { return o.highest() > quickLook }

// highest is the highest level that is configured.
func (o *Options) highest() level {
	switch {
	case o.Turned != (Look{}):
		return turnedLook
	case o.Full != (Look{}):
		return fullLook
	}
	return quickLook
}

// analyzeBlock searches the frames that the schedule demands, then those that what was found demands.
func (r *run) analyzeBlock(b *block) error {
	var due []*item
	for _, it := range b.items[1:] {
		if it.level > unseen {
			due = append(due, it)
		}
	}
	if b.opens {
		due = append(due, b.items[0])
	}
	if b.end != nil {
		due = append(due, b.end)
	}
	if err := r.search(due); err != nil {
		return err
	}
	if !b.opens {
		select {
		case <-b.items[0].ended:
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
	}
	for {
		due := r.undecided(b)
		if len(due) == 0 {
			break
		}
		if err := r.search(due); err != nil {
			return err
		}
	}
	if b.end != nil {
		close(b.end.ended)
	}
	close(b.done)
	return nil
}

// search looks at frames, as many at once as there are workers.
func (r *run) search(items []*item) error {
	var all sync.WaitGroup
	for _, it := range items {
		select {
		case r.workers <- struct{}{}:
		case <-r.ctx.Done():
			all.Wait()
			return r.ctx.Err()
		}
		all.Go(func() {
			defer func() { <-r.workers }()
			r.analyze(it)
		})
	}
	all.Wait()
	return r.ctx.Err()
}

// undecided schedules the looks that what was found so far demands, and returns their frames:
//   - Next to a frame in which someone moves whom a quick look does not show, where they are, and from there on as long
//     as they are found. Whoever stays in place needs a look at each block's end alone.
//   - Where something appeared that nobody known explains.
//   - In the middle between two frames whose heads are not at the same places.
func (r *run) undecided(b *block) (due []*item) {
	seen := b.seen()
	if first := b.items[0]; b.end != nil {
		for _, h := range first.hidden {
			r.scheduleRegion(b.end, record.CauseFound, first.around(h))
		}
		if len(first.turned) > 0 {
			b.end.schedule(record.CauseFound, turnedLook)
		}
	}
	for i, it := range seen {
		if i == 0 {
			continue
		}
		r.spread(seen[i-1], it)
		if i > 1 || b.opens { // an earlier block has settled its end
			r.spread(it, seen[i-1])
		}
		if r.opts.DetectEvery == 0 {
			r.compare(b, seen[i-1], it)
		}
	}
	for _, it := range b.items {
		if it.undecided(&r.opts) {
			due = append(due, it)
		}
	}
	if b.end != nil && b.end.undecided(&r.opts) {
		due = append(due, b.end)
	}
	return due
}

// look is what records call the hardest look at the frame.
func (a *analysis) look() record.Look {
	if a.seen == quickLook && len(a.searched) > 0 {
		return record.LookRegion
	}
	return [...]record.Look{"", record.LookQuick, record.LookFull, record.LookTurned}[a.seen]
}

func (a *analysis) undecided(opts *Options) bool {
	return min(a.level, opts.highest()) > a.seen || len(a.regions) > 0
}

// spread schedules a look at a neighbor where this frame shows someone whom a quick look does not, unless they stay in
// place.
func (r *run) spread(it, neighbor *item) {
	for _, h := range it.hidden {
		if !stays(h, it, neighbor) {
			r.scheduleRegion(neighbor, record.CauseFound, it.around(h))
		}
	}
	for _, h := range it.turned {
		if !stays(h, it, neighbor) {
			neighbor.schedule(record.CauseFound, turnedLook)
		}
	}
}

// around is the box of the person with a head.
func (a *analysis) around(h mask.Head) vision.Box {
	box := h.Bounds()
	for _, p := range a.people {
		if p.Box.Contains(h.X, h.Y) {
			box = box.Union(p.Box)
		}
	}
	return box
}

// stays reports whether the person with a head in one frame is in the same place in another: a model has found them
// there, if only as a candidate, or nothing has changed there.
func stays(h mask.Head, in, other *item) bool {
	for _, p := range in.people {
		if !p.Box.Contains(h.X, h.Y) {
			continue
		}
		for _, o := range other.people {
			if vision.IoU(p.Box, o.Box) >= samePlace {
				return true
			}
		}
	}
	return in.glance != nil && other.glance != nil && in.glance.Still(other.glance, h.Bounds())
}

// samePlace is the intersection over union of the boxes of someone who stays in place.
const samePlace = 0.7

// regionMargin is the share of a box's size, on each side, by which the part of the frame that is searched for its
// person is larger.
const regionMargin = 0.5

// seen are the block's frames that were searched, and the next block's first one.
func (b *block) seen() (seen []*item) {
	for _, it := range b.items {
		if it.seen > unseen {
			seen = append(seen, it)
		}
	}
	if b.end != nil {
		seen = append(seen, b.end)
	}
	return seen
}

// compare schedules looks at the later of two frames and at those between, which were not searched.
func (r *run) compare(b *block, before, after *item) {
	if before.err != nil || after.err != nil {
		return
	}
	known := append(before.known(), after.known()...)
	if r.opts.surveys() && after.seen < fullLook {
		for _, box := range after.glance.Appeared(known, before.glance) {
			r.scheduleRegion(after, record.CauseAppeared, box)
		}
	}
	if after.undecided(&r.opts) {
		return // what it shows may explain what appears before it
	}
	first, last := before.frame.Index-b.items[0].frame.Index+1, after.frame.Index-b.items[0].frame.Index
	between := b.items[first:last]
	if len(between) == 0 {
		return
	}
	for _, it := range between {
		for _, box := range it.glance.Appeared(known, before.glance, after.glance) {
			r.scheduleRegion(it, record.CauseAppeared, box)
		}
	}
	for _, h := range track.Apart(before.heads, after.heads) {
		if !stays(h, before, after) && !stays(h, after, before) {
			between[len(between)/2].schedule(record.CauseMoved, quickLook)
			return
		}
	}
}

// known are the boxes of people and faces, with a margin for what moves with them.
func (a *analysis) known() (boxes []vision.Box) {
	const margin = 0.25
	for _, p := range a.people {
		boxes = append(boxes, p.Box.Grown(margin))
	}
	for _, h := range a.heads {
		boxes = append(boxes, h.Bounds().Grown(margin))
	}
	return boxes
}
