// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package vision implements the model families: how a frame becomes a model's input, and what the numbers in its output
// mean. Other packages see only people, boxes and keypoints in pixels of the frame.
//
// To add a family, write a file with a constructor that checks the model's inputs and outputs, and add its entry to one
// of the registries in this file.
package vision

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// ErrNotFinite marks a model output that contains NaN or infinity; the frame cannot be analyzed.
var ErrNotFinite = errors.New("the model's output is not a finite number")

// DetectorOptions say how people are detected.
type DetectorOptions struct {
	// ScoreThreshold is the score 0..1 below which detections are dropped.
	ScoreThreshold float32
	// CandidateThreshold is the score 0..1 from which detections below ScoreThreshold become candidates; 0 keeps none.
	CandidateThreshold float32
	// OverlapThreshold is the largest intersection over union 0..1 of two boxes that are both kept; of two that overlap
	// more, only the better one is.
	OverlapThreshold float32
	// LongSide is the length in pixels of the model input's longer side; the other follows from the frame. Width and
	// Height set both sides instead. If all are zero, the family's default applies.
	LongSide, Width, Height int
	// Tiles, if above 1, adds Tiles x Tiles overlapping parts of the frame to the analysis, to find small people.
	Tiles int
	// Detail sets the input's longer side to detailLongSide pixels. It adds 2 x 2 parts of frames that are longer than
	// that by a factor of more than detailFrame, and ever smaller parts of larger frames, down to about finePart pixels:
	// the smallest size in pixels at which people are found does not grow with the frame. The time grows with the frame's
	// area, the memory does not.
	Detail bool
	// Fine makes Tiles above 1 add such smaller parts. It is for still pictures.
	Fine bool
}

// With Detail, the input is this long, and frames longer by more than this factor are divided: a head of 20 pixels in
// 1080p stays about that large, as the detectors need, and memory does not grow with the frame. Of the heads in the
// annotated 1080p street frames of `make recall`, each analyzed alone, an input of 960 pixels finds 61 %, with the
// parts 83 %, and an input of 1920 pixels 86 %, in twice the memory.
const (
	detailLongSide = 960
	detailFrame    = 1.25
)

// tiles returns the number of parts along each side of a frame.
func (o DetectorOptions) tiles(frame *media.Frame) int {
	if o.Detail && float64(max(frame.Width, frame.Height)) > detailFrame*detailLongSide {
		return max(2, o.Tiles)
	}
	return o.Tiles
}

// fine reports whether to add smaller parts.
func (o DetectorOptions) fine() bool { return o.Detail || o.Fine && o.Tiles > 1 }

// minScore returns the minimum score of a detection that is kept.
func (o DetectorOptions) minScore() float32 {
	if o.CandidateThreshold > 0 {
		return min(o.CandidateThreshold, o.ScoreThreshold)
	}
	return o.ScoreThreshold
}

// FaceOptions say how faces are detected. The fields are as in DetectorOptions; LongSide applies only to families whose
// models accept inputs of any size.
type FaceOptions struct {
	ScoreThreshold, OverlapThreshold float32
	LongSide, Tiles                  int
	Fine                             bool
}

// PoseOptions say how poses are estimated.
type PoseOptions struct {
	// MaxPeoplePerBatch bounds the memory of one inference; less than 1 means 1.
	MaxPeoplePerBatch int
	// BoxScale enlarges a person's box before the crop; 1 is the box itself.
	BoxScale float32
}

// SegmenterOptions say how people are segmented.
type SegmenterOptions struct {
	// ScoreThreshold 0..1 is the probability from which a pixel shows a person.
	ScoreThreshold float32
	// MaxPeoplePerBatch and BoxScale are as in PoseOptions.
	MaxPeoplePerBatch int
	BoxScale          float32
}

// family is the registry entry of a model family: T is the interface of its models, O are their options.
type family[T, O any] struct {
	// open returns the session's model, or an error that wraps inference.ErrModel if its inputs or outputs do not fit.
	open func(inference.Session, O) (T, error)
	// byNameOnly excludes the family from being chosen by a model's inputs and outputs, since another family has the same.
	byNameOnly bool
}

