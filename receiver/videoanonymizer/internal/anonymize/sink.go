// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"context"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
)

// segmentWork limits the time that a segment takes: on a machine much slower than real time, a segment of the
// configured length would be minutes of work.
const segmentWork = 30 * time.Second

// sink takes every masked frame: it encodes the frame, adds it to the companion files, and reports it. From time to
// time, it makes what was written durable, so that a crash loses no more than the work since then.
type sink struct {
	*attempt
	// verify fails if servers no longer serve what they served when the video began.
	verify func() error

	begin   time.Duration // of the video
	summary record.Summary
	repairs media.Repairs
	heads   []mask.Head // of the last frame
	whole   bool        // the last frame was masked whole
	tracks  trackNumbers

	frames int           // of the current segment
	from   time.Duration // its first frame's time
	since  time.Time     // when that frame arrived
	last   *checkpoint   // the last one that was sealed

	// For a shared video that is processed in one piece:
	complete bool   // all frames are written
	damaged  string // what could not be decoded
}

func newSink(ctx context.Context, a *attempt) *sink {
	s := &sink{attempt: a}
	s.verify = func() error { return a.checkModels(ctx, a.fingerprint) }
	if c := a.from; c != nil {
		s.begin, s.summary, s.repairs, s.heads, s.whole = c.Begin, c.Done, c.Repairs, c.Heads, c.Whole
	}
	if a.unit != nil {
		s.begin = a.begin()
	}
	if a.resume != nil && a.from == nil {
		a.resume.Before = s.beforeUnit
	} else if a.resume != nil {
		a.resume.Before = func(rec *record.Frame) error {
			s.tracks.resume(a.from.Tracks, a.from.Heads, rec.Heads)
			return a.from.checkBoundary(rec)
		}
	}
	return s
}

// Write takes the next frame.
func (s *sink) Write(frame *media.Frame, rec *record.Frame) error {
	start := time.Now()
	if err := s.sealIfDue(frame); err != nil {
		return err
	}
	if s.unit != nil {
		if err := s.unit.check(frame); err != nil {
			return err
		}
	} else if s.summary.Frames == 0 {
		s.begin = frame.Time
	}
	if err := s.writer.Write(frame); err != nil {
		return err
	}
	rec.Encoded(start)
	s.tracks.renumber(rec)
	s.frames++
	s.summary.Count(rec)
	s.repairs = s.repairs.Add(frame.Repairs)
	s.heads, s.whole = rec.Heads, rec.WholeFrameMasked
	if err := s.review.frame(frame, rec); err != nil {
		return err
	}
	s.report(rec)
	s.progress.frame(time.Now())
	return nil
}

// sealIfDue seals the current segment if it is long enough, and starts one with this frame if there is none.
func (s *sink) sealIfDue(next *media.Frame) error {
	playing, working := s.Config.Output.SegmentLength, segmentWork
	if s.shared != nil {
		playing, working = s.shared.segment(playing, working)
	}
	due := s.division.cutsAt(next.Index) || next.Time-s.from >= playing || time.Since(s.since) >= working
	if s.frames > 0 && due {
		if err := s.seal(); err != nil {
			return err
		}
		s.frames = 0
	}
	if s.frames == 0 {
		s.from, s.since = next.Time, time.Now()
	}
	return nil
}

// report adds a frame to the telemetry of its unit, or of the video.
func (s *sink) report(rec *record.Frame) {
	switch {
	case s.unit != nil:
		s.unit.span.Frame(rec)
	case s.shared != nil:
		s.shared.span.Frame(rec)
	default:
		s.span.Frame(rec)
	}
}

func (s *sink) seal() error {
	if s.reader.Damage() != nil { // a later attempt would not know of it
		return nil
	}
	return s.checkpoint()
}

// checkpoint makes durable what was written.
func (s *sink) checkpoint() (err error) {
	if err := s.verify(); err != nil { // a later attempt would continue with what a wrong model found
		return err
	}
	c := checkpoint{Fingerprint: s.fingerprint, Begin: s.begin, Heads: s.heads, Whole: s.whole, Done: s.summary,
		Repairs: s.repairs, Tracks: s.tracks.last, SecondPass: s.second}
	if c.Video, err = s.writer.Seal(); err != nil {
		return err
	}
	if c.Preview, c.Report, err = s.review.seal(); err != nil {
		return err
	}
	switch {
	case s.unit != nil:
		state := s.unit.unitState
		c.Unit = &state
	case s.shared != nil:
		c.Unit, c.Damage = &unitState{Complete: s.complete}, s.damaged
	}
	s.last = &c
	return s.saveCheckpoint(c)
}
