// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/track"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

const (
	// maxGap is 3 frames at 30 frames/s: in this time, a person walking across the image moves by less than the width of a
	// head.
	maxGap = 100 * time.Millisecond
	// adaptiveEvery and adaptiveGap replace DetectEvery and maxGap if the content decides: looks may then be further
	// apart, because the frames in between are compared.
	adaptiveEvery, adaptiveGap = 6, 200 * time.Millisecond
	// maxBlock is the maximum number of frames in a block. With less memory, blocks are shorter.
	maxBlock = 30
	// queueFrames is the number of looks per worker whose frames are queued. With 1, workers wait for the slowest of them
	// up to half of the time (TestWorkersAreBusy).
	queueFrames = 2
	// A camera shows something else if viewChange of the picture differs from the last survey. Surveys for this reason are
	// at least viewGap apart.
	viewChange = 0.25
	viewGap    = 200 * time.Millisecond
)

// block is a run of frames of one scene. The frames at its ends are analyzed in any case. Which others to analyze
// follows from these two and from the frames themselves. Block boundaries depend only on the video, so that a resumed
// video is analyzed as it would have been.
type block struct {
	items []*item
	// end is the first frame of the next block; nil if that begins a new scene, or if there is none.
	end *item
	// opens means that no earlier block has searched the first frame.
	opens bool
	// done is closed once nothing more will be found in the block's frames.
	done chan struct{}
}

// partition divides a video into blocks, frame by frame.
type partition struct {
	opts    *Options
	every   int // frames from one scheduled look to the next
	gap     time.Duration
	length  int // frames per block
	last    time.Duration
	view    *track.Glance // at the last survey
	viewed  time.Duration
	started bool
}

// Every returns the number of frames from one scheduled look to the next, for a value of Options.DetectEvery.
func Every(detectEvery int) int { return cmp.Or(detectEvery, adaptiveEvery) }

func (r *run) newPartition(first *media.Frame) *partition {
	p := &partition{opts: &r.opts, every: Every(r.opts.DetectEvery), gap: maxGap}
	if r.opts.DetectEvery == 0 {
		p.gap = adaptiveGap
	}
	fit := min(maxBlock, int(r.opts.FrameMemory/4/frameBytes(first)))
	p.length = max(1, fit/p.every) * p.every
	return p
}

// frameBytes returns the size of a frame's planes, at least 1.
func frameBytes(frame *media.Frame) int64 {
	size := int64(0)
	for _, plane := range frame.Planes {
		size += int64(len(plane.Data))
	}
	return max(1, size)
}

// place decides whether a frame begins a block, is surveyed, or is analyzed as scheduled, and reports whether it begins
// a block. previous is the frame before it, nil for the first frame.
func (p *partition) place(it, previous *item) (begins bool) {
	if cause := p.survey(it, previous); cause != "" && p.opts.surveys() {
		it.schedule(cause, surveyLevel(cause))
		p.view, p.viewed = it.glance, it.frame.Time
		begins = true
	}
	begins = begins || previous == nil || it.cut || it.frame.Index%p.length == 0
	if begins || p.due(it) {
		it.schedule(record.CauseSchedule, quickLook)
	}
	if it.level > unseen {
		p.started, p.last = true, it.frame.Time
	}
	return begins
}

// survey returns why the frame is surveyed, or "" if it is not.
func (p *partition) survey(it, previous *item) record.Cause {
	switch {
	case previous == nil:
		return record.CauseStart
	case it.cut:
		return record.CauseCut
	case p.opts.SurveyInterval > 0 && it.frame.Time/p.opts.SurveyInterval != previous.frame.Time/p.opts.SurveyInterval:
		return record.CauseSurvey
	case p.opts.SurveyInterval == 0 && p.due(it):
		return record.CauseSurvey
	case it.glance != nil && p.view != nil && it.frame.Time-p.viewed >= viewGap && it.glance.Changed(p.view) >= viewChange:
		return record.CauseView
	}
	return ""
}

// surveyLevel returns how thoroughly a survey searches. Surveys for a moving camera, of which there may be many, do not
// turn the frame.
func surveyLevel(cause record.Cause) level {
	if cause == record.CauseView {
		return fullLook
	}
	return turnedLook
}

