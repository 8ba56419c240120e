// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import "time"

// backoff is a wait that doubles with each failure.
type backoff struct {
	first, longest time.Duration
	wait           time.Duration
	next           time.Time
}

func (b *backoff) due(now time.Time) bool { return !now.Before(b.next) }

func (b *backoff) fail(now time.Time) {
	b.wait = min(max(2*b.wait, b.first), b.longest)
	b.next = now.Add(b.wait)
}

func (b *backoff) reset() { b.wait, b.next = 0, time.Time{} }
