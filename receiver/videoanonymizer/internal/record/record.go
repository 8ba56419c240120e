// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package record holds what is known of a frame once it has passed the pipeline. The pipeline fills a Frame;
// telemetry turns it into spans and metrics, and report into a line of the audit report.
package record

import (
	"slices"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// The stages of a frame, named as their spans are.
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

// The looks, each of which includes those before it.
const (
	LookQuick  Look = "quick"  // the whole frame at a small size
	LookRegion Look = "region" // also parts of the frame, as large as they are
	LookFull   Look = "full"   // the whole frame at a larger size too, and by more models
	LookTurned Look = "turned" // also turned by a quarter, a half and three quarters of a turn
)

// Cause is why a frame was searched.
type Cause string

// The causes of looks.
const (
	CauseStart    Cause = "start"    // the video's first frame
	CauseEnd      Cause = "end"      // its last frame
	CauseCut      Cause = "cut"      // next to a scene cut
	CauseSchedule Cause = "schedule" // its turn
	CauseSurvey   Cause = "survey"   // its turn for a survey
	CauseView     Cause = "view"     // the camera shows something else than at the last survey
	CauseAppeared Cause = "appeared" // something appeared in it
	CauseMoved    Cause = "moved"    // people are not in the same places in the frames around it
	CauseFound    Cause = "found"    // a look as hard as this found someone near by
)

// Frame is everything that is reported about one frame.
type Frame struct {
	// Index counts from 0.
	Index int
	// PTS is the presentation time, counted from the stream's zero.
	PTS time.Duration
	// Start is before decoding, End after encoding.
	Start, End time.Time
	// A stage that did not run has a zero interval and emits no span. On a frame that was not analyzed, Detection is
	// the time it took to work out people's positions from the surrounding frames.
	Decode, Detection, Pose, Tracking, Visualization, Encode vision.Interval
	// DetectionSteps and PoseSteps become the spans below Detection and Pose.
	DetectionSteps, PoseSteps vision.Steps

	// DetectionInference and PoseInference are the identities of the spans of inferences, if these were made before; nil
	// otherwise.
	DetectionInference, PoseInference *inference.Span

	// Analyzed is true if detection ran on this frame; in all others, positions are carried over from the surrounding
	// frames.
	Analyzed bool
	// Look is how thoroughly an analyzed frame was searched, and LookCause why, or why more thoroughly than
	// at first.
	Look      Look
	LookCause Cause
	// Detected is the number of people the detector found, PosedPeople the number whose pose the pose model estimated.
	Detected, PosedPeople int
	// People is the number of people visible, whether found or carried over; a face without a detected person counts
	// as one.
	People int
	// Masks is the number of heads covered.
	Masks         int
	MasksByOrigin MasksByOrigin
	// Uncertain is the number of people whose head could not be located and who were therefore masked more widely.
	Uncertain int
	// Found and Faces are what the models found in this frame, without silhouettes; Heads is what was masked. Callers
	// may keep them, and Bodies.
	Found []vision.Person
	Faces []vision.Face
	Heads []mask.Head
	// Bodies is what was masked besides heads, with mask::method whitelist.
	Bodies []mask.Body
	// WholeFrameMasked is true if the whole frame was covered.
	WholeFrameMasked bool

	// Err is why the frame could not be analyzed or masked as it should have been; nil if it was.
	Err error
	// Reason is Err as a short identifier (error.type) from a small set, such as timeout or out_of_memory.
	Reason string
	// FailedStage is the stage that returned Err, if known.
	FailedStage string
}

// Encoded records that encoding, which began at start, has just ended, and with it the work on the frame.
func (f *Frame) Encoded(start time.Time) {
	f.Encode = vision.Interval{Start: start, End: time.Now()}
	f.End = f.Encode.End
}

// Include adds what was masked in another frame of the same moment, seen in another way. People are in both, so their
// numbers are those of the frame with more; masks that cover the same are counted twice.
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

// MasksByOrigin counts the masks of a frame by what they were derived from (mask.Origin).
type MasksByOrigin struct {
	// Pose: located by facial keypoints or shoulders. Face: by a face without a detected person. Box: the top of the
	// person's box.
	Pose, Face, Box int
	// Interpolated: between two sightings of a person. Held: before the first or after the last one.
	Interpolated, Held int
	// Screen: screens, with mask::also.
	Screen int
}

// Summary counts the frames of a video that were written.
type Summary struct {
	// Frames is the number of frames written, Analyzed the number of those on which detection ran.
	Frames, Analyzed int
	// MaskedWhole is the number of frames that could not be analyzed and were masked whole.
	MaskedWhole int
	// Masks is the number of heads masked, over all frames; MaxPeople the largest number of people in one frame.
	Masks, MaxPeople int
	// Failed is the number of frames with an error, Uncertain that of people without a known head, over all frames.
	Failed, Uncertain int `json:",omitzero"`
}

// NobodyFound means that no frame shows anyone who was found. Frames may have been masked whole all the same.
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
