// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package convert_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/convert"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/onnx"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/onnxtest"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/tfjs"
)

// operation is a file in testdata, written by testdata/reference/ops.mjs.
type operation struct {
	Model   json.RawMessage `json:"model"`
	Weights []byte          `json:"weights"`
	Input   values          `json:"input"`
	Output  values          `json:"output"`
}

type values struct {
	Shape  []int     `json:"shape"`
	Values []float32 `json:"values"`
}

func (o operation) graph(t testing.TB) *tfjs.Model {
	t.Helper()
	files := fstest.MapFS{"model.json": {Data: o.Model}, "weights.bin": {Data: o.Weights}}
	m, err := tfjs.Read(files, "model.json")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// last returns the name of the graph's last node.
func last(m *tfjs.Model) string {
	name := ""
	for n := range m.Nodes {
		if !strings.Contains(n, "/") && n != "x" && (len(n) > len(name) || len(n) == len(name) && n > name) {
			name = n
		}
	}
	return name
}

// TestOperations compares the result of each operation with the result of TensorFlow.js.
func TestOperations(t *testing.T) {
	onnxtest.Fetch(t)
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no operations in testdata", err)
	}
	covered := map[string]bool{}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			var op operation
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, &op); err != nil {
				t.Fatal(err)
			}
			m := op.graph(t)
			for _, n := range m.Nodes {
				covered[n.Op] = true
			}
			session := onnxtest.NewSession(t, build(t, m, op.Input.Shape))
			for _, batch := range []int{1, 2} {
				got := onnxtest.Run(t, session, withBatch(batch, op.Input.Shape), repeat(op.Input.Values, batch))["y"]
				onnxtest.Close(t, "output", got.Values, repeat(op.Output.Values, batch), 1e-6)
				if want := withBatch(batch, op.Output.Shape); !slices.Equal(got.Shape, want) {
					t.Errorf("shape: got %v, want %v", got.Shape, want)
				}
			}
		})
	}
	for _, name := range convert.Supported() {
		if !covered[name] {
			t.Errorf("operation %s is supported but not tested", name)
		}
	}
}

func withBatch(n int, shape []int) []int64 {
	out := []int64{int64(n)}
	for _, d := range shape[1:] {
		out = append(out, int64(d))
	}
	return out
}

// repeat concatenates n copies of v.
func repeat(v []float32, n int) []float32 {
	var out []float32
	for range n {
		out = append(out, v...)
	}
	return out
}

func build(t testing.TB, m *tfjs.Model, shape []int) []byte {
	t.Helper()
	b := onnx.NewBuilder("test")
	dims := []onnx.Dim{onnx.Free("N")}
	for _, d := range shape[1:] {
		dims = append(dims, onnx.Fixed(d))
	}
	x := b.Input("x", onnx.Float, dims...)
	results, err := convert.Import(b, m, map[string]convert.Value{"x": {Name: x, Shape: shape}}, last(m))
	if err != nil {
		t.Fatal(err)
	}
	y := results[0].Name
	if results[0].NCHW {
		y = b.Op("Transpose", []string{y}, onnx.Ints("perm", 0, 2, 3, 1))
	}
	b.Output("y", y, onnx.Float, onnx.Free("N"), onnx.Free("A"), onnx.Free("B"), onnx.Free("C"))
	return b.Model().Marshal()
}

