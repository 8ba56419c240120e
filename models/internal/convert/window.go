// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"fmt"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/tfjs"
)

// window slides over the height and width of an image, as in convolutions and poolings.
type window struct {
	kernel, strides, dilations []int // height, width
	same                       bool  // pad so that the size of the result is the size of the image divided by the stride
}

func newWindow(node *tfjs.Node, kernel []int) (window, error) {
	w := window{kernel: kernel, dilations: []int{1, 1}}
	for _, n := range kernel {
		if n < 1 {
			return w, fmt.Errorf("window %v must be positive", kernel)
		}
	}
	strides, err := node.Attrs.Ints("strides")
	if err != nil {
		return w, err
	}
	dilations, err := node.Attrs.Ints("dilations")
	if err != nil {
		return w, err
	}
	if dilations == nil {
		dilations = []int{1, 1, 1, 1}
	}
	for name, v := range map[string][]int{"strides": strides, "dilations": dilations} {
		if len(v) != 4 || v[0] != 1 || v[3] != 1 || v[1] < 1 || v[2] < 1 {
			return w, fmt.Errorf("%s %v must apply to height and width only", name, v)
		}
	}
	w.strides, w.dilations = strides[1:3], dilations[1:3]
	format, err := node.Attrs.String("data_format")
	if err != nil {
		return w, err
	}
	if format != "" && format != "NHWC" {
		return w, fmt.Errorf("data format %s is not supported, only NHWC", format)
	}
	pad, err := node.Attrs.String("padding")
	if err != nil {
		return w, err
	}
	switch pad {
	case "SAME":
		w.same = true
	case "VALID":
	default:
		return w, fmt.Errorf("padding %q is not supported, only SAME and VALID", pad)
	}
	return w, nil
}

// slide returns the size of the result and ONNX's pads (top, left, bottom, right), given the existing padding of x.
// TensorFlow's padding depends on the image size, with the odd pixel at the end. For the pads to be correct at every
// size, the stride must divide the size.
func (w window) slide(x Value, begin, end [2]int) (size [2]int, pads []int, err error) {
	if len(x.Shape) != 4 {
		return size, nil, fmt.Errorf("needs an image, not a value of shape %v", x.Shape)
	}
	pads = make([]int, 4)
	for i := range 2 {
		n := x.Shape[i+1] + begin[i] + end[i]
		reach := (w.kernel[i]-1)*w.dilations[i] + 1
		pads[i], pads[i+2] = begin[i], end[i]
		if w.same {
			if n%w.strides[i] != 0 {
				return size, nil, fmt.Errorf("size %d is not a multiple of the stride %d: "+
					"SAME padding would depend on the size", n, w.strides[i])
			}
			missing := max(reach-w.strides[i], 0)
			pads[i] += missing / 2
			pads[i+2] += missing - missing/2
			n += missing
		}
		if n < reach {
			return size, nil, fmt.Errorf("a window of %d does not fit into %d", reach, n)
		}
		size[i] = (n-reach)/w.strides[i] + 1
	}
	return size, pads, nil
}
