// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// Names of spans other than those of the stages.
const (
	spanVideo       = "anonymize_video"
	spanPicture     = "anonymize_picture"
	spanFrame       = "process_single_frame"
	spanPreprocess  = "preprocess"
	spanInference   = "inference"
	spanPostprocess = "postprocess"
)

// spansPerFrame is the maximum number of spans that a frame emits: the frame itself, six stages, and three steps for
// each of two models.
const spansPerFrame = 13

// Attributes of spans and log records. spans.md describes each.
const (
	attrBBoxCount       = "bbox.count"
	attrErrorType       = "error.type"
	attrVideoName       = "anonymizer.video.name"
	attrFrameIndex      = "anonymizer.frame.index"
	attrFramePTS        = "anonymizer.frame.pts"
	attrFrameWhole      = "anonymizer.frame.masked_whole"
	attrFrameLook       = "anonymizer.frame.look"
	attrFrameLookCause  = "anonymizer.frame.look.cause"
	attrCarried         = "anonymizer.detection.carried"
	attrMaskCount       = "anonymizer.mask.count"
	attrMaskPose        = "anonymizer.mask.from_pose"
	attrMaskFace        = "anonymizer.mask.from_face"
	attrMaskBox         = "anonymizer.mask.from_box"
	attrMaskInterpol    = "anonymizer.mask.interpolated"
	attrMaskScreen      = "anonymizer.mask.screen"
	attrMaskHeld        = "anonymizer.mask.held"
	attrUncertainPeople = "anonymizer.people.uncertain"
	attrPosePeople      = "anonymizer.pose.people"
	attrModelName       = "anonymizer.model.name"
	attrBatches         = "anonymizer.inference.batches"
	attrBusyTime        = "anonymizer.busy_time"
	attrModelVersion    = "anonymizer.model.version"
	attrModelAnswer     = "anonymizer.model.answer"
)

// frameSpans appends the spans of one frame.
type frameSpans struct {
	spans   ptrace.SpanSlice
	ids     *ids
	traceID pcommon.TraceID
	// zero and zeroTime are the same instant. All times are measured from it with the monotonic clock, so that setting the
	// clock does not distort a trace.
	zero     time.Time
	zeroTime pcommon.Timestamp
	message  string // of a failed frame's error
}

// appendFrame appends the trace of a frame and returns the number of spans and the ID of the root span.
func (s *VideoSpan) appendFrame(spans ptrace.SpanSlice, rec *record.Frame) (int, spanID) {
	return s.appendTrace(spans, rec, s.traceOf(rec), &s.ids)
}

// appendTrace is appendFrame with a given trace ID and source of span IDs.
func (s *VideoSpan) appendTrace(spans ptrace.SpanSlice, rec *record.Frame, trace pcommon.TraceID,
	ids *ids) (int, spanID) {
	before := spans.Len()
	f := frameSpans{
		spans: spans, ids: ids, traceID: trace,
		zero: rec.Start, zeroTime: pcommon.NewTimestampFromTime(rec.Start),
	}
	if rec.Err != nil {
		f.message = s.message(rec.Err)
	}
	root := f.root(s, rec)
	if s.video.Picture && trace == s.id.trace {
		spans.At(before).SetParentSpanID(s.id.span)
	}
	f.stage(record.StageDecode, root, rec, rec.Decode)
	if span, ran := f.stage(record.StageDetection, root, rec, rec.Detection); ran {
		f.detection(span, s.video, rec)
	}
	if span, ran := f.stage(record.StagePose, root, rec, rec.Pose); ran {
		span.Attributes().EnsureCapacity(4)
		span.Attributes().PutStr(attrVideoName, s.video.Name)
		span.Attributes().PutInt(attrPosePeople, int64(rec.PosedPeople))
		f.model(span, s.video.Pose, rec.PoseSteps, rec.PoseInference, s.video.PoseServed)
	}
	f.stage(record.StageTracking, root, rec, rec.Tracking)
	f.stage(record.StageVisualization, root, rec, rec.Visualization)
	f.stage(record.StageEncode, root, rec, rec.Encode)
	return spans.Len() - before, spanID{f.traceID, root}
}

func (f *frameSpans) root(s *VideoSpan, rec *record.Frame) pcommon.SpanID {
	span := f.append(spanFrame, pcommon.SpanID{}, vision.Interval{Start: rec.Start, End: rec.End})
	attrs := span.Attributes()
	attrs.EnsureCapacity(s.emitter.spanAttributes.Len() + 16)
	for name, value := range s.emitter.spanAttributes.All() {
		value.CopyTo(attrs.PutEmpty(name))
	}
	attrs.PutStr(attrVideoName, s.video.Name)
	putKnown(attrs, attrProfile, s.video.Profile)
	attrs.PutInt(attrFrameIndex, int64(rec.Index))
	attrs.PutDouble(attrFramePTS, rec.PTS.Seconds())
	attrs.PutInt(attrBBoxCount, int64(rec.People))
	attrs.PutBool(attrCarried, !rec.Analyzed)
	if rec.Look != "" {
		attrs.PutStr(attrFrameLook, string(rec.Look))
		attrs.PutStr(attrFrameLookCause, string(rec.LookCause))
	}
	attrs.PutInt(attrMaskCount, int64(rec.Masks))
	putPositive(attrs, attrMaskPose, rec.MasksByOrigin.Pose)
	putPositive(attrs, attrMaskFace, rec.MasksByOrigin.Face)
	putPositive(attrs, attrMaskBox, rec.MasksByOrigin.Box)
	putPositive(attrs, attrMaskInterpol, rec.MasksByOrigin.Interpolated)
	putPositive(attrs, attrMaskHeld, rec.MasksByOrigin.Held)
	putPositive(attrs, attrMaskScreen, rec.MasksByOrigin.Screen)
	putPositive(attrs, attrUncertainPeople, rec.Uncertain)
	if rec.WholeFrameMasked {
		attrs.PutBool(attrFrameWhole, true)
	}
	if !s.video.Picture {
		link := span.Links().AppendEmpty()
		link.SetTraceID(s.id.trace)
		link.SetSpanID(s.id.span)
	}
	if rec.Err != nil {
		f.failed(span, rec)
		event := span.Events().AppendEmpty()
		event.SetName("exception")
		event.SetTimestamp(span.EndTimestamp())
		event.Attributes().PutStr("exception.type", errorType(rec.Reason))
		event.Attributes().PutStr("exception.message", f.message)
	}
	return span.SpanID()
}

