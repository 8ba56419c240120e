// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package recipe builds the ONNX file of each model family from its TensorFlow.js graph.
//
// A published graph takes one image of a fixed size and often ends in operations that do not support batches. A recipe
// therefore keeps only the convolutional part of the graph and adds its own input (raw pixels) and output (results).
// All resulting models take `image`, uint8 [N,H,W,3] RGB, with any batch size.
package recipe

import (
	"fmt"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/convert"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/onnx"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/tfjs"
)

// recipes are the recipes by model family.
var recipes = map[string]func(*onnx.Builder, *tfjs.Model) error{
	"blazeface":            blazeface,
	"blazeface_full_range": blazefaceFullRange,
	"centernet":            centernet,
	"movenet":              movenet,
	"multipose":            multipose,
	"nanodet":              nanodetFor(nanodetPeople),
	"nanodet_screens":      nanodetFor(nanodetScreens),
	"selfie_segmentation":  selfieSegmentation,
}

// Build returns the content of the .onnx file for a model of a family.
func Build(family string, m *tfjs.Model) ([]byte, error) {
	build, ok := recipes[family]
	if !ok {
		return nil, fmt.Errorf("no recipe for model family %q", family)
	}
	b := onnx.NewBuilder(family)
	if err := build(b, m); err != nil {
		return nil, fmt.Errorf("convert model of family %s: %w", family, err)
	}
	return b.Model().Marshal(), nil
}

// image declares the input and returns it as float32 NCHW with values 0..255.
func image(b *onnx.Builder, height, width onnx.Dim) string {
	const toFloat = int(onnx.Float)
	in := b.Input("image", onnx.Uint8, onnx.Free("N"), height, width, onnx.Fixed(3))
	// Transposing bytes moves a quarter of the data that transposing floats would.
	in = b.Op("Transpose", []string{in}, onnx.Ints("perm", 0, 3, 1, 2))
	return b.Op("Cast", []string{in}, onnx.Int("to", toFloat))
}

// importNCHW imports part of the graph. It returns an error unless the results are NCHW.
func importNCHW(b *onnx.Builder, m *tfjs.Model, inputs map[string]convert.Value, outputs ...string) ([]string, error) {
	values, err := convert.Import(b, m, inputs, outputs...)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(values))
	for i, v := range values {
		if !v.NCHW {
			return nil, fmt.Errorf("output %s is not NCHW", outputs[i])
		}
		names[i] = v.Name
	}
	return names, nil
}

// keepChannels keeps only some output channels of a convolution, given the names of its HWIO weights and its bias.
func keepChannels(m *tfjs.Model, keep []int, channels int, weights, bias string) error {
	for _, part := range []struct {
		name string
		axis int
	}{{weights, 3}, {bias, 0}} {
		w := m.Weights[part.name]
		if w == nil || len(w.Shape) != part.axis+1 || w.Shape[part.axis] != channels {
			return fmt.Errorf("%s must have %d channels", part.name, channels)
		}
		kept, err := w.Select(part.axis, keep)
		if err != nil {
			return err
		}
		m.Weights[part.name] = kept
	}
	return nil
}

// peaks returns the values of a heat map [N,1,h,w] as [N,h*w], with 0 for cells that are not the highest in the square
// of side x side cells around them.
func peaks(b *onnx.Builder, heatmap string, side int) string {
	pad := side / 2
	highest := b.Op("MaxPool", []string{heatmap}, onnx.Ints("kernel_shape", side, side),
		onnx.Ints("pads", pad, pad, pad, pad))
	peak := b.Op("Cast", []string{b.Op("Equal", []string{heatmap, highest})}, onnx.Int("to", int(onnx.Float)))
	return b.Op("Flatten", []string{b.Op("Mul", []string{heatmap, peak})}, onnx.Int("axis", 1))
}

// gridPoints returns x and y of the cells of a grid in pixels, float32 [1,h*w,2], for the feature map [N,c,h,w]. offset
// is the position of cell (0,0), in cells.
func gridPoints(b *onnx.Builder, feature string, stride int, offset float32) string {
	shape := b.Op("Shape", []string{feature})
	along := func(axis int64, dims ...int64) string {
		n := b.Op("Gather", []string{shape, b.Int64(axis)}, onnx.Int("axis", 0))
		cells := b.Op("Range", []string{b.Int64(0), n, b.Int64(1)})
		cells = b.Op("Cast", []string{cells}, onnx.Int("to", int(onnx.Float)))
		cells = b.Op("Mul", []string{b.Op("Add", []string{cells, b.Float(offset)}), b.Float(float32(stride))})
		return b.Op("Reshape", []string{cells, b.Int64s(dims...)})
	}
	x, y := along(3, 1, -1, 1), along(2, -1, 1, 1)
	size := b.Op("Concat", []string{b.Op("Slice", []string{shape, b.Int64s(2), b.Int64s(4)}), b.Int64s(1)},
		onnx.Int("axis", 0))
	both := b.Op("Concat", []string{b.Op("Expand", []string{x, size}), b.Op("Expand", []string{y, size})},
		onnx.Int("axis", 2))
	return b.Op("Reshape", []string{both, b.Int64s(1, -1, 2)})
}

// boxesAround returns boxes [N,A,4] (x0, y0, x1, y1), given points [1,A,2] and their distances [N,A,4] to the left,
// top, right, and bottom sides.
func boxesAround(b *onnx.Builder, points, distances string) string {
	sides := b.Ops("Split", 2, []string{distances, b.Int64s(2, 2)}, onnx.Int("axis", 2))
	first, second := b.Op("Sub", []string{points, sides[0]}), b.Op("Add", []string{points, sides[1]})
	return b.Op("Concat", []string{first, second}, onnx.Int("axis", 2))
}
