// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"fmt"
	"io/fs"
)

// The operator can pause, resume, cancel, put first and retry a file. If the file is being processed, it is stopped
// first: Job.OnStop tells the owner of its job, who ends the job as on shutdown or, for ErrCanceled, with Job.Cancel.

// The causes for which a job is stopped, besides ErrHeld.
var (
	// ErrPaused means that the operator paused the video.
	ErrPaused = errors.New("the video was paused")
	// ErrPreempted means that the operator put another video first.
	ErrPreempted = errors.New("another video was put first")
	// ErrCanceled means that the operator canceled the video. Job.Cancel has to end the job.
	ErrCanceled = errors.New("the video was canceled")
)

// ErrRefused says that a request is not possible, for example in the current state of a file.
var ErrRefused = errors.New("not possible")

// ReasonCanceled is the reason of a failure that the operator requested.
const ReasonCanceled = "canceled"

// control is what the operator requested for a file.
type control struct {
	paused bool
	// first is larger the later the file was put first; 0 if it was not.
	first uint64
	// stop is why the job that claimed the file has to end; nil if it does not.
	stop error
}

// Pause keeps a file that is waiting or in progress from being processed until Resume is called, even across restarts.
func (w *Watcher) Pause(path string) error {
	err := w.queue.edit(path, func(f *file) error {
		switch {
		case f.phase == settled:
			return fmt.Errorf("%w: it is already done: only a video that is waiting or in progress can be paused", ErrRefused)
		case f.control.paused:
			return fmt.Errorf("%w: it is already paused", ErrRefused)
		case errors.Is(f.control.stop, ErrCanceled):
			return fmt.Errorf("%w: it is being canceled", ErrRefused)
		}
		f.control.paused = true
		if f.phase == claimed {
			f.control.stop = ErrPaused
		}
		return nil
	})
	if err != nil || w.active.stop(path, ErrPaused) {
		return err // the end of the job records it
	}
	return w.recordControl(path)
}

// Resume lets a paused file continue.
func (w *Watcher) Resume(path string) error {
	err := w.queue.edit(path, func(f *file) error {
		if !f.control.paused {
			return fmt.Errorf("%w: it is not paused", ErrRefused)
		}
		f.control.paused = false
		return nil
	})
	if err != nil {
		return err
	}
	return w.recordControl(path)
}

// recordControl records what the operator requested for a waiting file, so that it survives a restart.
func (w *Watcher) recordControl(path string) error {
	var f file
	if err := w.queue.edit(path, func(there *file) error { f = *there; return nil }); err != nil {
		return err
	}
	if f.phase == claimed {
		return nil
	}
	entry, ok := w.journal.source(path)
	if !ok || !entry.Stamp.SameFile(f.stamp) {
		entry = source{Path: pathText(path), Rel: pathText(f.rel), State: statePending, Stamp: f.stamp}
	}
	if entry.Paused == f.control.paused && entry.First == f.control.first {
		return nil
	}
	entry.Paused, entry.First = f.control.paused, f.control.first
	return w.journal.put(entry)
}

// Cancel stops the processing of a file that is waiting or in progress, and discards what has been processed. The
// source stays where it is, and Retry processes it again.
func (w *Watcher) Cancel(path string) error {
	var f file
	err := w.queue.edit(path, func(there *file) error {
		if there.phase == settled {
			return fmt.Errorf("%w: it is already done: only a video that is waiting or in progress can be canceled", ErrRefused)
		}
		there.control.paused = false
		if f = *there; there.phase == claimed {
			there.control.stop = ErrCanceled
		} else {
			there.phase, there.control = settled, control{}
		}
		return nil
	})
	if err != nil || w.active.stop(path, ErrCanceled) || f.phase == claimed {
		return err
	}
	return w.recordCanceled(path, &f)
}

// recordCanceled removes what earlier attempts left, and records that the file was canceled.
func (w *Watcher) recordCanceled(path string, f *file) error {
	if earlier, ok := w.journal.source(path); ok {
		w.removeLeftovers(earlier)
	}
	return w.journal.put(source{Path: pathText(path), Rel: pathText(f.rel), State: stateFailed, Stamp: f.stamp,
		Reason: ReasonCanceled, Error: ErrCanceled.Error()})
}

