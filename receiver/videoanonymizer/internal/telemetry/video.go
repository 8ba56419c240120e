// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
)

// Attributes of videos, on their spans and log records. spans.md describes each.
const (
	attrFilePath        = "file.path"
	attrFileSize        = "file.size"
	attrOutputPath      = "anonymizer.output.path"
	attrOutputSize      = "anonymizer.output.size"
	attrVideoOutcome    = "anonymizer.video.outcome"
	attrVideoWidth      = "anonymizer.video.width"
	attrVideoHeight     = "anonymizer.video.height"
	attrVideoRate       = "anonymizer.video.frame_rate"
	attrVideoDuration   = "anonymizer.video.duration"
	attrVideoCodec      = "anonymizer.video.codec"
	attrVideoRepaired   = "anonymizer.video.times_repaired"
	attrVideoClockSteps = "anonymizer.video.clock_steps"
	attrVideoStreams    = "anonymizer.video.streams"
	attrDetector        = "anonymizer.detector.model"
	attrProfile         = "anonymizer.profile"
	attrPose            = "anonymizer.pose.model"
	attrProvider        = "anonymizer.inference.provider"
	attrVideoFrames     = "anonymizer.video.frames"
	attrVideoJudged     = "anonymizer.video.frames_judged"
	attrVideoFailed     = "anonymizer.video.frames_failed"
	attrVideoWhole      = "anonymizer.video.frames_masked_whole"
	attrVideoMasks      = "anonymizer.video.masks"
	attrVideoPeople     = "anonymizer.video.people_max"
	attrVideoUncertain  = "anonymizer.video.people_uncertain"
	attrVideoProcessing = "anonymizer.video.processing_time"
	attrVideoFactor     = "anonymizer.video.real_time_factor"
	attrVideoDamage     = "anonymizer.video.damage"
	attrVideoResumed    = "anonymizer.video.frames_resumed"
	attrVideoNobody     = "anonymizer.video.nobody_found"
	attrVideoSecondPass = "anonymizer.video.second_pass"
	attrServed          = "anonymizer.models.served"
)

// Video describes a video before its first frame. Fields with unknown values stay zero and are not reported.
type Video struct {
	// Key identifies the video in Recent. It is not reported.
	Key string
	// Picture means that the source is a still picture, whose only frame is in the same trace.
	Picture bool
	// Name is the name of the file, Path its full path, Output the path of the anonymized video.
	Name, Path, Output string
	// Size is in bytes.
	Size int64
	// Width and Height are in pixels, as displayed.
	Width, Height int
	// FrameRate is the average, in frames per second.
	FrameRate float64
	// Duration is the duration in the container.
	Duration time.Duration
	// Codec is the codec of the source.
	Codec string
	// Streams describe the video streams of a source that has several.
	Streams []string
	// Detector and Pose name the models, Provider the execution provider that runs them.
	Detector, Pose, Provider string
	// Profile is the name of the profile that includes the video, empty for none.
	Profile string
	// DetectorServed and PoseServed describe these models as served by inference servers.
	DetectorServed, PoseServed Served
	// Served describes all models that are served.
	Served []string
}

// Result describes the output of a finished video. Everything else is counted from its frames.
type Result struct {
	// Output is the final path.
	Output string
	// Size is in bytes.
	Size int64
}

// maxLinks limits the failed frames that a video's span links to: it cannot link to every frame of an hour.
const maxLinks = 64

// VideoSpan reports on one video: call Frame for each frame, and one of Finished, Failed and Interrupted at the end.
// Calls after the end have no effect. Its methods must not be called concurrently, except those documented otherwise.
type VideoSpan struct {
	emitter  *Emitter
	ctx      context.Context
	video    Video
	paths    []string // of its files, without pseudonyms
	ids      ids
	id       spanID
	early    earlyIDs
	start    time.Time
	links    []spanID
	unlinked int

	figures figures       // guarded by emitter.mu
	units   []*UnitSpan   // counted separately from figures, guarded by emitter.mu
	resumed int           // frames done in an earlier attempt, guarded by emitter.mu
	before  time.Duration // their playing time, guarded by emitter.mu
	damage  string        // the part of the source that did not decode, if the rest is salvaged
	nobody  bool          // whether nobody was found
	second  string        // reason for the second pass
	ended   bool

	timesRepaired, clockSteps int // of the source
}