// due reports whether the schedule requires a look at the frame.
func (p *partition) due(it *item) bool {
	return !p.started || it.frame.Index%p.every == 0 || it.frame.Time-p.last >= p.gap
}

// decode reads the frames and divides them into blocks. It stays one frame behind the source, because the frame before
// a cut and the last frame are analyzed, too.
func (r *run) decode(source Source) error {
	defer close(r.blocks)
	cuts := track.NewCutDetector()
	d := &divider{run: r}
	var camera track.Camera
	var held *item
	for {
		start := time.Now()
		frame, err := source.Next()
		if errors.Is(err, io.EOF) {
			if held == nil {
				return fmt.Errorf("%w: it has no frame", media.ErrNotVideo)
			}
			held.schedule(record.CauseEnd, turnedLook)
			if err := d.add(held); err != nil {
				return err
			}
			return d.complete(nil)
		}
		if err != nil {
			return err
		}
		r.hold(frame)
		next := &item{frame: frame, cut: cuts.Cut(frame), record: record.Frame{
			Index: frame.Index, PTS: frame.Time, Start: start, Decode: vision.Interval{Start: start, End: time.Now()},
		}}
		if r.opts.DetectEvery == 0 || r.opts.surveys() {
			next.glance = track.NewGlance(frame)
			camera.Follow(next.glance, frame.Index, next.cut)
		}
		if held != nil {
			if next.cut {
				held.schedule(record.CauseCut, turnedLook)
			}
			if err := d.add(held); err != nil {
				return err
			}
		}
		if d.done {
			r.enough = true
			return nil
		}
		held = next
	}
}

// divider collects frames until a block is complete.
type divider struct {
	*run
	parts    *partition
	open     *block
	previous *item
	reach    reach
	done     bool // the frames before Options.Until do not need another block
}

func (d *divider) add(it *item) error {
	if d.parts == nil {
		d.parts = d.newPartition(it.frame)
		d.room = semaphore.NewWeighted(d.roomFor(it.frame))
	}
	if d.parts.place(it, d.previous) {
		it.ended = make(chan struct{})
		if d.open != nil {
			if err := d.complete(it); err != nil {
				return err
			}
		}
		d.done = d.reach.past
		d.open = &block{opens: d.open == nil || it.cut, done: make(chan struct{})}
	}
	d.open.items = append(d.open.items, it)
	d.previous = it
	if d.opts.Until > 0 {
		d.reach.add(it.frame, d.opts.Until, d.trackOptions(it.frame))
	}
	return nil
}

// reach detects when enough frames have been read for all frames before another one to leave the look-ahead window.
type reach struct {
	from time.Duration // time of that other frame
	past bool          // enough frames have been read
}

// add adds the next frame. The tracker returns a frame's masks once it has those of the next frame, so until, the first
// frame that is not written, has to leave the window, too.
func (r *reach) add(frame *media.Frame, until int, window track.Options) {
	switch {
	case frame.Index == until:
		r.from = frame.Time
	case frame.Index > until:
		lookAhead := cmp.Or(window.LookAhead, track.DefaultLookAhead)
		r.past = r.past || frame.Time-r.from > lookAhead || frame.Index-until >= window.MaxFrames
	}
}

// roomFor returns how many frames in blocks are analyzed at once. Two blocks keep the analysis going, whatever their
// size. More workers need more frames, as far as memory allows.
func (d *divider) roomFor(frame *media.Frame) int64 {
	wanted := int64(queueFrames * d.parts.every * (d.opts.Workers + 1))
	return max(2*int64(d.parts.length), min(wanted, d.opts.QueueMemory/frameBytes(frame)))
}

// complete starts the analysis of the open block. next is the first frame of the next block, nil at the end of the
// video.
func (d *divider) complete(next *item) error {
	b := d.open
	if next != nil && !next.cut {
		b.end = next
	}
	if err := d.room.Acquire(d.ctx, int64(len(b.items))); err != nil {
		return err
	}
	if err := send(d.ctx, d.blocks, b); err != nil {
		return err
	}
	d.group.Go(func() error { return d.analyzeBlock(b) })
	return nil
}
