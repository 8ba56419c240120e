// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import "sync/atomic"

// lane carries driver calls one after the other. A call cannot be broken off: one that hangs takes up its lane, and nobody waits
// for it and no second goroutine is started until it comes back.
type lane struct {
	busy atomic.Bool
}

// run runs f on a goroutine of its own and closes the channel when f is done. It is nil while the run before is not done.
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
