// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"context"
	"fmt"
	"image"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// dense is a one-stage detector that scores every cell of a grid over the image: input uint8 [N,H,W,3] RGB with H and W
// any multiples of 32, outputs float32 scores [N,A] and boxes [N,A,4] as x0, y0, x1, y1 in pixels of the input, before
// suppression. The frame is scaled to fit and centered on black. Three families have this form: NanoDet
// (github.com/RangiLyu/nanodet, 2020), CenterNet (Zhou et al., "Objects as Points", 2019), and MoveNet MultiPose, which
// has more outputs.
type dense struct {
	session inference.Session
	opts    DetectorOptions
	// size returns the size of the model's input for a view's width and height.
	size func(width, height int) (w, h int)
	// pose returns the keypoints of the person in a cell, in pixels of the input, or nil if they are not accurate enough.
	// It is nil if the model has none.
	pose func(outputs []inference.Tensor, cell int) (*Pose, error)
}

const (
	denseStride       = 32
	nanodetLongSide   = 416 // as trained
	centernetLongSide = 512 // as trained
)

func newNanoDet(session inference.Session, opts DetectorOptions) (Detector, error) {
	return newDense(session, "nanodet", nanodetLongSide, opts)
}

func newCenterNet(session inference.Session, opts DetectorOptions) (Detector, error) {
	return newDense(session, "centernet", centernetLongSide, opts)
}

func newDense(session inference.Session, family string, longSide int, opts DetectorOptions) (Detector, error) {
	in, out := session.Inputs(), session.Outputs()
	if len(in) != 1 || in[0].Type != "uint8" || !hasShape(in[0], anySize, anySize, anySize, 3) ||
		len(out) != 2 || !hasShape(out[0], anySize, anySize) || !hasShape(out[1], anySize, anySize, anySize) {
		return nil, shapeError(session, family,
			"one input uint8 [N,H,W,3] and the outputs float32 scores [N,A], boxes [N,A,4]")
	}
	return &dense{session: session, opts: opts, size: inputSize(opts, longSide, denseStride)}, nil
}

// Detect implements Detector.
func (d *dense) Detect(ctx context.Context, frame *media.Frame) ([]Detection, Steps, error) {
	var steps Steps
	var people []Detection
	for _, view := range views(frame, d.opts.tiles(frame), d.opts.fine()) {
		found, err := d.detectIn(ctx, frame, view, &steps)
		if err != nil {
			return nil, steps, fmt.Errorf("detect people: %w", err)
		}
		people = append(people, found...)
	}
	return clip(suppressPeople(people, d.opts.OverlapThreshold), frame), steps, nil
}

func (d *dense) detectIn(
	ctx context.Context, frame *media.Frame, view view, steps *Steps,
) (people []Detection, err error) {
	width, height := d.size(view.Dx(), view.Dy())
	read := func(outputs []inference.Tensor, region image.Rectangle, scale float32) error {
		all, err := d.read(outputs, region, scale)
		people = dropPartial(all, view, frame)
		return err
	}
	err = runOnView(ctx, d.session, frame, view.Rectangle, width, height, steps, read)
	return people, err
}

// read keeps the people whose score is high enough and maps them to the frame.
func (d *dense) read(outputs []inference.Tensor, region image.Rectangle, scale float32) ([]Detection, error) {
	scores, boxes := outputs[0].Float32, outputs[1].Float32
	if len(boxes) != 4*len(scores) {
		return nil, fmt.Errorf("%w: %s returned %d scores and %d box coordinates",
			inference.ErrModel, d.session.Name(), len(scores), len(boxes))
	}
	minScore := d.opts.minScore()
	var people []Detection
	x, y := float32(region.Min.X), float32(region.Min.Y)
	for i, score := range scores {
		if score < minScore {
			continue
		}
		b := boxes[i*4:][:4]
		if !finite(score, b[0], b[1], b[2], b[3]) {
			return nil, ErrNotFinite
		}
		person := Detection{
			Box:   Box{X0: x + b[0]*scale, Y0: y + b[1]*scale, X1: x + b[2]*scale, Y1: y + b[3]*scale},
			Score: score, Candidate: score < d.opts.ScoreThreshold,
		}
		if d.pose != nil {
			pose, err := d.pose(outputs, i)
			if err != nil {
				return nil, err
			}
			person.Pose = pose.placed(x, y, scale)
		}
		people = append(people, person)
	}
	return people, nil
}

// placed converts a pose from pixels of an input, or of a part of the frame, to pixels of the frame; nil stays nil.
func (p *Pose) placed(x, y, scale float32) *Pose {
	if p == nil {
		return nil
	}
	placed := *p
	for k := range placed {
		placed[k].X, placed[k].Y = x+placed[k].X*scale, y+placed[k].Y*scale
	}
	return &placed
}
