// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/onnx"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/tfjs"
)

// operation is how one kind of TensorFlow node is converted.
type operation struct {
	minInputs int
	convert   func(c *converter, node *tfjs.Node, inputs []Value) (Value, error)
}

// ops are the supported operations by their TensorFlow name (https://www.tensorflow.org/api_docs/cc).
var ops map[string]operation

func init() {
	ops = map[string]operation{
		"Conv2D":                     {2, (*converter).conv},
		"_FusedConv2D":               {2, (*converter).conv},
		"DepthwiseConv2dNative":      {2, (*converter).depthwiseConv},
		"FusedDepthwiseConv2dNative": {2, (*converter).depthwiseConv},
		"Conv2DBackpropInput":        {3, (*converter).transposedConv},
		"MaxPool":                    {1, (*converter).maxPool},
		"AvgPool":                    {1, (*converter).avgPool},
		"Mean":                       {2, (*converter).mean},
		"ResizeBilinear":             {2, (*converter).resizeBilinear},
		"Pad":                        {2, (*converter).pad},
		"PadV2":                      {3, (*converter).pad},
		"Transpose":                  {2, (*converter).transpose},
		"ConcatV2":                   {2, (*converter).concat},
		"LeakyRelu":                  {1, (*converter).leakyRelu},
		"Relu6":                      {1, (*converter).relu6},
		"Identity":                   {1, (*converter).identity},
	}
	for tf, op := range map[string]string{"Relu": "Relu", "Sigmoid": "Sigmoid", "Tanh": "Tanh"} {
		ops[tf] = operation{1, unary(op)}
	}
	for tf, op := range map[string]string{
		"Add": "Add", "AddV2": "Add", "BiasAdd": "Add", "AddN": "Sum", "Sub": "Sub", "Mul": "Mul", "RealDiv": "Div",
		"Maximum": "Max", "Minimum": "Min",
	} {
		ops[tf] = operation{2, elementwise(op)}
	}
}

func (c *converter) conv(node *tfjs.Node, inputs []Value) (Value, error) {
	channels, err := channelsOf(inputs[0])
	if err != nil {
		return Value{}, err
	}
	w, err := weights(inputs[1])
	if err != nil {
		return Value{}, err
	}
	if w.Shape[2] == 0 || channels%w.Shape[2] != 0 {
		return Value{}, fmt.Errorf("weights of shape %v do not fit %d channels", w.Shape, channels)
	}
	return c.convolve(node, inputs, transpose(w, []int{3, 2, 0, 1}), channels/w.Shape[2])
}

func (c *converter) depthwiseConv(node *tfjs.Node, inputs []Value) (Value, error) {
	channels, err := channelsOf(inputs[0])
	if err != nil {
		return Value{}, err
	}
	w, err := weights(inputs[1])
	if err != nil {
		return Value{}, err
	}
	if w.Shape[2] != channels {
		return Value{}, fmt.Errorf("weights of shape %v do not fit %d channels", w.Shape, channels)
	}
	perChannel := transpose(w, []int{2, 3, 0, 1})
	perChannel.Shape = []int{w.Shape[2] * w.Shape[3], 1, w.Shape[0], w.Shape[1]}
	return c.convolve(node, inputs, perChannel, w.Shape[2])
}

// channelsOf returns the number of channels of an image.
func channelsOf(v Value) (int, error) {
	if len(v.Shape) != 4 || v.constant != nil {
		return 0, fmt.Errorf("needs an image, not a value of shape %v", v.Shape)
	}
	return v.Shape[3], nil
}

// weights returns the constant HWIO weights of a convolution.
func weights(v Value) (*tfjs.Tensor, error) {
	w, err := v.floats()
	if err != nil {
		return nil, err
	}
	if len(w.Shape) != 4 {
		return nil, fmt.Errorf("weights of shape %v must have 4 dimensions", w.Shape)
	}
	return w, nil
}

