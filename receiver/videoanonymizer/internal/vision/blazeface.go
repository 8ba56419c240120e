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

// blazeFace is BlazeFace (Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", 2019):
// input uint8 [N,H,W,3] RGB, outputs float32 scores [N,A], boxes [N,A,4] as x0, y0, x1, y1 and landmarks [N,A,6,2] as
// x, y, all in pixels of the input, before suppression. The landmarks are the person's right eye, left eye, nose,
// mouth, right ear and left ear. Two families have this form: BlazeFace itself, for near faces in a square of a fixed
// size, and MediaPipe's full-range model (2021), where H and W are any multiples of 32.
type blazeFace struct {
	session inference.Session
	opts    FaceOptions
	// size returns the size of the model's input for a view's width and height.
	size func(width, height int) (w, h int)
}

const (
	blazeFaceLandmarks = 6
	blazeFaceRightEye  = 0
	blazeFaceLeftEye   = 1

	fullRangeStride = 32
	// fullRangeLongSide shows whole frames, in their own shape, as large as the square of 192 the model was trained on.
	fullRangeLongSide = 320
)

func newBlazeFace(session inference.Session, opts FaceOptions) (FaceDetector, error) {
	size, ok := squareInput(session)
	if !ok || !hasFaceOutputs(session) {
		return nil, shapeError(session, "blazeface", "one input uint8 [N,S,S,3] and the outputs "+faceOutputs)
	}
	square := func(int, int) (int, int) { return size, size }
	return &blazeFace{session: session, opts: opts, size: square}, nil
}

func newBlazeFaceFullRange(session inference.Session, opts FaceOptions) (FaceDetector, error) {
	if !hasFreeInput(session) || !hasFaceOutputs(session) {
		return nil, shapeError(session, "blazeface_full_range",
			"one input uint8 [N,H,W,3] of any H and W, and the outputs "+faceOutputs)
	}
	size := inputSize(DetectorOptions{LongSide: opts.LongSide}, fullRangeLongSide, fullRangeStride)
	return &blazeFace{session: session, opts: opts, size: size}, nil
}

const faceOutputs = "float32 scores [N,A], boxes [N,A,4], landmarks [N,A,6,2]"

func hasFaceOutputs(session inference.Session) bool {
	out := session.Outputs()
	return len(out) == 3 && hasShape(out[0], anySize, anySize) && hasShape(out[1], anySize, anySize, anySize) &&
		hasShape(out[2], anySize, anySize, blazeFaceLandmarks, anySize)
}

// DetectFaces implements FaceDetector.
func (b *blazeFace) DetectFaces(ctx context.Context, frame *media.Frame) ([]Face, Steps, error) {
	var steps Steps
	var faces []Face
	for _, view := range views(frame, b.opts.Tiles, b.opts.Fine && b.opts.Tiles > 1) {
		found, err := b.detectIn(ctx, frame, view.Rectangle, &steps)
		if err != nil {
			return nil, steps, fmt.Errorf("detect faces: %w", err)
		}
		faces = append(faces, found...)
	}
	return suppressFaces(faces, b.opts.OverlapThreshold), steps, nil
}

func (b *blazeFace) detectIn(
	ctx context.Context, frame *media.Frame, view image.Rectangle, steps *Steps,
) (faces []Face, err error) {
	read := func(outputs []inference.Tensor, region image.Rectangle, scale float32) (err error) {
		faces, err = b.read(outputs[0].Float32, outputs[1].Float32, outputs[2].Float32, region, scale)
		return err
	}
	width, height := b.size(view.Dx(), view.Dy())
	err = runOnView(ctx, b.session, frame, view, width, height, steps, read)
	return faces, err
}

// read keeps the faces whose score is high enough and maps them to the frame.
func (b *blazeFace) read(scores, boxes, landmarks []float32, region image.Rectangle, scale float32) ([]Face, error) {
	if len(boxes) != 4*len(scores) || len(landmarks) != 2*blazeFaceLandmarks*len(scores) {
		return nil, fmt.Errorf("%w: %s returned %d scores, %d box coordinates and %d landmark coordinates",
			inference.ErrModel, b.session.Name(), len(scores), len(boxes), len(landmarks))
	}
	x := func(v float32) float32 { return float32(region.Min.X) + v*scale }
	y := func(v float32) float32 { return float32(region.Min.Y) + v*scale }
	var faces []Face
	for i, score := range scores {
		if score < b.opts.ScoreThreshold {
			continue
		}
		box, marks := boxes[i*4:][:4], landmarks[i*2*blazeFaceLandmarks:][:2*blazeFaceLandmarks]
		if !finite(score) || !finite(box...) || !finite(marks...) {
			return nil, ErrNotFinite
		}
		if box[2] <= box[0] || box[3] <= box[1] {
			continue
		}
		mark := func(k int) Keypoint { return Keypoint{X: x(marks[2*k]), Y: y(marks[2*k+1]), Score: score} }
		faces = append(faces, Face{
			Box:     Box{X0: x(box[0]), Y0: y(box[1]), X1: x(box[2]), Y1: y(box[3])},
			Score:   score,
			LeftEye: mark(blazeFaceLeftEye), RightEye: mark(blazeFaceRightEye),
		})
	}
	return faces, nil
}
