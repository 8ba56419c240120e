// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

var (
	// ErrChanged says that the source is no longer the file that was claimed. Its output must be discarded; the file is
	// claimed again once it is complete.
	ErrChanged = errors.New("the source changed while it was processed")
	// ErrVanished says that the source has been deleted or renamed since the claim. A complete output may be all that is
	// left of the video.
	ErrVanished = errors.New("the source vanished while it was processed")
	// ErrTaken says that another file has taken the output's name since the claim. Another attempt gets another name.
	ErrTaken = errors.New("another file took the output's name")
)

// ReasonCrash is the reason of a failure that the watcher itself records: the collector died in the last allowed
// attempt.
const ReasonCrash = "crash"

// Job is one attempt at one file. One of Done, Fail, Cancel, Retry, Abandon, Suspend, Postpone and Await ends it; later
// calls of these have no effect. Watcher.Stop may end it, too. Otherwise, only one goroutine may call its methods.
type Job struct {
	// Path is the absolute path of the source, without symbolic links.
	Path string
	// Output is the final path, absolute. No file had this name when the job was claimed.
	Output string
	// Temp is a hidden path in Output's folder, with Output's extension. Everything whose name starts like it, up to the
	// extension, is removed when the job ends or, if the collector dies first, at the next Start, unless it is kept for
	// the next attempt. When the job of a picture ends, only Temp and the paths of TempFor are removed, unless an earlier
	// attempt left files.
	Temp string
	// Attempt counts the attempts, from 1, since the file changed or RecordProgress got further.
	Attempt int
	// Size, in bytes, and ModTime are those of the source when it was claimed.
	Size    int64
	ModTime time.Time

	watcher   *Watcher
	file      *file
	entry     source // the source's journal entry, once it is put there
	resumable bool
	leftovers bool     // an earlier attempt may have left files at Temp
	temps     []string // the paths of TempFor, of a picture
	ended     atomic.Bool
	started   time.Time

	stopping sync.Mutex
	cause    error       // why the job has to end, see control.go
	onStop   func(error) // called with the cause
}

// Rel returns the source's path below the folder that the include pattern names.
func (j *Job) Rel() string { return string(j.entry.Rel) }

// Unchanged checks the source again. It returns ErrChanged or ErrVanished if the source is no longer the file that was
// claimed; new permissions or links are not a change.
func (j *Job) Unchanged() error {
	st, mode, err := lstat(j.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %s", ErrVanished, j.Path)
	case err != nil:
		return err
	case mode != unix.S_IFREG || !st.SameFile(j.entry.Stamp):
		return fmt.Errorf("%w: %s", ErrChanged, j.Path)
	case st == j.entry.Stamp || j.entry.Digest == "":
		return nil
	}
	// Only ctime differs, as after a write whose mtime was set back.
	sum, _, err := digestPath(j.Path)
	if err == nil && sum != j.entry.Digest {
		return fmt.Errorf("%w: %s", ErrChanged, j.Path)
	}
	return err
}

// Resumable reports whether an interrupted attempt at the same file left its temporary files, at Temp and the paths of
// TempFor, so that this one can resume from them. It is false after Restart.
func (j *Job) Resumable() bool { return j.resumable }

// Restart removes what an earlier attempt left, to start from the beginning.
func (j *Job) Restart() error {
	j.resumable = false
	err := removeTemps(j.Temp)
	j.leftovers = j.leftovers && err != nil
	return err
}

// RecordProgress records how many frames are safe on disk. If that is more than in any attempt so far, attempts count
// from 1 again: only those that get no further count.
func (j *Job) RecordProgress(frames int64) error {
	if frames <= j.entry.Furthest {
		return nil
	}
	j.entry.Furthest = frames
	j.Attempt, j.entry.Attempt, j.entry.Crashes = 1, 1, 0
	j.watcher.queue.awaited(j.file)
	return j.watcher.journal.put(j.entry)
}

// TempFor returns a hidden path for another file of the job, which is removed along with Temp. The suffix includes the
// extension.
func (j *Job) TempFor(suffix string) string {
	path := strings.TrimSuffix(j.Temp, filepath.Ext(j.Temp)) + suffix
	if IsPicture(j.Path) {
		j.temps = append(j.temps, path)
	}
	return path
}

// removeTemps removes the temporary files of this attempt and of the one that it was to resume. Those of a picture are
// few and known by name: in a folder of thousands of pictures, reading the folder for each of them takes too long.
func (j *Job) removeTemps() error {
	if !IsPicture(j.Path) || j.leftovers {
		return removeTemps(j.Temp)
	}
	return removeListed(j.Temp, j.temps)
}

// KeepSource leaves the source where it is, whatever OnSuccess says. It applies to outputs that are published
// afterward.
func (j *Job) KeepSource() { j.entry.KeepSource = true }

