// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"slices"
	"sync"
)

// queue is what is to be done in the background, one thing after another. It is safe for concurrent use.
type queue[T comparable] struct {
	wake chan struct{}

	mu     sync.Mutex
	wanted []T // the first is being done
}

func newQueue[T comparable]() *queue[T] { return &queue[T]{wake: make(chan struct{}, 1)} }

// want adds something, unless it waits already or is being done.
func (q *queue[T]) want(what T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if slices.Contains(q.wanted, what) {
		return
	}
	q.wanted = append(q.wanted, what)
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// pending reports whether something waits or is being done.
func (q *queue[T]) pending(what T) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Contains(q.wanted, what)
}

// first returns what is being done or comes next.
func (q *queue[T]) first() (what T, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.wanted) == 0 {
		return what, false
	}
	return q.wanted[0], true
}

// loop does what is wanted, and calls done after each, until the context ends.
func (q *queue[T]) loop(ctx context.Context, do func(T), done func()) {
	for ctx.Err() == nil {
		what, ok := q.first()
		if !ok {
			select {
			case <-ctx.Done():
			case <-q.wake:
			}
			continue
		}
		do(what)
		q.mu.Lock()
		q.wanted = q.wanted[1:]
		q.mu.Unlock()
		done()
	}
}
