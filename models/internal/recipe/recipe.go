// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package recipe builds the ONNX file of each model family from its TensorFlow.js graph.
//
// A published graph is made for one picture of one size and often ends in code that cannot be batched. So a recipe takes the
// convolutional part out of the graph and puts its own beginning (raw pixels in) and end (results out) around it. All
// resulting models take `image`, uint8 [N,H,W,3] RGB, and any batch.
package recipe

import (
	"fmt"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/convert"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/onnx"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/tfjs"
)

// recipes by model family.
var recipes = map[string]func(*onnx.Builder, *tfjs.Model) error{
	"nanodet": nanodet,
	"movenet": movenet,
}

// Build returns the .onnx file for a model of that family.
func Build(family string, m *tfjs.Model) ([]byte, error) {
	build, ok := recipes[family]
	if !ok {
		return nil, fmt.Errorf("there is no recipe for models of the family %q", family)
	}
	b := onnx.NewBuilder(family)
	if err := build(b, m); err != nil {
		return nil, fmt.Errorf("convert a model of the family %s: %w", family, err)
	}
	return b.Model().Marshal(), nil
}

// image declares the input and returns it as float32 NCHW, values 0..255.
func image(b *onnx.Builder, height, width onnx.Dim) string {
	const toFloat = int(onnx.Float)
	in := b.Input("image", onnx.Uint8, onnx.Free("N"), height, width, onnx.Fixed(3))
	// Transposing bytes moves a quarter of what transposing floats would.
	in = b.Op("Transpose", []string{in}, onnx.Ints("perm", 0, 3, 1, 2))
	return b.Op("Cast", []string{in}, onnx.Int("to", toFloat))
}

// importNCHW imports one part of the graph, and asks that its results lie as NCHW.
func importNCHW(b *onnx.Builder, m *tfjs.Model, inputs map[string]convert.Value, outputs ...string) ([]string, error) {
	values, err := convert.Import(b, m, inputs, outputs...)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(values))
	for i, v := range values {
		if !v.NCHW {
			return nil, fmt.Errorf("output %s does not lie as NCHW", outputs[i])
		}
		names[i] = v.Name
	}
	return names, nil
}
