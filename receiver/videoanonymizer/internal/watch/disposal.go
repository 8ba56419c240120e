// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// action is what is done to a source once its outcome is recorded.
type action string

const (
	actionMove       action = "move"
	actionDelete     action = "delete"
	actionQuarantine action = "quarantine"
)

// disposal moves, deletes or quarantines sources, as the options request, once their outcome is recorded, they have
// then stayed unchanged for a while longer (longCalm), and no program has them open for writing (completeness). A
// recorder or a copy that had only paused continues in that time: its file has then changed, stays in place, and is
// processed again. A restart starts this time anew.
type disposal struct {
	journal      *journal
	completeness completeness
	onSuccess    OnSuccess
	moveTo       string
	quarantine   string // empty leaves failed sources in place
	fileMode     os.FileMode
	logger       *zap.Logger
	now          func() time.Time
	wake         chan struct{} // signaled when something is scheduled

	mu      sync.Mutex
	waiting map[string]*waitingSource // by path
}

// waitingSource is a source that will be moved, deleted or quarantined.
type waitingSource struct {
	entry source    // as recorded
	since time.Time // when its outcome was recorded
	due   time.Time
	wait  wait
	// lastLogged is the last logged reason why it could not be moved or deleted.
	lastLogged string
}

func newDisposal(journal *journal, completeness completeness, now func() time.Time, opts *Options) *disposal {
	return &disposal{
		journal: journal, completeness: completeness, now: now, logger: opts.Logger,
		onSuccess: opts.OnSuccess, moveTo: opts.MoveTo, quarantine: opts.QuarantineDirectory, fileMode: opts.FileMode,
		wake: make(chan struct{}, 1), waiting: map[string]*waitingSource{},
	}
}

// afterSuccess returns the action for a source that is done, empty for none.
func (d *disposal) afterSuccess(s source) action {
	switch {
	case s.KeepSource:
		return ""
	case d.onSuccess == OnSuccessMove:
		return actionMove
	case d.onSuccess == OnSuccessDelete:
		return actionDelete
	}
	return ""
}

// afterFailure returns the action for a source that failed permanently, empty for none.
func (d *disposal) afterFailure() action {
	if d.quarantine != "" {
		return actionQuarantine
	}
	return ""
}

