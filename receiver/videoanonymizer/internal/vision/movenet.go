// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/onnx"
)

// movenet is Google's MoveNet for a single person (Lightning at 192, Thunder at 256): input uint8 [N,S,S,3] RGB, output
// float32 [N,17,3] with y, x in 0..1 of the crop and the score. The crop is a square around the person.
type movenet struct {
	session  *onnx.Session
	size     int
	maxBatch int
	boxScale float32
}

func newMoveNet(session *onnx.Session, opts PoseOptions) (PoseEstimator, error) {
	in, out := session.Inputs(), session.Outputs()
	if len(in) != 1 || in[0].Type != "uint8" || len(in[0].Shape) != 4 || in[0].Shape[1] <= 0 || in[0].Shape[1] != in[0].Shape[2] ||
		in[0].Shape[3] != 3 || len(out) != 1 || len(out[0].Shape) != 3 || out[0].Shape[1] != KeypointCount || out[0].Shape[2] != 3 {
		return nil, shapeError(session, "movenet", "one input uint8 [N,S,S,3] and one output float32 [N,17,3]")
	}
	return &movenet{session: session, size: int(in[0].Shape[1]), maxBatch: opts.MaxPeoplePerBatch, boxScale: opts.BoxScale}, nil
}

// Estimate implements PoseEstimator. People are taken in batches of at most MaxPeoplePerBatch; when the device has too
// little memory for a batch, it is halved.
func (m *movenet) Estimate(ctx context.Context, frame *media.Frame, people []Detection) ([]Pose, Steps, error) {
	var steps Steps
	poses := make([]Pose, 0, len(people))
	for batch := m.maxBatch; len(poses) < len(people); {
		next := people[len(poses):min(len(people), len(poses)+batch)]
		estimated, err := m.estimateBatch(ctx, frame, next, &steps)
		if errors.Is(err, onnx.ErrOutOfMemory) && batch > 1 {
			batch = max(1, len(next)/2)
			continue
		}
		if err != nil {
			return nil, steps, fmt.Errorf("pose of %d people: %w", len(next), err)
		}
		poses = append(poses, estimated...)
	}
	return poses, steps, nil
}

func (m *movenet) estimateBatch(ctx context.Context, frame *media.Frame, people []Detection, steps *Steps) ([]Pose, error) {
	watch := newStopwatch(steps)
	s := samplers.Get().(*sampler)
	defer samplers.Put(s)
	picture := m.size * m.size * 3
	input := borrowBytes(len(people) * picture)
	defer returnBytes(input)
	crops := make([]image.Rectangle, len(people))
	for i, person := range people {
		crops[i] = squareAround(person.Box, m.boxScale)
		if err := s.sample(frame, crops[i], (*input)[i*picture:][:picture], m.size, m.size, rgb); err != nil {
			return nil, err
		}
	}
	watch.preprocessed()
	poses := make([]Pose, len(people))
	err := m.session.Run(ctx, []onnx.Tensor{{Shape: []int64{int64(len(people)), int64(m.size), int64(m.size), 3}, Uint8: *input}},
		func(outputs []onnx.Tensor) error {
			watch.inferred()
			for i := range poses {
				if err := readPose(&poses[i], outputs[0].Float32[i*KeypointCount*3:][:KeypointCount*3], crops[i]); err != nil {
					return err
				}
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	watch.postprocessed()
	return poses, nil
}

// readPose maps y, x, score triples in 0..1 of the crop to the frame.
func readPose(pose *Pose, triples []float32, crop image.Rectangle) error {
	for k := range pose {
		y, x, score := triples[k*3], triples[k*3+1], triples[k*3+2]
		if !finite(x, y, score) {
			return ErrNotFinite
		}
		pose[k] = Keypoint{
			X:     float32(crop.Min.X) + x*float32(crop.Dx()),
			Y:     float32(crop.Min.Y) + y*float32(crop.Dy()),
			Score: score,
		}
	}
	return nil
}

// squareAround is the square of whole pixels about the box's centre, scale times as wide as the box's longer side.
func squareAround(b Box, scale float32) image.Rectangle {
	half := max(1, int(math.Ceil(float64(max(b.Width(), b.Height())*scale/2))))
	x, y := int((b.X0+b.X1)/2), int((b.Y0+b.Y1)/2)
	return image.Rect(x-half, y-half, x+half, y+half)
}

// stopwatch adds one model call's times to the steps of a frame.
type stopwatch struct {
	steps *Steps
	last  time.Time
}

func newStopwatch(steps *Steps) *stopwatch { return &stopwatch{steps: steps, last: time.Now()} }

func (w *stopwatch) preprocessed() { w.lap(&w.steps.Preprocess, &w.steps.PreprocessBusy) }

func (w *stopwatch) inferred() {
	w.steps.Batches++
	w.lap(&w.steps.Inference, &w.steps.InferenceBusy)
}

func (w *stopwatch) postprocessed() { w.lap(&w.steps.Postprocess, &w.steps.PostprocessBusy) }

func (w *stopwatch) lap(interval *Interval, busy *time.Duration) {
	now := time.Now()
	if interval.Start.IsZero() {
		interval.Start = w.last
	}
	interval.End = now
	*busy += now.Sub(w.last)
	w.last = now
}
