// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

var (
	// ErrChanged says that the source is not the file it was when it was claimed. What was made of it must be discarded;
	// the file is taken again once it is complete.
	ErrChanged = errors.New("the source changed while it was worked on")
	// ErrVanished says that the source was deleted or renamed since it was claimed. An output that is complete nevertheless
	// may be all that is left of the video.
	ErrVanished = errors.New("the source vanished while it was worked on")
	// ErrTaken says that another file got the output's name since the claim. Another attempt gets another name.
	ErrTaken = errors.New("the name of the output was taken meanwhile")
)

// ReasonCrash is the reason of a failure that the watcher itself records: the collector died in each attempt.
const ReasonCrash = "crash"

// Job is one attempt at one file. One of Done, Fail, Retry, Abandon, Suspend and Postpone ends it; later calls of them have
// no effect. One goroutine calls its methods.
type Job struct {
	// Path is the source, absolute, without symbolic links.
	Path string
	// Output is the final path, absolute. No file stood there at claim time.
	Output string
	// Temp is a hidden path in the folder of Output, with its extension. What bears this name, or a name that begins with
	// it up to the extension, is removed when the job ends, and at the next Start if it could not end.
	Temp string
	// Attempt counts from 1 as long as the file stays the same.
	Attempt int
	// Size in bytes and ModTime of the source, as claimed.
	Size    int64
	ModTime time.Time

	watcher   *Watcher
	file      *file
	entry     source
	resumable bool
	ended     bool // guarded by the watcher's mu
}

// Unchanged looks at the source again: ErrChanged or ErrVanished if it is not what it was at claim time. New permissions
// or links are no change.
func (j *Job) Unchanged() error {
	st, mode, err := lstat(j.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %s", ErrVanished, j.Path)
	case err != nil:
		return err
	case mode != unix.S_IFREG || !st.sameFile(j.entry.Stamp):
		return fmt.Errorf("%w: %s", ErrChanged, j.Path)
	case st == j.entry.Stamp || j.entry.Digest == "":
		return nil
	}
	// Only ctime differs: a write whose time was set back would look the same.
	sum, _, err := digestPath(j.Path)
	if err == nil && sum != j.entry.Digest {
		return fmt.Errorf("%w: %s", ErrChanged, j.Path)
	}
	return err
}

// Companion is a further file that is published with an output, such as a report on it.
type Companion struct {
	// Temp is where it lies complete, under a name that Job.TempFor gave.
	Temp string
	// Path is its final path, one that Options.Beside gives for the output.
	Path string
}

// TempFor is a hidden path for a further file of the job, removed as Temp is. The suffix has the extension.
func (j *Job) TempFor(suffix string) string {
	return strings.TrimSuffix(j.Temp, filepath.Ext(j.Temp)) + suffix
}

// Publish gives the complete file at Temp its final name: fsync, a record of the intent, rename without replacing
// (ErrTaken), fsync of the folder. A crash at any moment leaves either nothing or the whole file under the final name, and
// the next Start knows that it is ours.
//
// The companions get their names before the file does, so that it never stands without them. Those that a crash leaves without
// it are completed or removed by the next Start, which finds them in the record.
func (j *Job) Publish(companions ...Companion) error {
	if err := j.intend(companions); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	names := append(slices.Clone(companions), Companion{Temp: j.Temp, Path: j.Output})
	var named int
	var err error
	for named = range names {
		if err = renameNoReplace(names[named].Temp, names[named].Path); err != nil {
			break
		}
	}
	if err == nil {
		if err = durable.SyncPath(filepath.Dir(j.Output)); err == nil {
			return nil
		}
		named = len(names) // what may vanish in a power cut is not published
	} else if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%w: %s", ErrTaken, names[named].Path)
	}
	for _, n := range slices.Backward(names[:named]) {
		err = errors.Join(err, renameNoReplace(n.Path, n.Temp))
	}
	return fmt.Errorf("publish: %w", err)
}

// intend brings the files to the disk and records what they are and which names they get.
func (j *Job) intend(companions []Companion) error {
	made, err := synced(j.Temp)
	if err != nil {
		return err
	}
	made.Path = pathText(j.Output)
	j.entry.State, j.entry.Output, j.entry.Beside = statePublishing, made, nil
	for _, c := range companions {
		made, err := synced(c.Temp)
		if err != nil {
			return err
		}
		made.Path = pathText(c.Path)
		j.entry.Beside = append(j.entry.Beside, beside{output: *made, Temp: pathText(c.Temp)})
	}
	return j.watcher.journal.put(j.entry)
}

// synced identifies a complete file that is safe on the disk.
func synced(path string) (*output, error) {
	if err := durable.SyncPath(path); err != nil {
		return nil, err
	}
	return describe(path)
}

