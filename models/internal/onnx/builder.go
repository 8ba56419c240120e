// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Builder assembles a model node by node and generates the names of intermediate values.
type Builder struct {
	model     Model
	counts    map[string]int
	constants map[string]string // content -> name
}

// NewBuilder starts an empty model.
func NewBuilder(name string) *Builder {
	return &Builder{model: Model{Name: name}, counts: map[string]int{}, constants: map[string]string{}}
}

// Model returns the model built so far.
func (b *Builder) Model() *Model { return &b.model }

// Input declares an input and returns its name.
func (b *Builder) Input(name string, typ Type, dims ...Dim) string {
	b.model.Inputs = append(b.model.Inputs, ValueInfo{Name: name, Type: typ, Dims: dims})
	return name
}

// Output declares a value as an output of the model with this name.
func (b *Builder) Output(name, value string, typ Type, dims ...Dim) {
	b.model.Nodes = append(b.model.Nodes, Node{Op: "Identity", Inputs: []string{value}, Outputs: []string{name}})
	b.model.Outputs = append(b.model.Outputs, ValueInfo{Name: name, Type: typ, Dims: dims})
}

// Op adds a node with one output and returns that output's name.
func (b *Builder) Op(op string, inputs []string, attributes ...Attribute) string {
	return b.Ops(op, 1, inputs, attributes...)[0]
}

// Ops adds a node with n outputs and returns their names.
func (b *Builder) Ops(op string, n int, inputs []string, attributes ...Attribute) []string {
	outputs := make([]string, n)
	for i := range outputs {
		outputs[i] = b.fresh(op)
	}
	b.model.Nodes = append(b.model.Nodes, Node{Op: op, Inputs: inputs, Outputs: outputs, Attributes: attributes})
	return outputs
}

// Floats adds a constant. Equal constants share a name.
func (b *Builder) Floats(dims []int, values ...float32) string {
	raw := make([]byte, 0, 4*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return b.constant(Float, dims, len(values), raw)
}

// Float adds a scalar.
func (b *Builder) Float(v float32) string { return b.Floats(nil, v) }

// Int64s adds a vector of integers, such as a shape.
func (b *Builder) Int64s(values ...int64) string {
	raw := make([]byte, 0, 8*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return b.constant(Int64, []int{len(values)}, len(values), raw)
}

// Int64 adds a scalar integer, such as an index.
func (b *Builder) Int64(v int64) string {
	return b.constant(Int64, nil, 1, binary.LittleEndian.AppendUint64(nil, uint64(v)))
}

func (b *Builder) constant(typ Type, dims []int, n int, raw []byte) string {
	size := 1
	dims64 := make([]int64, len(dims))
	for i, d := range dims {
		size *= d
		dims64[i] = int64(d)
	}
	if size != n {
		panic(fmt.Sprintf("onnx: %d values cannot fill a tensor of shape %v", n, dims))
	}
	key := fmt.Sprint(typ, dims, " ") + string(raw)
	if name, ok := b.constants[key]; ok {
		return name
	}
	name := b.fresh("const")
	b.constants[key] = name
	b.model.Initializers = append(b.model.Initializers, Tensor{Name: name, Type: typ, Dims: dims64, Raw: raw})
	return name
}

func (b *Builder) fresh(prefix string) string {
	b.counts[prefix]++
	return fmt.Sprintf("%s_%d", prefix, b.counts[prefix])
}

// Int returns an attribute that holds an integer.
func Int(name string, v int) Attribute { return Attribute{name, int64(v)} }

// Ints returns an attribute that holds integers.
func Ints(name string, v ...int) Attribute {
	out := make([]int64, len(v))
	for i, n := range v {
		out[i] = int64(n)
	}
	return Attribute{name, out}
}

// Number returns an attribute that holds a float.
func Number(name string, v float32) Attribute { return Attribute{name, v} }

// Text returns an attribute that holds a string.
func Text(name, v string) Attribute { return Attribute{name, v} }

// Fixed returns a dimension of a fixed size.
func Fixed(n int) Dim { return Dim{Size: int64(n)} }

// Free returns a dimension that the caller chooses.
func Free(name string) Dim { return Dim{Name: name} }
