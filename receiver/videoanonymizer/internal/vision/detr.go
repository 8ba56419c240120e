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

// detr is DETR (Carion et al., End-to-End Object Detection with Transformers, 2020) as its ONNX exports have it: input
// pixel_values float32 [N,3,H,W], RGB normalised as for ImageNet, and in some exports pixel_mask int64 [N,h,w] of ones;
// outputs logits float32 [N,100,92], of which 1 is a person and the last no object, and pred_boxes float32 [N,100,4] as
// centre x, y, width, height in 0..1 of the picture. Each query is one object: there is no suppression.
type detr struct {
	session *onnx.Session
	opts    DetectorOptions
	size    func(width, height int) (w, h int)
	mask    *onnx.Tensor // of ones; nil where the export has none
}

const (
	detrPerson = 1
	// The picture is scaled to a short side of 800 unless the long one would pass 1333, as DETR was trained.
	detrShortSide, detrLongSide = 800, 1333
	// detrMaskSide is taken where an export leaves the mask's size free; the model scales the mask itself.
	detrMaskSide = 64
)

func newDETR(session *onnx.Session, opts DetectorOptions) (Detector, error) {
	in, out := session.Inputs(), session.Outputs()
	if len(in) == 0 || len(in) > 2 || in[0].Type != "float" || len(in[0].Shape) != 4 || in[0].Shape[1] != 3 ||
		len(in) == 2 && (in[1].Type != "int64" || len(in[1].Shape) != 3) || len(out) < 2 || len(out[0].Shape) != 3 || len(out[1].Shape) != 3 {
		return nil, shapeError(session, "detr", "the inputs float32 pixel_values [N,3,H,W] and perhaps int64 pixel_mask [N,h,w], "+
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
		h, w := in[1].Shape[1], in[1].Shape[2]
		if h <= 0 || w <= 0 {
			h, w = detrMaskSide, detrMaskSide
		}
		ones := make([]int64, h*w)
		for i := range ones {
			ones[i] = 1
		}
		d.mask = &onnx.Tensor{Shape: []int64{1, h, w}, Int64: ones}
	}
	return d, nil
}

func detrSize(width, height int) (w, h int) {
	scale := min(float64(detrShortSide)/float64(min(width, height)), float64(detrLongSide)/float64(max(width, height)))
	return max(1, int(math.Round(float64(width)*scale))), max(1, int(math.Round(float64(height)*scale)))
}

// Detect implements Detector.
func (d *detr) Detect(ctx context.Context, frame *media.Frame) ([]Detection, Steps, error) {
	var steps Steps
	watch := newStopwatch(&steps)
	width, height := d.size(frame.Width, frame.Height)
	picture := make([]float32, 3*width*height)
	if err := sampleNormalised(frame, image.Rect(0, 0, frame.Width, frame.Height), picture, width, height); err != nil {
		return nil, steps, err
	}
	input := []onnx.Tensor{{Shape: []int64{1, 3, int64(height), int64(width)}, Float32: picture}}
	if d.mask != nil {
		input = append(input, *d.mask)
	}
	watch.preprocessed()
	var people []Detection
	err := d.session.Run(ctx, input, func(outputs []onnx.Tensor) error {
		watch.inferred()
		var err error
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

func (d *detr) read(logits, boxes onnx.Tensor, frame *media.Frame) ([]Detection, error) {
	queries, classes := int(logits.Shape[1]), int(logits.Shape[2])
	if classes <= detrPerson+1 || len(boxes.Float32) < queries*4 {
		return nil, fmt.Errorf("%w: %s gave logits %v and boxes %v", onnx.ErrModel, d.session.Name(), logits.Shape, boxes.Shape)
	}
	w, h := float32(frame.Width), float32(frame.Height)
	var people []Detection
	for q := range queries {
		class, score := best(logits.Float32[q*classes:][:classes])
		b := boxes.Float32[q*4:][:4]
		if !finite(score, b[0], b[1], b[2], b[3]) {
			return nil, ErrNotFinite
		}
		if class != detrPerson || score < d.opts.leastScore() {
			continue
		}
		people = append(people, Detection{Score: score, Candidate: score < d.opts.ScoreThreshold, Box: Box{
			X0: (b[0] - b[2]/2) * w, Y0: (b[1] - b[3]/2) * h, X1: (b[0] + b[2]/2) * w, Y1: (b[1] + b[3]/2) * h}})
	}
	return people, nil
}

// best is the most likely class except the last one, no object, and its probability among all (softmax).
func best(logits []float32) (class int, probability float32) {
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
