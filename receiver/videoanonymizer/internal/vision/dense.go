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

// dense is a one-stage detector that sees the whole frame at once and scores every cell of a grid: input uint8 [N,H,W,3] RGB
// with H and W any multiples of 32, outputs float32 scores [N,A] and boxes [N,A,4] as x0, y0, x1, y1 in pixels of the input,
// before suppression. The frame is scaled to fit and centred on black.
type dense struct {
	session *onnx.Session
	opts    DetectorOptions
	// size gives the model's input for a frame's width and height.
	size func(width, height int) (w, h int)
}

const (
	denseStride       = 32
	nanodetLongSide   = 416
	centernetLongSide = 512
)

func newNanoDet(session *onnx.Session, opts DetectorOptions) (Detector, error) {
	return newDense(session, "nanodet", nanodetLongSide, opts)
}

func newCenterNet(session *onnx.Session, opts DetectorOptions) (Detector, error) {
	return newDense(session, "centernet", centernetLongSide, opts)
}

func newDense(session *onnx.Session, family string, longSide int, opts DetectorOptions) (Detector, error) {
	in, out := session.Inputs(), session.Outputs()
	if len(in) != 1 || in[0].Type != "uint8" || len(in[0].Shape) != 4 || in[0].Shape[3] != 3 ||
		len(out) != 2 || len(out[0].Shape) != 2 || len(out[1].Shape) != 3 {
		return nil, shapeError(session, family, "one input uint8 [N,H,W,3] and the outputs float32 scores [N,A], boxes [N,A,4]")
	}
	return &dense{session: session, opts: opts, size: inputSize(opts, longSide, denseStride)}, nil
}

// Detect implements Detector.
func (d *dense) Detect(ctx context.Context, frame *media.Frame) ([]Detection, Steps, error) {
	var steps Steps
	var people []Detection
	for _, view := range views(frame, d.opts.Tiles) {
		seen, err := d.look(ctx, frame, view, &steps)
		if err != nil {
			return nil, steps, fmt.Errorf("detect people: %w", err)
		}
		people = append(people, seen...)
	}
	return clip(suppressPeople(people, d.opts.OverlapThreshold), frame), steps, nil
}

func (d *dense) look(ctx context.Context, frame *media.Frame, view image.Rectangle, steps *Steps) ([]Detection, error) {
	var people []Detection
	width, height := d.size(view.Dx(), view.Dy())
	err := lookAt(ctx, d.session, frame, view, width, height, steps, func(outputs []onnx.Tensor, region image.Rectangle, scale float32) error {
		read, err := d.read(outputs[0].Float32, outputs[1].Float32, region, scale)
		people = whollyInside(read, view, frame)
		return err
	})
	return people, err
}

// read keeps what scores high enough and maps it to the frame.
func (d *dense) read(scores, boxes []float32, region image.Rectangle, scale float32) ([]Detection, error) {
	if len(boxes) != 4*len(scores) {
		return nil, fmt.Errorf("%w: %s gave %d scores and %d box sides", onnx.ErrModel, d.session.Name(), len(scores), len(boxes))
	}
	least := d.opts.leastScore()
	var people []Detection
	x, y := float32(region.Min.X), float32(region.Min.Y)
	for i, score := range scores {
		if score < least {
			continue
		}
		b := boxes[i*4:][:4]
		if !finite(score, b[0], b[1], b[2], b[3]) {
			return nil, ErrNotFinite
		}
		people = append(people, Detection{Score: score, Candidate: score < d.opts.ScoreThreshold,
			Box: Box{X0: x + b[0]*scale, Y0: y + b[1]*scale, X1: x + b[2]*scale, Y1: y + b[3]*scale}})
	}
	return people, nil
}

// enlarged is how much larger than a view the input is at most that shows it. A view of 422 pixels enlarged to 640 showed people in
// a crowd who were not found at 448; more only takes longer.
const enlarged = 1.5

// inputSize tells how large the model's input is for a view: of the configured size, or with the configured or usual longer side
// and the shorter one as the view needs it. Both are multiples of the stride. Where more than the usual is configured, the view
// is not enlarged beyond measure.
func inputSize(opts DetectorOptions, usual, stride int) func(width, height int) (w, h int) {
	if opts.Width > 0 && opts.Height > 0 {
		w, h := roundUp(opts.Width, stride), roundUp(opts.Height, stride)
		return func(int, int) (int, int) { return w, h }
	}
	most := usual
	if opts.LongSide > 0 {
		most = opts.LongSide
	}
	return func(width, height int) (int, int) {
		long, short := max(width, height), min(width, height)
		longSide := roundUp(min(most, max(usual, int(enlarged*float64(long)))), stride)
		shortSide := roundUp((short*longSide+long-1)/long, stride)
		if height > width {
			return shortSide, longSide
		}
		return longSide, shortSide
	}
}

// letterbox is the region of the frame, centred on the view and as large or larger, that has the shape of a model's input.
func letterbox(view image.Rectangle, width, height int) image.Rectangle {
	// One pixel of the input is as many pixels of the frame in both directions.
	scale := max(float64(view.Dx())/float64(width), float64(view.Dy())/float64(height))
	regionWidth, regionHeight := int(math.Ceil(float64(width)*scale)), int(math.Ceil(float64(height)*scale))
	left, top := view.Min.X+(view.Dx()-regionWidth)/2, view.Min.Y+(view.Dy()-regionHeight)/2
	return image.Rect(left, top, left+regionWidth, top+regionHeight)
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