// Done records that the output stands under its final name, durably, and then does to the source what OnSuccess says, if
// it is still what it was. An error tells that the record could not be written (the file may be taken again after a
// restart), or that the source could not be moved or deleted (it stays, and is not taken again).
func (j *Job) Done() error {
	if !j.end() {
		return nil
	}
	defer j.release(settled, 0)
	made, err := describe(j.Output)
	if err != nil {
		return fmt.Errorf("record as done: %w", err)
	}
	j.entry.State, j.entry.Output, j.entry.Action = stateDone, made, j.watcher.opts.successAction()
	if err := j.conclude(); err != nil {
		return fmt.Errorf("record as done: %w", err)
	}
	return j.watcher.act(j.entry)
}

// Fail records that the attempt failed because of the file itself: it is not tried again until it changes. The reason is a short
// stable word, such as "not_video"; cause, which may be nil, gives the details.
func (j *Job) Fail(reason string, cause error) error {
	if !j.end() {
		return nil
	}
	j.failed(reason, cause)
	return j.giveUp()
}

// Retry records that the attempt failed, as Fail does, but for a cause that may pass: the file is tried again after a wait, up to
// Retry.MaxAttempts times. keep leaves the temporary files to the next attempt; the last one removes them all the same.
func (j *Job) Retry(reason string, cause error, keep bool) error {
	if !j.end() {
		return nil
	}
	j.failed(reason, cause)
	opts := j.watcher.opts
	if j.Attempt >= opts.Retry.MaxAttempts {
		j.entry.GaveUp = true
		return j.giveUp()
	}
	defer j.release(queued, opts.Retry.backoff(j.Attempt))
	j.entry.State = statePending
	if keep {
		return j.watcher.journal.put(j.entry)
	}
	return j.conclude()
}

func (j *Job) failed(reason string, cause error) {
	j.entry.Output, j.entry.Beside, j.entry.Reason, j.entry.Error = nil, nil, reason, ""
	if cause != nil {
		j.entry.Error = cause.Error()
	}
}

// giveUp records that the file failed, and quarantines it if the options say so.
func (j *Job) giveUp() error {
	defer j.release(settled, 0)
	j.entry.State, j.entry.Action = stateFailed, j.watcher.opts.failureAction()
	if err := j.conclude(); err != nil {
		return fmt.Errorf("record as failed: %w", err)
	}
	return j.watcher.act(j.entry)
}

// Resumable tells whether an interrupted attempt at the same file left its temporary files, at Temp and under the names of TempFor,
// so that this one can resume from them. It is false after Restart.
func (j *Job) Resumable() bool { return j.resumable }

// Restart removes what an earlier attempt left, to start from the beginning.
func (j *Job) Restart() error {
	j.resumable = false
	return removeTemps(j.Temp)
}

// Progressed tells how far the work came, in frames that are safe: attempts in vain are counted from the furthest that any came.
func (j *Job) Progressed(frames int64) error {
	if frames <= j.entry.Furthest {
		return nil
	}
	j.entry.Furthest = frames
	j.Attempt, j.entry.Attempt, j.entry.Died = 1, 1, 0
	return j.watcher.journal.put(j.entry)
}

// postponed is how long a file waits for what others have.
const postponed = time.Minute

// Abandon gives the file back unfinished: it is taken again, and the attempt does not count.
func (j *Job) Abandon() { j.giveBack(false, 0) }

// Suspend is Abandon, but what stands under the temporary names is kept for the next attempt at the same file.
func (j *Job) Suspend() { j.giveBack(true, 0) }

// Postpone is Suspend, but the file is taken again only after a minute.
func (j *Job) Postpone() { j.giveBack(true, postponed) }

// giveBack abandons the job, and its temporary files if they are not to be kept. Somebody may still write to them.
func (j *Job) giveBack(keep bool, wait time.Duration) {
	if !j.end() {
		return
	}
	defer j.release(queued, wait)
	entry := j.entry
	entry.State, entry.Output, entry.Beside = statePending, nil, nil
	entry.Attempt--
	var err error
	if keep {
		err = j.watcher.journal.put(entry)
	} else {
		j.entry = entry
		err = j.conclude()
	}
	if err != nil {
		j.watcher.logger.Warn("a video was given back, but that is not recorded: it counts as an attempt",
			zap.String("file", j.Path), zap.Error(err))
	}
}

// conclude records the outcome and removes what the attempt left.
func (j *Job) conclude() error {
	if err := removeTemps(j.Temp); err == nil {
		j.entry.Temp = ""
	} else {
		j.watcher.logger.Warn("a temporary file cannot be removed: the next start tries again", zap.String("file", j.Temp), zap.Error(err))
	}
	return j.watcher.journal.put(j.entry)
}

// end tells whether the job was still open, and closes it.
func (j *Job) end() bool {
	j.watcher.mu.Lock()
	defer j.watcher.mu.Unlock()
	open := !j.ended
	j.ended = true
	return open
}

// release lets go of the file and the output's name.
func (j *Job) release(p phase, wait time.Duration) {
	w := j.watcher
	w.mu.Lock()
	delete(w.active, j)
	w.unreserve(j.Output)
	w.mu.Unlock()
	w.put(j.file, p, wait)
}

// describe identifies a complete output.
func describe(path string) (*output, error) {
	sum, size, err := digestPath(path)
	if err != nil {
		return nil, err
	}
	return &output{Path: pathText(path), Size: size, Digest: sum}, nil
}
