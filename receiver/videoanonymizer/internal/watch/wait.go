// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
)

// reportAfter is how long a file waits to be picked up before the log says why. Shorter uploads and recordings are not
// worth a line.
const reportAfter = 2 * time.Minute

// wait is what keeps a file from being picked up.
type wait struct {
	since time.Time  // when it was first found
	held  heldReason // empty if it only waits for its turn
	// logged lists the reasons that are in the log: each once, since a recording may alternate between two of them.
	logged []heldReason
}

// report reports whether it is time to log a reason, which happens once per reason.
func (w *wait) report(held heldReason, now time.Time) bool {
	if held == "" || now.Sub(w.since) < reportAfter || slices.Contains(w.logged, held) {
		return false
	}
	w.logged = append(w.logged, held)
	return true
}

// report logs why a file is not picked up, once it has waited for a while. The caller holds mu.
func (q *queue) report(f *file, now time.Time) {
	if f.phase != settling && f.phase != queued || !f.wait.report(f.wait.held, now) {
		return
	}
	log := q.logger.Warn
	switch f.wait.held {
	case heldChanging, heldWriter, heldUnknown: // as with any long recording
		log = q.logger.Info
	}
	log("a file has not been picked up yet", zap.String("file", f.path), zap.String("reason", string(f.wait.held)),
		zap.Duration("waiting_for", now.Sub(f.wait.since)))
}

// reportKind logs that files with an extension are not picked up, once per folder. The caller holds mu.
func (q *queue) reportKind(f *file) {
	ext := strings.ToLower(filepath.Ext(f.path))
	key := filepath.Dir(f.path) + "/*" + ext
	if q.kinds[key] {
		return
	}
	q.kinds[key] = true
	q.logger.Info("ignoring files whose extension is not a video's: to process them, name it in watch::include",
		zap.String("files", key), zap.String("first", f.path))
}