// figures are counted from the frames of a video.
type figures struct {
	frames, analyzed, failed, whole int
	masks, uncertain, people, most  int
	first, last                     time.Duration // presentation times
	firstAt                         time.Time     // when the first frame was done
}

// VideoStarted starts the trace of a video. Once the context ends, frames are no longer held back.
func (e *Emitter) VideoStarted(ctx context.Context, video Video) *VideoSpan {
	s := e.newVideoSpan(ctx, video)
	e.mu.Lock()
	e.active[s] = struct{}{}
	e.mu.Unlock()
	s.Started()
	return s
}

func (e *Emitter) newVideoSpan(ctx context.Context, video Video) *VideoSpan {
	s := &VideoSpan{emitter: e, ctx: ctx, ids: e.newIDs(), start: e.now(), paths: []string{video.Path, video.Output}}
	for _, text := range []*string{&video.Name, &video.Path, &video.Output, &video.Codec} {
		*text = s.text(*text)
	}
	s.early.ids = e.newIDs()
	for i, text := range video.Streams {
		video.Streams[i] = s.text(text)
	}
	s.video = video
	s.id = spanID{s.ids.trace(), s.ids.span()}
	return s
}

// Frame reports a frame. It blocks while the pipeline refuses earlier frames, for a limited time.
func (s *VideoSpan) Frame(rec *record.Frame) { s.frame(&s.figures, rec) }

// frame adds a frame to the figures and reports it.
func (s *VideoSpan) frame(f *figures, rec *record.Frame) {
	if s.ended {
		return
	}
	s.emitter.count(f, rec)
	if s.emitter.traces == nil {
		s.early.mu.Lock()
		trace := s.traceOf(rec)
		s.early.mu.Unlock()
		s.emitter.recent.add(s, rec, trace)
		return
	}
	s.emitter.traces.add(s.ctx, func(traces ptrace.Traces) int {
		n, root := s.appendFrame(spansOf(traces), rec)
		if rec.Err != nil {
			s.link(root)
		}
		s.emitter.recent.add(s, rec, root.trace)
		return n
	})
}

func (s *VideoSpan) link(root spanID) {
	if len(s.links) == maxLinks {
		s.unlinked++
		return
	}
	s.links = append(s.links, root)
}

// Finished reports that the output is published under its final name.
func (s *VideoSpan) Finished(result Result) {
	how := ending{
		event: "finished", body: " finished", severity: plog.SeverityNumberInfo,
		outcome: metadata.AttributeAnonymizerVideoOutcomeFinished, result: result,
	}
	if s.nobody {
		how.body, how.severity = " finished: nobody was found in it", plog.SeverityNumberWarn
	}
	s.end(how)
}

// NobodyFound reports that nobody was found in the video.
func (s *VideoSpan) NobodyFound() { s.nobody = true }

// SecondPass reports that the video is processed again with a more thorough search, or that such a pass is resumed. The
// reason is a word from a small set.
func (s *VideoSpan) SecondPass(reason string) { s.second = reason }

// Restarted reports that the video restarts from its first frame. The frames so far no longer count.
func (s *VideoSpan) Restarted() {
	s.emitter.mu.Lock()
	defer s.emitter.mu.Unlock()
	s.figures, s.units, s.resumed, s.before = figures{}, nil, 0, 0
}

// Resumed reports that an earlier attempt has processed the given number of frames at the beginning of the video, with
// a playing time of before.
func (s *VideoSpan) Resumed(before time.Duration, frames int) {
	s.emitter.mu.Lock()
	defer s.emitter.mu.Unlock()
	s.resumed, s.before = frames, before
}

// Damaged reports that processing continues although parts of the video, which the output lacks, do not decode.
func (s *VideoSpan) Damaged(what error) { s.damage = s.message(what) }

// Repaired reports how many of the source's timestamps were repaired, and how often its clock was set back.
func (s *VideoSpan) Repaired(times, clockSteps int) {
	s.timesRepaired, s.clockSteps = times, clockSteps
}

// Failed reports that this attempt produced no output, and why: reason is a word from a small set, such as truncated.
// If retried, another attempt follows.
func (s *VideoSpan) Failed(err error, reason string, retried bool) {
	s.end(ending{
		event: "failed", body: " failed: " + s.message(err), severity: plog.SeverityNumberError,
		outcome: metadata.AttributeAnonymizerVideoOutcomeFailed, err: err, reason: reason, retried: retried,
	})
}

