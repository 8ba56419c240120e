// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"io/fs"
	"path/filepath"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// assess returns what is known about a file that a scan found, before anything opens it. The queue calls it with its
// lock held.
func (w *Watcher) assess(f *found) assessment {
	switch {
	case w.names.isReserved(f.path):
		return jobOutput
	case w.journal.isOutput(f.path):
		return finished
	}
	known, ok := w.journal.source(f.path)
	switch {
	case !ok:
		return candidate
	case known.Stamp == f.stamp && known.State.final():
		return finished
	case known.State == statePending && known.Crashes > 0 && known.Stamp.SameFile(f.stamp):
		return crashSuspect
	}
	return candidate
}

// claim creates a job for a claimed file. It returns nil if it turns out that there is nothing to do, or not yet.
func (w *Watcher) claim(f *file) *Job {
	seen, ok := w.inspect(f)
	if !ok {
		return nil
	}
	if seen.sum != "" && w.finishedBefore(f, seen) {
		return nil
	}
	job, err := w.newJob(f, seen)
	if err != nil {
		f.claimFailures++
		wait := backoff(w.opts.Retry, f.claimFailures)
		w.logger.Warn("cannot start a video",
			zap.String("file", f.path), zap.Duration("next_try_in", wait), zap.Error(err))
		w.giveBack(f, w.requeue(f, wait))
		return nil
	}
	return job
}

// giveBack records what the operator requested for a file while it was claimed, if no job resulted. Otherwise, the end
// of the job records that.
func (w *Watcher) giveBack(f *file, canceled bool) {
	var err error
	if canceled {
		err = w.recordCanceled(f.path, f)
	} else if err = w.recordControl(f.path); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		w.logger.Error("cannot record that a video was paused or canceled", zap.String("file", f.path), zap.Error(err))
	}
}

// inspection is what inspect read from a file. It has no digests if the file cannot be read.
type inspection struct {
	sum, body string // see digests
	previous  []previous
}

// inspect opens the file and checks that it is still the one that the last scan found, and that no one is writing to
// it. If the file cannot be read, inspect still succeeds: the job's owner will run into that, too, and report it.
func (w *Watcher) inspect(f *file) (seen inspection, ok bool) {
	opened, st, err := openRegular(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errNotRegular), errors.Is(err, unix.ELOOP),
		errors.Is(err, unix.ENXIO):
		w.queue.forget(f)
		return seen, false
	case err != nil:
		seen.previous = w.previousUnread(f)
		return seen, true
	}
	defer opened.Close()
	if st != f.stamp {
		w.queue.forget(f)
		return seen, false
	}
	if held := w.completeness.held(opened, st, w.queue.now().Sub(f.since), false); held != "" {
		w.giveBack(f, w.queue.postpone(f, held, max(w.opts.Config.StableFor, minPollGap)))
		w.pollSoon() // to schedule the poll that finds it ready
		return seen, false
	}
	seen.sum, seen.body, err = digests(opened, st.Size)
	if err == nil {
		seen.previous, err = w.continued(f, opened)
	}
	if err != nil {
		return inspection{previous: w.previousUnread(f)}, true
	}
	return seen, true
}

// previousUnread returns the previous outputs of a file that cannot be read. Which of them the file continues is
// determined once it can be read.
func (w *Watcher) previousUnread(f *file) []previous {
	earlier, _ := w.journal.source(f.path)
	return previousOutputs(earlier)
}

