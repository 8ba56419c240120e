// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// Video is what is known of a video before its first frame. What is not known stays zero and is not reported.
type Video struct {
	// Name is the file's name, Path its full path, Output where the anonymized video goes.
	Name, Path, Output string
	// Size is in bytes.
	Size int64
	// Width and Height are in pixels, as displayed.
	Width, Height int
	// FrameRate is the average, in frames a second.
	FrameRate float64
	// Duration is what the container states.
	Duration time.Duration
	// Codec is the source's.
	Codec string
	// Detector and Pose name the models, Provider what they run on.
	Detector, Pose, Provider string
}

// Result is what became of a finished video; the rest is counted from its frames.
type Result struct {
	// Output is the final path.
	Output string
	// Size is in bytes.
	Size int64
}

// The stages of a frame, named as their spans are.
const (
	StageDecode        = "decode"
	StageDetection     = "person_detection"
	StagePose          = "pose_estimation"
	StageTracking      = "tracking"
	StageVisualization = "visualization"
	StageEncode        = "encode"
)

// MasksByOrigin counts the masks of a frame by what they were derived from (mask.Origin).
type MasksByOrigin struct {
	// Pose: located by facial keypoints or shoulders. Face: by a face whose person was not found. Box: the top of the person's box.
	Pose, Face, Box int
	// Interpolated: between two sightings of a person. Held: before the first or after the last one.
	Interpolated, Held int
}

// FrameRecord is everything that is told of one frame. The caller may reuse it.
type FrameRecord struct {
	// Index counts from 0.
	Index int
	// PTS is the presentation time since the stream's zero.
	PTS time.Duration
	// Start is before decoding, End after encoding.
	Start, End time.Time
	// A stage that did not run has a zero interval and leaves no span. On a frame that was not judged, Detection is the time
	// in which the people's places were worked out from the frames around.
	Decode, Detection, Pose, Tracking, Visualization, Encode vision.Interval
	// DetectionSteps and PoseSteps leave the spans below Detection and Pose.
	DetectionSteps, PoseSteps vision.Steps

	// Judged tells that detection ran on this frame; the positions of others are carried from the frames around.
	Judged bool
	// Detected is the number of people that the detector found, PosedPeople of how many of them the pose was estimated.
	Detected, PosedPeople int
	// People is the number of persons visible, found or carried; a face whose person was not found is one.
	People int
	// Masks is the number of heads covered.
	Masks         int
	MasksByOrigin MasksByOrigin
	// Uncertain is the number of people whose head could not be located and who were masked more widely.
	Uncertain int
	// Found and Faces are what a look at this frame found, without silhouettes; Heads is what was masked of it. They may be kept.
	Found []vision.Person
	Faces []vision.Face
	Heads []mask.Head
	// WholeFrameMasked tells that the whole frame was covered.
	WholeFrameMasked bool

	// Err is why the frame could not be judged or masked as it should.
	Err error
	// Reason is Err in a word (error.type): few different ones, such as timeout or out_of_memory.
	Reason string
	// FailedStage is the stage that Err comes from, if it is known.
	FailedStage string
}