// convolve adds a convolution with OIHW weights and the operations fused with it.
func (c *converter) convolve(node *tfjs.Node, inputs []Value, w *tfjs.Tensor, groups int) (Value, error) {
	x, begin, end := c.withoutPadding(inputs[0], 0)
	win, err := newWindow(node, w.Shape[2:])
	if err != nil {
		return Value{}, err
	}
	size, pads, err := win.slide(x, begin, end)
	if err != nil {
		return Value{}, err
	}
	args := []string{c.asNCHW(x), c.constant(w)}
	fused, err := node.Attrs.Strings("fused_ops")
	if err != nil {
		return Value{}, err
	}
	if len(fused) > 0 && fused[0] == "BiasAdd" {
		if len(inputs) < 3 {
			return Value{}, errors.New("fused BiasAdd has no bias")
		}
		bias, err := inputs[2].floats()
		if err != nil {
			return Value{}, err
		}
		if bias.Size() != w.Shape[0] {
			return Value{}, fmt.Errorf("bias of shape %v does not fit %d channels", bias.Shape, w.Shape[0])
		}
		args = append(args, c.b.Floats([]int{w.Shape[0]}, bias.Floats...))
		fused = fused[1:]
	}
	name := c.b.Op("Conv", args,
		onnx.Ints("kernel_shape", win.kernel...), onnx.Ints("strides", win.strides...),
		onnx.Ints("dilations", win.dilations...),
		onnx.Ints("pads", pads...), onnx.Int("group", groups))
	y := Value{Name: name, Shape: []int{x.Shape[0], size[0], size[1], w.Shape[0]}, NCHW: true}
	for _, activation := range fused {
		switch activation {
		case "Relu", "Sigmoid":
			y.Name = c.b.Op(activation, []string{y.Name})
		case "Relu6":
			y, err = c.relu6(node, []Value{y})
		case "LeakyRelu":
			alpha, ok, e := node.Attrs.Float("leakyrelu_alpha")
			if err = e; !ok {
				alpha = 0.2 // TensorFlow's default
			}
			y.Name = c.b.Op("LeakyRelu", []string{y.Name}, onnx.Number("alpha", alpha))
		default:
			err = fmt.Errorf("fused %s is not supported", activation)
		}
		if err != nil {
			return Value{}, err
		}
	}
	return y, nil
}

// transposedConv converts Conv2DBackpropInput, the gradient of a convolution, which is used for upsampling.
func (c *converter) transposedConv(node *tfjs.Node, inputs []Value) (Value, error) {
	shape, err := inputs[0].ints()
	if err != nil {
		return Value{}, err
	}
	w, err := weights(inputs[1])
	if err != nil {
		return Value{}, err
	}
	x := inputs[2]
	win, err := newWindow(node, w.Shape[:2])
	if err != nil {
		return Value{}, err
	}
	if channels, err := channelsOf(x); err != nil || len(shape) != 4 || w.Shape[3] != channels {
		return Value{}, fmt.Errorf("weights of shape %v and input of shape %v do not fit an output of shape %v",
			w.Shape, x.Shape, shape)
	}
	var pads [4]int
	for i := range 2 {
		surplus := (x.Shape[i+1]-1)*win.strides[i] + win.kernel[i] - shape[i+1]
		if surplus < 0 {
			return Value{}, fmt.Errorf("output of shape %v is larger than its windows cover", shape)
		}
		pads[i], pads[i+2] = surplus/2, surplus-surplus/2
	}
	name := c.b.Op("ConvTranspose", []string{c.asNCHW(x), c.constant(transpose(w, []int{3, 2, 0, 1}))},
		onnx.Ints("kernel_shape", win.kernel...), onnx.Ints("strides", win.strides...), onnx.Ints("pads", pads[:]...))
	return Value{Name: name, Shape: []int{x.Shape[0], shape[1], shape[2], w.Shape[2]}, NCHW: true}, nil
}

func (c *converter) maxPool(node *tfjs.Node, inputs []Value) (Value, error) {
	if _, err := channelsOf(inputs[0]); err != nil {
		return Value{}, err
	}
	// ONNX's MaxPool itself pads with -inf. TensorFlow exports and onnx-tf write the lowest float instead.
	lowest := float32(math.Inf(-1))
	if p := inputs[0].padding; p != nil && p.with == -math.MaxFloat32 {
		lowest = p.with
	}
	x, begin, end := c.withoutPadding(inputs[0], lowest)
	return c.pool(node, "MaxPool", x, begin, end)
}

func (c *converter) avgPool(node *tfjs.Node, inputs []Value) (Value, error) {
	if _, err := channelsOf(inputs[0]); err != nil {
		return Value{}, err
	}
	x := c.padded(inputs[0])
	kernel, err := node.Attrs.Ints("ksize")
	if err != nil {
		return Value{}, err
	}
	if len(kernel) == 4 && kernel[1] == x.Shape[1] && kernel[2] == x.Shape[2] {
		return Value{Name: c.b.Op("GlobalAveragePool", []string{c.asNCHW(x)}),
			Shape: []int{x.Shape[0], 1, 1, x.Shape[3]}, NCHW: true}, nil
	}
	// Neither TensorFlow nor ONNX (by default) counts padding in the average.
	return c.pool(node, "AveragePool", x, [2]int{}, [2]int{})
}

