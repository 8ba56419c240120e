// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import "errors"

// ErrHeld is the cause for which a job is stopped while no videos are to be processed, see Watcher.Hold.
var ErrHeld = errors.New("no videos are processed for now")

// Hold keeps files from being claimed until it is called with an empty why. Overview gives why as the reason. If
// suspend is set, jobs are stopped, and continue afterward; otherwise, they end as usual. Start must have been called.
func (w *Watcher) Hold(why string, suspend bool) {
	w.held.Store(&why)
	w.queue.hold(why != "")
	if why == "" {
		w.pollSoon() // workers then claim files, unless there are other reasons not to
		return
	}
	if !suspend {
		return
	}
	for _, path := range w.queue.stopClaimed(ErrHeld) {
		w.active.stop(path, ErrHeld)
	}
}

// heldWhy returns why no files are claimed, or empty if they are.
func (w *Watcher) heldWhy() string {
	if why := w.held.Load(); why != nil {
		return *why
	}
	return ""
}

// stopClaimed marks the jobs of all claimed files, including those about to begin, to be stopped, and returns the
// paths.
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
