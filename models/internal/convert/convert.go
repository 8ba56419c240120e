// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package convert converts TensorFlow.js graphs, or parts of them, to ONNX.
//
// TensorFlow stores images as NHWC (batch, height, width, channel), whereas ONNX's convolutions expect NCHW. Therefore
// each value records the layout of its ONNX tensor, operations that work with either layout propagate it, and a
// transposition is added only where the two meet. A TensorFlow transposition between the two layouts is then free: it
// only changes the label.
//
// Sizes are inferred from the graph's own input size but not written into the result, so the result works for every
// batch size, and for every image size that is a multiple of the graph's total stride, unless the graph has constants
// as large as the image. Anything that cannot be converted this way is an error.
package convert

import (
	"fmt"
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/onnx"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/tfjs"
)

// Value is the result of a TensorFlow node.
type Value struct {
	// Name is the name of the ONNX tensor; empty for constants.
	Name string
	// Shape is the shape in TensorFlow, for the graph's own input size.
	Shape []int
	// NCHW means that the TensorFlow value is NHWC while the ONNX tensor is NCHW.
	NCHW bool

	constant *tfjs.Tensor
	padding  *padding // not applied yet; the consumer of the value applies it
}

// padding surrounds a value. It is applied late because convolutions and poolings can pad by themselves.
type padding struct {
	before, after []int // for each of TensorFlow's dimensions
	with          float32
}

// Import adds the part of the graph between inputs and outputs to b. Each input replaces the node that it is named
// after; outputs are named "node" or "node:1". The results are in the order of outputs.
func Import(b *onnx.Builder, m *tfjs.Model, inputs map[string]Value, outputs ...string) ([]Value, error) {
	c := &converter{b: b, model: m, values: map[string][]Value{}, logical: map[string]string{},
		nchw: map[string]string{}}
	for name, v := range inputs {
		if m.Nodes[name] == nil {
			return nil, fmt.Errorf("the graph has no node %q to feed", name)
		}
		c.values[name] = []Value{v}
	}
	results := make([]Value, len(outputs))
	for i, output := range outputs {
		ref, err := tfjs.ParseRef(output)
		if err != nil {
			return nil, err
		}
		if results[i], err = c.value(ref); err != nil {
			return nil, err
		}
		results[i] = c.padded(results[i])
	}
	return results, nil
}

type converter struct {
	b      *onnx.Builder
	model  *tfjs.Model
	values map[string][]Value // by node
	active []string           // the nodes being converted, to detect cycles

	logical, nchw map[string]string // ONNX tensor -> its transposition
}

// value converts a node after the nodes it depends on.
func (c *converter) value(ref tfjs.Ref) (Value, error) {
	if _, done := c.values[ref.Node]; !done {
		if err := c.convert(ref.Node); err != nil {
			return Value{}, err
		}
	}
	outputs := c.values[ref.Node]
	if ref.Output >= len(outputs) {
		return Value{}, fmt.Errorf("node %q has no output %d", ref.Node, ref.Output)
	}
	return outputs[ref.Output], nil
}

func (c *converter) convert(name string) error {
	node := c.model.Nodes[name]
	if node == nil {
		return fmt.Errorf("the graph has no node %q", name)
	}
	if slices.Contains(c.active, name) {
		return fmt.Errorf("node %q depends on itself", name)
	}
	if node.Op == "Const" {
		w := c.model.Weights[name]
		if w == nil {
			return fmt.Errorf("constant %q has no weights", name)
		}
		c.values[name] = []Value{{Shape: w.Shape, constant: w}}
		return nil
	}
	op, ok := ops[node.Op]
	if !ok {
		return fmt.Errorf("operation %s (node %q) is not supported", node.Op, name)
	}
	c.active = append(c.active, name)
	if v, found, err := c.hardSigmoid(node); found || err != nil {
		c.active = c.active[:len(c.active)-1]
		c.values[name] = []Value{v}
		return err
	}
	inputs := make([]Value, len(node.Inputs))
	for i, ref := range node.Inputs {
		v, err := c.value(ref)
		if err != nil {
			return err
		}
		inputs[i] = v
	}
	c.active = c.active[:len(c.active)-1]
	if len(inputs) < op.minInputs {
		return fmt.Errorf("%s (node %q) has %d inputs, needs %d", node.Op, name, len(inputs), op.minInputs)
	}
	v, err := op.convert(c, node, inputs)
	if err != nil {
		return fmt.Errorf("%s (node %q): %w", node.Op, name, err)
	}
	if mixesBatch(v, inputs) {
		return fmt.Errorf("%s (node %q): it mixes the images of a batch", node.Op, name)
	}
	c.values[name] = []Value{v}
	return nil
}

// mixesBatch reports whether the first dimension of a result differs from the first dimension of the inputs, which
// breaks batches.
func mixesBatch(v Value, inputs []Value) bool {
	for _, in := range inputs {
		if in.constant == nil && len(in.Shape) > 0 && (len(v.Shape) == 0 || v.Shape[0] != in.Shape[0]) {
			return true
		}
	}
	return false
}
