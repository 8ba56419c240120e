// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/track"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// level is how thoroughly a frame is searched. Each level includes those below it.
type level int

const (
	unseen level = iota
	quickLook
	fullLook
	turnedLook
)

// analysis is what is known about a frame.
type analysis struct {
	// level is the level to search the frame at, in the next round or already; seen is the level it has been searched at.
	level, seen level
	// regions are the parts to search in the next round, and searched those that have been.
	regions, searched []vision.Box
	people            []vision.Person
	faces             []vision.Face
	// blurred means that the frame is blurred, which makes people harder to recognize.
	blurred bool
	// others are what else to mask besides people.
	others []vision.Detection
	// settled are the boxes of people who may be part of someone else, and who were checked for that.
	settled []vision.Box
	// heads are the heads that count without a track. hidden are those that a quick look does not show, and turned those
	// that only a turned frame shows.
	heads, hidden, turned []mask.Head
	err                   error
	// ended is closed once the first frame of a block will not be searched any further; nil for other frames.
	ended chan struct{}
}

// schedule raises the level at which the frame is searched next. It keeps the cause of an earlier look, unless the new
// one searches harder.
func (it *item) schedule(cause record.Cause, l level) {
	if l > it.level {
		it.level, it.record.LookCause = l, cause
	}
}

// A frame is searched in parts if they are few and small. Otherwise, a full look costs less. A full look at a large
// frame costs several times as much.
const (
	maxRegions, maxRegionShare           = 4, 0.25
	largeFrame                           = 1200 // pixels, the longer side
	maxLargeRegions, maxLargeRegionShare = 10, 0.5
)

// scheduleRegion schedules a part of the frame to be searched in the next round, unless it already was.
func (r *run) scheduleRegion(it *item, cause record.Cause, box vision.Box) {
	box = box.Clipped(it.frame.Width, it.frame.Height)
	switch {
	case box.Width() <= 0 || box.Height() <= 0: // the camera has moved it out of the frame
		return
	case !r.opts.surveys():
		it.schedule(cause, quickLook)
		return
	case it.seen >= fullLook || slices.ContainsFunc(it.searched, box.Within):
		return
	}
	box = box.Grown(regionMargin).Clipped(it.frame.Width, it.frame.Height)
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
	most, share := maxRegions, float32(maxRegionShare)
	if max(it.frame.Width, it.frame.Height) > largeFrame {
		most, share = maxLargeRegions, maxLargeRegionShare
	}
	if len(it.regions) > most || area > share*float32(it.frame.Width*it.frame.Height) {
		it.regions = nil
		it.schedule(cause, fullLook)
	}
}

func (o *Options) surveys() bool { return o.highest() > quickLook }

// highest returns the highest level that is configured.
func (o *Options) highest() level {
	switch {
	case o.Turned != (Look{}):
		return turnedLook
	case o.Full != (Look{}):
		return fullLook
	}
	return quickLook
}

// analyzeBlock searches the scheduled frames, then those that need it because of what was found.
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

// search searches frames, as many at once as there are workers. A frame that cannot be searched is masked entirely
// later. An unavailable inference server, however, ends the attempt at the video, because the server may be back for
// the next one.
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
	for _, it := range items {
		if errors.Is(it.err, inference.ErrUnavailable) {
			return fmt.Errorf("frame %d: %w", it.frame.Index, it.err)
		}
	}
	return r.ctx.Err()
}

