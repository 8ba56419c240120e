// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import "errors"

// ErrHeld is the cause for which a job is stopped when no videos are to be processed for now, see Watcher.Hold.
var ErrHeld = errors.New("no videos are processed for now")

// Hold has no file claimed until it is called with an empty why, which Overview gives as the reason. With suspend, jobs
// are stopped, and go on afterwards; otherwise they end as usual. Start must have been called.
func (w *Watcher) Hold(why string, suspend bool) {
	w.held.Store(&why)
	w.queue.hold(why != "")
	if why == "" {
		w.pollSoon() // which claims, unless there are other reasons not to
		return
	}
	if !suspend {
		return
	}
	for _, path := range w.queue.stopClaimed(ErrHeld) {
		w.active.stop(path, ErrHeld)
	}
}

// heldWhy is why no file is claimed for now; empty if files are.
func (w *Watcher) heldWhy() string {
	if why := w.held.Load(); why != nil {
		return *why
	}
	return ""
}

// stopClaimed has the jobs of all claimed files stopped, also those that are about to begin, and returns their paths.
func (q *queue) stopClaimed(cause error) (paths []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for path, f := range q.files {
		if f.phase == claimed && f.control.stop == nil {
			f.control.stop = cause
			paths = append(paths, path)
		}
	}
	return paths
}
