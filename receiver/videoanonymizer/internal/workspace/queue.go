// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"slices"
	"sync"
)

// queue holds background tasks, which are done one after another. It is safe for concurrent use.
type queue[T comparable] struct {
	wake chan struct{}

	mu     sync.Mutex
	wanted []T // the first is in progress
}

func newQueue[T comparable]() *queue[T] { return &queue[T]{wake: make(chan struct{}, 1)} }

// want adds a task, unless it is already waiting or in progress.
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

// pending reports whether a task is waiting or in progress.
func (q *queue[T]) pending(what T) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Contains(q.wanted, what)
}

// first returns the task that is in progress or comes next.
func (q *queue[T]) first() (what T, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.wanted) == 0 {
		return what, false
	}
	return q.wanted[0], true
}

// loop does the tasks, and calls done after each, until the context ends.
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
