// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"fmt"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/convert"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/onnx"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/tfjs"
)

// MoveNet (https://blog.tensorflow.org/2021/05/next-generation-pose-detection-with-movenet-and-tensorflowjs.html) has
// four heads over a grid a quarter of the image's size. Its graph decodes them for a single image; the recipe decodes
// them for a batch.
const (
	movenetKeypoints = 17
	movenetStride    = 4
	// movenetSlack, in cells, keeps the distance weight 1 / (distance + slack) finite at distance 0.
	movenetSlack = 1.8
)

// Nodes of the graph.
const (
	movenetPixels  = "StatefulPartitionedCall/stack" // float32 pixels, still 0..255
	movenetHeatmap = "StatefulPartitionedCall/Sigmoid"
	movenetCenter  = "StatefulPartitionedCall/Sigmoid_1"
	movenetRegress = "StatefulPartitionedCall/kpt_regress_0/conv2d_6/BiasAdd"
	movenetOffset  = "StatefulPartitionedCall/kpt_offset_0/conv2d_7/BiasAdd"
	// The prior: weights by distance from the center, [s,s,1].
	movenetPrior = "ConstantFolding/StatefulPartitionedCall/truediv_2_recip"
)

// movenet outputs keypoints [N,17,3]: y and x as fractions of the image, and a score.
func movenet(b *onnx.Builder, m *tfjs.Model) error {
	prior := m.Weights[movenetPrior]
	if prior == nil || len(prior.Shape) != 3 || prior.Shape[0] != prior.Shape[1] || prior.Shape[2] != 1 {
		return fmt.Errorf("%s must be the weights of a square grid", movenetPrior)
	}
	grid := prior.Shape[0]
	side := grid * movenetStride
	pixels := convert.Value{Name: image(b, onnx.Fixed(side), onnx.Fixed(side)), Shape: []int{1, side, side, 3},
		NCHW: true}
	heads, err := importNCHW(b, m, map[string]convert.Value{movenetPixels: pixels}, movenetHeatmap, movenetCenter,
		movenetRegress, movenetOffset)
	if err != nil {
		return err
	}
	heatmap, center, regress, offset := heads[0], heads[1], heads[2], heads[3]
	keypoints := movenetDecode(b, grid, prior.Floats, heatmap, center, regress, offset)
	b.Output("keypoints", keypoints, onnx.Float, onnx.Free("N"), onnx.Fixed(movenetKeypoints), onnx.Fixed(3))
	return nil
}

// movenetDecode finds the person, then each keypoint's cell, then its exact position within the cell:
//
//	heatmap [N,17,s,s]  probability that a keypoint is in a cell
//	center  [N,1,s,s]   probability that a person's center is in a cell
//	regress [N,34,s,s]  expected position of the 17 keypoints relative to a center, in cells (y, x)
//	offset  [N,34,s,s]  position of each keypoint within its cell (y, x)
func movenetDecode(b *onnx.Builder, grid int, prior []float32, heatmap, center, regress, offset string) string {
	const k = movenetKeypoints
	s, cells := int64(grid), grid*grid
	flat := func(v string, dims ...int64) string { return b.Op("Reshape", []string{v, b.Int64s(dims...)}) }
	mul := func(x, y string) string { return b.Op("Mul", []string{x, y}) }
	add := func(x, y string) string { return b.Op("Add", []string{x, y}) }
	float := func(v string) string { return b.Op("Cast", []string{v}, onnx.Int("to", int(onnx.Float))) }
	// rowAndColumn splits cell numbers [...] into y and x.
	rowAndColumn := func(cell string) (y, x string) {
		return float(b.Op("Div", []string{cell, b.Int64(s)})), float(b.Op("Mod", []string{cell, b.Int64(s)}))
	}

	// The person: the most probable center, weighted toward the center of the image.
	person := b.Op("Reshape", []string{mul(center, b.Floats([]int{1, 1, grid, grid}, prior...)), b.Int64s(0, -1)})
	person = b.Op("ArgMax", []string{person}, onnx.Int("axis", 1), onnx.Int("keepdims", 1)) // [N,1]
	personY, personX := rowAndColumn(person)

	// The position that this center predicts for each keypoint.
	everywhere := b.Op("Expand", []string{b.Op("Unsqueeze", []string{person, b.Int64s(1)}), b.Int64s(1, 2*k, 1)})
	expected := b.Op("GatherElements", []string{flat(regress, 0, 2*k, -1), everywhere}, onnx.Int("axis", 2)) // [N,34,1]
	// [N,17,1] each
	yx := b.Ops("Split", 2, []string{flat(expected, 0, k, 2), b.Int64s(1, 1)}, onnx.Int("axis", 2))
	expectedY := add(yx[0], b.Op("Unsqueeze", []string{personY, b.Int64s(1)}))
	expectedX := add(yx[1], b.Op("Unsqueeze", []string{personX, b.Int64s(1)}))

	// Each keypoint: the most probable cell, weighted toward the predicted position.
	rows, columns := make([]float32, cells), make([]float32, cells)
	for i := range cells {
		rows[i], columns[i] = float32(i/grid), float32(i%grid)
	}
	dy := b.Op("Sub", []string{b.Floats([]int{1, 1, cells}, rows...), expectedY})
	dx := b.Op("Sub", []string{b.Floats([]int{1, 1, cells}, columns...), expectedX})
	distance := b.Op("Sqrt", []string{add(mul(dy, dy), mul(dx, dx))}) // [N,17,s*s]
	likely := flat(heatmap, 0, k, -1)
	weighted := b.Op("Div", []string{likely, add(distance, b.Float(movenetSlack))})
	cell := b.Op("ArgMax", []string{weighted}, onnx.Int("axis", 2), onnx.Int("keepdims", 1)) // [N,17,1]
	score := b.Op("GatherElements", []string{likely, cell}, onnx.Int("axis", 2))

	// The keypoint's position within the cell.
	pairs := b.Op("Expand", []string{b.Op("Unsqueeze", []string{cell, b.Int64s(2)}), b.Int64s(1, 1, 2, 1)})
	within := b.Op("GatherElements", []string{flat(offset, 0, k, 2, -1), pairs}, onnx.Int("axis", 3))
	within = b.Op("Squeeze", []string{within, b.Int64s(3)})
	y, x := rowAndColumn(cell)
	place := add(b.Op("Concat", []string{y, x}, onnx.Int("axis", 2)), within)
	place = mul(place, b.Float(1/float32(grid)))
	return b.Op("Concat", []string{place, score}, onnx.Int("axis", 2))
}