// finishedBefore reports whether there is nothing to do, because the file is one of our outputs, or was processed under
// another name or with other times. If so, it records that.
func (w *Watcher) finishedBefore(f *file, seen inspection) bool {
	same := content{f.stamp.Size, seen.sum}
	entry := source{Path: pathText(f.path), Rel: pathText(f.rel), Stamp: f.stamp, Digest: seen.sum, Body: seen.body}
	if output, ok := w.journal.outputWith(same); ok {
		entry.State = stateOutput
		w.logger.Info("ignoring a copy of an output", zap.String("file", f.path), zap.String("made_as", output))
	} else if earlier, ok := w.doneBefore(f, same); ok {
		entry.State, entry.Output = stateDone, earlier.Output
		w.logger.Info("ignoring a video that is already done",
			zap.String("file", f.path), zap.String("done_as", string(earlier.Path)))
	} else {
		return false
	}
	if earlier, ok := w.journal.source(f.path); ok {
		w.removeLeftovers(earlier)
	}
	if err := w.journal.put(entry); err != nil {
		w.logger.Warn("cannot record that a file needs no processing: it will be checked again after a restart",
			zap.String("file", f.path), zap.Error(err))
	}
	w.queue.settle(f)
	return true
}

// doneBefore finds a finished source that is the same as this file, by the rules at the top of watcher.go.
func (w *Watcher) doneBefore(f *file, same content) (source, bool) {
	for _, s := range w.journal.doneWith(same) {
		untouched := s.Stamp.MTime == f.stamp.MTime
		if string(s.Path) == f.path {
			if untouched || s.Output != nil && mayExist(string(s.Output.Path)) {
				return s, true
			}
		} else if untouched && !s.Gone && !mayExist(string(s.Path)) {
			return s, true
		}
	}
	return source{}, false
}

// newJob reserves a name for the output and records the claim.
func (w *Watcher) newJob(f *file, seen inspection) (*Job, error) {
	output, err := w.names.reserve(f.rel)
	if err != nil {
		return nil, err
	}
	earlier, _ := w.journal.source(f.path)
	entry, resumable := newAttempt(f, seen, output, earlier)
	if !resumable {
		w.removeLeftovers(earlier)
	}
	job := &Job{
		Path: f.path, Output: output, Temp: string(entry.Temp), Attempt: entry.Attempt,
		Size: f.stamp.Size, ModTime: f.stamp.ModTime(), watcher: w, file: f, entry: entry, resumable: resumable,
		leftovers: resumable, started: w.queue.now(),
	}
	w.active.add(job)
	if cause := w.queue.stopCause(f); cause != nil { // requested since the claim
		job.stop(cause)
	}
	err = makeFolders(filepath.Dir(output))
	if err == nil {
		err = w.journal.put(entry)
	}
	if err != nil {
		w.names.release(output)
		w.active.remove(job)
		return nil, err
	}
	return job, nil
}

// newAttempt returns the journal entry for an attempt, given the entry of an earlier attempt, which may be empty. The
// attempt can resume if the earlier one left its temporary files, and neither the source nor the folder of its output
// has changed.
func newAttempt(f *file, seen inspection, output string, earlier source) (entry source, resumable bool) {
	entry = source{
		Path: pathText(f.path), Rel: pathText(f.rel), State: stateClaimed, Stamp: f.stamp, Digest: seen.sum, Body: seen.body,
		Previous: seen.previous, Attempt: 1,
		Temp: pathText(tempPath(output)), Output: &outputFile{Path: pathText(output)},
	}
	if earlier.State != statePending || !earlier.Stamp.SameFile(f.stamp) {
		return entry, false
	}
	entry.Attempt, entry.Crashes, entry.Furthest = earlier.Attempt+1, earlier.Crashes, earlier.Furthest
	entry.First = earlier.First
	resumable = earlier.Digest == seen.sum && suits(string(earlier.Temp), output)
	if resumable {
		entry.Temp = earlier.Temp
	}
	return entry, resumable
}

// removeLeftovers removes the temporary files of an earlier attempt, if it left any.
func (w *Watcher) removeLeftovers(s source) {
	if s.Temp == "" {
		return
	}
	if err := removeTemps(string(s.Temp)); err != nil {
		w.logger.Warn("cannot remove the temporary files of an earlier attempt",
			zap.String("file", string(s.Path)), zap.Error(err))
	}
}
