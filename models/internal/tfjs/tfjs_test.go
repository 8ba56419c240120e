// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package tfjs

import (
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const graph = `{"modelTopology": {"node": [
	{"name": "x", "op": "Placeholder"},
	{"name": "w", "op": "Const"},
	{"name": "y", "op": "Conv2D", "input": ["x", "w:1", "^x"], "attr": {
		"strides": {"list": {"i": ["1", 2, "2", "1"]}}, "padding": {"s": "U0FNRQ=="}, "alpha": {"f": 0.25},
		"fused_ops": {"list": {"s": ["Qmlhc0FkZA==", "UmVsdQ=="]}}, "keep_dims": {"b": true},
		"axis": {"i": "-1"}, "T": {"type": "DT_FLOAT"}}}
]}, "weightsManifest": [{"paths": ["a.bin", "b.bin"], "weights": [WEIGHTS]}]}`

func readGraph(weights string, bytes ...byte) (*Model, error) {
	half := len(bytes) / 2 // the second file starts in the middle of a value
	return Read(fstest.MapFS{
		"m/model.json": {Data: []byte(strings.Replace(graph, "WEIGHTS", weights, 1))},
		"m/a.bin":      {Data: bytes[:half]},
		"m/b.bin":      {Data: bytes[half:]},
	}, "m/model.json")
}

func TestRead(t *testing.T) {
	m, err := readGraph("")
	if err != nil {
		t.Fatal(err)
	}
	y := m.Nodes["y"]
	if want := []Ref{{"x", 0}, {"w", 1}}; !slices.Equal(y.Inputs, want) {
		t.Errorf("inputs: got %v, want %v", y.Inputs, want)
	}
	if got, err := y.Attrs.Ints("strides"); err != nil || !slices.Equal(got, []int{1, 2, 2, 1}) {
		t.Errorf("strides: %v %v", got, err)
	}
	if got, err := y.Attrs.String("padding"); err != nil || got != "SAME" {
		t.Errorf("padding: %q %v", got, err)
	}
	if got, ok, err := y.Attrs.Float("alpha"); err != nil || !ok || got != 0.25 {
		t.Errorf("alpha: %v %v %v", got, ok, err)
	}
	if got, err := y.Attrs.Strings("fused_ops"); err != nil || !slices.Equal(got, []string{"BiasAdd", "Relu"}) {
		t.Errorf("fused_ops: %v %v", got, err)
	}
	if got, err := y.Attrs.Bool("keep_dims"); err != nil || !got {
		t.Errorf("keep_dims: %v %v", got, err)
	}
	if got, ok, err := y.Attrs.Float("missing"); err != nil || ok || got != 0 {
		t.Errorf("missing: %v %v %v", got, ok, err)
	}
}

func TestWeights(t *testing.T) {
	inf := float32(math.Inf(1))
	tests := map[string]struct {
		spec   string
		bytes  []byte
		floats []float32
		ints   []int32
	}{
		"float32": {`{"name": "w", "shape": [2], "dtype": "float32"}`, []byte{0, 0, 128, 63, 0, 0, 0, 192},
			[]float32{1, -2}, nil},
		"int32": {`{"name": "w", "shape": [2], "dtype": "int32"}`, []byte{1, 0, 0, 0, 255, 255, 255, 255}, nil,
			[]int32{1, -1}},
		"bool":   {`{"name": "w", "shape": [2], "dtype": "bool"}`, []byte{0, 1}, nil, []int32{0, 1}},
		"scalar": {`{"name": "w", "shape": [], "dtype": "int32"}`, []byte{7, 0, 0, 0}, nil, []int32{7}},
		"empty":  {`{"name": "w", "shape": [0, 3], "dtype": "float32"}`, nil, []float32{}, nil},
		"float16": {
			`{"name": "w", "shape": [7], "dtype": "float32", "quantization": {"dtype": "float16"}}`,
			// 1, -2, 1/3 rounded, the smallest subnormal, the largest number, infinity, -0
			[]byte{0, 60, 0, 192, 85, 53, 1, 0, 255, 123, 0, 124, 0, 128},
			[]float32{1, -2, 0.33325195, 1. / (1 << 24), 65504, inf, float32(math.Copysign(0, -1))}, nil,
		},
		"uint8": {
			`{"name": "w", "shape": [3], "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1}}`,
			[]byte{0, 2, 255}, []float32{-1, 0, 126.5}, nil,
		},
		"uint16": {
			`{"name": "w", "shape": [2], "dtype": "float32", "quantization": {"dtype": "uint16", "scale": 0.25, "min": 2}}`,
			[]byte{4, 0, 0, 1}, []float32{3, 66}, nil,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := readGraph(test.spec, test.bytes...)
			if err != nil {
				t.Fatal(err)
			}
			w := m.Weights["w"]
			same := func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }
			if !slices.EqualFunc(w.Floats, test.floats, same) || !slices.Equal(w.Ints, test.ints) {
				t.Errorf("got %v %v, want %v %v", w.Floats, w.Ints, test.floats, test.ints)
			}
			if w.Size() != len(test.floats)+len(test.ints) {
				t.Errorf("size %d does not fit", w.Size())
			}
		})
	}
	m, err := readGraph(`{"name": "w", "shape": [2], "dtype": "float32", "quantization": {"dtype": "float16"}}`, 1, 124,
		1, 252)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range m.Weights["w"].Floats {
		if f == f {
			t.Errorf("got %g, want no number", f)
		}
	}
}