// schedule schedules the action that the source's journal entry requests, if any.
func (d *disposal) schedule(path string) {
	entry, _ := d.journal.source(path)
	if entry.Action == "" {
		return
	}
	now := d.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting[path] = &waitingSource{entry: entry, since: now, due: now, wait: wait{since: now}}
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// keepWithoutOutput keeps the sources whose outputs are gone because the output directory was removed.
func (d *disposal) keepWithoutOutput() {
	for _, w := range d.list() {
		if w.entry.State == stateDone && !mayExist(string(w.entry.Output.Path)) {
			d.remove(w)
			d.keep(w.entry)
		}
	}
}

// keep drops the action on a source whose output is gone.
func (d *disposal) keep(s source) {
	d.logger.Warn("a source that was to be moved or deleted stays where it is: the folder of its output was removed",
		zap.String("file", string(s.Path)), zap.String("output", string(s.Output.Path)))
	s.Action = ""
	if err := d.journal.update(s); err != nil {
		d.logger.Warn("cannot record that a source stays where it is", zap.String("file", string(s.Path)), zap.Error(err))
	}
}

// loop takes actions when they are due, until the context ends.
func (d *disposal) loop(ctx context.Context) {
	for {
		timer := time.NewTimer(max(minPollGap, d.runDue(ctx)))
		select {
		case <-ctx.Done():
		case <-d.wake:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// retryDisposal is the wait after a source could not be moved or deleted.
const retryDisposal = 10 * time.Minute

// runDue takes the actions that are due, and returns the time until the next one may be, or the maximum duration.
func (d *disposal) runDue(ctx context.Context) time.Duration {
	next := time.Duration(math.MaxInt64)
	for _, w := range d.list() {
		if ctx.Err() != nil {
			break
		}
		if !w.due.After(d.now()) && d.try(w) {
			d.remove(w)
			continue
		}
		next = min(next, w.due.Sub(d.now()))
	}
	return next
}

func (d *disposal) list() []*waitingSource {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Values(d.waiting))
}

func (d *disposal) remove(w *waitingSource) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if path := string(w.entry.Path); d.waiting[path] == w { // it may have another outcome by now
		delete(d.waiting, path)
	}
}

// try takes the action if the source is ready for it, and reports whether nothing is left to do. Otherwise, it sets
// w.due to the time of the next try.
func (d *disposal) try(w *waitingSource) (done bool) {
	current, _ := d.journal.source(string(w.entry.Path))
	if !current.Time.Equal(w.entry.Time) { // the file has changed and is processed again
		return true
	}
	wait, err := d.remaining(w)
	if wait > 0 {
		w.due = d.now().Add(wait)
		return false
	}
	if out := w.entry.Output; w.entry.State == stateDone && !mayExist(filepath.Dir(string(out.Path))) {
		d.keep(w.entry)
		return true
	}
	if err == nil {
		err = d.run(w.entry)
	}
	switch {
	case err == nil, errors.Is(err, ErrStopped):
		return true
	case err.Error() != w.lastLogged:
		w.lastLogged = err.Error()
		d.logger.Warn("a source could not be moved or deleted: it stays where it is and is not processed again",
			zap.String("file", string(w.entry.Path)), zap.Duration("next_try_in", retryDisposal), zap.Error(err))
	}
	w.due = d.now().Add(retryDisposal)
	return false
}

// remaining returns how much longer a source has to stay, or 0 if it may go. If the source is gone, or was replaced by
// another file, run notices that; if only its content differs, remaining drops its action.
func (d *disposal) remaining(w *waitingSource) (time.Duration, error) {
	calm := d.now().Sub(w.since)
	opened, st, err := openRegular(string(w.entry.Path))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errNotRegular), errors.Is(err, unix.ELOOP):
		return 0, nil
	case err != nil:
		return unknownCalm(d.completeness.stableFor) - calm, nil
	}
	defer opened.Close()
	if !st.SameFile(w.entry.Stamp) {
		return 0, nil
	}
	if wait := longCalm(d.completeness.stableFor) - calm; wait > 0 {
		return wait, nil
	}
	if held := d.completeness.held(opened, st, calm, true); held != "" {
		if w.wait.report(held, d.now()) {
			d.logger.Info("a source that is to be moved or deleted stays where it is for now",
				zap.String("file", opened.Name()), zap.String("reason", string(held)))
		}
		return max(d.completeness.stableFor, minPollGap), nil
	}
	if st == w.entry.Stamp || w.entry.Digest == "" {
		return 0, nil
	}
	sum, err := digest(opened, st.Size) // only ctime differs, as after a write whose mtime was set back
	if err == nil && sum != w.entry.Digest {
		w.entry.Action = ""
	}
	return 0, err
}

// run takes the action that a source's entry requests, and records that. A source that is gone, or was replaced by
// another file, is left alone. An action that the configuration no longer requests is dropped.
func (d *disposal) run(s source) error {
	var err error
	switch path := string(s.Path); {
	case s.Action == actionDelete && d.onSuccess == OnSuccessDelete:
		err = remove(path, s.Stamp)
	case s.Action == actionMove && d.onSuccess == OnSuccessMove:
		err = move(path, s.Stamp, filepath.Join(d.moveTo, string(s.Rel)), nil)
	case s.Action == actionQuarantine && d.quarantine != "":
		err = move(path, s.Stamp, filepath.Join(d.quarantine, string(s.Rel)), func(to string) error {
			return writeReason(to, s, d.fileMode)
		})
	default:
		s.Action = ""
		return d.journal.update(s)
	}
	if err != nil && !errors.Is(err, errOtherFile) {
		return fmt.Errorf("%s the source %s: %w", s.Action, s.Path, err)
	}
	s.Gone, s.Action = err == nil, ""
	return d.journal.update(s)
}
