// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"fmt"
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/convert"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/onnx"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/tfjs"
)

// NanoDet's head (https://github.com/RangiLyu/nanodet, nanodet_head.py and gfl_head.py) outputs, for each cell of three
// grids, 80 class scores and the distances from the cell's center to the four sides of the box, each as a distribution
// over 11 bins ("distribution focal loss", arXiv:2006.04388).
const (
	nanodetClasses = 80
	nanodetSides   = 4
	nanodetBins    = 11
)

// COCO classes, in COCO's order.
var (
	nanodetPeople  = []int{0}
	nanodetScreens = []int{62, 63, 67} // tv, laptop, cell phone
)

// Normalization from upstream's configuration, in channel order B, G, R.
var (
	nanodetMean = [3]float32{103.53, 116.28, 123.675}
	nanodetStd  = [3]float32{57.375, 57.12, 58.395}
)

// Nodes of the graph.
const (
	nanodetInput     = "input_1"
	nanodetFirstConv = "PartitionedCall/split"
)

// nanodetHeads are the last convolutions of the grids, with their stride in pixels.
var nanodetHeads = []struct {
	output, weights, bias string
	stride                int
}{
	{"PartitionedCall/Add_29", "PartitionedCall/split_29", "unknown_62", 8},
	{"PartitionedCall/Add_33", "PartitionedCall/split_31", "unknown_68", 16},
	{"PartitionedCall/Add_37", "PartitionedCall/split_33", "unknown_72", 32},
}

// nanodetFor returns a recipe that outputs scores [N,A], the highest among the classes, and boxes [N,A,4] in pixels,
// for images whose sides are multiples of 32. Normalization and the selection of classes are folded into the weights.
func nanodetFor(classes []int) func(*onnx.Builder, *tfjs.Model) error {
	return func(b *onnx.Builder, m *tfjs.Model) error { return nanodet(b, m, classes) }
}

func nanodet(b *onnx.Builder, m *tfjs.Model, classes []int) error {
	if err := nanodetTakeRGB(m); err != nil {
		return err
	}
	for _, h := range nanodetHeads {
		if err := keepChannels(m, nanodetKept(classes), nanodetClasses+nanodetSides*nanodetBins, h.weights,
			h.bias); err != nil {
			return err
		}
	}
	pixels := image(b, onnx.Free("H"), onnx.Free("W"))
	// The mean cannot be folded into the bias: the first convolution pads with zeros, which stand for the mean.
	mean := b.Floats([]int{1, 3, 1, 1}, nanodetMean[2], nanodetMean[1], nanodetMean[0])
	pixels = b.Op("Sub", []string{pixels, mean})
	// The graph was exported from PyTorch, so it uses NCHW itself.
	input := convert.Value{Name: pixels, Shape: []int{1, 3, 416, 416}}
	var outputs []string
	for _, h := range nanodetHeads {
		outputs = append(outputs, h.output)
	}
	heads, err := importNCHW(b, m, map[string]convert.Value{nanodetInput: input}, outputs...)
	if err != nil {
		return err
	}
	var scores, boxes []string
	for i, h := range nanodetHeads {
		s, x := nanodetDecode(b, heads[i], len(classes), h.stride)
		scores, boxes = append(scores, s), append(boxes, x)
	}
	anchors := onnx.Free("A")
	b.Output("scores", b.Op("Sigmoid", []string{b.Op("Concat", scores, onnx.Int("axis", 1))}), onnx.Float,
		onnx.Free("N"), anchors)
	b.Output("boxes", b.Op("Concat", boxes, onnx.Int("axis", 1)), onnx.Float, onnx.Free("N"), anchors, onnx.Fixed(4))
	return nil
}

// nanodetTakeRGB folds the channel order and the division by the standard deviation into the first convolution.
func nanodetTakeRGB(m *tfjs.Model) error {
	w := m.Weights[nanodetFirstConv]
	if w == nil || len(w.Shape) != 4 || w.Shape[2] != 3 {
		return fmt.Errorf("%s must be the weights of a convolution of 3 channels", nanodetFirstConv)
	}
	rgb, err := w.Select(2, []int{2, 1, 0})
	if err != nil {
		return err
	}
	for i := range rgb.Floats {
		channel := i / rgb.Shape[3] % 3
		rgb.Floats[i] /= nanodetStd[2-channel]
	}
	m.Weights[nanodetFirstConv] = rgb
	return nil
}

// nanodetKept returns the channels of the last convolutions to keep: the classes and the distances.
func nanodetKept(classes []int) []int {
	kept := slices.Clone(classes)
	for i := range nanodetSides * nanodetBins {
		kept = append(kept, nanodetClasses+i)
	}
	return kept
}

// nanodetDecode converts a head, float32 [N,classes+44,h,w], to logits [N,h*w], the highest among the classes, and
// boxes [N,h*w,4].
func nanodetDecode(b *onnx.Builder, head string, classes, stride int) (logits, boxes string) {
	parts := b.Ops("Split", 2, []string{head, b.Int64s(int64(classes), nanodetSides*nanodetBins)}, onnx.Int("axis", 1))
	logits = parts[0]
	if classes > 1 {
		logits = b.Op("ReduceMax", []string{logits}, onnx.Ints("axes", 1))
	}
	logits = b.Op("Flatten", []string{logits}, onnx.Int("axis", 1))

	// The expected distance: sum(bin * softmax(bins)), in units of the stride.
	bins := b.Op("Reshape", []string{parts[1], b.Int64s(0, nanodetSides, nanodetBins, -1)})
	bins = b.Op("Transpose", []string{bins}, onnx.Ints("perm", 0, 3, 1, 2)) // [N,h*w,4,11]
	bins = b.Op("Softmax", []string{bins}, onnx.Int("axis", 3))
	lengths := make([]float32, nanodetBins)
	for i := range lengths {
		lengths[i] = float32(i * stride)
	}
	// A sum of products costs a tenth of a product of a matrix and a vector.
	distances := b.Op("Mul", []string{bins, b.Floats([]int{nanodetBins}, lengths...)})
	distances = b.Op("ReduceSum", []string{distances, b.Int64s(3)}, onnx.Int("keepdims", 0)) // [N,h*w,4]

	return logits, boxesAround(b, gridPoints(b, head, stride, 0.5), distances)
}
