// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
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

// name is what records call the look.
func (l level) name() record.Look {
	return [...]record.Look{"", record.LookQuick, record.LookFull, record.LookTurned}[l]
}

// analysis is what is known of a frame.
type analysis struct {
	// level is what the frame is searched at, or will be in the next round; seen is what it was searched at.
	level, seen level
	people      []vision.Person
	faces       []vision.Face
	// heads are those that count without a track; hidden those of them that a quick look does not show, and needs
	// is the lowest level that shows all of them.
	heads, hidden []mask.Head
	needs         level
	err           error
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
//   - Where a higher level found someone, the block's end is searched at that level, and if they moved, so is all of the
//     block: whoever stays in place needs no more looks.
//   - Where something appeared that nobody known explains, there is a full look.
//   - Between two frames whose heads are not at the same places, the frame in the middle is searched.
func (r *run) undecided(b *block) (due []*item) {
	seen := b.seen()
	needed := b.needed(seen)
	for i, it := range seen {
		if i > 0 || b.opens {
			it.schedule(record.CauseFound, needed)
		}
	}
	if b.end != nil {
		b.end.schedule(record.CauseFound, b.items[0].needs)
	}
	if r.opts.DetectEvery == 0 {
		for i := 1; i < len(seen); i++ {
			r.compare(b, seen[i-1], seen[i], needed)
		}
	}
	for _, it := range b.items {
		if min(it.level, r.opts.highest()) > it.seen {
			due = append(due, it)
		}
	}
	if b.end != nil && min(b.end.level, r.opts.highest()) > b.end.seen {
		due = append(due, b.end)
	}
	return due
}

// needed is the level at which all of the block has to be searched, given its frames that were.
func (b *block) needed(seen []*item) level {
	first, last := seen[0], seen[len(seen)-1]
	needed := quickLook
	for _, it := range seen {
		stays := last.seen >= it.needs && first.seen >= it.needs && track.Among(it.hidden, first.heads) &&
			track.Among(it.hidden, last.heads)
		if !stays {
			needed = max(needed, it.needs)
		}
	}
	return needed
}

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
func (r *run) compare(b *block, before, after *item, needed level) {
	if before.err != nil || after.err != nil {
		return
	}
	known := append(before.known(), after.known()...)
	if r.opts.surveys() && after.seen < fullLook && after.glance.Appeared(known, before.glance) {
		after.schedule(record.CauseAppeared, fullLook)
	}
	first, last := before.frame.Index-b.items[0].frame.Index+1, after.frame.Index-b.items[0].frame.Index
	between := b.items[first:last]
	if len(between) == 0 {
		return
	}
	for _, it := range between {
		if it.glance.Appeared(known, before.glance, after.glance) {
			it.schedule(record.CauseAppeared, fullLook)
		}
	}
	if !track.Agree(before.heads, after.heads) {
		between[len(between)/2].schedule(record.CauseMoved, needed)
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
