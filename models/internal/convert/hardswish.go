// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/onnx"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/tfjs"
)

// hardSigmoid recognizes hard sigmoid, relu6(x+3)/6, and hard swish, x*relu6(x+3)/6 (arXiv:1905.02244, section 5.2),
// which graphs express as several operations. As a single operation they are twice as fast. found is false if the node
// is anything else.
func (c *converter) hardSigmoid(node *tfjs.Node) (y Value, found bool, err error) {
	if node.Op != "Mul" || len(node.Inputs) != 2 {
		return Value{}, false, nil
	}
	for i := range 2 {
		a, b := node.Inputs[i], node.Inputs[1-i]
		x, ok := c.relu6PlusThree(b)
		if !ok {
			continue
		}
		scaled, isSwish := c.timesSixth(a)
		switch {
		case isSwish && scaled == x:
		case c.near(a, 1./6):
		default:
			continue
		}
		v, err := c.value(x)
		if err != nil || v.constant != nil {
			return Value{}, false, err
		}
		v = c.padded(v)
		y := v
		y.Name = c.b.Op("HardSigmoid", []string{v.Name}, onnx.Number("alpha", 1./6), onnx.Number("beta", 0.5))
		if isSwish {
			y.Name = c.b.Op("Mul", []string{v.Name, y.Name})
		}
		return y, true, nil
	}
	return Value{}, false, nil
}

// relu6PlusThree returns x if ref is relu6(x+3).
func (c *converter) relu6PlusThree(ref tfjs.Ref) (x tfjs.Ref, ok bool) {
	relu := c.model.Nodes[ref.Node]
	if relu == nil || relu.Op != "Relu6" || len(relu.Inputs) != 1 {
		return x, false
	}
	sum := c.model.Nodes[relu.Inputs[0].Node]
	if sum == nil || sum.Op != "Add" && sum.Op != "AddV2" {
		return x, false
	}
	return c.otherThan(sum, 3)
}

// timesSixth returns x if ref is x/6.
func (c *converter) timesSixth(ref tfjs.Ref) (x tfjs.Ref, ok bool) {
	node := c.model.Nodes[ref.Node]
	if node == nil || node.Op != "Mul" {
		return x, false
	}
	return c.otherThan(node, 1./6)
}

// otherThan returns the input of a two-input node whose other input is the constant v.
func (c *converter) otherThan(node *tfjs.Node, v float64) (tfjs.Ref, bool) {
	if len(node.Inputs) == 2 {
		for i, ref := range node.Inputs {
			if c.near(ref, v) {
				return node.Inputs[1-i], true
			}
		}
	}
	return tfjs.Ref{}, false
}

// near reports whether ref is a single constant equal to v, within the rounding of published weights to 16 bits.
func (c *converter) near(ref tfjs.Ref, v float64) bool {
	w := c.model.Weights[ref.Node]
	return w != nil && len(w.Floats) == 1 && math.Abs(float64(w.Floats[0])-v) < 1e-3*v
}
