// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/convert"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/onnx"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/tfjs"
)

// CenterNet (arXiv:1904.07850) outputs, on a grid a quarter of the image's size, a heat map of object centers for each
// of 80 classes, and the distances to the four sides of the box in pixels.
const (
	centernetClasses = 80
	centernetPerson  = 0
	centernetStride  = 4
)

// Nodes of the graph.
const (
	centernetPixels    = "tower_0/images"
	centernetHeatmap   = "tower_0/Sigmoid"
	centernetDistances = "tower_0/mul"
	centernetWeights   = "CenternetHead/centernet_cls_output/pointwise_weights"
	centernetBias      = "CenternetHead/centernet_cls_output/biases"
)

// centernet outputs scores [N,A] of the class person, 0 except at local maxima, and boxes [N,A,4] in pixels, for images
// whose sides are multiples of 32.
func centernet(b *onnx.Builder, m *tfjs.Model) error {
	if err := keepChannels(m, []int{centernetPerson}, centernetClasses, centernetWeights, centernetBias); err != nil {
		return err
	}
	pixels := convert.Value{Name: image(b, onnx.Free("H"), onnx.Free("W")), Shape: []int{1, 512, 512, 3}, NCHW: true}
	heads, err := importNCHW(b, m, map[string]convert.Value{centernetPixels: pixels}, centernetHeatmap,
		centernetDistances)
	if err != nil {
		return err
	}
	heatmap, distances := heads[0], heads[1]

	scores := peaks(b, heatmap, 3)

	distances = b.Op("Transpose", []string{distances}, onnx.Ints("perm", 0, 2, 3, 1))
	distances = b.Op("Reshape", []string{distances, b.Int64s(0, -1, 4)})
	boxes := boxesAround(b, gridPoints(b, heatmap, centernetStride, 0), distances)

	b.Output("scores", scores, onnx.Float, onnx.Free("N"), onnx.Free("A"))
	b.Output("boxes", boxes, onnx.Float, onnx.Free("N"), onnx.Free("A"), onnx.Fixed(4))
	return nil
}
