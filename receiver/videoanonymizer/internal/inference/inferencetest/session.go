// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package inferencetest provides a session that answers after a set time, for tests of how inference scales. In a
// testing/synctest bubble, its latency is exact and costs no real time.
package inferencetest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
)

// Options describe the session's model and behavior.
type Options struct {
	Inputs, Outputs []inference.TensorInfo
	// Answer computes the outputs of a run.
	Answer func(inputs []inference.Tensor) []inference.Tensor
	// Latency is how long each run takes.
	Latency time.Duration
	// Parallel limits the number of concurrent runs, like onnx.Options.Parallel; 0 means 1.
	Parallel int
	// MaxBatch is the largest first dimension of an input that fits into memory; larger ones fail with
	// inference.ErrOutOfMemory. 0 means no limit.
	MaxBatch int64
}

// Session is an inference.Session without a model. It is safe for concurrent use.
type Session struct {
	opts  Options
	slots chan struct{}

	mu            sync.Mutex
	batches       []int64
	running, peak int
}

var _ inference.Session = (*Session)(nil)

// New returns a session.
func New(opts Options) *Session {
	return &Session{opts: opts, slots: make(chan struct{}, max(1, opts.Parallel))}
}

// Name implements inference.Session.
func (s *Session) Name() string { return "fake.onnx" }

// Inputs implements inference.Session.
func (s *Session) Inputs() []inference.TensorInfo { return s.opts.Inputs }

// Outputs implements inference.Session.
func (s *Session) Outputs() []inference.TensorInfo { return s.opts.Outputs }

// Run implements inference.Session: it waits for a slot, then for the latency, and answers.
func (s *Session) Run(ctx context.Context, inputs []inference.Tensor, read func([]inference.Tensor) error) error {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	s.begin(inputs[0].Shape[0])
	defer s.end()
	select {
	case <-time.After(s.opts.Latency):
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.opts.MaxBatch > 0 && inputs[0].Shape[0] > s.opts.MaxBatch {
		return fmt.Errorf("%s: %w", s.Name(), inference.ErrOutOfMemory)
	}
	return read(s.opts.Answer(inputs))
}

func (s *Session) begin(batch int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, batch)
	s.running++
	s.peak = max(s.peak, s.running)
}

func (s *Session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
}

// Batches returns the first dimension of each run's first input, in the order in which the runs began.
func (s *Session) Batches() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]int64(nil), s.batches...)
}

// Peak returns the largest number of concurrent runs so far.
func (s *Session) Peak() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peak
}

// Close implements inference.Session.
func (s *Session) Close() error { return nil }