// TestUnsupportedGraphs checks that the error for what cannot be converted names it.
func TestUnsupportedGraphs(t *testing.T) {
	type attrs map[string]any
	list := func(v ...string) any { return map[string]any{"list": map[string]any{"i": v}} }
	text := func(s string) any { return map[string]any{"s": []byte(s)} }
	window := attrs{"strides": list("1", "2", "2", "1"), "padding": text("SAME")}
	pool := attrs{"strides": list("1", "2", "2", "1"), "padding": text("SAME"), "ksize": list("1", "3", "3", "1")}
	tests := map[string]struct {
		op     string
		shape  []int
		inputs []any // "x", or a constant
		attrs  attrs
		want   string
	}{
		"unknown operation": {"FFT", []int{1, 4, 4, 3}, []any{"x"}, nil, `operation FFT (node "y") is not supported`},
		"too few inputs":    {"Conv2D", []int{1, 4, 4, 3}, []any{"x"}, window, "has 1 inputs, needs 2"},
		"no such node":      {"Relu", []int{1, 4, 4, 3}, []any{"z"}, nil, `no node "z"`},
		"no such output":    {"Relu", []int{1, 4, 4, 3}, []any{"x:1"}, nil, `"x" has no output 1`},
		"cycle":             {"Relu", []int{1, 4, 4, 3}, []any{"y"}, nil, `"y" depends on itself`},
		"weights not const": {"Conv2D", []int{1, 4, 4, 3}, []any{"x", "x"}, window, "needs constant weights"},
		"wrong channels": {"Conv2D", []int{1, 4, 4, 3}, []any{"x", floats(1, 1, 2, 1)}, window,
			"do not fit 3 channels"},
		"wrong depth": {"DepthwiseConv2dNative", []int{1, 4, 4, 3}, []any{"x", floats(1, 1, 2, 1)}, window,
			"do not fit 3 channels"},
		"odd size": {"Conv2D", []int{1, 5, 4, 3}, []any{"x", floats(3, 3, 3, 1)}, window,
			"SAME padding would depend on the size"},
		"explicit padding": {"Conv2D", []int{1, 4, 4, 3}, []any{"x", floats(3, 3, 3, 1)},
			attrs{"strides": list("1", "1", "1", "1"), "padding": text("EXPLICIT")}, `padding "EXPLICIT"`},
		"NCHW convolution": {"Conv2D", []int{1, 4, 4, 3}, []any{"x", floats(3, 3, 3, 1)},
			attrs{"strides": list("1", "1", "1", "1"), "padding": text("SAME"), "data_format": text("NCHW")},
			"data format NCHW"},
		"no strides": {"Conv2D", []int{1, 4, 4, 3}, []any{"x", floats(3, 3, 3, 1)},
			attrs{"padding": text("SAME")}, "strides []"},
		"window too large": {"Conv2D", []int{1, 2, 2, 3}, []any{"x", floats(3, 3, 3, 1)},
			attrs{"strides": list("1", "1", "1", "1"), "padding": text("VALID")}, "does not fit into 2"},
		"unknown activation": {"_FusedConv2D", []int{1, 4, 4, 3}, []any{"x", floats(1, 1, 3, 1), floats(1)},
			attrs{"strides": list("1", "1", "1", "1"), "padding": text("SAME"),
				"fused_ops": map[string]any{"list": map[string]any{"s": [][]byte{[]byte("BiasAdd"), []byte("Elu")}}}},
			"fused Elu is not supported"},
		"pool over channels": {"MaxPool", []int{1, 4, 4, 3}, []any{"x"},
			attrs{"strides": list("1", "1", "1", "1"), "padding": text("SAME"), "ksize": list("1", "2", "2", "3")},
			"must cover height and width only"},
		"pool of odd size": {"MaxPool", []int{1, 5, 5, 3}, []any{"x"}, pool,
			"SAME padding would depend on the size"},
		"mean over channels": {"Mean", []int{1, 4, 4, 3}, []any{"x", ints(3)}, nil,
			"only the mean over height and width"},
		"resize by a part": {"ResizeBilinear", []int{1, 4, 4, 3}, []any{"x", ints(6, 6)}, nil,
			"not multiples of each other"},
		"padding of batch": {"Pad", []int{1, 4, 4, 3}, []any{"x", ints(1, 0, 0, 0, 0, 0, 0, 0)}, nil,
			"mixes the images of a batch"},
		"padding too short": {"Pad", []int{1, 4, 4, 3}, []any{"x", ints(1, 1)}, nil, "2 paddings do not fit"},
		"transposed batch": {"Transpose", []int{1, 4, 4, 3}, []any{"x", ints(3, 0, 1, 2)}, nil,
			"mixes the images of a batch"},
		"no permutation": {"Transpose", []int{1, 4, 4, 3}, []any{"x", ints(0, 1, 1, 2)}, nil,
			"permutation [0 1 1 2]"},
		"concat of batch": {"ConcatV2", []int{1, 4, 4, 3}, []any{"x", "x", ints(0)}, nil,
			"mixes the images of a batch"},
		"concat of constant": {"ConcatV2", []int{1, 1, 1, 3}, []any{"x", floats(1, 1, 1, 3), ints(3)}, nil,
			"a constant has the length of one image"},
		"concat beyond":     {"ConcatV2", []int{1, 4, 4, 3}, []any{"x", "x", ints(4)}, nil, "axis 4 is outside"},
		"shapes do not fit": {"Add", []int{1, 4, 4, 3}, []any{"x", floats(2)}, nil, "do not fit"},
		"batched constant": {"Add", []int{1, 4, 4, 3}, []any{"x", floats(2, 4, 4, 3)}, nil,
			"mixes the images of a batch"},
		"activation of const": {"Relu", []int{1, 4, 4, 3}, []any{floats(3)}, nil, "constant input"},
		"enlarged too much": {"Conv2DBackpropInput", []int{1, 2, 2, 3},
			[]any{ints(1, 9, 9, 1), floats(2, 2, 1, 3), "x"}, window, "larger than its windows cover"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := &tfjs.Model{Nodes: map[string]*tfjs.Node{"x": {Name: "x", Op: "Placeholder"}},
				Weights: map[string]*tfjs.Tensor{}}
			y := &tfjs.Node{Name: "y", Op: test.op, Attrs: tfjs.Attrs{}}
			for key, value := range test.attrs {
				raw, err := json.Marshal(value)
				if err != nil {
					t.Fatal(err)
				}
				y.Attrs[key] = raw
			}
			for i, input := range test.inputs {
				switch v := input.(type) {
				case string:
					ref, err := tfjs.ParseRef(v)
					if err != nil {
						t.Fatal(err)
					}
					y.Inputs = append(y.Inputs, ref)
				case *tfjs.Tensor:
					constant := fmt.Sprint("c", i)
					m.Nodes[constant] = &tfjs.Node{Name: constant, Op: "Const"}
					m.Weights[constant] = v
					y.Inputs = append(y.Inputs, tfjs.Ref{Node: constant})
				}
			}
			m.Nodes["y"] = y
			x := convert.Value{Name: "x", Shape: test.shape}
			_, err := convert.Import(onnx.NewBuilder("test"), m, map[string]convert.Value{"x": x}, "y")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func floats(shape ...int) *tfjs.Tensor {
	t := &tfjs.Tensor{Shape: shape}
	t.Floats = make([]float32, t.Size())
	return t
}

func ints(values ...int32) *tfjs.Tensor {
	return &tfjs.Tensor{Shape: []int{len(values)}, Ints: values}
}

// TestLayoutChangesCancel checks that a graph with a layout change around each convolution, as in exports of PyTorch
// models, is converted without any transposition.
func TestLayoutChangesCancel(t *testing.T) {
	var op operation
	text, err := os.ReadFile("testdata/conv_padded_nchw.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &op); err != nil {
		t.Fatal(err)
	}
	b := onnx.NewBuilder("test")
	x := b.Input("x", onnx.Float, onnx.Free("N"), onnx.Fixed(3), onnx.Fixed(6), onnx.Fixed(6))
	if _, err := convert.Import(b, op.graph(t), map[string]convert.Value{"x": {Name: x, Shape: op.Input.Shape}},
		"n4"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range b.Model().Nodes {
		got = append(got, n.Op)
	}
	if want := []string{"Conv", "Relu"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v: padding belongs in the convolution, and the layouts match", got, want)
	}
}

// FuzzImport checks that a broken graph causes an error, not a crash.
func FuzzImport(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		var op operation
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if err := json.Unmarshal(text, &op); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(op.Model), op.Weights)
	}
	f.Fuzz(func(_ *testing.T, model, weights []byte) {
		m, err := tfjs.Read(fstest.MapFS{"model.json": {Data: model}, "weights.bin": {Data: weights}}, "model.json")
		if err != nil || m.Nodes["x"] == nil {
			return
		}
		x := convert.Value{Name: "x", Shape: []int{1, 6, 6, 3}}
		_, _ = convert.Import(onnx.NewBuilder("test"), m, map[string]convert.Value{"x": x}, last(m))
	})
}
