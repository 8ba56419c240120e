// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"errors"
	"fmt"
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/onnx"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/tfjs"
)

var (
	toNCHW = []int{0, 3, 1, 2}
	toNHWC = []int{0, 2, 3, 1}
)

// asLogical returns the name of an ONNX tensor that holds v in TensorFlow's layout.
func (c *converter) asLogical(v Value) string {
	v = c.padded(v)
	if v.constant != nil {
		return c.constant(v.constant)
	}
	if !v.NCHW {
		return v.Name
	}
	return c.transposed(c.logical, v.Name, toNHWC)
}

// asNCHW returns the name of an ONNX tensor that holds the NHWC image v as NCHW.
func (c *converter) asNCHW(v Value) string {
	v = c.padded(v)
	if v.constant != nil {
		return c.constant(nchwConstant(v.constant))
	}
	if v.NCHW {
		return v.Name
	}
	return c.transposed(c.nchw, v.Name, toNCHW)
}

func (c *converter) transposed(cache map[string]string, name string, perm []int) string {
	if _, ok := cache[name]; !ok {
		cache[name] = c.b.Op("Transpose", []string{name}, onnx.Ints("perm", perm...))
	}
	return cache[name]
}

func (c *converter) constant(t *tfjs.Tensor) string {
	if t.Floats != nil {
		return c.b.Floats(t.Shape, t.Floats...)
	}
	ints := make([]int64, len(t.Ints))
	for i, v := range t.Ints {
		ints[i] = int64(v)
	}
	return c.b.Int64s(ints...)
}

// nchwConstant converts a constant that broadcasts over NHWC to one that broadcasts over NCHW.
func nchwConstant(t *tfjs.Tensor) *tfjs.Tensor {
	if len(t.Shape) == 0 || len(t.Shape) > 4 {
		return t
	}
	shape := append(slices.Repeat([]int{1}, 4-len(t.Shape)), t.Shape...)
	return transpose(&tfjs.Tensor{Shape: shape, Floats: t.Floats}, toNCHW)
}

// transpose reorders the axes of a constant.
func transpose(t *tfjs.Tensor, perm []int) *tfjs.Tensor {
	n := len(perm)
	stride := make([]int, n) // strides of t
	for i, s := n-1, 1; i >= 0; i-- {
		stride[i] = s
		s *= t.Shape[i]
	}
	out := &tfjs.Tensor{Shape: make([]int, n), Floats: make([]float32, len(t.Floats))}
	for i, p := range perm {
		out.Shape[i] = t.Shape[p]
	}
	at := make([]int, n) // index into out
	for i := range out.Floats {
		from := 0
		for k, p := range perm {
			from += at[k] * stride[p]
		}
		out.Floats[i] = t.Floats[from]
		for k := n - 1; k >= 0; k-- {
			if at[k]++; at[k] < out.Shape[k] {
				break
			}
			at[k] = 0
		}
	}
	return out
}

// padded applies the padding that v still needs.
func (c *converter) padded(v Value) Value {
	if v.padding == nil {
		return v
	}
	p := v.padding
	before, after := slices.Clone(p.before), slices.Clone(p.after)
	if v.NCHW {
		before, after = permuted(before, toNCHW), permuted(after, toNCHW)
	}
	var pads []int64
	for _, n := range append(before, after...) {
		pads = append(pads, int64(n))
	}
	v.Name = c.b.Op("Pad", []string{v.Name, c.b.Int64s(pads...), c.b.Float(p.with)}, onnx.Text("mode", "constant"))
	v.padding = nil
	return v
}

// withoutPadding returns v unpadded, and its padding of height and width as begin and end, if v is padded only there
// and with the given value. Otherwise it returns v padded, and begin and end are zero.
func (c *converter) withoutPadding(v Value, with float32) (bare Value, begin, end [2]int) {
	p := v.padding
	if p == nil {
		return v, begin, end
	}
	if p.with != with || len(p.before) != 4 || p.before[0] != 0 || p.after[0] != 0 || p.before[3] != 0 ||
		p.after[3] != 0 {
		return c.padded(v), begin, end
	}
	v.Shape = slices.Clone(v.Shape)
	for i := range 2 {
		begin[i], end[i] = p.before[i+1], p.after[i+1]
		v.Shape[i+1] -= begin[i] + end[i]
	}
	v.padding = nil
	return v, begin, end
}

func permuted[T any](s []T, perm []int) []T {
	out := make([]T, len(perm))
	for i, p := range perm {
		out[i] = s[p]
	}
	return out
}

// broadcast returns the shape of the result of an elementwise operation.
func broadcast(values []Value) ([]int, error) {
	var shape []int
	for _, v := range values {
		if len(v.Shape) > len(shape) {
			shape = append(slices.Repeat([]int{1}, len(v.Shape)-len(shape)), shape...)
		}
		for i, d := range v.Shape {
			k := len(shape) - len(v.Shape) + i
			switch {
			case shape[k] == 1:
				shape[k] = d
			case d != 1 && d != shape[k]:
				return nil, fmt.Errorf("shapes %v and %v do not fit", shape, v.Shape)
			}
		}
	}
	return shape, nil
}

func axisOf(axis, rank int) (int, error) {
	if axis < 0 {
		axis += rank
	}
	if axis < 0 || axis >= rank {
		return 0, fmt.Errorf("axis %d is outside a value of %d dimensions", axis, rank)
	}
	return axis, nil
}

var errNotConstant = errors.New("needs constant weights and parameters")

// ints returns the values of a constant integer input.
func (v Value) ints() ([]int, error) {
	if v.constant == nil || v.constant.Ints == nil {
		return nil, errNotConstant
	}
	out := make([]int, len(v.constant.Ints))
	for i, n := range v.constant.Ints {
		out[i] = int(n)
	}
	return out, nil
}

// floats returns a constant float input.
func (v Value) floats() (*tfjs.Tensor, error) {
	if v.constant == nil || v.constant.Floats == nil {
		return nil, errNotConstant
	}
	return v.constant, nil
}
