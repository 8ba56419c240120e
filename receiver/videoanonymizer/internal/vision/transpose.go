// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"context"
	"fmt"
	"image"
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/onnx"
)

// transPose is TransPose (Yang et al., Keypoint Localization via Transformer, 2021) and other models of the same shape: input
// float32 [N,3,H,W], the person's box scaled to the input whatever its shape, RGB normalised as for ImageNet; output float32
// heat maps [N,17,h,w], whose largest value marks the keypoint.
type transPose struct {
	session       *onnx.Session
	width, height int
	maxBatch      int
}

func newTransPose(session *onnx.Session, opts PoseOptions) (PoseEstimator, error) {
	in, out := session.Inputs(), session.Outputs()
	if len(in) != 1 || in[0].Type != "float" || len(in[0].Shape) != 4 || in[0].Shape[1] != 3 || in[0].Shape[2] <= 0 || in[0].Shape[3] <= 0 ||
		len(out) != 1 || len(out[0].Shape) != 4 || out[0].Shape[1] != KeypointCount {
		return nil, shapeError(session, "transpose", "one input float32 [N,3,H,W] and one output float32 [N,17,h,w]")
	}
	t := &transPose{session: session, height: int(in[0].Shape[2]), width: int(in[0].Shape[3]), maxBatch: opts.MaxPeoplePerBatch}
	if n := in[0].Shape[0]; n > 0 {
		t.maxBatch = 1 // an export of fixed batch; others than 1 make no sense here
		if n != 1 {
			return nil, shapeError(session, "transpose", "a free batch, or a batch of 1,")
		}
	}
	return t, nil
}

// Estimate implements PoseEstimator, in batches as movenet does.
func (t *transPose) Estimate(ctx context.Context, frame *media.Frame, people []Detection) ([]Pose, Steps, error) {
	return inBatches("estimate the pose", people, t.maxBatch, func(people []Detection, steps *Steps) ([]Pose, error) {
		return t.estimateBatch(ctx, frame, people, steps)
	})
}

func (t *transPose) estimateBatch(ctx context.Context, frame *media.Frame, people []Detection, steps *Steps) ([]Pose, error) {
	watch := newStopwatch(steps)
	picture := 3 * t.width * t.height
	input := make([]float32, len(people)*picture)
	boxes := make([]image.Rectangle, len(people))
	for i, person := range people {
		boxes[i] = wholePixels(person.Box)
		if err := sampleNormalised(frame, boxes[i], input[i*picture:][:picture], t.width, t.height); err != nil {
			return nil, err
		}
	}
	watch.preprocessed()
	poses := make([]Pose, len(people))
	err := t.session.Run(ctx, []onnx.Tensor{{Shape: []int64{int64(len(people)), 3, int64(t.height), int64(t.width)}, Float32: input}},
		func(outputs []onnx.Tensor) error {
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

// readHeatMaps takes each map's largest value for the keypoint's score and its place, scaled to the box, for the position.
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

// wholePixels is the smallest rectangle of whole pixels around the box, never empty.
func wholePixels(b Box) image.Rectangle {
	r := image.Rect(int(math.Floor(float64(b.X0))), int(math.Floor(float64(b.Y0))), int(math.Ceil(float64(b.X1))), int(math.Ceil(float64(b.Y1))))
	r.Max.X, r.Max.Y = max(r.Max.X, r.Min.X+1), max(r.Max.Y, r.Min.Y+1)
	return r
}

// sampleNormalised fills dst, 3 planes of width x height, with the region of the frame: RGB in 0..1, less the mean and divided
// by the deviation of ImageNet's pictures.
func sampleNormalised(frame *media.Frame, region image.Rectangle, dst []float32, width, height int) error {
	bytes := borrowBytes(width * height * 3)
	defer returnBytes(bytes)
	if err := samplePicture(frame, region, *bytes, width, height); err != nil {
		return fmt.Errorf("sample a picture: %w", err)
	}
	for c := range 3 {
		plane, table := dst[c*width*height:][:width*height], &imageNet[c]
		for i := range plane {
			plane[i] = table[(*bytes)[i*3+c]]
		}
	}
	return nil
}

// imageNet maps a byte of red, green or blue to (v/255 - mean) / deviation.
var imageNet = func() (t [3][256]float32) {
	mean, deviation := [3]float32{.485, .456, .406}, [3]float32{.229, .224, .225}
	for c := range t {
		for v := range t[c] {
			t[c][v] = (float32(v)/255 - mean[c]) / deviation[c]
		}
	}
	return t
}()
