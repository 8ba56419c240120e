// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package attrtometrics // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics"

import (
	"context"
	"sync"

	"go.opentelemetry.io/collector/consumer"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/engine"
)

// sharedEngine is the engine of all processors with one ID. The collector creates a processor for each pipeline that
// lists the ID, but a metric must have a single writer: two writers would alternately send their own totals.
type sharedEngine struct {
	mu      sync.Mutex
	engine  *engine.Engine // nil unless there are users
	users   int            // processors that were created and not shut down
	started bool
}

// acquire returns the engine for one more user, and creates it for the first.
func (s *sharedEngine) acquire(newEngine func() (*engine.Engine, error)) (*engine.Engine, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.engine == nil {
		e, err := newEngine()
		if err != nil {
			return nil, err
		}
		s.engine, s.started = e, false
	}
	s.users++
	return s.engine, nil
}

// start starts the engine unless another user already has.
func (s *sharedEngine) start(next consumer.Metrics) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		s.started = true
		s.engine.Start(next)
	}
}

// release shuts the engine down when its last user releases it.
func (s *sharedEngine) release(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users--
	if s.users > 0 {
		return nil
	}
	e := s.engine
	s.engine = nil
	return e.Shutdown(ctx)
}
