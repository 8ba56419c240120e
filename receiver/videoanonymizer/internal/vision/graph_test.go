// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/onnx"
)

// graph writes a small ONNX model (opset 11), to test a family without its weights on a model whose answer is known.
// Field numbers are those of onnx.proto.
type graph struct{ bytes []byte }

type elem uint64

const (
	float  elem = 1
	uint8s elem = 2
	int64s elem = 7
)

func (g *graph) add(field protowire.Number, message []byte) {
	g.bytes = protowire.AppendBytes(protowire.AppendTag(g.bytes, field, protowire.BytesType), message)
}

func (g *graph) node(op, out string, in []string, axes ...int64) {
	var n graph
	for _, name := range in {
		n.add(1, []byte(name))
	}
	n.add(2, []byte(out))
	n.add(4, []byte(op))
	if op == "Cast" {
		var a graph
		a.add(1, []byte("to"))
		a.varint(3, uint64(float))
		a.varint(20, 2) // INT
		n.add(5, a.bytes)
	}
	if len(axes) > 0 {
		var a graph
		a.add(1, []byte("axes"))
		for _, axis := range axes {
			a.varint(8, uint64(axis))
		}
		a.varint(20, 7) // INTS
		n.add(5, a.bytes)
	}
	g.add(1, n.bytes)
}

func (g *graph) varint(field protowire.Number, v uint64) {
	g.bytes = protowire.AppendVarint(protowire.AppendTag(g.bytes, field, protowire.VarintType), v)
}

func (g *graph) constant(name string, shape []int64, values []float32) {
	var t graph
	for _, d := range shape {
		t.varint(1, uint64(d))
	}
	t.varint(2, uint64(float))
	t.add(8, []byte(name))
	var raw []byte
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	t.add(9, raw)
	g.add(5, t.bytes)
}

// shape adds a constant list of numbers.
func (g *graph) shape(name string, values ...int64) {
	var t graph
	t.varint(1, uint64(len(values)))
	t.varint(2, uint64(int64s))
	t.add(8, []byte(name))
	var raw []byte
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	t.add(9, raw)
	g.add(5, t.bytes)
}

const (
	graphInput  protowire.Number = 11
	graphOutput protowire.Number = 12
)

// value declares an input or output; a dimension of -1 is open.
func (g *graph) value(field protowire.Number, name string, of elem, shape ...int64) {
	var dims graph
	for i, d := range shape {
		var dim graph
		if d < 0 {
			dim.add(2, []byte{byte('a' + i)})
		} else {
			dim.varint(1, uint64(d))
		}
		dims.add(1, dim.bytes)
	}
	var tensor, typ, info graph
	tensor.varint(1, uint64(of))
	tensor.add(2, dims.bytes)
	typ.add(1, tensor.bytes)
	info.add(1, []byte(name))
	info.add(2, typ.bytes)
	g.add(field, info.bytes)
}

func (g *graph) open(t *testing.T) *onnx.Session {
	t.Helper()
	g.add(2, []byte("test"))
	var opset, model graph
	opset.varint(2, 11)
	model.varint(1, 6)
	model.add(7, g.bytes)
	model.add(8, opset.bytes)
	path := filepath.Join(t.TempDir(), "model.onnx")
	require.NoError(t, os.WriteFile(path, model.bytes, 0o600))
	require.NoError(t, onnx.Initialize(models.RuntimeLibrary(modelsDir)), "run `make models` first")
	session, err := onnx.Open(path, onnx.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, session.Close()) })
	return session
}
