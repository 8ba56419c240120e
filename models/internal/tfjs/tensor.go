// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package tfjs

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Tensor is a constant of the graph in row-major order. Either Floats or Ints holds its values.
type Tensor struct {
	Shape  []int
	Floats []float32
	Ints   []int32 // int32, and bool as 0 or 1
}

// Size returns the number of values.
func (t *Tensor) Size() int { return product(t.Shape) }

// Select returns a copy with only the given indices of an axis, in that order.
func (t *Tensor) Select(axis int, keep []int) (*Tensor, error) {
	if t.Floats == nil || axis < 0 || axis >= len(t.Shape) {
		return nil, fmt.Errorf("cannot select along axis %d of a tensor of shape %v", axis, t.Shape)
	}
	for _, k := range keep {
		if k < 0 || k >= t.Shape[axis] {
			return nil, fmt.Errorf("index %d is outside axis %d of a tensor of shape %v", k, axis, t.Shape)
		}
	}
	shape := slices.Clone(t.Shape)
	shape[axis] = len(keep)
	out := &Tensor{Shape: shape, Floats: make([]float32, 0, product(shape))}
	inner := product(t.Shape[axis+1:])
	for o := range product(t.Shape[:axis]) {
		for _, k := range keep {
			at := (o*t.Shape[axis] + k) * inner
			out.Floats = append(out.Floats, t.Floats[at:at+inner]...)
		}
	}
	return out, nil
}

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// decode reads one weight from the start of buf and returns it with the number of bytes read.
func (w weightSpec) decode(buf []byte) (*Tensor, int, error) {
	for _, d := range w.Shape {
		if d < 0 {
			return nil, 0, fmt.Errorf("shape %v is negative", w.Shape)
		}
	}
	n, ok := checkedProduct(w.Shape)
	stored := w.DType
	if w.Quantization != nil {
		stored = w.Quantization.DType
	}
	width := map[string]int{"float32": 4, "int32": 4, "float16": 2, "uint16": 2, "uint8": 1, "bool": 1}[stored]
	if width == 0 {
		return nil, 0, fmt.Errorf("values of type %q are not supported", stored)
	}
	if !ok || n > len(buf)/width {
		return nil, 0, fmt.Errorf("shape %v needs more than the remaining %d bytes", w.Shape, len(buf))
	}
	raw := buf[:n*width]

	t := &Tensor{Shape: w.Shape}
	if t.Shape == nil {
		t.Shape = []int{}
	}
	switch {
	case w.DType == "float32":
		t.Floats = make([]float32, n)
		for i := range t.Floats {
			t.Floats[i] = readFloat(raw, i, stored)
		}
		// A 16-bit float is stored as is; integers are stored with a scale and an offset.
		if w.Quantization != nil && stored != "float16" {
			scale, offset := float32(w.Quantization.Scale), float32(w.Quantization.Min)
			for i, v := range t.Floats {
				// The conversion prevents a fused multiply-add, so that every machine produces the same bytes.
				t.Floats[i] = float32(v*scale) + offset
			}
		}
	case w.Quantization != nil:
		return nil, 0, fmt.Errorf("quantized values of type %q are not supported", w.DType)
	case w.DType == "int32":
		t.Ints = make([]int32, n)
		for i := range t.Ints {
			t.Ints[i] = int32(binary.LittleEndian.Uint32(raw[4*i:]))
		}
	case w.DType == "bool":
		t.Ints = make([]int32, n)
		for i := range t.Ints {
			t.Ints[i] = int32(raw[i])
		}
	default:
		return nil, 0, fmt.Errorf("values of type %q are not supported", w.DType)
	}
	return t, len(raw), nil
}

func checkedProduct(dims []int) (int, bool) {
	n := 1
	for _, d := range dims {
		if d != 0 && n > math.MaxInt32/d {
			return 0, false
		}
		n *= d
	}
	return n, true
}

func readFloat(raw []byte, i int, stored string) float32 {
	switch stored {
	case "float32":
		return math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	case "int32":
		return float32(int32(binary.LittleEndian.Uint32(raw[4*i:])))
	case "float16":
		return halfToFloat(binary.LittleEndian.Uint16(raw[2*i:]))
	case "uint16":
		return float32(binary.LittleEndian.Uint16(raw[2*i:]))
	default: // uint8
		return float32(raw[i])
	}
}

// halfToFloat converts an IEEE 754 binary16.
func halfToFloat(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10)&31, uint32(h)&1023
	switch exponent {
	case 0: // zero and subnormal: fraction * 2^-24
		f := float32(fraction) / (1 << 24)
		return math.Float32frombits(math.Float32bits(f) | sign)
	case 31: // infinity and NaN
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	default:
		return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
	}
}
