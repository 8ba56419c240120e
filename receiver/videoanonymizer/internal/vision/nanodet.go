// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"context"
	"fmt"
	"image"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/onnx"
)

// nanodet is a detector that sees the whole frame at once: input uint8 [N,H,W,3] RGB with H and W any multiples of 32,
// outputs float32 scores [N,A] and boxes [N,A,4] as x0, y0, x1, y1 in pixels of the input, before suppression. The frame
// is scaled to fit and centred on black.
type nanodet struct {
	session          *onnx.Session
	scoreThreshold   float32
	overlapThreshold float32
	longSide         int
}

const (
	nanodetStride   = 32
	nanodetLongSide = 416
)

func newNanoDet(session *onnx.Session, opts DetectorOptions) (Detector, error) {
	in, out := session.Inputs(), session.Outputs()
	if len(in) != 1 || in[0].Type != "uint8" || len(in[0].Shape) != 4 || in[0].Shape[3] != 3 ||
		len(out) != 2 || len(out[0].Shape) != 2 || len(out[1].Shape) != 3 {
		return nil, shapeError(session, "nanodet", "one input uint8 [N,H,W,3] and the outputs float32 scores [N,A], boxes [N,A,4]")
	}
	longSide := opts.LongSide
	if longSide == 0 {
		longSide = nanodetLongSide
	}
	return &nanodet{session: session, scoreThreshold: opts.ScoreThreshold, overlapThreshold: opts.OverlapThreshold,
		longSide: roundUp(longSide, nanodetStride)}, nil
}

// Detect implements Detector.
func (n *nanodet) Detect(ctx context.Context, frame *media.Frame) ([]Detection, Steps, error) {
	var steps Steps
	watch := newStopwatch(&steps)
	width, height, region := letterbox(frame.Width, frame.Height, n.longSide, nanodetStride)
	input := borrowBytes(width * height * 3)
	defer returnBytes(input)
	s := samplers.Get().(*sampler)
	err := s.sample(frame, region, *input, width, height, rgb)
	samplers.Put(s)
	if err != nil {
		return nil, steps, err
	}
	watch.preprocessed()
	var people []Detection
	err = n.session.Run(ctx, []onnx.Tensor{{Shape: []int64{1, int64(height), int64(width), 3}, Uint8: *input}},
		func(outputs []onnx.Tensor) error {
			watch.inferred()
			var err error
			people, err = n.read(outputs[0].Float32, outputs[1].Float32, region, float32(region.Dx())/float32(width))
			return err
		})
	if err != nil {
		return nil, steps, fmt.Errorf("detect people: %w", err)
	}
	people = clip(suppress(people, n.overlapThreshold), frame)
	watch.postprocessed()
	return people, steps, nil
}

// read keeps what scores high enough and maps it to the frame.
func (n *nanodet) read(scores, boxes []float32, region image.Rectangle, scale float32) ([]Detection, error) {
	if len(boxes) != 4*len(scores) {
		return nil, fmt.Errorf("%w: %s gave %d scores and %d box sides", onnx.ErrModel, n.session.Name(), len(scores), len(boxes))
	}
	var people []Detection
	x, y := float32(region.Min.X), float32(region.Min.Y)
	for i, score := range scores {
		if score < n.scoreThreshold {
			continue
		}
		b := boxes[i*4:][:4]
		if !finite(score, b[0], b[1], b[2], b[3]) {
			return nil, ErrNotFinite
		}
		people = append(people, Detection{Score: score,
			Box: Box{X0: x + b[0]*scale, Y0: y + b[1]*scale, X1: x + b[2]*scale, Y1: y + b[3]*scale}})
	}
	return people, nil
}

// letterbox finds the model's input size, whose longer side is longSide and whose shorter one is the smallest multiple of the
// stride that the frame fits in, and the region of the frame, larger than it and centred on it, that the input shows.
func letterbox(frameWidth, frameHeight, longSide, stride int) (width, height int, region image.Rectangle) {
	long, short := max(frameWidth, frameHeight), min(frameWidth, frameHeight)
	shortSide := roundUp((short*longSide+long-1)/long, stride)
	width, height = longSide, shortSide
	if frameHeight > frameWidth {
		width, height = shortSide, longSide
	}
	// One pixel of the input is long/longSide pixels of the frame in both directions.
	regionWidth, regionHeight := (width*long+longSide-1)/longSide, (height*long+longSide-1)/longSide
	left, top := (frameWidth-regionWidth)/2, (frameHeight-regionHeight)/2
	return width, height, image.Rect(left, top, left+regionWidth, top+regionHeight)
}

func roundUp(n, multiple int) int { return (n + multiple - 1) / multiple * multiple }

// clip cuts boxes at the frame's edges and drops what is left with no area.
func clip(people []Detection, frame *media.Frame) []Detection {
	kept := people[:0]
	for _, p := range people {
		p.Box.X0, p.Box.X1 = max(p.Box.X0, 0), min(p.Box.X1, float32(frame.Width))
		p.Box.Y0, p.Box.Y1 = max(p.Box.Y0, 0), min(p.Box.Y1, float32(frame.Height))
		if p.Box.Width() > 0 && p.Box.Height() > 0 {
			kept = append(kept, p)
		}
	}
	return kept
}
