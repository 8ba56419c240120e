// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/convert"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/onnx"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/tfjs"
)

// BlazeFace (arXiv:1907.05047), MediaPipe's model for back cameras, has several anchors for each cell of two grids. An
// anchor has a logit and 16 numbers in pixels: the box's center relative to the cell's, its width and height, and 6
// landmarks relative to the cell's center.
const (
	blazefacePixels    = "input"
	blazefaceSide      = 256
	blazefaceLandmarks = 6
)

// blazefaceGrids are the last convolutions of the two grids.
var blazefaceGrids = []struct {
	logits, numbers string
	cells, anchors  int
}{
	{"StatefulPartitionedCall/functional_1/conv2d_33/BiasAdd", "StatefulPartitionedCall/functional_1/conv2d_35/BiasAdd",
		16, 2},
	{"StatefulPartitionedCall/functional_1/conv2d_34/BiasAdd", "StatefulPartitionedCall/functional_1/conv2d_36/BiasAdd",
		8, 6},
}

// blazeface outputs scores [N,896], boxes [N,896,4], and landmarks [N,896,6,2] (x, y), in pixels.
func blazeface(b *onnx.Builder, m *tfjs.Model) error {
	side := onnx.Fixed(blazefaceSide)
	pixels := b.Op("Mul", []string{image(b, side, side), b.Float(1 / 127.5)}) // -1..1
	pixels = b.Op("Sub", []string{pixels, b.Float(1)})
	var outputs []string
	for _, g := range blazefaceGrids {
		outputs = append(outputs, g.logits, g.numbers)
	}
	input := convert.Value{Name: pixels, Shape: []int{1, blazefaceSide, blazefaceSide, 3}, NCHW: true}
	heads, err := importNCHW(b, m, map[string]convert.Value{blazefacePixels: input}, outputs...)
	if err != nil {
		return err
	}

	const numbers = 4 + 2*blazefaceLandmarks
	var logits, places []string
	var centers []float32 // x and y of each anchor
	for i, g := range blazefaceGrids {
		anchors := func(head string, dims ...int64) string {
			head = b.Op("Transpose", []string{head}, onnx.Ints("perm", 0, 2, 3, 1))
			return b.Op("Reshape", []string{head, b.Int64s(append([]int64{0}, dims...)...)})
		}
		logits = append(logits, anchors(heads[2*i], -1))
		places = append(places, anchors(heads[2*i+1], -1, numbers))
		stride := float32(blazefaceSide) / float32(g.cells)
		for cell := range g.cells * g.cells {
			x, y := (float32(cell%g.cells)+0.5)*stride, (float32(cell/g.cells)+0.5)*stride
			for range g.anchors {
				centers = append(centers, x, y)
			}
		}
	}
	count := len(centers) / 2
	n, a := onnx.Free("N"), onnx.Fixed(count)
	b.Output("scores", b.Op("Sigmoid", []string{b.Op("Concat", logits, onnx.Int("axis", 1))}), onnx.Float, n, a)

	facesAround(b, b.Op("Concat", places, onnx.Int("axis", 1)), a, func(dims ...int) string {
		return b.Floats(append([]int{1, count}, dims...), centers...)
	})
	return nil
}

// facesAround outputs boxes [N,A,4] and landmarks [N,A,6,2] (x, y), in pixels, given the numbers [N,A,16] of all
// anchors. centers returns x and y of the anchors' centers, with shape [1,A] followed by dims.
func facesAround(b *onnx.Builder, numbers string, a onnx.Dim, centers func(dims ...int) string) {
	n := onnx.Free("N")
	parts := b.Ops("Split", 3, []string{numbers, b.Int64s(2, 2, 2*blazefaceLandmarks)}, onnx.Int("axis", 2))
	middle := b.Op("Add", []string{parts[0], centers(2)})
	half := b.Op("Mul", []string{parts[1], b.Float(0.5)})
	corners := []string{b.Op("Sub", []string{middle, half}), b.Op("Add", []string{middle, half})}
	b.Output("boxes", b.Op("Concat", corners, onnx.Int("axis", 2)), onnx.Float, n, a, onnx.Fixed(4))

	landmarks := b.Op("Reshape", []string{parts[2], b.Int64s(0, 0, blazefaceLandmarks, 2)})
	landmarks = b.Op("Add", []string{landmarks, centers(1, 2)})
	b.Output("landmarks", landmarks, onnx.Float, n, a, onnx.Fixed(blazefaceLandmarks), onnx.Fixed(2))
}
