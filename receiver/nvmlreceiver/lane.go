// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import "sync/atomic"

// lane runs driver calls one at a time. A driver call cannot be canceled: while one hangs, its lane stays busy, nothing
// waits for it, and no second goroutine starts.
type lane struct {
	busy atomic.Bool
}

// run runs f on a new goroutine and returns a channel that closes when f returns. It returns nil, without running f,
// while the previous run is still in progress.
func (l *lane) run(f func()) <-chan struct{} {
	if !l.busy.CompareAndSwap(false, true) {
		return nil
	}
	done := make(chan struct{})
	go func() {
		f()
		l.busy.Store(false)
		close(done)
	}()
	return done
}
