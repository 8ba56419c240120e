// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package record describes a frame once it has passed the pipeline. The pipeline fills a Frame. Telemetry converts it
// to spans and metrics, and report to a line of the audit report.
package record

import (
	"slices"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// Stages of a frame, with the names of their spans.
const (
	StageDecode        = "decode"
	StageDetection     = "person_detection"
	StagePose          = "pose_estimation"
	StageTracking      = "tracking"
	StageVisualization = "visualization"
	StageEncode        = "encode"
)

// Look is how thoroughly a frame was searched.
type Look string

// Looks, each of which includes the previous ones.
const (
	LookQuick  Look = "quick"  // the whole frame at a small size
	LookRegion Look = "region" // also parts of the frame at full resolution
	LookFull   Look = "full"   // also the whole frame at a larger size, with more models
	LookTurned Look = "turned" // also turned by 90, 180 and 270 degrees
)

// Cause is the reason why a frame was searched.
type Cause string

// Causes of looks.
const (
	CauseStart    Cause = "start"    // the video's first frame
	CauseEnd      Cause = "end"      // the video's last frame
	CauseCut      Cause = "cut"      // next to a scene cut
	CauseSchedule Cause = "schedule" // a frame due for analysis
	CauseSurvey   Cause = "survey"   // a frame due for a survey
	CauseView     Cause = "view"     // the camera shows something else than in the last survey
	CauseAppeared Cause = "appeared" // something appeared in the frame
	CauseMoved    Cause = "moved"    // people are in different places in the surrounding frames
	CauseFound    Cause = "found"    // an equally thorough look found someone nearby
)

// Frame is everything that is reported about a frame.
type Frame struct {
	// Index counts from 0.
	Index int
	// PTS is the presentation time, counted from the stream's zero.
	PTS time.Duration
	// Start is before decoding, End after encoding.
	Start, End time.Time
	// A stage that did not run has a zero interval and emits no span. If the frame was not analyzed, Detection is the time
	// it took to derive people's positions from the surrounding frames.
	Decode, Detection, Pose, Tracking, Visualization, Encode vision.Interval
	// DetectionSteps and PoseSteps become the spans below Detection and Pose.
	DetectionSteps, PoseSteps vision.Steps

	// DetectionInference and PoseInference are the IDs of the inference spans, if they were generated in advance, nil
	// otherwise.
	DetectionInference, PoseInference *inference.Span

	// Analyzed is true if detection ran on this frame. In all other frames, positions are carried over from the
	// surrounding frames.
	Analyzed bool
	// Look is how thoroughly an analyzed frame was searched. LookCause is the reason, or the reason for searching more
	// thoroughly than at first.
	Look      Look
	LookCause Cause
	// Detected is the number of people that the detector found, PosedPeople the number of people whose pose was estimated.
	Detected, PosedPeople int
	// People is the number of visible people, whether found or carried over. A face without a detected person counts as
	// one.
	People int
	// Masks is the number of heads covered.
	Masks         int
	MasksByOrigin MasksByOrigin
	// Uncertain is the number of people whose head could not be located, and whose masks are larger for this reason.
	Uncertain int
	// Found and Faces are the models' detections in this frame, without silhouettes. Heads are the masked heads. Callers
	// may keep them, and Bodies.
	Found []vision.Person
	Faces []vision.Face
	Heads []mask.Head
	// Bodies are the silhouettes masked besides heads, with mask::method whitelist.
	Bodies []mask.Body
	// WholeFrameMasked is true if the whole frame was covered.
	WholeFrameMasked bool

	// Err is the reason why the frame could not be analyzed or masked as intended, nil if it was.
	Err error
	// Reason is Err as a short identifier (error.type) from a small set, such as timeout or out_of_memory.
	Reason string
	// FailedStage is the stage that returned Err, if known.
	FailedStage string
}

// Encoded records that encoding, which began at start, has just ended, and that processing of the frame is complete.
func (f *Frame) Encoded(start time.Time) {
	f.Encode = vision.Interval{Start: start, End: time.Now()}
	f.End = f.Encode.End
}

// Include adds what was masked in another rendering of the same frame. People appear in both, so the numbers of people
// are the larger ones. Masks of the same head are counted twice.
func (f *Frame) Include(other *Frame) {
	f.Detected, f.PosedPeople = max(f.Detected, other.Detected), max(f.PosedPeople, other.PosedPeople)
	f.People, f.Uncertain = max(f.People, other.People), max(f.Uncertain, other.Uncertain)
	f.Masks += other.Masks
	a, b := &f.MasksByOrigin, other.MasksByOrigin
	a.Pose, a.Face, a.Box, a.Screen = a.Pose+b.Pose, a.Face+b.Face, a.Box+b.Box, a.Screen+b.Screen
	a.Interpolated, a.Held = a.Interpolated+b.Interpolated, a.Held+b.Held
	f.Found, f.Faces = slices.Concat(f.Found, other.Found), slices.Concat(f.Faces, other.Faces)
	f.Heads, f.Bodies = slices.Concat(f.Heads, other.Heads), slices.Concat(f.Bodies, other.Bodies)
	f.WholeFrameMasked = f.WholeFrameMasked || other.WholeFrameMasked
	f.Analyzed = f.Analyzed && other.Analyzed
	if f.Err == nil {
		f.Err, f.Reason, f.FailedStage = other.Err, other.Reason, other.FailedStage
	}
}

// MasksByOrigin counts the masks of a frame by the detections they were derived from (mask.Origin).
type MasksByOrigin struct {
	// Pose counts heads located by facial keypoints or shoulders, Face heads located by a face without a detected person,
	// and Box heads masked as the top of the person's box.
	Pose, Face, Box int
	// Interpolated counts heads between two sightings of a person, Held those before the first or after the last one.
	Interpolated, Held int
	// Screen counts screens, with mask::also.
	Screen int
}

// Summary counts the frames of a video that were written.
type Summary struct {
	// Frames is the number of frames written, Analyzed the number of those on which detection ran.
	Frames, Analyzed int
	// MaskedWhole is the number of frames that could not be analyzed and were masked whole.
	MaskedWhole int
	// Masks is the number of masked heads in all frames, MaxPeople the maximum number of people in one frame.
	Masks, MaxPeople int
	// Failed is the number of frames with an error, Uncertain the number of people without a located head in all frames.
	Failed, Uncertain int `json:",omitzero"`
}

// NobodyFound reports whether nobody was found in any frame. Frames may have been masked whole nevertheless.
func (s *Summary) NobodyFound() bool { return s.MaxPeople == 0 }

// Add adds the frames of another part of the video.
func (s *Summary) Add(other Summary) {
	s.Frames, s.Analyzed, s.MaskedWhole = s.Frames+other.Frames, s.Analyzed+other.Analyzed, s.MaskedWhole+other.MaskedWhole
	s.Masks, s.MaxPeople = s.Masks+other.Masks, max(s.MaxPeople, other.MaxPeople)
	s.Failed, s.Uncertain = s.Failed+other.Failed, s.Uncertain+other.Uncertain
}

// Count adds a frame that was written.
func (s *Summary) Count(f *Frame) {
	s.Frames++
	if f.Analyzed {
		s.Analyzed++
	}
	if f.WholeFrameMasked {
		s.MaskedWhole++
	}
	if f.Err != nil {
		s.Failed++
	}
	s.Masks, s.Uncertain = s.Masks+f.Masks, s.Uncertain+f.Uncertain
	s.MaxPeople = max(s.MaxPeople, f.People)
}
