// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"sync"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
)

// problem is a cause that is logged once.
type problem struct {
	gpu, what string
	code      driver.Code
}

// once remembers what was logged.
type once struct {
	mu   sync.Mutex
	said map[problem]struct{}
}

// say calls log if p was not said before, or was forgotten since.
func (o *once) say(p problem, log func()) {
	o.mu.Lock()
	_, said := o.said[p]
	o.said[p] = struct{}{}
	o.mu.Unlock()
	if !said {
		log()
	}
}

// forget lets every problem with what be said again. It says whether there was one.
func (o *once) forget(what string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	found := false
	for p := range o.said {
		if p.what == what {
			delete(o.said, p)
			found = true
		}
	}
	return found
}
