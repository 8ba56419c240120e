// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"fmt"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/convert"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/onnx"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/tfjs"
)

// MoveNet MultiPose (https://tfhub.dev/google/movenet/multipose/lightning/1) has MoveNet's heads, and two more for the
// box of a person. Its graph decodes them for the six best people of a single image; the recipe ends before that, so
// that it supports batches and any number of people.
const (
	multiposeSide   = 256
	multiposePixels = "StatefulPartitionedCall/Cast" // float32 pixels, still 0..255
	// multiposePeak is the side, in cells, of the square in which the center of a person must be the most probable one.
	multiposePeak = 5
)

// Nodes of the graph.
const (
	multiposeCenter      = "StatefulPartitionedCall/Sigmoid"
	multiposeHeatmaps    = "StatefulPartitionedCall/Sigmoid_1"
	multiposeRegress     = "StatefulPartitionedCall/kpt_regress_0/conv2d_8/BiasAdd"
	multiposeOffsets     = "StatefulPartitionedCall/kpt_offset_0/conv2d_9/BiasAdd"
	multiposeBoxOffset   = "StatefulPartitionedCall/box_offset_0/conv2d_6"
	multiposeBoxScale    = "StatefulPartitionedCall/box_scale_0/conv2d_5"
	multiposeUpsamplings = "StatefulPartitionedCall/center_net_mobile_net_v2fpn_feature_extractor/model_1/up_sampling2d"
)

// multipose outputs the scores [N,A] of people's centers, 0 except at local maxima, and their boxes [N,A,4] in pixels.
// It also outputs what the keypoints are decoded from, over the same grid of A = h x w cells: heatmaps [N,17,h,w],
// regressions [N,34,h,w], and offsets [N,34,h,w]. It works for images whose sides are multiples of 32.
func multipose(b *onnx.Builder, m *tfjs.Model) error {
	multiposeDouble(m)
	for _, head := range []string{multiposeBoxOffset, multiposeBoxScale} { // from y, x to x, y
		if err := keepChannels(m, []int{1, 0}, 2, head+"/Conv2D/ReadVariableOp",
			head+"/BiasAdd/ReadVariableOp"); err != nil {
			return err
		}
	}
	pixels := convert.Value{Name: image(b, onnx.Free("H"), onnx.Free("W")),
		Shape: []int{1, multiposeSide, multiposeSide, 3}, NCHW: true}
	heads, err := importNCHW(b, m, map[string]convert.Value{multiposePixels: pixels}, multiposeCenter,
		multiposeBoxOffset+"/BiasAdd", multiposeBoxScale+"/BiasAdd", multiposeHeatmaps, multiposeRegress, multiposeOffsets)
	if err != nil {
		return err
	}
	n, a := onnx.Free("N"), onnx.Free("A")
	b.Output("scores", peaks(b, heads[0], multiposePeak), onnx.Float, n, a)

	pairs := func(head string) string {
		head = b.Op("Transpose", []string{head}, onnx.Ints("perm", 0, 2, 3, 1))
		return b.Op("Mul", []string{b.Op("Reshape", []string{head, b.Int64s(0, -1, 2)}), b.Float(movenetStride)})
	}
	middle := b.Op("Add", []string{gridPoints(b, heads[0], movenetStride, 0), pairs(heads[1])})
	half := b.Op("Mul", []string{b.Op("Relu", []string{pairs(heads[2])}), b.Float(0.5)})
	corners := []string{b.Op("Sub", []string{middle, half}), b.Op("Add", []string{middle, half})}
	b.Output("boxes", b.Op("Concat", corners, onnx.Int("axis", 2)), onnx.Float, n, a, onnx.Fixed(4))

	h, w := onnx.Free("h"), onnx.Free("w")
	b.Output("heatmaps", heads[3], onnx.Float, n, onnx.Fixed(movenetKeypoints), h, w)
	b.Output("regressions", heads[4], onnx.Float, n, onnx.Fixed(2*movenetKeypoints), h, w)
	b.Output("offsets", heads[5], onnx.Float, n, onnx.Fixed(2*movenetKeypoints), h, w)
	return nil
}

// multiposeDouble replaces the sizes that the graph computes for its upsamplings, twice the size of their inputs, with
// the sizes for the graph's own input size, which the converter turns into a scale.
func multiposeDouble(m *tfjs.Model) {
	for i := range 3 {
		name := multiposeUpsamplings
		if i > 0 {
			name = fmt.Sprintf("%s_%d", name, i)
		}
		name += "/mul"
		side := int32(multiposeSide / 16 << i)
		m.Nodes[name] = &tfjs.Node{Name: name, Op: "Const"}
		m.Weights[name] = &tfjs.Tensor{Shape: []int{2}, Ints: []int32{side, side}}
	}
}
