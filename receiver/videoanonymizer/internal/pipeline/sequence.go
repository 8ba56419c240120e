// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"fmt"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/track"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// sequence passes the frames to the tracker in order, and masks those that leave its window.
func (r *run) sequence() error {
	defer close(r.masked)
	var window trackWindow
	for b := range r.blocks {
		select {
		case <-b.done:
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
		for _, it := range b.items {
			if err := r.push(&window, it); err != nil {
				return err
			}
		}
		r.room.Release(int64(len(b.items)))
	}
	if r.ctx.Err() != nil {
		return r.ctx.Err() // decode gave up, so the window may be incomplete
	}
	if !r.enough {
		return r.flush(&window)
	}
	if r.passed < r.opts.Until-1 {
		return fmt.Errorf("frame %d did not leave the look-ahead window, which begins with frame %d", r.opts.Until-1,
			r.passed+1)
	}
	return nil // Run releases what is left
}

// trackWindow is the tracker, and the frames that it has not returned results for yet, oldest first.
type trackWindow struct {
	tracker *track.Tracker
	items   []*item
}

func (r *run) push(w *trackWindow, it *item) error {
	if w.tracker == nil {
		w.tracker = track.New(r.trackOptions(it.frame))
		r.begin = it.frame.Time
		if r.opts.Resume != nil {
			r.begin = r.opts.Resume.Begin
		}
	}
	start := time.Now()
	it.record.Tracking.Start = start
	w.items = append(w.items, it)
	results := w.tracker.Push(observation(it))
	it.people, it.faces, it.heads, it.glance = nil, nil, nil, nil // silhouettes are large, and the window is long
	done := w.items[:len(results)]
	w.items = w.items[len(results):]
	return r.finish(done, results, start)
}

func (r *run) flush(w *trackWindow) error {
	if w.tracker == nil {
		return nil
	}
	start := time.Now()
	results := w.tracker.Flush()
	if len(results) != len(w.items) {
		return fmt.Errorf("%d of %d frames did not leave the look-ahead window", len(w.items)-len(results), len(w.items))
	}
	return r.finish(w.items, results, start)
}

// trackOptions bounds the window by the memory that the frames of this video take.
func (r *run) trackOptions(frame *media.Frame) track.Options {
	opts := r.opts.Track
	opts.MaxFrames = max(2*r.opts.DetectEvery+1, int(r.opts.FrameMemory/2/frameBytes(frame)))
	return opts
}

func observation(it *item) track.Observation {
	return track.Observation{
		Index: it.frame.Index, Time: it.frame.Time, Analyzed: it.seen > unseen && it.err == nil, Failed: it.err != nil,
		Hard: it.seen >= fullLook, Cut: it.cut,
		People: it.people, Faces: it.faces, Others: it.others, Width: it.frame.Width, Height: it.frame.Height,
		Glance: it.glance,
	}
}

// finish masks the frames according to the tracker's results. start is when the tracker was called.
func (r *run) finish(items []*item, results []track.Result, start time.Time) error {
	tracked := vision.Interval{Start: start, End: time.Now()}
	for i, it := range items {
		it.result = results[i]
		if !it.record.Analyzed {
			it.record.Detection = tracked
		}
		it.recordResult()
		next := r.mask
		switch {
		case r.opts.Resume != nil && it.frame.Index < r.opts.Resume.First:
			next = r.skip
		case r.opts.Until > 0 && it.frame.Index >= r.opts.Until:
			next = r.drop
		}
		r.passed = it.frame.Index
		if err := next(it); err != nil {
			return err
		}
	}
	return nil
}

// recordResult fills the record from the tracker's result.
func (it *item) recordResult() {
	rec := &it.record
	rec.Tracking.End = time.Now()
	rec.People, rec.Heads, rec.Masks = it.result.People, it.result.Heads, len(it.result.Heads)
	rec.Bodies, rec.WholeFrameMasked, rec.Err = it.result.Bodies, it.result.WholeFrame, it.err
	countOrigins(rec)
}

func countOrigins(rec *record.Frame) {
	for _, head := range rec.Heads {
		switch head.Origin {
		case mask.OriginPose:
			rec.MasksByOrigin.Pose++
		case mask.OriginFace:
			rec.MasksByOrigin.Face++
		case mask.OriginBox:
			rec.MasksByOrigin.Box++
			rec.Uncertain++
		case mask.OriginInterpolated:
			rec.MasksByOrigin.Interpolated++
		case mask.OriginHeld:
			rec.MasksByOrigin.Held++
		case mask.OriginScreen:
			rec.MasksByOrigin.Screen++
		}
	}
}

// skip drops a frame that an earlier run has already written.
func (r *run) skip(it *item) error {
	defer r.release(it.frame)
	if it.frame.Index == r.opts.Resume.First-1 {
		return r.opts.Resume.Before(&it.record)
	}
	return nil
}

// drop drops a frame that was read only for the frames before it.
func (r *run) drop(it *item) error {
	r.release(it.frame)
	return nil
}

// mask paints the tracker's result onto the frame, or masks all of it if that is not possible.
func (r *run) mask(it *item) error {
	rec := &it.record
	rec.Visualization.Start = rec.Tracking.End
	if !rec.WholeFrameMasked {
		if err := r.opts.Painter.Paint(it.frame, mask.Masks{
			At: it.frame.Time - r.begin, Heads: it.result.Heads, Bodies: it.result.Bodies, Before: it.result.Before,
			After: it.result.After,
		}); err != nil {
			rec.WholeFrameMasked, rec.Err, rec.FailedStage = true, errors.Join(rec.Err, err), record.StageVisualization
		}
	}
	rec.Reason = reason(rec.Err)
	if rec.WholeFrameMasked {
		if err := r.opts.Painter.PaintWhole(it.frame); err != nil {
			return fmt.Errorf("mask frame %d whole: %w", it.frame.Index, err)
		}
	}
	rec.Visualization.End = time.Now()
	return send(r.ctx, r.masked, it)
}
