// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package oip

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
)

// Model is a model that the servers must serve.
type Model struct {
	// Name is the name of the model on the servers.
	Name string
	// Reference is the same model in this process.
	Reference inference.Session
	// MaxBatch is the largest first dimension of an input, if the model leaves it open. Values less than 1 mean 1.
	MaxBatch int
}

// Identity identifies what a server serves under the name of a model. The protocol has no digests of models.
type Identity struct {
	// Version is the version of the model on the server, empty if the server has none.
	Version string
	// Answer is the SHA-256, in hex, of the server's answer to the known tensor. If an earlier answer since the start
	// differs only by rounding, it is the SHA-256 of the first such answer.
	Answer string
}

// Session is a model on servers. It implements inference.Session.
type Session struct {
	Model  Model
	client *Client

	inputs  []inference.TensorInfo
	outputs []inference.TensorInfo
	known   request            // the known tensor
	want    []inference.Tensor // the reference's answer to it

	mu      sync.Mutex
	answers []answerSeen         // answers of servers to the known tensor
	shapes  map[string][][]int64 // shapes of outputs for a batch of one, by the shapes of inputs
}

var _ inference.Session = (*Session)(nil)

// Name implements inference.Session.
func (s *Session) Name() string { return s.Model.Reference.Name() }

// Inputs implements inference.Session.
func (s *Session) Inputs() []inference.TensorInfo { return slices.Clone(s.inputs) }

// Outputs implements inference.Session.
func (s *Session) Outputs() []inference.TensorInfo { return slices.Clone(s.outputs) }

// Run implements inference.Session. Unless the context has ended, errors that do not come from read are
// inference.ErrUnavailable.
func (s *Session) Run(ctx context.Context, inputs []inference.Tensor, read func([]inference.Tensor) error) error {
	shapes, err := s.shapesFor(ctx, inputs)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: %s: %w", inference.ErrUnavailable, s.Name(), err)
	}
	outputs, err := s.client.infer(ctx, &request{session: s, inputs: inputs, shapes: shapes, span: inference.SpanOf(ctx)})
	if err != nil {
		return err
	}
	return read(outputs)
}

// Close implements inference.Session. It closes the reference.
func (s *Session) Close() error { return s.Model.Reference.Close() }

// Identities returns the distinct identities that the servers had when they were last verified, in order.
func (s *Session) Identities() []Identity {
	var all []Identity
	for _, e := range s.client.endpoints {
		if identity, verified := e.identity(s); verified > 0 {
			all = append(all, identity)
		}
	}
	slices.SortFunc(all, func(a, b Identity) int {
		return strings.Compare(a.Version+" "+a.Answer, b.Version+" "+b.Answer)
	})
	return slices.Compact(all)
}

// shapesFor returns the shapes that the outputs must have. The reference determines them, once for each shape of the
// inputs: an incomplete answer would otherwise look like one with fewer detections.
func (s *Session) shapesFor(ctx context.Context, inputs []inference.Tensor) ([][]int64, error) {
	if len(inputs) != len(s.inputs) {
		return nil, fmt.Errorf("%d inputs, want %d", len(inputs), len(s.inputs))
	}
	batch, one := int64(1), slices.Clone(inputs)
	var key strings.Builder
	for i, in := range inputs {
		if elements(in.Shape) != length(&in) || len(in.Shape) == 0 {
			return nil, fmt.Errorf("input %d: %d elements for the shape %v", i, length(&in), in.Shape)
		}
		if s.inputs[i].Shape[0] < 0 {
			batch = in.Shape[0]
			one[i] = first(in)
		}
		for _, n := range one[i].Shape {
			key.WriteString(strconv.FormatInt(n, 10) + " ")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	shapes, ok := s.shapes[key.String()]
	if !ok {
		err := s.Model.Reference.Run(ctx, one, func(outputs []inference.Tensor) error {
			for _, out := range outputs {
				shapes = append(shapes, slices.Clone(out.Shape))
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("find the shapes of the outputs: %w", err)
		}
		s.shapes[key.String()] = shapes
	}
	return s.batched(shapes, batch), nil
}

// batched returns the shapes of outputs for a batch, given the shapes for a batch of one.
func (s *Session) batched(shapes [][]int64, batch int64) [][]int64 {
	if batch == 1 {
		return shapes
	}
	all := make([][]int64, len(shapes))
	for i, shape := range shapes {
		all[i] = slices.Clone(shape)
		if len(shape) > 0 && s.outputs[i].Shape[0] < 0 {
			all[i][0] = batch
		}
	}
	return all
}

// request is a run for a server to perform.
type request struct {
	session *Session
	inputs  []inference.Tensor
	shapes  [][]int64       // of the outputs
	span    *inference.Span // may be nil
}

// answer contains the outputs that a server returned, in any order.
type answer []output

// output is an output as returned by a server. Its elements are in data, in little-endian order, or in Tensor.
type output struct {
	name, datatype string
	shape          []int64
	data           []byte
	inference.Tensor
}

// accept checks that the outputs are complete and valid, and returns them in the model's order.
func (r *request) accept(given answer) ([]inference.Tensor, error) {
	outputs := make([]inference.Tensor, len(r.shapes))
	for i, info := range r.session.outputs {
		at := slices.IndexFunc(given, func(o output) bool { return o.name == info.Name })
		if at < 0 {
			return nil, fmt.Errorf("the answer lacks the output %s", info.Name)
		}
		t, err := given[at].tensor(info, r.shapes[i])
		if err != nil {
			return nil, fmt.Errorf("output %s: %w", info.Name, err)
		}
		outputs[i] = t
	}
	return outputs, nil
}

func (o output) tensor(info inference.TensorInfo, shape []int64) (inference.Tensor, error) {
	if o.datatype != datatypes[info.Type] || !slices.Equal(o.shape, shape) {
		return inference.Tensor{}, fmt.Errorf("the server returned %s%v, want %s%v", o.datatype, o.shape,
			datatypes[info.Type], shape)
	}
	t := o.Tensor
	if o.data != nil {
		var err error
		if t, err = decode(info.Type, o.data); err != nil {
			return t, err
		}
	}
	t.Shape = shape
	if n := length(&t); n != elements(shape) || typeOf(&t) != info.Type {
		return t, fmt.Errorf("the server returned %d elements for the shape %v", n, shape)
	}
	if !finite(t.Float32) {
		return t, errors.New("the server returned a value that is not a finite number")
	}
	return t, nil
}
