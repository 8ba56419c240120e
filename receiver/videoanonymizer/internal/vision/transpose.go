// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"context"
	"image"
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// transPose is TransPose (Yang et al., "TransPose: Keypoint Localization via Transformer", 2021) and other models of
// the same form: input float32 [N,3,H,W], the person's box scaled to the input regardless of its aspect ratio, RGB
// normalized as for ImageNet; output float32 heat maps [N,17,h,w], whose maximum marks the keypoint.
type transPose struct {
	session       inference.Session
	width, height int
	maxBatch      int
}

func newTransPose(session inference.Session, opts PoseOptions) (PoseEstimator, error) {
	in, out := session.Inputs(), session.Outputs()
	if len(in) != 1 || in[0].Type != "float" || !hasShape(in[0], anySize, 3, anySize, anySize) ||
		in[0].Shape[2] <= 0 || in[0].Shape[3] <= 0 ||
		len(out) != 1 || !hasShape(out[0], anySize, KeypointCount, anySize, anySize) {
		return nil, shapeError(session, "transpose", "one input float32 [N,3,H,W] and one output float32 [N,17,h,w]")
	}
	batch, height, width := in[0].Shape[0], int(in[0].Shape[2]), int(in[0].Shape[3])
	t := &transPose{session: session, width: width, height: height, maxBatch: opts.MaxPeoplePerBatch}
	switch {
	case batch == 1:
		t.maxBatch = 1
	case batch > 1: // people do not come in batches of a fixed size
		return nil, shapeError(session, "transpose", "an open batch size, or one of 1")
	}
	return t, nil
}

// Estimate implements PoseEstimator.
func (t *transPose) Estimate(ctx context.Context, frame *media.Frame, people []Detection) ([]Pose, Steps, error) {
	return inBatches("estimate the poses", people, t.maxBatch,
		func(people []Detection, steps *Steps) ([]Pose, error) {
			return t.estimateBatch(ctx, frame, people, steps)
		})
}

func (t *transPose) estimateBatch(
	ctx context.Context, frame *media.Frame, people []Detection, steps *Steps,
) ([]Pose, error) {
	watch := newStopwatch(steps)
	pixels := 3 * t.width * t.height
	input := make([]float32, len(people)*pixels)
	boxes := make([]image.Rectangle, len(people))
	for i, person := range people {
		boxes[i] = wholePixels(person.Box)
		if err := sampleNormalized(frame, boxes[i], input[i*pixels:][:pixels], t.width, t.height); err != nil {
			return nil, err
		}
	}
	watch.preprocessed()
	poses := make([]Pose, len(people))
	tensor := inference.Tensor{Shape: []int64{int64(len(people)), 3, int64(t.height), int64(t.width)}, Float32: input}
	err := t.session.Run(ctx, []inference.Tensor{tensor}, func(outputs []inference.Tensor) error {
		watch.inferred()
		height, width := int(outputs[0].Shape[2]), int(outputs[0].Shape[3])
		for i := range poses {
			maps := outputs[0].Float32[i*KeypointCount*width*height:][:KeypointCount*width*height]
			if err := readHeatMaps(&poses[i], maps, width, height, boxes[i]); err != nil {
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

// readHeatMaps reads keypoints from 17 maps of width x height: a map's maximum is the keypoint's score, and its place,
// scaled to the box, is the keypoint's position.
func readHeatMaps(pose *Pose, maps []float32, width, height int, box image.Rectangle) error {
	for k := range pose {
		place, score := 0, float32(math.Inf(-1))
		for i, v := range maps[k*width*height:][:width*height] {
			if !finite(v) {
				return ErrNotFinite
			}
			if v > score {
				place, score = i, v
			}
		}
		pose[k] = Keypoint{
			X:     float32(box.Min.X) + float32(place%width)*float32(box.Dx())/float32(width),
			Y:     float32(box.Min.Y) + float32(place/width)*float32(box.Dy())/float32(height),
			Score: min(max(score, 0), 1),
		}
	}
	return nil
}

// wholePixels returns the smallest rectangle of whole pixels around the box, never empty.
func wholePixels(b Box) image.Rectangle {
	floor := func(v float32) int { return int(math.Floor(float64(v))) }
	ceil := func(v float32) int { return int(math.Ceil(float64(v))) }
	r := image.Rect(floor(b.X0), floor(b.Y0), ceil(b.X1), ceil(b.Y1))
	r.Max.X, r.Max.Y = max(r.Max.X, r.Min.X+1), max(r.Max.Y, r.Min.Y+1)
	return r
}
