// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"context"
	"image"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// movenet is Google's MoveNet for a single person (2021; Lightning at 192 pixels, Thunder at 256): input uint8
// [N,S,S,3] RGB, output float32 [N,17,3] with y and x in 0..1 of the crop, and the score. The crop is a square around
// the person.
type movenet struct {
	session inference.Session
	opts    PoseOptions
	size    int
}

func newMoveNet(session inference.Session, opts PoseOptions) (PoseEstimator, error) {
	size, ok := squareInput(session)
	if out := session.Outputs(); !ok || len(out) != 1 || !hasShape(out[0], anySize, KeypointCount, 3) {
		return nil, shapeError(session, "movenet", "one input uint8 [N,S,S,3] and one output float32 [N,17,3]")
	}
	return &movenet{session: session, opts: opts, size: size}, nil
}

// Estimate implements PoseEstimator.
func (m *movenet) Estimate(ctx context.Context, frame *media.Frame, people []Detection) ([]Pose, Steps, error) {
	return inBatches("estimate the poses", people, m.opts.MaxPeoplePerBatch,
		func(people []Detection, steps *Steps) ([]Pose, error) {
			return m.estimateBatch(ctx, frame, people, steps)
		})
}

func (m *movenet) estimateBatch(
	ctx context.Context, frame *media.Frame, people []Detection, steps *Steps,
) ([]Pose, error) {
	poses := make([]Pose, len(people))
	read := func(output []float32, crops []image.Rectangle) error {
		for i := range poses {
			if err := readPose(&poses[i], output[i*KeypointCount*3:][:KeypointCount*3], crops[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if err := runOnCrops(ctx, m.session, frame, people, m.opts.BoxScale, m.size, steps, read); err != nil {
		return nil, err
	}
	return poses, nil
}

// readPose maps y, x, score triples, in 0..1 of the crop, to the frame.
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
