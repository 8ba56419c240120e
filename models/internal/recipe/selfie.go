// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/convert"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/onnx"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/tfjs"
)

// Nodes of the graph, and the side of its input.
const (
	selfiePixels = "input_1"
	selfieMask   = "activation_10"
	selfieSide   = 256
)

// selfieSegmentation outputs mask [N,256,256]: the probability (0..1) that a pixel shows a person. MediaPipe's selfie
// segmentation takes pixels in 0..1.
func selfieSegmentation(b *onnx.Builder, m *tfjs.Model) error {
	side := onnx.Fixed(selfieSide)
	pixels := b.Op("Mul", []string{image(b, side, side), b.Float(1. / 255)})
	input := convert.Value{Name: pixels, Shape: []int{1, selfieSide, selfieSide, 3}, NCHW: true}
	outputs, err := importNCHW(b, m, map[string]convert.Value{selfiePixels: input}, selfieMask)
	if err != nil {
		return err
	}
	mask := b.Op("Squeeze", []string{outputs[0], b.Int64s(1)}) // [N,1,256,256]
	b.Output("mask", mask, onnx.Float, onnx.Free("N"), side, side)
	return nil
}
