// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"context"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// Keypoint is a joint or a facial feature, in pixels of the frame, with the model's confidence 0..1.
type Keypoint struct{ X, Y, Score float32 }

// The 17 keypoints of the COCO data set, in its order. Left and right are the person's own.
const (
	Nose = iota
	LeftEye
	RightEye
	LeftEar
	RightEar
	LeftShoulder
	RightShoulder
	LeftElbow
	RightElbow
	LeftWrist
	RightWrist
	LeftHip
	RightHip
	LeftKnee
	RightKnee
	LeftAnkle
	RightAnkle
	KeypointCount
)

// Pose is a person's keypoints.
type Pose [KeypointCount]Keypoint

// Detection is one person found, with the detector's confidence 0..1.
type Detection struct {
	Box   Box
	Score float32
	// Candidate means that the score alone is too low: the detection counts only if a pose, a face or a track confirms
	// it.
	Candidate bool
	// Pose is nil unless the detector finds keypoints itself, and the person is large enough for them to be accurate.
	Pose *Pose
}

// Face is one face found, from the brow to the chin, with the detector's confidence 0..1.
type Face struct {
	Box   Box
	Score float32
	// LeftEye and RightEye are the person's own, in pixels of the frame.
	LeftEye, RightEye Keypoint
}

// Person is a detection with the results of other models.
type Person struct {
	Detection
	// Pose is the detector's own or, if that has none, the pose model's; nil if no pose was estimated.
	Pose *Pose
	// Silhouette is nil if the person was not segmented.
	Silhouette *Silhouette
	// Hidden means that the usual analysis does not find the person, only a harder search such as a survey.
	Hidden bool
}

// Interval is a span of wall-clock time.
type Interval struct{ Start, End time.Time }

// Steps are the times of the three steps of a model's work on one frame. With several inference calls, each interval
// spans from the start of the first call to the end of the last, and the Busy durations are the sums over the calls.
type Steps struct {
	Preprocess, Inference, Postprocess             Interval
	PreprocessBusy, InferenceBusy, PostprocessBusy time.Duration
	// Batches is the number of inference calls.
	Batches int
}

// Add adds the times of another model's work on the same frame, done after this one's.
func (s *Steps) Add(o Steps) {
	join := func(a *Interval, b Interval) {
		if a.Start.IsZero() {
			a.Start = b.Start
		}
		if b.End.After(a.End) {
			a.End = b.End
		}
	}
	join(&s.Preprocess, o.Preprocess)
	join(&s.Inference, o.Inference)
	join(&s.Postprocess, o.Postprocess)
	s.PreprocessBusy += o.PreprocessBusy
	s.InferenceBusy += o.InferenceBusy
	s.PostprocessBusy += o.PostprocessBusy
	s.Batches += o.Batches
}

// Detector finds the people in a frame. Implementations are safe for concurrent use. Errors wrap those of
// inference.Session.Run, or ErrNotFinite; nothing is then known about the frame.
type Detector interface {
	Detect(ctx context.Context, frame *media.Frame) ([]Detection, Steps, error)
}

// FaceDetector finds the faces in a frame. Implementations are safe for concurrent use. Errors are as for Detector.
type FaceDetector interface {
	DetectFaces(ctx context.Context, frame *media.Frame) ([]Face, Steps, error)
}

// PoseEstimator estimates the pose of each detection; the result has one pose for each, in order. Implementations are
// safe for concurrent use, and the memory of a call does not grow with the number of people. Errors are as for
// Detector.
type PoseEstimator interface {
	Estimate(ctx context.Context, frame *media.Frame, people []Detection) ([]Pose, Steps, error)
}

// Segmenter finds the silhouette of each detection; the result has one for each, in order, which may show neighbors
// too. Implementations are safe for concurrent use, and the memory of a call does not grow with the number of people.
// Errors are as for Detector.
type Segmenter interface {
	Segment(ctx context.Context, frame *media.Frame, people []Detection) ([]Silhouette, Steps, error)
}
