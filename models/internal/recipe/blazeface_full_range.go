// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/convert"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/onnx"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/tfjs"
)

// MediaPipe's full-range face detector has one anchor for each cell of a grid a quarter of the image's size, with the
// same numbers as BlazeFace (https://github.com/google-ai-edge/mediapipe, face_detection_full_range.pbtxt).
const (
	fullRangePixels = "input"
	fullRangeSide   = 192
	fullRangeStride = 4
	// The last convolutions, each with 2 x 2 cells in its channels.
	fullRangeLogits  = "StatefulPartitionedCall/model/depthwise_conv2d_40/depthwise"
	fullRangeNumbers = "StatefulPartitionedCall/model/depthwise_conv2d_41/depthwise"
)

// blazefaceFullRange outputs scores [N,A], boxes [N,A,4], and landmarks [N,A,6,2] (x, y), in pixels, for images whose
// sides are multiples of 32.
func blazefaceFullRange(b *onnx.Builder, m *tfjs.Model) error {
	pixels := b.Op("Mul", []string{image(b, onnx.Free("H"), onnx.Free("W")), b.Float(1 / 127.5)}) // -1..1
	pixels = b.Op("Sub", []string{pixels, b.Float(1)})
	input := convert.Value{Name: pixels, Shape: []int{1, fullRangeSide, fullRangeSide, 3}, NCHW: true}
	heads, err := importNCHW(b, m, map[string]convert.Value{fullRangePixels: input}, fullRangeLogits, fullRangeNumbers)
	if err != nil {
		return err
	}
	for i := range heads {
		heads[i] = b.Op("DepthToSpace", []string{heads[i]}, onnx.Int("blocksize", 2), onnx.Text("mode", "DCR"))
	}
	scores := b.Op("Flatten", []string{b.Op("Sigmoid", []string{heads[0]})}, onnx.Int("axis", 1))
	b.Output("scores", scores, onnx.Float, onnx.Free("N"), onnx.Free("A"))

	centers := gridPoints(b, heads[1], fullRangeStride, 0.5)
	numbers := b.Op("Transpose", []string{heads[1]}, onnx.Ints("perm", 0, 2, 3, 1))
	numbers = b.Op("Reshape", []string{numbers, b.Int64s(0, -1, 4+2*blazefaceLandmarks)})
	facesAround(b, numbers, onnx.Free("A"), func(dims ...int) string {
		shape := []int64{1, -1}
		for _, d := range dims {
			shape = append(shape, int64(d))
		}
		return b.Op("Reshape", []string{centers, b.Int64s(shape...)})
	})
	return nil
}