func (c *converter) pool(node *tfjs.Node, op string, x Value, begin, end [2]int) (Value, error) {
	kernel, err := node.Attrs.Ints("ksize")
	if err != nil {
		return Value{}, err
	}
	if len(kernel) != 4 || kernel[0] != 1 || kernel[3] != 1 {
		return Value{}, fmt.Errorf("window %v must cover height and width only", kernel)
	}
	win, err := newWindow(node, kernel[1:3])
	if err != nil {
		return Value{}, err
	}
	size, pads, err := win.slide(x, begin, end)
	if err != nil {
		return Value{}, err
	}
	name := c.b.Op(op, []string{c.asNCHW(x)},
		onnx.Ints("kernel_shape", win.kernel...), onnx.Ints("strides", win.strides...), onnx.Ints("pads", pads...))
	return Value{Name: name, Shape: []int{x.Shape[0], size[0], size[1], x.Shape[3]}, NCHW: true}, nil
}

// mean supports only the mean over height and width.
func (c *converter) mean(node *tfjs.Node, inputs []Value) (Value, error) {
	x := inputs[0]
	if _, err := channelsOf(x); err != nil {
		return Value{}, err
	}
	axes, err := inputs[1].ints()
	if err != nil {
		return Value{}, err
	}
	slices.Sort(axes)
	keep, err := node.Attrs.Bool("keep_dims")
	if err != nil {
		return Value{}, err
	}
	if !slices.Equal(axes, []int{1, 2}) || !keep {
		return Value{}, fmt.Errorf("only the mean over height and width with keep_dims is supported, not over %v", axes)
	}
	return Value{Name: c.b.Op("GlobalAveragePool", []string{c.asNCHW(x)}), Shape: []int{x.Shape[0], 1, 1, x.Shape[3]},
		NCHW: true}, nil
}

// resizeBilinear scales by the ratio of the sizes at the graph's own input size.
func (c *converter) resizeBilinear(node *tfjs.Node, inputs []Value) (Value, error) {
	x := inputs[0]
	if _, err := channelsOf(x); err != nil {
		return Value{}, err
	}
	size, err := inputs[1].ints()
	if err != nil {
		return Value{}, err
	}
	if len(size) != 2 {
		return Value{}, errors.New("needs two sizes")
	}
	for i, n := range size {
		if from := x.Shape[i+1]; n < 1 || from < 1 || n%from != 0 && from%n != 0 {
			return Value{}, fmt.Errorf("sizes %d and %d are not multiples of each other: "+
				"the scale would depend on the size", from, n)
		}
	}
	align, err := node.Attrs.Bool("align_corners")
	if err != nil {
		return Value{}, err
	}
	half, err := node.Attrs.Bool("half_pixel_centers")
	if err != nil {
		return Value{}, err
	}
	mode := "asymmetric"
	switch {
	case align:
		mode = "align_corners"
	case half:
		mode = "half_pixel"
	}
	scales := c.b.Floats([]int{4}, 1, 1, float32(size[0])/float32(x.Shape[1]), float32(size[1])/float32(x.Shape[2]))
	name := c.b.Op("Resize", []string{c.asNCHW(x), "", scales},
		onnx.Text("mode", "linear"), onnx.Text("coordinate_transformation_mode", mode))
	return Value{Name: name, Shape: []int{x.Shape[0], size[0], size[1], x.Shape[3]}, NCHW: true}, nil
}

func (c *converter) pad(_ *tfjs.Node, inputs []Value) (Value, error) {
	x := c.padded(inputs[0])
	if x.constant != nil {
		return Value{}, errors.New("a constant input is not supported")
	}
	pads, err := inputs[1].ints()
	if err != nil {
		return Value{}, err
	}
	if len(pads) != 2*len(x.Shape) {
		return Value{}, fmt.Errorf("%d paddings do not fit a value of shape %v", len(pads), x.Shape)
	}
	p := &padding{}
	if len(inputs) > 2 {
		with, err := inputs[2].floats()
		if err != nil {
			return Value{}, err
		}
		if with.Size() != 1 {
			return Value{}, fmt.Errorf("pads with a value of shape %v, not with one number", with.Shape)
		}
		p.with = with.Floats[0]
	}
	x.Shape = slices.Clone(x.Shape)
	for i := range x.Shape {
		p.before, p.after = append(p.before, pads[2*i]), append(p.after, pads[2*i+1])
		x.Shape[i] += pads[2*i] + pads[2*i+1]
	}
	x.padding = p
	return x, nil
}

