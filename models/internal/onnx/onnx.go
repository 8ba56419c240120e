// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package onnx writes ONNX model files. It implements the part of the format that the converter needs
// (https://github.com/onnx/onnx/blob/v1.17.0/onnx/onnx.proto). The same model always produces the same bytes.
package onnx

import (
	"encoding/binary"
	"math"
)

// The versions of the file format and of the operator set that Marshal writes.
const (
	irVersion = 8
	opset     = 17
)

// Type is the element type of a tensor, numbered as in onnx.proto.
type Type int32

// The element types used.
const (
	Float Type = 1
	Uint8 Type = 2
	Int32 Type = 6
	Int64 Type = 7
	Bool  Type = 9
)

// Model is a graph of nodes in execution order.
type Model struct {
	Name         string
	Inputs       []ValueInfo
	Outputs      []ValueInfo
	Nodes        []Node
	Initializers []Tensor
}

// ValueInfo describes an input or an output of the model.
type ValueInfo struct {
	Name string
	Type Type
	Dims []Dim
}

// Dim is one dimension: free if it has a name, fixed otherwise.
type Dim struct {
	Name string
	Size int64
}

// Tensor is a constant. Raw holds its values as little-endian bytes in row-major order.
type Tensor struct {
	Name string
	Type Type
	Dims []int64
	Raw  []byte
}

// Node is one operation.
type Node struct {
	Op         string
	Inputs     []string // an empty name omits an optional input
	Outputs    []string
	Attributes []Attribute
}

// Attribute is a named argument of a node. Value is an int64, float32, string, or []int64.
type Attribute struct {
	Name  string
	Value any
}

// Marshal returns the content of an .onnx file.
func (m *Model) Marshal() []byte {
	var graph message
	for _, n := range m.Nodes {
		graph.message(1, n.marshal())
	}
	graph.string(2, m.Name)
	for _, t := range m.Initializers {
		graph.message(5, t.marshal())
	}
	for _, v := range m.Inputs {
		graph.message(11, v.marshal())
	}
	for _, v := range m.Outputs {
		graph.message(12, v.marshal())
	}
	var operators message
	operators.string(1, "")
	operators.int(2, opset)

	var file message
	file.int(1, irVersion)
	file.string(2, "otelcol-anonymizer")
	file.message(7, graph)
	file.message(8, operators)
	return file
}

func (n Node) marshal() message {
	var b message
	for _, name := range n.Inputs {
		b.string(1, name)
	}
	for _, name := range n.Outputs {
		b.string(2, name)
	}
	b.string(3, n.Outputs[0])
	b.string(4, n.Op)
	for _, a := range n.Attributes {
		b.message(5, a.marshal())
	}
	return b
}

func (a Attribute) marshal() message {
	const typeFloat, typeInt, typeString, typeInts = 1, 2, 3, 7
	var b message
	b.string(1, a.Name)
	switch v := a.Value.(type) {
	case float32:
		b.float(2, v)
		b.int(20, typeFloat)
	case int64:
		b.int(3, v)
		b.int(20, typeInt)
	case string:
		b.string(4, v)
		b.int(20, typeString)
	case []int64:
		for _, i := range v {
			b.int(8, i)
		}
		b.int(20, typeInts)
	default:
		panic("onnx: attribute " + a.Name + " has an unsupported type")
	}
	return b
}

func (t Tensor) marshal() message {
	var b message
	for _, d := range t.Dims {
		b.int(1, d)
	}
	b.int(2, int64(t.Type))
	b.string(8, t.Name)
	b.message(9, t.Raw)
	return b
}

func (v ValueInfo) marshal() message {
	var shape message
	for _, d := range v.Dims {
		var dim message
		if d.Name != "" {
			dim.string(2, d.Name)
		} else {
			dim.int(1, d.Size)
		}
		shape.message(1, dim)
	}
	var tensor message
	tensor.int(1, int64(v.Type))
	tensor.message(2, shape)
	var typ message
	typ.message(1, tensor)
	var b message
	b.string(1, v.Name)
	b.message(2, typ)
	return b
}

// message is an encoded protocol buffer message (https://protobuf.dev/programming-guides/encoding).
type message []byte

const (
	wireVarint  = 0
	wireBytes   = 2
	wireFixed32 = 5
)

func (b *message) tag(field, wire uint64) { *b = binary.AppendUvarint(*b, field<<3|wire) }

func (b *message) int(field uint64, v int64) {
	b.tag(field, wireVarint)
	*b = binary.AppendUvarint(*b, uint64(v))
}

func (b *message) float(field uint64, v float32) {
	b.tag(field, wireFixed32)
	*b = binary.LittleEndian.AppendUint32(*b, math.Float32bits(v))
}

func (b *message) string(field uint64, v string) { b.message(field, []byte(v)) }

func (b *message) message(field uint64, v []byte) {
	b.tag(field, wireBytes)
	*b = binary.AppendUvarint(*b, uint64(len(v)))
	*b = append(*b, v...)
}