// Interrupted reports that the video was released unfinished, to be processed later.
func (s *VideoSpan) Interrupted() {
	s.end(ending{
		event: "interrupted", body: " interrupted", severity: plog.SeverityNumberWarn,
		outcome: metadata.AttributeAnonymizerVideoOutcomeInterrupted,
	})
}

// Unavailable reports that this attempt ended because no inference server answered, and that another one follows.
func (s *VideoSpan) Unavailable(err error) {
	s.emitter.Unavailable()
	s.end(ending{
		event: "interrupted", body: " is waiting for an inference server: " + s.message(err),
		severity: plog.SeverityNumberError, outcome: metadata.AttributeAnonymizerVideoOutcomeInterrupted,
		err: err, reason: "inference_unavailable",
	})
}

// Unavailable counts an attempt that ended because no inference server answered.
func (e *Emitter) Unavailable() {
	e.self.add(e.self.builder.ReceiverVideoanonymizerAttemptsUnavailable, 1)
}

// ending describes the end of a video in its log record, span and metrics.
type ending struct {
	event, body string // without the kind, video or picture
	severity    plog.SeverityNumber
	outcome     metadata.AttributeAnonymizerVideoOutcome
	result      Result // of a finished video
	err         error  // of a video that failed or waits for a server, like the next two
	reason      string
	retried     bool
}

func (s *VideoSpan) end(how ending) {
	if s.ended {
		return
	}
	s.ended = true
	at := s.start.Add(s.emitter.now().Sub(s.start)) // by the monotonic clock
	s.emitter.videoEnded(s, at, how.outcome, how.retried)
	s.emitter.mu.Lock()
	resumed, _ := s.resumedBefore()
	s.emitter.mu.Unlock()
	describe := func(attrs pcommon.Map) {
		s.describe(attrs)
		s.count(attrs, at)
		attrs.PutStr(attrVideoOutcome, how.outcome.String())
		putKnown(attrs, attrVideoDamage, s.damage)
		putKnown(attrs, attrVideoSecondPass, s.second)
		if s.nobody && how.outcome == metadata.AttributeAnonymizerVideoOutcomeFinished {
			attrs.PutBool(attrVideoNobody, true)
		}
		putPositive(attrs, attrVideoResumed, resumed)
		putPositive(attrs, attrVideoRepaired, s.timesRepaired)
		putPositive(attrs, attrVideoClockSteps, s.clockSteps)
		putKnown(attrs, attrOutputPath, s.text(how.result.Output))
		if how.result.Size > 0 {
			attrs.PutInt(attrOutputSize, how.result.Size)
		}
		if how.err != nil {
			attrs.PutStr(attrErrorType, errorType(how.reason))
		}
	}
	s.log(at, how.event, how.body, how.severity, func(attrs pcommon.Map) {
		describe(attrs)
		if how.err != nil {
			attrs.PutStr("exception.message", s.message(how.err))
		}
	})
	if s.emitter.traces != nil {
		s.emitter.traces.add(s.ctx, func(traces ptrace.Traces) int {
			s.appendVideo(spansOf(traces).AppendEmpty(), at, describe, how.err)
			return 1
		})
	}
}

func (s *VideoSpan) appendVideo(span ptrace.Span, end time.Time, describe func(pcommon.Map), err error) {
	span.SetTraceID(s.id.trace)
	span.SetSpanID(s.id.span)
	span.SetName(spanVideo)
	if s.video.Picture {
		span.SetName(spanPicture)
	}
	span.SetKind(ptrace.SpanKindInternal)
	span.SetStartTimestamp(pcommon.NewTimestampFromTime(s.start))
	span.SetEndTimestamp(pcommon.NewTimestampFromTime(end))
	s.emitter.spanAttributes.CopyTo(span.Attributes())
	describe(span.Attributes())
	if err != nil {
		span.Status().SetCode(ptrace.StatusCodeError)
		span.Status().SetMessage(s.message(err))
	}
	span.Links().EnsureCapacity(len(s.links))
	for _, id := range s.links {
		link := span.Links().AppendEmpty()
		link.SetTraceID(id.trace)
		link.SetSpanID(id.span)
	}
	span.SetDroppedLinksCount(uint32(s.unlinked))
}

