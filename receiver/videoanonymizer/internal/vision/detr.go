// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"context"
	"fmt"
	"image"
	"math"
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// detr is DETR (Carion et al., "End-to-End Object Detection with Transformers", 2020) as exported to ONNX: input
// pixel_values float32 [N,3,H,W], RGB normalized as for ImageNet, and in some exports pixel_mask int64 [N,h,w] of ones;
// outputs logits float32 [N,100,92], of which 1 is a person and the last one no object, and pred_boxes float32
// [N,100,4] as center x, center y, width and height in 0..1 of the image. Each query is one object, so there is no
// suppression.
type detr struct {
	session inference.Session
	opts    DetectorOptions
	size    func(width, height int) (w, h int)
	mask    *inference.Tensor // of ones; nil where the export has none
}

const (
	detrPerson = 1
	// The image is scaled to a short side of 800, unless the long side would exceed 1333, as in DETR's training.
	detrShortSide, detrLongSide = 800, 1333
	// detrMaskSide is the mask's size if an export leaves it open; the model scales the mask itself.
	detrMaskSide = 64
)

func newDETR(session inference.Session, opts DetectorOptions) (Detector, error) {
	in, out := session.Inputs(), session.Outputs()
	if len(in) == 0 || len(in) > 2 || in[0].Type != "float" || !hasShape(in[0], anySize, 3, anySize, anySize) ||
		len(in) == 2 && (in[1].Type != "int64" || !hasShape(in[1], anySize, anySize, anySize)) ||
		len(out) < 2 || !hasShape(out[0], anySize, anySize, anySize) || !hasShape(out[1], anySize, anySize, anySize) {
		return nil, shapeError(session, "detr",
			"the inputs float32 pixel_values [N,3,H,W] and optionally int64 pixel_mask [N,h,w], "+
				"and the outputs float32 logits [N,Q,C], pred_boxes [N,Q,4]")
	}
	d := &detr{session: session, opts: opts, size: detrSize}
	switch h, w := in[0].Shape[2], in[0].Shape[3]; {
	case h > 0 && w > 0:
		d.size = inputSize(DetectorOptions{Width: int(w), Height: int(h)}, 0, 1)
	case opts.LongSide > 0 || opts.Width > 0:
		d.size = inputSize(opts, opts.LongSide, 1)
	}
	if len(in) == 2 {
		d.mask = detrMask(in[1].Shape[1], in[1].Shape[2])
	}
	return d, nil
}

func detrMask(height, width int64) *inference.Tensor {
	if height <= 0 || width <= 0 {
		height, width = detrMaskSide, detrMaskSide
	}
	return &inference.Tensor{Shape: []int64{1, height, width}, Int64: slices.Repeat([]int64{1}, int(height*width))}
}

func detrSize(width, height int) (w, h int) {
	short, long := float64(min(width, height)), float64(max(width, height))
	scale := min(detrShortSide/short, detrLongSide/long)
	return max(1, int(math.Round(float64(width)*scale))), max(1, int(math.Round(float64(height)*scale)))
}

// Detect implements Detector.
func (d *detr) Detect(ctx context.Context, frame *media.Frame) ([]Detection, Steps, error) {
	var steps Steps
	watch := newStopwatch(&steps)
	width, height := d.size(frame.Width, frame.Height)
	pixels := make([]float32, 3*width*height)
	if err := sampleNormalized(frame, image.Rect(0, 0, frame.Width, frame.Height), pixels, width, height); err != nil {
		return nil, steps, err
	}
	input := []inference.Tensor{{Shape: []int64{1, 3, int64(height), int64(width)}, Float32: pixels}}
	if d.mask != nil {
		input = append(input, *d.mask)
	}
	watch.preprocessed()
	var people []Detection
	err := d.session.Run(ctx, input, func(outputs []inference.Tensor) (err error) {
		watch.inferred()
		people, err = d.read(outputs[0], outputs[1], frame)
		return err
	})
	if err != nil {
		return nil, steps, fmt.Errorf("detect people: %w", err)
	}
	people = clip(people, frame)
	watch.postprocessed()
	return people, steps, nil
}

// read keeps the people whose score is high enough and maps them to the frame.
func (d *detr) read(logits, boxes inference.Tensor, frame *media.Frame) ([]Detection, error) {
	queries, classes := int(logits.Shape[1]), int(logits.Shape[2])
	if classes <= detrPerson+1 || len(boxes.Float32) < queries*4 {
		return nil, fmt.Errorf("%w: %s returned logits %v and boxes %v",
			inference.ErrModel, d.session.Name(), logits.Shape, boxes.Shape)
	}
	w, h := float32(frame.Width), float32(frame.Height)
	var people []Detection
	for q := range queries {
		class, score := bestClass(logits.Float32[q*classes:][:classes])
		b := boxes.Float32[q*4:][:4]
		if !finite(score, b[0], b[1], b[2], b[3]) {
			return nil, ErrNotFinite
		}
		if class != detrPerson || score < d.opts.minScore() {
			continue
		}
		people = append(people, Detection{
			Box:   Box{X0: (b[0] - b[2]/2) * w, Y0: (b[1] - b[3]/2) * h, X1: (b[0] + b[2]/2) * w, Y1: (b[1] + b[3]/2) * h},
			Score: score, Candidate: score < d.opts.ScoreThreshold,
		})
	}
	return people, nil
}

// bestClass returns the most likely class other than the last one (no object), and its probability among all (softmax).
func bestClass(logits []float32) (class int, probability float32) {
	var sum float64
	largest := float64(logits[0])
	for i, v := range logits {
		largest = max(largest, float64(v))
		if i < len(logits)-1 && v > logits[class] {
			class = i
		}
	}
	for _, v := range logits {
		sum += math.Exp(float64(v) - largest)
	}
	return class, float32(math.Exp(float64(logits[class])-largest) / sum)
}
