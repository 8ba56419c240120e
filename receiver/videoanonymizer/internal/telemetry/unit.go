// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
)

// Name and attributes of a unit's span. spans.md describes each.
const (
	spanUnit        = "anonymize_unit"
	attrUnitNumber  = "anonymizer.unit.number"
	attrUnitFrom    = "anonymizer.unit.from"
	attrUnitTo      = "anonymizer.unit.to"
	attrUnitFrames  = "anonymizer.unit.frames"
	attrUnitDecoded = "anonymizer.unit.frames_decoded"
	attrUnitAttempt = "anonymizer.unit.attempt"
)

// Unit describes a unit: consecutive frames of a video that are processed separately.
type Unit struct {
	// Number is the index of the unit in the video, from 0. Attempt is the number of the attempt at it, from 1.
	Number, Attempt int
	// From and To are the presentation times of the unit's first frame and of the frame after its last.
	From, To time.Duration
}

// UnitSpan reports on one unit: call Frame for each of its frames in order, and End at the end. The units of a video
// may be reported concurrently. Their figures count for the video.
type UnitSpan struct {
	video   *VideoSpan
	unit    Unit
	id      pcommon.SpanID
	start   time.Time
	figures figures       // guarded by emitter.mu, like the next four
	latest  time.Time     // when the latest frame was done
	resumed int           // frames processed in an earlier attempt
	before  time.Duration // their playing time
	decoded int
}

// Unit starts the span of a unit. The frames of an earlier attempt at the same unit no longer count. It may be called
// concurrently.
func (s *VideoSpan) Unit(unit Unit) *UnitSpan {
	u := &UnitSpan{video: s, unit: unit, start: s.emitter.now()}
	s.early.mu.Lock()
	u.id = s.early.ids.span()
	s.early.mu.Unlock()
	s.emitter.mu.Lock()
	defer s.emitter.mu.Unlock()
	s.units = append(slices.DeleteFunc(s.units, func(old *UnitSpan) bool { return old.unit.Number == unit.Number }), u)
	return u
}

// Frame reports a frame, like VideoSpan.Frame.
func (u *UnitSpan) Frame(rec *record.Frame) {
	u.video.frame(&u.figures, rec)
	u.video.emitter.mu.Lock()
	defer u.video.emitter.mu.Unlock()
	u.latest = u.video.emitter.now()
}

// Resumed reports that an earlier attempt has processed the given number of frames at the beginning of the unit, with a
// playing time of before.
func (u *UnitSpan) Resumed(before time.Duration, frames int) {
	u.video.emitter.mu.Lock()
	defer u.video.emitter.mu.Unlock()
	u.resumed, u.before = frames, before
}

// Decoded reports how many frames were decoded for the unit.
func (u *UnitSpan) Decoded(frames int) {
	u.video.emitter.mu.Lock()
	defer u.video.emitter.mu.Unlock()
	u.decoded = frames
}

// End reports the end of the attempt at the unit, with an error if the unit must be processed again.
func (u *UnitSpan) End(err error) {
	s := u.video
	if s.emitter.traces == nil {
		return
	}
	end := u.start.Add(s.emitter.now().Sub(u.start)) // by the monotonic clock
	s.emitter.mu.Lock()
	frames, decoded := u.figures.frames, u.decoded
	s.emitter.mu.Unlock()
	s.emitter.traces.add(s.ctx, func(traces ptrace.Traces) int {
		span := spansOf(traces).AppendEmpty()
		span.SetTraceID(s.id.trace)
		span.SetSpanID(u.id)
		span.SetParentSpanID(s.id.span)
		span.SetName(spanUnit)
		span.SetKind(ptrace.SpanKindInternal)
		span.SetStartTimestamp(pcommon.NewTimestampFromTime(u.start))
		span.SetEndTimestamp(pcommon.NewTimestampFromTime(end))
		attrs := span.Attributes()
		attrs.PutStr(attrVideoName, s.video.Name)
		attrs.PutInt(attrUnitNumber, int64(u.unit.Number))
		attrs.PutInt(attrUnitAttempt, int64(u.unit.Attempt))
		attrs.PutDouble(attrUnitFrom, u.unit.From.Seconds())
		attrs.PutDouble(attrUnitTo, u.unit.To.Seconds())
		attrs.PutInt(attrUnitFrames, int64(frames))
		attrs.PutInt(attrUnitDecoded, int64(decoded))
		if err != nil {
			span.Status().SetCode(ptrace.StatusCodeError)
			span.Status().SetMessage(s.message(err))
		}
		return 1
	})
}

// all returns the combined figures of the video and its units. The time from first to last is the sum of theirs. The
// emitter's lock must be held.
func (s *VideoSpan) all() figures {
	f := s.figures
	var latest time.Time
	for _, u := range s.units {
		g := &u.figures
		if g.frames == 0 {
			continue
		}
		if f.frames == 0 || g.firstAt.Before(f.firstAt) {
			f.firstAt = g.firstAt
		}
		f.frames, f.analyzed, f.failed, f.whole = f.frames+g.frames, f.analyzed+g.analyzed, f.failed+g.failed, f.whole+g.whole
		f.masks, f.uncertain, f.most = f.masks+g.masks, f.uncertain+g.uncertain, max(f.most, g.most)
		f.last += g.last - g.first
		if u.latest.After(latest) {
			f.people, latest = g.people, u.latest
		}
	}
	return f
}

// playing returns the playing time of the frames that are done, in the video and its units. The emitter's lock must be
// held.
func (s *VideoSpan) playing() time.Duration {
	sum := s.shown(s.figures)
	for _, u := range s.units {
		sum += s.shown(u.figures)
	}
	return sum
}

// resumedBefore returns the frames of earlier attempts at the video and its units, and their playing time. The
// emitter's lock must be held.
func (s *VideoSpan) resumedBefore() (frames int, playing time.Duration) {
	frames, playing = s.resumed, s.before
	for _, u := range s.units {
		frames, playing = frames+u.resumed, playing+u.before
	}
	return frames, playing
}