// Companion is a file that is published with an output, such as a report on it.
type Companion struct {
	// Temp is the path of the complete file, from Job.TempFor.
	Temp string
	// Path is its final path, one of those that Options.Companions returns for the output.
	Path string
}

// Publish gives the complete file at Temp its final name: fsync, a record of the intent, a rename that does not replace
// (ErrTaken), fsync of the folder. A crash at any moment leaves either nothing or the whole file under the final name,
// and the next Start knows that the file is ours.
//
// The companions get their names before the output does, so that the output never exists without them. If a crash
// leaves companions without their output, the next Start finds them in the record, and completes or removes them.
func (j *Job) Publish(companions ...Companion) error {
	if err := j.recordIntent(companions); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	renames := append(slices.Clone(companions), Companion{Temp: j.Temp, Path: j.Output})
	var done int
	var err error
	for done = range renames {
		if err = renameNoReplace(renames[done].Temp, renames[done].Path); err != nil {
			break
		}
	}
	if err == nil {
		if err = durable.SyncPath(filepath.Dir(j.Output)); err == nil {
			return nil
		}
		done = len(renames) // a name that a power failure may undo is not published
	} else if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%w: %s", ErrTaken, renames[done].Path)
	}
	for _, r := range slices.Backward(renames[:done]) {
		err = errors.Join(err, renameNoReplace(r.Path, r.Temp))
	}
	return fmt.Errorf("publish: %w", err)
}

// recordIntent syncs the files, and records their content and the names that they will get.
func (j *Job) recordIntent(companions []Companion) error {
	output, err := j.syncAndDescribe(j.Temp, j.Output)
	if err != nil {
		return err
	}
	j.entry.State, j.entry.Output, j.entry.Companions = statePublishing, &output, nil
	for _, c := range companions {
		file, err := j.syncAndDescribe(c.Temp, c.Path)
		if err != nil {
			return err
		}
		j.entry.Companions = append(j.entry.Companions, companionFile{outputFile: file, Temp: pathText(c.Temp)})
	}
	return j.watcher.journal.put(j.entry)
}

// syncAndDescribe syncs a complete file, with the mode of outputs, and describes it as the output that it will be at
// path.
func (j *Job) syncAndDescribe(temp, path string) (outputFile, error) {
	f, err := durable.Open(temp, os.O_RDONLY)
	if err != nil {
		return outputFile{}, err
	}
	durable.Share(f, j.watcher.opts.FileMode)
	if err := errors.Join(durable.Sync(f), f.Close()); err != nil {
		return outputFile{}, err
	}
	o, err := describe(temp)
	o.Path = pathText(path)
	return o, err
}

// describe returns the path, size and digest of a complete output.
func describe(path string) (outputFile, error) {
	sum, size, err := digestPath(path)
	return outputFile{Path: pathText(path), Size: size, Digest: sum}, err
}

// Done records that the output was published. The source is later handled as OnSuccess says, see disposal. An error
// means that the record could not be written: the file may be processed again after a restart. Outputs of shorter
// versions of the source are marked, see superseded.go.
func (j *Job) Done() error {
	if !j.end() {
		return nil
	}
	defer j.settle()
	output, err := describe(j.Output)
	if err != nil {
		return fmt.Errorf("record as done: %w", err)
	}
	j.entry.State, j.entry.Output, j.entry.Action = stateDone, &output, j.watcher.disposal.afterSuccess(j.entry)
	if err := j.conclude(); err != nil {
		return fmt.Errorf("record as done: %w", err)
	}
	markSuperseded(j.watcher.journal, j.Path, j.watcher.opts.FileMode, j.watcher.logger)
	j.watcher.disposal.schedule(j.Path)
	return nil
}

// Fail records that the attempt failed because of the file itself: it is not tried again until it changes. The reason
// is a short stable word, such as "not_video"; cause, which may be nil, gives the details.
func (j *Job) Fail(reason string, cause error) error {
	if !j.end() {
		return nil
	}
	j.failed(reason, cause)
	return j.giveUp()
}

// LastAttempt reports whether Retry would give up on the file.
func (j *Job) LastAttempt() bool { return j.Attempt >= j.watcher.opts.Retry.MaxAttempts }

// Retry records that the attempt failed, like Fail, but for a cause that may be temporary: the file is tried again
// after a wait, up to Retry.MaxAttempts times. If keep is set, the temporary files are left to the next attempt; the
// last attempt always removes them.
func (j *Job) Retry(reason string, cause error, keep bool) error {
	if !j.end() {
		return nil
	}
	j.failed(reason, cause)
	if j.LastAttempt() {
		j.entry.GaveUp = true
		return j.giveUp()
	}
	defer j.requeue(backoff(j.watcher.opts.Retry, j.Attempt))
	j.entry.State = statePending
	if keep {
		return j.watcher.journal.put(j.entry)
	}
	return j.conclude()
}