func TestReadErrors(t *testing.T) {
	weights := map[string]struct{ spec, want string }{
		"too short":    {`{"name": "w", "shape": [3], "dtype": "float32"}`, "needs more than the remaining 8 bytes"},
		"too long":     {`{"name": "w", "shape": [1], "dtype": "float32"}`, "4 bytes longer"},
		"unknown type": {`{"name": "w", "shape": [1], "dtype": "complex64"}`, `values of type "complex64"`},
		"text":         {`{"name": "w", "shape": [1], "dtype": "string"}`, `values of type "string"`},
		"quantized ints": {`{"name": "w", "shape": [8], "dtype": "int32", "quantization": {"dtype": "uint8"}}`,
			`quantized values of type "int32"`},
		"negative": {`{"name": "w", "shape": [-1], "dtype": "float32"}`, "negative"},
		"overflow": {`{"name": "w", "shape": [4294967296, 4294967296], "dtype": "float32"}`, "needs more than"},
	}
	for name, test := range weights {
		t.Run(name, func(t *testing.T) {
			if _, err := readGraph(test.spec, make([]byte, 8)...); err == nil ||
				!strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
	files := map[string]struct{ text, want string }{
		"no JSON":      {"PK", "not a TensorFlow.js model"},
		"layers model": {`{"modelTopology": {"model_config": {}}}`, "layers model cannot be converted"},
		"no op":        {`{"modelTopology": {"node": [{"name": "x"}]}}`, "name and op must be set"},
		"twice": {`{"modelTopology": {"node": [{"name": "x", "op": "A"}, {"name": "x", "op": "A"}]}}`,
			"is defined twice"},
		"bad reference": {`{"modelTopology": {"node": [{"name": "x", "op": "A", "input": ["y:z"]}]}}`,
			"must look like"},
		"no weights": {`{"modelTopology": {"node": [{"name": "x", "op": "A"}]},
			"weightsManifest": [{"paths": ["w.bin"]}]}`, "w.bin"},
		"outside": {`{"modelTopology": {"node": [{"name": "x", "op": "A"}]},
			"weightsManifest": [{"paths": ["../../w.bin"]}]}`, "../../w.bin"},
	}
	for name, test := range files {
		t.Run(name, func(t *testing.T) {
			_, err := Read(fstest.MapFS{"model.json": {Data: []byte(test.text)}}, "model.json")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
	if _, err := Read(fstest.MapFS{}, "model.json"); err == nil {
		t.Error("a missing file must be an error")
	}
}

func TestSelect(t *testing.T) {
	w := &Tensor{Shape: []int{2, 3}, Floats: []float32{1, 2, 3, 4, 5, 6}}
	got, err := w.Select(1, []int{2, 0})
	if err != nil || !slices.Equal(got.Floats, []float32{3, 1, 6, 4}) || !slices.Equal(got.Shape, []int{2, 2}) {
		t.Errorf("got %v %v", got, err)
	}
	got, err = w.Select(0, []int{1})
	if err != nil || !slices.Equal(got.Floats, []float32{4, 5, 6}) {
		t.Errorf("got %v %v", got, err)
	}
	for axis, keep := range map[int][]int{0: {2}, 1: {-1}, 2: {0}, -1: {0}} {
		if _, err := w.Select(axis, keep); err == nil {
			t.Errorf("axis %d, %v: want an error", axis, keep)
		}
	}
}

func FuzzRead(f *testing.F) {
	quantized := `{"name": "w", "shape": [2], "dtype": "float32", "quantization": {"dtype": "float16"}}`
	f.Add([]byte(strings.Replace(graph, "WEIGHTS", quantized, 1)), []byte{1, 2, 3, 4})
	f.Add([]byte(strings.Replace(graph, "WEIGHTS", `{"name": "w", "shape": [2, 1], "dtype": "int32"}`, 1)),
		make([]byte, 8))
	f.Fuzz(func(t *testing.T, model, weights []byte) {
		m, err := Read(fstest.MapFS{"model.json": {Data: model}, "a.bin": {Data: weights}, "b.bin": {}}, "model.json")
		if err != nil {
			return
		}
		for name, w := range m.Weights {
			if len(w.Floats)+len(w.Ints) != w.Size() {
				t.Errorf("weight %q of shape %v has %d values", name, w.Shape, len(w.Floats)+len(w.Ints))
			}
		}
	})
}
