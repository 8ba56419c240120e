// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package oip

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
)

// datatypes maps the element types of inference.TensorInfo to the protocol's names.
var datatypes = map[string]string{"uint8": "UINT8", "int64": "INT64", "float": "FP32"}

func typeOf(t *inference.Tensor) string {
	switch {
	case t.Uint8 != nil:
		return "uint8"
	case t.Int64 != nil:
		return "int64"
	case t.Float32 != nil:
		return "float"
	}
	return ""
}

// length returns the number of elements in a tensor.
func length(t *inference.Tensor) int64 { return int64(len(t.Uint8) + len(t.Int64) + len(t.Float32)) }

// elements returns the number of elements that a shape requires.
func elements(shape []int64) int64 {
	n := int64(1)
	for _, side := range shape {
		n *= side
	}
	return n
}

// first returns the first item of a batch.
func first(t inference.Tensor) inference.Tensor {
	shape := slices.Clone(t.Shape)
	shape[0] = 1
	n := elements(shape)
	one := inference.Tensor{Shape: shape}
	switch {
	case t.Uint8 != nil:
		one.Uint8 = t.Uint8[:n]
	case t.Int64 != nil:
		one.Int64 = t.Int64[:n]
	default:
		one.Float32 = t.Float32[:n]
	}
	return one
}

// encode returns the elements in little-endian order. For bytes, it returns the tensor's own slice.
func encode(t *inference.Tensor) []byte {
	if t.Uint8 != nil {
		return t.Uint8
	}
	data := make([]byte, 0, 8*len(t.Int64)+4*len(t.Float32))
	for _, v := range t.Int64 {
		data = binary.LittleEndian.AppendUint64(data, uint64(v))
	}
	for _, v := range t.Float32 {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return data
}

// decode reads elements in little-endian order. For bytes, the tensor shares data.
func decode(elementType string, data []byte) (t inference.Tensor, err error) {
	size := map[string]int{"uint8": 1, "int64": 8, "float": 4}[elementType]
	if size == 0 || len(data)%size != 0 {
		return t, fmt.Errorf("the server returned %d bytes, which are not whole elements of type %s", len(data), elementType)
	}
	n := len(data) / size
	switch elementType {
	case "uint8":
		t.Uint8 = data
	case "int64":
		t.Int64 = make([]int64, n)
		for i := range t.Int64 {
			t.Int64[i] = int64(binary.LittleEndian.Uint64(data[8*i:]))
		}
	default:
		t.Float32 = make([]float32, n)
		for i := range t.Float32 {
			t.Float32[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
	}
	return t, nil
}

func finite(values []float32) bool {
	for _, v := range values {
		if v-v != 0 { // v-v is NaN for NaN and infinities
			return false
		}
	}
	return true
}
