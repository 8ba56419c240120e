// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"context"
	"image"
	"math"

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

// Estimate implements PoseEstimator.
func (m *movenet) Estimate(ctx context.Context, frame *media.Frame, people []Detection) ([]Pose, Steps, error) {
	return inBatches("estimate the pose", people, m.maxBatch, func(people []Detection, steps *Steps) ([]Pose, error) {
		return m.estimateBatch(ctx, frame, people, steps)
	})
}

func (m *movenet) estimateBatch(ctx context.Context, frame *media.Frame, people []Detection, steps *Steps) ([]Pose, error) {
	watch := newStopwatch(steps)
	s := borrowSampler()
	defer returnSampler(s)
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