func (j *Job) failed(reason string, cause error) {
	j.entry.Output, j.entry.Companions, j.entry.Reason, j.entry.Error = nil, nil, reason, ""
	if cause != nil {
		j.entry.Error = cause.Error()
	}
}

// giveUp records that the file failed. It is quarantined later, if the options say so.
func (j *Job) giveUp() error {
	defer j.settle()
	j.entry.State, j.entry.Action = stateFailed, j.watcher.disposal.afterFailure()
	if err := j.conclude(); err != nil {
		return fmt.Errorf("record as failed: %w", err)
	}
	j.watcher.disposal.schedule(j.Path)
	return nil
}

// postponement is how long a file waits for resources that other jobs hold.
const postponement = time.Minute

// Abandon releases the file unfinished: it is claimed again, and the attempt does not count.
func (j *Job) Abandon() { j.releaseUnfinished(false, 0) }

// Suspend is Abandon, but keeps the temporary files for the next attempt at the same file.
func (j *Job) Suspend() { j.releaseUnfinished(true, 0) }

// Postpone is Suspend, but the file is claimed again only after a minute.
func (j *Job) Postpone() { j.releaseUnfinished(true, postponement) }

// Await releases the file unfinished because something that all jobs need, such as a server, is not available. The file
// is claimed again after a wait that grows, like Retry's, each time in a row that the file got no further. The attempt
// does not count. If keep is set, the temporary files are left to the next attempt.
func (j *Job) Await(keep bool) {
	j.releaseUnfinished(keep, backoff(j.watcher.opts.Retry, j.watcher.queue.await(j.file)))
}

func (j *Job) releaseUnfinished(keep bool, wait time.Duration) {
	if !j.end() {
		return
	}
	defer j.requeue(wait)
	entry := j.entry // a copy: with keep, the job's owner may not have noticed yet that it ended
	entry.State, entry.Output, entry.Companions = statePending, nil, nil
	entry.Attempt--
	entry.Paused = j.watcher.queue.isPaused(j.file)
	var err error
	if keep {
		err = j.watcher.journal.put(entry)
	} else {
		j.entry = entry
		err = j.conclude()
	}
	if err != nil {
		j.watcher.logger.Warn("cannot record that a video was released unfinished: this counts as an attempt",
			zap.String("file", j.Path),
			zap.Error(err))
	}
}

// conclude removes the attempt's temporary files and records the outcome.
func (j *Job) conclude() error {
	if err := j.removeTemps(); err == nil {
		j.entry.Temp = ""
	} else {
		j.watcher.logger.Warn("cannot remove a temporary file: will retry at the next start",
			zap.String("file", j.Temp), zap.Error(err))
	}
	return j.watcher.journal.put(j.entry)
}

// end ends the job and reports whether it had not ended before.
func (j *Job) end() bool { return j.ended.CompareAndSwap(false, true) }

// requeue releases the output's name, and the file, which is claimed again after a wait. If the operator canceled the
// video while its job was ending for another reason, the cancellation is recorded.
func (j *Job) requeue(wait time.Duration) {
	j.watcher.names.release(j.Output)
	if j.watcher.requeue(j.file, wait) {
		if err := j.watcher.recordCanceled(j.Path, j.file); err != nil {
			j.watcher.logger.Error("cannot record that a video was canceled", zap.String("file", j.Path), zap.Error(err))
		}
	}
	j.watcher.active.remove(j)
}

// settle releases the output's name, and the file, which is left alone until it changes.
func (j *Job) settle() {
	j.watcher.names.release(j.Output)
	j.watcher.queue.settle(j.file)
	j.watcher.active.remove(j)
}

// activeJobs holds the jobs that have not ended. A job is in it from before its claim is recorded until its outcome is.
type activeJobs struct {
	mu      sync.Mutex
	jobs    map[*Job]bool
	removed chan struct{} // closed, and replaced, when a job is removed
}

func newActiveJobs() *activeJobs {
	return &activeJobs{jobs: map[*Job]bool{}, removed: make(chan struct{})}
}

func (a *activeJobs) add(j *Job) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.jobs[j] = true
}

func (a *activeJobs) remove(j *Job) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.jobs, j)
	close(a.removed)
	a.removed = make(chan struct{})
}

// wait waits until all jobs have ended. If the context ends first, it suspends those that have not, and returns an
// error.
func (a *activeJobs) wait(ctx context.Context) error {
	for {
		remaining, removed := a.list()
		if len(remaining) == 0 {
			return nil
		}
		select {
		case <-removed:
		case <-ctx.Done():
			for _, j := range remaining {
				j.Suspend()
			}
			return fmt.Errorf("%d videos were suspended unfinished: %w", len(remaining), ctx.Err())
		}
	}
}

func (a *activeJobs) list() (jobs []*Job, removed <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for j := range a.jobs {
		jobs = append(jobs, j)
	}
	return jobs, a.removed
}