// First makes a waiting file the next to be processed, even across restarts. If all workers are busy, it stops the job
// that started last, which is resumed afterward.
func (w *Watcher) First(path string) error {
	ready := false
	err := w.queue.edit(path, func(f *file) error {
		switch f.phase {
		case claimed:
			return fmt.Errorf("%w: it is already in progress", ErrRefused)
		case settled:
			return fmt.Errorf("%w: it is already done: only a video that is waiting can be put first", ErrRefused)
		case queued:
			f.due = w.queue.now()
		}
		w.queue.firsts++
		f.control.first, f.control.paused = w.queue.firsts, false
		ready = f.ready(w.queue.now())
		return nil
	})
	if err != nil {
		return err
	}
	if err := w.recordControl(path); err != nil {
		return err
	}
	if jobs, _ := w.active.list(); ready && len(jobs) >= w.opts.Workers {
		w.preempt(jobs)
	}
	return nil
}

// preempt stops the job that started last, since it has the least to lose.
func (w *Watcher) preempt(jobs []*Job) {
	var last *Job
	for _, j := range jobs {
		if last == nil || j.started.After(last.started) {
			last = j
		}
	}
	if last == nil {
		return
	}
	err := w.queue.edit(last.Path, func(f *file) error {
		if f.phase != claimed || f.control.stop != nil {
			return ErrRefused
		}
		f.control.stop = ErrPreempted
		return nil
	})
	if err == nil {
		w.active.stop(last.Path, ErrPreempted)
	}
}

// Retry processes a file again that failed or was canceled. It ends the wait of a file that is waiting to be tried
// again.
func (w *Watcher) Retry(path string) error {
	waits := false
	err := w.queue.edit(path, func(f *file) error {
		switch f.phase {
		case claimed:
			return fmt.Errorf("%w: it is already in progress", ErrRefused)
		case settling:
			return fmt.Errorf("%w: the file is not complete yet", ErrRefused)
		case queued:
			f.due, waits = w.queue.now(), true
		}
		return nil
	})
	if err != nil || waits {
		return err
	}
	entry, _ := w.journal.source(path)
	if entry.State != stateFailed {
		return fmt.Errorf("%w: it did not fail", ErrRefused)
	}
	entry.State, entry.Attempt, entry.Crashes, entry.GaveUp, entry.First = statePending, 0, 0, false, 0
	entry.Reason, entry.Error, entry.Action = "", "", ""
	if err := w.journal.put(entry); err != nil {
		return err
	}
	w.queue.forgetPath(path)
	w.pollSoon()
	return nil
}

// Cancel ends the job for good, at the operator's request: nothing of it is kept, and its source stays where it is.
func (j *Job) Cancel() error {
	if !j.end() {
		return nil
	}
	defer j.settle()
	j.failed(ReasonCanceled, ErrCanceled)
	j.entry.State = stateFailed
	if err := j.conclude(); err != nil {
		return fmt.Errorf("record as canceled: %w", err)
	}
	return nil
}

// OnStop registers stop, which is called with ErrPaused, ErrPreempted, ErrCanceled or ErrHeld when the job has to end,
// or at once if it already has to.
func (j *Job) OnStop(stop func(error)) {
	j.stopping.Lock()
	defer j.stopping.Unlock()
	j.onStop = stop
	if j.cause != nil {
		stop(j.cause)
	}
}

func (j *Job) stop(cause error) {
	j.stopping.Lock()
	defer j.stopping.Unlock()
	if j.cause == nil && j.onStop != nil {
		j.onStop(cause)
	}
	j.cause = cause
}

// stop stops the job for a path, and reports whether there is one.
func (a *activeJobs) stop(path string, cause error) bool {
	jobs, _ := a.list()
	for _, j := range jobs {
		if j.Path == path {
			j.stop(cause)
			return true
		}
	}
	return false
}

// edit changes a file, and wakes everything that waits for changes.
func (q *queue) edit(path string, change func(*file) error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	f := q.files[path]
	if f == nil {
		return fmt.Errorf("the file is gone: %w", fs.ErrNotExist)
	}
	if err := change(f); err != nil {
		return err
	}
	q.broadcast()
	return nil
}

// forgetPath makes the next scan treat a settled file as new.
func (q *queue) forgetPath(path string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if f := q.files[path]; f != nil && f.phase == settled {
		delete(q.files, path)
	}
}

func (q *queue) isPaused(f *file) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return f.control.paused
}

func (q *queue) stopCause(f *file) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return f.control.stop
}

func (w *Watcher) controlBefore(f *found) control {
	known, ok := w.journal.source(f.path)
	if !ok || known.State.final() || !known.Stamp.SameFile(f.stamp) {
		return control{}
	}
	return control{paused: known.Paused, first: known.First}
}
