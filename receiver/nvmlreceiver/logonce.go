// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"sync"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
)

// problem identifies something that is logged only once.
type problem struct {
	gpu, what string
	code      driver.Code
}

// logOnce remembers which problems have been logged.
type logOnce struct {
	mu   sync.Mutex
	seen map[problem]struct{}
}

// do calls log unless p has already been logged since the last forget. The message must distinguish p from other
// problems: by default, a collector drops log entries once it has logged the same message ten times within 10 s.
func (o *logOnce) do(p problem, log func()) {
	o.mu.Lock()
	_, seen := o.seen[p]
	o.seen[p] = struct{}{}
	o.mu.Unlock()
	if !seen {
		log()
	}
}

// forget allows every problem with this what to be logged again. It reports whether there was one.
func (o *logOnce) forget(what string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	found := false
	for p := range o.seen {
		if p.what == what {
			delete(o.seen, p)
			found = true
		}
	}
	return found
}
