// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package inference defines the interface through which the model families (package vision) run their models: sessions
// that turn tensors into tensors. Package onnx implements it with ONNX Runtime in this process, package oip with
// inference servers.
package inference

import (
	"context"
	"errors"
	"fmt"
)

// Errors that every Session returns, wrapped, so that callers can tell them apart.
var (
	// ErrModel marks a model that cannot be opened, or whose inputs and outputs do not match its family.
	ErrModel = errors.New("model cannot be used")
	// ErrOutOfMemory marks a run for which the device has too little memory; a smaller batch may succeed.
	ErrOutOfMemory = errors.New("out of memory")
	// ErrTimeout marks a run that exceeded the session's time limit.
	ErrTimeout = errors.New("inference took too long")
	// ErrUnavailable marks a run that no server answered with valid outputs. It says nothing about the input, so callers
	// that need the outputs must wait for a server rather than do without them.
	ErrUnavailable = errors.New("no inference server answered as it should")
)

// Session is an opened model. Its methods are safe for concurrent use, except Close.
type Session interface {
	// Name is the model's file name, for messages.
	Name() string
	// Inputs describes the model's inputs, in the order in which Run takes them.
	Inputs() []TensorInfo
	// Outputs describes the model's outputs, in the order in which Run returns them.
	Outputs() []TensorInfo
	// Run computes the outputs and passes them to read; their memory is valid only until read returns. If the session
	// limits concurrent runs, Run waits for its turn. It returns read's error, the context's error, ErrOutOfMemory,
	// ErrTimeout, ErrUnavailable, or another error that makes the outputs unusable.
	Run(ctx context.Context, inputs []Tensor, read func(outputs []Tensor) error) error
	// Close frees the model. No run may be in progress, and none may follow.
	Close() error
}

// TensorInfo describes an input or output of a model.
type TensorInfo struct {
	Name string
	// Type is the element type as ONNX names it, in lower case: uint8, int64, or float for 32-bit floating point.
	Type string
	// Shape is the size of each dimension; -1 marks one that the caller chooses.
	Shape []int64
}

func (t TensorInfo) String() string { return fmt.Sprintf("%s %s%v", t.Name, t.Type, t.Shape) }

// Tensor is a dense array in row-major order. Exactly one of the data slices is set; it holds as many elements as Shape
// says.
type Tensor struct {
	Shape   []int64
	Uint8   []uint8
	Int64   []int64
	Float32 []float32
}