// detection sets the number of people that the detector found or, for a frame that it did not analyze, the number
// carried over.
func (f *frameSpans) detection(span ptrace.Span, video Video, rec *record.Frame) {
	attrs := span.Attributes()
	attrs.EnsureCapacity(5)
	attrs.PutStr(attrVideoName, video.Name)
	attrs.PutBool(attrCarried, !rec.Analyzed)
	if !rec.Analyzed {
		attrs.PutInt(attrBBoxCount, int64(rec.People))
		return
	}
	attrs.PutInt(attrBBoxCount, int64(rec.Detected))
	f.model(span, video.Detector, rec.DetectionSteps, rec.DetectionInference, video.DetectorServed)
}

// stage appends a child of the root if the stage ran.
func (f *frameSpans) stage(name string, root pcommon.SpanID, rec *record.Frame,
	during vision.Interval) (ptrace.Span, bool) {
	if during.Start.IsZero() {
		return ptrace.Span{}, false
	}
	span := f.append(name, root, during)
	if rec.Err != nil && rec.FailedStage == name {
		f.failed(span, rec)
	}
	return span, true
}

func (f *frameSpans) failed(span ptrace.Span, rec *record.Frame) {
	span.Attributes().PutStr(attrErrorType, errorType(rec.Reason))
	span.Status().SetCode(ptrace.StatusCodeError)
	span.Status().SetMessage(f.message)
}

// model describes the inferences of a model as children of the span of its stage. made is the ID that the inference
// span got in advance, nil if it got none.
func (f *frameSpans) model(span ptrace.Span, name string, steps vision.Steps, made *inference.Span, served Served) {
	putKnown(span.Attributes(), attrModelName, name)
	putPositive(span.Attributes(), attrBatches, steps.Batches)
	f.step(spanPreprocess, span.SpanID(), steps.Preprocess, steps.PreprocessBusy)
	if inferred, ran := f.step(spanInference, span.SpanID(), steps.Inference, steps.InferenceBusy); ran {
		putKnown(inferred.Attributes(), attrModelName, name)
		putPositive(inferred.Attributes(), attrBatches, steps.Batches)
		if made != nil {
			remote(inferred, made, served)
		}
	}
	f.step(spanPostprocess, span.SpanID(), steps.Postprocess, steps.PostprocessBusy)
}

func (f *frameSpans) step(name string, parent pcommon.SpanID, during vision.Interval,
	busy time.Duration) (ptrace.Span, bool) {
	if during.Start.IsZero() {
		return ptrace.Span{}, false
	}
	span := f.append(name, parent, during)
	span.Attributes().EnsureCapacity(3)
	if busy > 0 {
		span.Attributes().PutDouble(attrBusyTime, busy.Seconds())
	}
	return span, true
}

func (f *frameSpans) append(name string, parent pcommon.SpanID, during vision.Interval) ptrace.Span {
	span := f.spans.AppendEmpty()
	span.SetTraceID(f.traceID)
	span.SetSpanID(f.ids.span())
	span.SetParentSpanID(parent)
	span.SetName(name)
	span.SetKind(ptrace.SpanKindInternal)
	start := f.timestamp(during.Start)
	span.SetStartTimestamp(start)
	span.SetEndTimestamp(max(start, f.timestamp(during.End)))
	return span
}

func (f *frameSpans) timestamp(t time.Time) pcommon.Timestamp {
	return f.zeroTime + pcommon.Timestamp(t.Sub(f.zero))
}

func putPositive(attrs pcommon.Map, name string, n int) {
	if n > 0 {
		attrs.PutInt(name, int64(n))
	}
}

func putKnown(attrs pcommon.Map, name, value string) {
	if value != "" {
		attrs.PutStr(name, value)
	}
}

// maxMessage limits the bytes of an error message, which may contain the output of a program.
const maxMessage = 4096

func (s *VideoSpan) message(err error) string {
	text := s.text(err.Error())
	return validUTF8(text[:min(len(text), maxMessage)])
}

// text returns a text about the video as valid UTF-8, with pseudonyms if configured.
func (s *VideoSpan) text(text string) string {
	if s.emitter.pseudonym != nil {
		text = s.emitter.pseudonym(text, s.paths...)
	}
	return validUTF8(text)
}

// validUTF8 replaces invalid UTF-8: file names may contain arbitrary bytes, but a single such name makes exporters
// reject the whole batch.
func validUTF8(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// errorType returns the reason, or the semantic conventions' value for an unknown one.
func errorType(reason string) string {
	if reason == "" {
		return "_OTHER"
	}
	return reason
}
