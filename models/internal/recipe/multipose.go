// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"fmt"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/convert"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/onnx"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/tfjs"
)

// MoveNet MultiPose (https://tfhub.dev/google/movenet/multipose/lightning/1) has MoveNet's heads, and two more for a
// person's box. Its graph decodes them for the six best people of one image; the recipe ends before that, so that a
// batch works, and any number of people.
const (
	multiposeSide   = 256
	multiposePixels = "StatefulPartitionedCall/Cast" // float32 pixels, still 0..255
	// multiposePeak is the side in cells of the square in which a person's center must be the most probable one.
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

// multipose outputs scores [N,A] of people's centers, 0 except at local maxima, their boxes [N,A,4] in pixels, and from
// which the keypoints are decoded, over the same grid of h x w cells, A in number: heatmaps [N,17,h,w], regressions
// [N,34,h,w] and offsets [N,34,h,w]. It works for every image whose sides are multiples of 32.
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

// multiposeDouble replaces the sizes that the graph computes for its upsamplings, twice that of their inputs, by those
// for its own input size: the converter makes a scale of them.
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