var detectorFamilies = map[string]family[Detector, DetectorOptions]{
	"centernet": {open: newCenterNet, byNameOnly: true}, // looks like nanodet
	"detr":      {open: newDETR},
	"multipose": {open: newMultiPose},
	"nanodet":   {open: newNanoDet},

	"nanodet_screens": {open: newNanoDet, byNameOnly: true}, // finds screens instead
}

var faceFamilies = map[string]family[FaceDetector, FaceOptions]{
	"blazeface":            {open: newBlazeFace},
	"blazeface_full_range": {open: newBlazeFaceFullRange},
}

var poseFamilies = map[string]family[PoseEstimator, PoseOptions]{
	"movenet":   {open: newMoveNet},
	"transpose": {open: newTransPose},
}

var segmenterFamilies = map[string]family[Segmenter, SegmenterOptions]{
	"selfie_segmentation": {open: newSelfieSegmentation},
}

// NewDetector returns the session's model as one of the named family, or, if the name is empty, of the first family
// that its inputs and outputs fit. Errors wrap inference.ErrModel.
func NewDetector(family string, session inference.Session, opts DetectorOptions) (Detector, error) {
	return open(detectorFamilies, "detector", family, session, opts)
}

// NewFaceDetector is NewDetector for faces.
func NewFaceDetector(family string, session inference.Session, opts FaceOptions) (FaceDetector, error) {
	return open(faceFamilies, "face", family, session, opts)
}

// NewPoseEstimator is NewDetector for poses.
func NewPoseEstimator(family string, session inference.Session, opts PoseOptions) (PoseEstimator, error) {
	return open(poseFamilies, "pose", family, session, opts)
}

// NewSegmenter is NewDetector for silhouettes.
func NewSegmenter(family string, session inference.Session, opts SegmenterOptions) (Segmenter, error) {
	return open(segmenterFamilies, "segmentation", family, session, opts)
}

// open returns the session's model as one of the named family, or of the first in alphabetical order that fits.
func open[T, O any](
	registry map[string]family[T, O], task, name string, session inference.Session, opts O,
) (T, error) {
	var none T
	names := slices.Sorted(maps.Keys(registry))
	if name != "" {
		f, ok := registry[name]
		if !ok {
			return none, fmt.Errorf("%w: %s family %q is not known: use one of %s",
				inference.ErrModel, task, name, strings.Join(names, ", "))
		}
		return f.open(session, opts)
	}
	var errs []error
	for _, name := range names {
		if registry[name].byNameOnly {
			continue
		}
		model, err := registry[name].open(session, opts)
		if err == nil {
			return model, nil
		}
		errs = append(errs, err)
	}
	return none, errors.Join(errs...)
}

// shapeError returns the error of a family's constructor for a model of another family.
func shapeError(session inference.Session, family, want string) error {
	return fmt.Errorf("%w: %s is not a %s model: it has inputs %v and outputs %v, want %s",
		inference.ErrModel, session.Name(), family, session.Inputs(), session.Outputs(), want)
}

// anySize stands for a dimension that hasShape does not check.
const anySize = -1

// hasShape reports whether a tensor has these dimensions.
func hasShape(t inference.TensorInfo, shape ...int64) bool {
	return slices.EqualFunc(t.Shape, shape, func(got, want int64) bool { return want == anySize || got == want })
}

// squareInput returns S if the only input is a batch of square RGB images of a fixed size, uint8 [N,S,S,3].
func squareInput(session inference.Session) (size int, ok bool) {
	in := session.Inputs()
	if len(in) != 1 || in[0].Type != "uint8" || !hasShape(in[0], anySize, anySize, anySize, 3) {
		return 0, false
	}
	height, width := in[0].Shape[1], in[0].Shape[2]
	return int(height), height > 0 && height == width
}

// hasFreeInput reports whether the only input is a batch of RGB images of any size, uint8 [N,H,W,3].
func hasFreeInput(session inference.Session) bool {
	in := session.Inputs()
	return len(in) == 1 && in[0].Type == "uint8" && hasShape(in[0], anySize, anySize, anySize, 3) &&
		in[0].Shape[1] <= 0 && in[0].Shape[2] <= 0
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
