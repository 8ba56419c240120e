// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package onnx_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/onnx"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/onnxtest"
)

// small builds a model with every kind of attribute, constant, and dimension.
func small() *onnx.Model {
	b := onnx.NewBuilder("small")
	x := b.Input("x", onnx.Uint8, onnx.Free("N"), onnx.Fixed(2), onnx.Fixed(2))
	f := b.Op("Cast", []string{x}, onnx.Int("to", int(onnx.Float)))
	f = b.Op("Transpose", []string{f}, onnx.Ints("perm", 0, 2, 1))
	f = b.Op("LeakyRelu", []string{b.Op("Sub", []string{f, b.Float(1.5)})}, onnx.Number("alpha", 0.5))
	parts := b.Ops("Split", 2, []string{f, b.Int64s(1, 1)}, onnx.Int("axis", -1))
	f = b.Op("Add", []string{parts[0], b.Floats([]int{2, 1}, 10, 20)})
	f = b.Op("Pad", []string{f, b.Int64s(0, 0, 0, 0, 0, 1), b.Float(1.5)}, onnx.Text("mode", "constant"))
	b.Output("y", f, onnx.Float, onnx.Free("N"), onnx.Fixed(2), onnx.Fixed(2))
	return b.Model()
}

// TestMarshal loads and runs a model in ONNX Runtime.
func TestMarshal(t *testing.T) {
	onnxtest.Fetch(t)
	session := onnxtest.NewSession(t, small().Marshal())
	got := onnxtest.Run(t, session, []int64{1, 2, 2}, []uint8{0, 9, 3, 9})["y"]
	// (0, 3) - 1.5, halved where negative, + (10, 20), then a column of 1.5
	onnxtest.Close(t, "y", got.Values, []float32{9.25, 1.5, 27.5, 1.5}, 0)
}

func TestMarshalIsDeterministic(t *testing.T) {
	if !bytes.Equal(small().Marshal(), small().Marshal()) {
		t.Error("two builds of one model differ")
	}
}

// TestMarshalBytes compares the result with bytes derived by hand from onnx.proto.
func TestMarshalBytes(t *testing.T) {
	m := onnx.Model{
		Name: "g",
		Inputs: []onnx.ValueInfo{{Name: "x", Type: onnx.Float,
			Dims: []onnx.Dim{onnx.Free("N"), onnx.Fixed(300)}}},
		Nodes: []onnx.Node{{Op: "Relu", Inputs: []string{"x", ""}, Outputs: []string{"y"},
			Attributes: []onnx.Attribute{onnx.Ints("k", -1)}}},
		Initializers: []onnx.Tensor{{Name: "c", Type: onnx.Int64, Dims: []int64{1},
			Raw: []byte{1, 0, 0, 0, 0, 0, 0, 0}}},
	}
	attribute := "0a016b" + "40ffffffffffffffffff01" + "a00107"
	node := "0a0178" + "0a00" + "120179" + "1a0179" + "220452656c75" + "2a" + "11" + attribute
	tensor := "0801" + "1007" + "420163" + "4a080100000000000000"
	value := "0a0178" + "12" + "10" + "0a0e" + "0801" + "120a" + "0a03" + "12014e" + "0a03" + "08ac02"
	graph := "0a" + "24" + node + "120167" + "2a" + "11" + tensor + "5a" + "15" + value
	want := "0808" + "12126f74656c636f6c2d616e6f6e796d697a6572" + "3a" + "53" + graph + "42040a001011"
	if got := hex.EncodeToString(m.Marshal()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestConstantsAreShared(t *testing.T) {
	b := onnx.NewBuilder("test")
	float, ints := b.Float(1), b.Int64s(2, 3)
	if b.Float(1) != float || b.Int64s(2, 3) != ints {
		t.Error("equal constants have different names")
	}
	if b.Float(1) == b.Floats([]int{1}, 1) || b.Int64(2) == b.Int64s(2) {
		t.Error("a number and a vector of one number are not the same")
	}
	defer func() {
		if recover() == nil {
			t.Error("a shape that does not fit its values must not pass")
		}
	}()
	b.Floats([]int{2}, 1)
}
