// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package vision holds the model families: what a frame must be turned into before a model runs, and what the numbers that
// come out of it mean. Everything outside this package sees people, boxes and keypoints in pixels of the frame.
//
// A further family is a file with a constructor that checks the model's inputs and outputs, and its entry in one of the maps below.
package vision

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/onnx"
)

// ErrNotFinite marks a model output that holds NaN or infinity; the frame cannot be judged.
var ErrNotFinite = errors.New("the model's output is not a finite number")

// DetectorOptions say how people are detected.
type DetectorOptions struct {
	// ScoreThreshold 0..1: detections below are dropped.
	ScoreThreshold float32
	// CandidateThreshold 0..1: detections from here to ScoreThreshold are marked as candidates; 0 gives none.
	CandidateThreshold float32
	// OverlapThreshold 0..1: of two boxes whose intersection over union is larger, the better stays.
	OverlapThreshold float32
	// LongSide is the length in pixels of the model input's longer side; the other follows from the frame. Width and Height
	// fix both instead. All zero take the family's own.
	LongSide, Width, Height int
	// Tiles above 1 has the frame looked at in Tiles x Tiles overlapping parts too, for small people.
	Tiles int
}

func (o DetectorOptions) leastScore() float32 {
	if o.CandidateThreshold > 0 {
		return min(o.CandidateThreshold, o.ScoreThreshold)
	}
	return o.ScoreThreshold
}

// FaceOptions say how faces are detected.
type FaceOptions struct {
	// ScoreThreshold and OverlapThreshold are as for people.
	ScoreThreshold, OverlapThreshold float32
	// Tiles is as for people.
	Tiles int
}

// PoseOptions say how poses are estimated.
type PoseOptions struct {
	// MaxPeoplePerBatch bounds the memory of one inference; 1 or more.
	MaxPeoplePerBatch int
	// BoxScale enlarges a person's box before the crop; 1 is the box itself.
	BoxScale float32
}

var detectorFamilies = map[string]func(*onnx.Session, DetectorOptions) (Detector, error){
	"centernet": newCenterNet,
	"detr":      newDETR,
	"nanodet":   newNanoDet,
}

var faceFamilies = map[string]func(*onnx.Session, FaceOptions) (FaceDetector, error){
	"blazeface": newBlazeFace,
}

var poseFamilies = map[string]func(*onnx.Session, PoseOptions) (PoseEstimator, error){
	"movenet":   newMoveNet,
	"transpose": newTransPose,
}

var segmenterFamilies = map[string]func(*onnx.Session, SegmenterOptions) (Segmenter, error){
	"selfie_segmentation": newSelfieSegmentation,
}

// DetectorFamilies names the families that NewDetector knows.
func DetectorFamilies() []string { return slices.Sorted(maps.Keys(detectorFamilies)) }

// FaceFamilies names the families that NewFaceDetector knows.
func FaceFamilies() []string { return slices.Sorted(maps.Keys(faceFamilies)) }

// PoseFamilies names the families that NewPoseEstimator knows.
func PoseFamilies() []string { return slices.Sorted(maps.Keys(poseFamilies)) }

// NewDetector reads the session's model as one of the family, or, if family is "", as the one that its inputs and outputs fit;
// centernet has those of nanodet and is never guessed. It fails with onnx.ErrModel if they do not fit.
func NewDetector(family string, session *onnx.Session, opts DetectorOptions) (Detector, error) {
	return newOfFamily(detectorFamilies, "detector", family, session, opts)
}

// NewFaceDetector reads the session's model as one of the family, or, if family is "", as the first one that its inputs and
// outputs fit. It fails with onnx.ErrModel if they do not fit.
func NewFaceDetector(family string, session *onnx.Session, opts FaceOptions) (FaceDetector, error) {
	return newOfFamily(faceFamilies, "face", family, session, opts)
}

// NewPoseEstimator reads the session's model as one of the family, or, if family is "", as the first one that its inputs and
// outputs fit. It fails with onnx.ErrModel if they do not fit.
func NewPoseEstimator(family string, session *onnx.Session, opts PoseOptions) (PoseEstimator, error) {
	return newOfFamily(poseFamilies, "pose", family, session, opts)
}

// NewSegmenter reads the session's model as one of the family, or, if family is "", as the first one that its inputs and
// outputs fit. It fails with onnx.ErrModel if they do not fit.
func NewSegmenter(family string, session *onnx.Session, opts SegmenterOptions) (Segmenter, error) {
	return newOfFamily(segmenterFamilies, "segmentation", family, session, opts)
}

func newOfFamily[T, O any](families map[string]func(*onnx.Session, O) (T, error), task, family string, session *onnx.Session, opts O) (T, error) {
	var none T
	names := slices.Sorted(maps.Keys(families))
	if family != "" {
		create, ok := families[family]
		if !ok {
			return none, fmt.Errorf("%w: no %s family is called %q; use one of %s", onnx.ErrModel, task, family, strings.Join(names, ", "))
		}
		return create(session, opts)
	}
	var errs []error
	for _, name := range slices.DeleteFunc(names, func(name string) bool { return name == "centernet" }) {
		model, err := families[name](session, opts)
		if err == nil {
			return model, nil
		}
		errs = append(errs, err)
	}
	return none, errors.Join(errs...)
}

func shapeError(session *onnx.Session, family, want string) error {
	return fmt.Errorf("%w: %s is not a %s model: it has inputs %v and outputs %v, but %s are needed",
		onnx.ErrModel, session.Name(), family, session.Inputs(), session.Outputs(), want)
}

func finite(values ...float32) bool {
	for _, v := range values {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return false
		}
	}
	return true
}

// inputs keeps the memory of model inputs between calls.
var inputs = sync.Pool{New: func() any { return new([]uint8) }}

func borrowBytes(n int) *[]uint8 {
	b := inputs.Get().(*[]uint8)
	if cap(*b) < n {
		*b = make([]uint8, n)
	}
	*b = (*b)[:n]
	return b
}

func returnBytes(b *[]uint8) { inputs.Put(b) }