// kind returns the word for the video in messages and event names.
func (v *Video) kind() string {
	if v.Picture {
		return "picture"
	}
	return "video"
}

// log adds a record that belongs to the video's span. event and body omit the kind, video or picture.
func (s *VideoSpan) log(at time.Time, event, body string, severity plog.SeverityNumber, describe func(pcommon.Map)) {
	if s.emitter.logs == nil {
		return
	}
	s.emitter.logs.add(s.ctx, func(logs plog.Logs) int {
		record := logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().AppendEmpty()
		record.SetTimestamp(pcommon.NewTimestampFromTime(at))
		record.SetObservedTimestamp(pcommon.NewTimestampFromTime(at))
		record.SetTraceID(s.id.trace)
		record.SetSpanID(s.id.span)
		record.SetEventName("anonymizer." + s.video.kind() + "." + event)
		record.SetSeverityNumber(severity)
		record.SetSeverityText(severity.String())
		record.Body().SetStr(s.video.kind() + body)
		describe(record.Attributes())
		return 1
	})
}

// describe sets the attributes that are known before the first frame.
func (s *VideoSpan) describe(attrs pcommon.Map) {
	v := &s.video
	attrs.EnsureCapacity(32)
	attrs.PutStr(attrVideoName, v.Name)
	putKnown(attrs, attrFilePath, v.Path)
	if v.Size > 0 {
		attrs.PutInt(attrFileSize, v.Size)
	}
	putKnown(attrs, attrOutputPath, v.Output)
	putPositive(attrs, attrVideoWidth, v.Width)
	putPositive(attrs, attrVideoHeight, v.Height)
	if v.FrameRate > 0 {
		attrs.PutDouble(attrVideoRate, v.FrameRate)
	}
	if v.Duration > 0 {
		attrs.PutDouble(attrVideoDuration, v.Duration.Seconds())
	}
	putKnown(attrs, attrVideoCodec, v.Codec)
	if len(v.Streams) > 0 {
		streams := attrs.PutEmptySlice(attrVideoStreams)
		for _, text := range v.Streams {
			streams.AppendEmpty().SetStr(text)
		}
	}
	putKnown(attrs, attrProfile, v.Profile)
	putKnown(attrs, attrDetector, v.Detector)
	putKnown(attrs, attrPose, v.Pose)
	putKnown(attrs, attrProvider, v.Provider)
	if len(v.Served) > 0 {
		served := attrs.PutEmptySlice(attrServed)
		for _, text := range v.Served {
			served.AppendEmpty().SetStr(text)
		}
	}
}

// count sets the attributes that are counted from the frames.
func (s *VideoSpan) count(attrs pcommon.Map, now time.Time) {
	s.emitter.mu.Lock()
	f, playing := s.all(), s.playing()
	s.emitter.mu.Unlock()
	attrs.PutInt(attrVideoFrames, int64(f.frames))
	attrs.PutInt(attrVideoJudged, int64(f.analyzed))
	attrs.PutInt(attrVideoFailed, int64(f.failed))
	attrs.PutInt(attrVideoWhole, int64(f.whole))
	attrs.PutInt(attrVideoMasks, int64(f.masks))
	attrs.PutInt(attrVideoPeople, int64(f.most))
	attrs.PutInt(attrVideoUncertain, int64(f.uncertain))
	attrs.PutDouble(attrVideoProcessing, now.Sub(s.start).Seconds())
	if !s.video.Picture {
		attrs.PutDouble(attrVideoFactor, realTimeFactor(playing, now.Sub(s.start)))
	}
}

// shown returns the playing time of the frames in f.
func (s *VideoSpan) shown(f figures) time.Duration {
	switch {
	case f.frames == 0:
		return 0
	case s.video.FrameRate > 0:
		return f.last - f.first + time.Duration(float64(time.Second)/s.video.FrameRate)
	case f.frames > 1: // assume the mean frame duration for the last one
		return (f.last - f.first) * time.Duration(f.frames) / time.Duration(f.frames-1)
	}
	return 0
}

// realTimeFactor returns the playing time processed per second.
func realTimeFactor(shown, took time.Duration) float64 {
	if took <= 0 {
		return 0
	}
	return shown.Seconds() / took.Seconds()
}

func spansOf(traces ptrace.Traces) ptrace.SpanSlice {
	return traces.ResourceSpans().At(0).ScopeSpans().At(0).Spans()
}
