// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import "time"

// backoff is a wait that doubles with each failure, from initial up to max.
type backoff struct {
	initial, max time.Duration
	wait         time.Duration
	next         time.Time
}

// due reports whether the wait is over.
func (b *backoff) due(now time.Time) bool { return !now.Before(b.next) }

// fail starts the next, longer wait.
func (b *backoff) fail(now time.Time) {
	b.wait = min(max(2*b.wait, b.initial), b.max)
	b.next = now.Add(b.wait)
}

func (b *backoff) reset() { b.wait, b.next = 0, time.Time{} }