// undecided schedules the looks that what was found so far requires, and returns their frames:
//   - At the end of the block, around someone whom a quick look does not show and whose head is a guess: most of these
//     are things that stay in place.
//   - Next to a frame that shows a moving person whom a quick look does not show, around that person, and so on as long
//     as they are found. For someone who stays in place, a look at the end of each block is enough.
//   - Where something appeared that no known person explains.
//   - In the middle between two frames whose heads are not at the same places.
func (r *run) undecided(b *block) (due []*item) {
	seen, last := b.seen(), b.last()
	for _, it := range seen {
		for _, h := range it.hidden {
			if h.Origin == mask.OriginBox || it == b.items[0] {
				r.scheduleRegion(last, record.CauseFound, it.around(h, last))
			}
		}
	}
	if b.end != nil && len(b.items[0].turned) > 0 {
		b.end.schedule(record.CauseFound, turnedLook)
	}
	if last.undecided(&r.opts) {
		return []*item{last}
	}
	for i, it := range seen {
		if i == 0 {
			continue
		}
		r.spread(seen[i-1], it, last)
		if i > 1 || b.opens { // an earlier block has settled the end it shares with this one
			r.spread(it, seen[i-1], last)
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

// look returns the name in records of the hardest look at the frame.
func (a *analysis) look() record.Look {
	if a.seen == quickLook && len(a.searched) > 0 {
		return record.LookRegion
	}
	return [...]record.Look{"", record.LookQuick, record.LookFull, record.LookTurned}[a.seen]
}

func (a *analysis) undecided(opts *Options) bool {
	return min(a.level, opts.highest()) > a.seen || len(a.regions) > 0
}

// spread schedules a look at a neighbor for each person whom this frame shows and a quick look does not, unless they
// stay in place, in that neighbor or up to the last frame of the block.
func (r *run) spread(it, neighbor, last *item) {
	for _, h := range it.hidden {
		if !stays(h, it, neighbor) && !found(h, it, last) {
			r.scheduleRegion(neighbor, record.CauseFound, it.around(h, neighbor))
		}
	}
	for _, h := range it.turned {
		if !stays(h, it, neighbor) {
			neighbor.schedule(record.CauseFound, turnedLook)
		}
	}
}

// around returns the box of the person with a head, moved to where the camera shows it in another frame.
func (it *item) around(h mask.Head, in *item) vision.Box {
	box := h.Bounds()
	for _, p := range it.people {
		if p.Box.Contains(h.X, h.Y) {
			box = box.Union(p.Box)
		}
	}
	return in.glance.Moved(it.glance, box)
}

// stays reports whether the person with a head in one frame is in the same place in another, camera motion aside:
// either a model has found them there, if only as a candidate, or nothing has changed there.
func stays(h mask.Head, in, other *item) bool {
	return found(h, in, other) ||
		in.glance != nil && other.glance != nil && in.glance.Still(other.glance, h.Bounds())
}

// found reports whether a model has found the person with a head in one frame in the same place in another.
func found(h mask.Head, in, other *item) bool {
	for _, p := range in.people {
		if p.Box.Contains(h.X, h.Y) && slices.ContainsFunc(other.people, func(o vision.Person) bool {
			return vision.IoU(other.glance.Moved(in.glance, p.Box), o.Box) >= samePlace
		}) {
			return true
		}
	}
	return false
}

// samePlace is the minimum intersection over union of the boxes of someone who stays in place.
const samePlace = 0.7

// regionMargin is the margin around a person's box in the part of the frame that is searched for them, on each side, as
// a fraction of the box's size.
const regionMargin = 0.5

// seen returns the frames of the block that were searched, and the first frame of the next block.
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

// last returns the frame that the block ends with: the first frame of the next block or, at the end of a scene, its own
// last frame.
func (b *block) last() *item {
	if b.end != nil {
		return b.end
	}
	return b.items[len(b.items)-1]
}

// compare schedules looks at the later of two frames, and at those in between, which were not searched.
func (r *run) compare(b *block, before, after *item) {
	if before.err != nil || after.err != nil {
		return
	}
	known := append(before.known(after.glance), after.known(after.glance)...)
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
	if it, boxes := appearedBetween(before, after, between); it != nil {
		for _, box := range boxes {
			r.scheduleRegion(it, record.CauseAppeared, box)
		}
		return
	}
	if b.apart(before, after) {
		between[len(between)/2].schedule(record.CauseMoved, quickLook)
	}
}

// appearedBetween looks for frames between two others in which something appeared that no known person explains. It
// returns the middle one, which may explain the others, and the places, or nil if there is none.
func appearedBetween(before, after *item, between []*item) (*item, []vision.Box) {
	var items []*item
	var boxes [][]vision.Box
	for _, it := range between {
		known := append(before.known(it.glance), after.known(it.glance)...)
		if found := it.glance.Appeared(known, before.glance, after.glance); len(found) > 0 {
			items, boxes = append(items, it), append(boxes, found)
		}
	}
	if len(items) == 0 {
		return nil, nil
	}
	return items[len(items)/2], boxes[len(items)/2]
}

// apart reports whether a head of either frame is missing from about the same place in the other, camera motion aside,
// and its person does not stay there, in that frame or up to the last frame of the block.
func (b *block) apart(before, after *item) bool {
	gone, come := track.Apart(before.heads, after.heads, after.glance.Motion(before.glance))
	last := b.last()
	return slices.ContainsFunc(gone, func(h mask.Head) bool {
		return !stays(h, before, after) && (before == last || !found(h, before, last))
	}) || slices.ContainsFunc(come, func(h mask.Head) bool {
		return !stays(h, after, before) && (after == last || !found(h, after, last))
	})
}

// known returns the boxes of people and faces, with a margin for what moves with them, and of the parts that were
// searched, whatever they showed. Each box is at its own place and at where the camera has moved it in another frame.
func (it *item) known(in *track.Glance) (boxes []vision.Box) {
	const margin = 0.25
	add := func(b vision.Box) {
		boxes = append(boxes, b)
		if moved := in.Moved(it.glance, b); moved != b {
			boxes = append(boxes, moved)
		}
	}
	for _, p := range it.people {
		add(p.Box.Grown(margin))
	}
	for _, h := range it.heads {
		add(h.Bounds().Grown(margin))
	}
	for _, b := range it.searched {
		add(b)
	}
	return boxes
}