// transpose only changes the label if it converts between NHWC and NCHW.
func (c *converter) transpose(_ *tfjs.Node, inputs []Value) (Value, error) {
	x := inputs[0]
	if x.constant != nil {
		return Value{}, errors.New("a constant input is not supported")
	}
	perm, err := inputs[1].ints()
	if err != nil {
		return Value{}, err
	}
	sorted := slices.Sorted(slices.Values(perm))
	for i, p := range sorted {
		if p != i || len(perm) != len(x.Shape) {
			return Value{}, fmt.Errorf("permutation %v does not fit a value of shape %v", perm, x.Shape)
		}
	}
	if len(perm) == 0 || perm[0] != 0 {
		return Value{}, errors.New("it mixes the images of a batch")
	}
	relabel := !x.NCHW && slices.Equal(perm, toNHWC) || x.NCHW && slices.Equal(perm, toNCHW)
	if !relabel {
		name := c.b.Op("Transpose", []string{c.asLogical(x)}, onnx.Ints("perm", perm...))
		return Value{Name: name, Shape: permuted(x.Shape, perm)}, nil
	}
	x.Shape = permuted(x.Shape, perm)
	x.NCHW = !x.NCHW
	if x.padding != nil {
		x.padding = &padding{before: permuted(x.padding.before, perm), after: permuted(x.padding.after, perm),
			with: x.padding.with}
	}
	return x, nil
}

func (c *converter) concat(_ *tfjs.Node, inputs []Value) (Value, error) {
	parts := inputs[:len(inputs)-1]
	axes, err := inputs[len(inputs)-1].ints()
	if err != nil {
		return Value{}, err
	}
	shape := slices.Clone(parts[0].Shape)
	if len(axes) != 1 {
		return Value{}, errors.New("needs one axis")
	}
	axis, err := axisOf(axes[0], len(shape))
	if err != nil {
		return Value{}, err
	}
	if slices.ContainsFunc(parts, func(v Value) bool { return v.constant != nil }) {
		return Value{}, errors.New("a constant has the length of one image, not of a batch")
	}
	for _, p := range parts[1:] {
		for i := range shape {
			if len(p.Shape) != len(shape) || i != axis && p.Shape[i] != shape[i] {
				return Value{}, fmt.Errorf("shapes %v and %v do not fit", shape, p.Shape)
			}
		}
		shape[axis] += p.Shape[axis]
	}
	y := Value{Shape: shape, NCHW: slices.ContainsFunc(parts, func(v Value) bool { return v.NCHW })}
	names := make([]string, len(parts))
	for i, p := range parts {
		if y.NCHW {
			names[i] = c.asNCHW(p)
		} else {
			names[i] = c.asLogical(p)
		}
	}
	if y.NCHW {
		axis = slices.Index(toNCHW, axis)
	}
	y.Name = c.b.Op("Concat", names, onnx.Int("axis", axis))
	return y, nil
}

// elementwise applies op to inputs with compatible shapes.
func elementwise(op string) func(*converter, *tfjs.Node, []Value) (Value, error) {
	return func(c *converter, _ *tfjs.Node, inputs []Value) (Value, error) {
		shape, err := broadcast(inputs)
		if err != nil {
			return Value{}, err
		}
		y := Value{Shape: shape}
		fits := true      // every operand can be NCHW
		constants := true // all operands are constants
		for _, v := range inputs {
			y.NCHW = y.NCHW || v.NCHW
			fits = fits && (v.constant != nil || len(v.Shape) == 4)
			constants = constants && v.constant != nil
			if v.constant != nil && v.constant.Floats == nil {
				return Value{}, errors.New("only float constants are supported")
			}
		}
		if constants {
			return Value{}, errors.New("inputs that are all constant are not supported")
		}
		if y.NCHW && !fits {
			return Value{}, errors.New("an image and a value with fewer dimensions do not match")
		}
		names := make([]string, len(inputs))
		for i, v := range inputs {
			if y.NCHW {
				names[i] = c.asNCHW(v)
			} else {
				names[i] = c.asLogical(v)
			}
		}
		y.Name = c.b.Op(op, names)
		return y, nil
	}
}

// unary applies op to every element.
func unary(op string, attributes ...onnx.Attribute) func(*converter, *tfjs.Node, []Value) (Value, error) {
	return func(c *converter, _ *tfjs.Node, inputs []Value) (Value, error) {
		x := c.padded(inputs[0])
		if x.constant != nil {
			return Value{}, errors.New("a constant input is not supported")
		}
		x.Name = c.b.Op(op, []string{x.Name}, attributes...)
		return x, nil
	}
}

func (c *converter) leakyRelu(node *tfjs.Node, inputs []Value) (Value, error) {
	alpha, ok, err := node.Attrs.Float("alpha")
	if err != nil {
		return Value{}, err
	}
	if !ok {
		alpha = 0.2 // TensorFlow's default
	}
	return unary("LeakyRelu", onnx.Number("alpha", alpha))(c, node, inputs)
}

func (c *converter) relu6(_ *tfjs.Node, inputs []Value) (Value, error) {
	x := c.padded(inputs[0])
	if x.constant != nil {
		return Value{}, errors.New("a constant input is not supported")
	}
	x.Name = c.b.Op("Clip", []string{x.Name, c.b.Float(0), c.b.Float(6)})
	return x, nil
}

func (c *converter) identity(_ *tfjs.Node, inputs []Value) (Value, error) { return inputs[0], nil }
