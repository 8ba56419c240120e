// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package watch knows which files are ready, who works on them, and what became of them.
package watch

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrStopped is returned once the watcher was stopped.
	ErrStopped = errors.New("the watcher is stopped")
	// ErrChanged says that the source is not the file it was when it was claimed. What was made of it must be discarded;
	// the file is taken again once it is complete.
	ErrChanged = errors.New("the source changed while it was worked on")
	// ErrVanished says that the source was deleted or renamed since it was claimed.
	ErrVanished = errors.New("the source vanished while it was worked on")
	// ErrTaken says that another file got the output's name since the claim. Another attempt gets another name.
	ErrTaken = errors.New("the name of the output was taken meanwhile")
)

// Watcher hands out the files that are ready, each once.
type Watcher struct{ opts Options }

// New checks the options. It touches no file.
func New(opts Options) (*Watcher, error) { return &Watcher{opts: opts}, nil }

// Start opens the journal, tidies up after a crash and begins to look at the folders.
func (w *Watcher) Start() error { return errors.ErrUnsupported }

// Stop ends Next at once, waits for the claimed jobs until the context ends, gives up those that remain, and closes the
// journal. It may be called more than once, and without Start.
func (w *Watcher) Stop(ctx context.Context) error { return nil }

// Next waits for a file that is complete and not yet done, and claims it: the oldest first. It returns the context's
// error, or ErrStopped. It may be called by several goroutines.
func (w *Watcher) Next(ctx context.Context) (*Job, error) { return nil, errors.ErrUnsupported }

// QueueLength is the number of files that are ready and wait to be claimed.
func (w *Watcher) QueueLength() int { return 0 }

// Job is one attempt at one file. It ends with Done, Fail or Abandon; what is called after that has no effect.
type Job struct {
	// Path is the source, absolute, without symbolic links.
	Path string
	// Rel is the source's path below the folder that the include pattern names.
	Rel string
	// Output is the final path, absolute. No file stood there at claim time.
	Output string
	// Temp is a hidden path in the folder of Output, with its extension. What bears this name, or this name with
	// something appended, is removed when the job ends, and at the next Start if it could not end.
	Temp string
	// Attempt counts from 1 as long as the file stays the same.
	Attempt int
	// Size in bytes and ModTime of the source, as claimed.
	Size    int64
	ModTime time.Time
}

// Unchanged looks at the source again: ErrChanged or ErrVanished if it is not what it was at claim time.
func (j *Job) Unchanged() error { return errors.ErrUnsupported }

// Publish gives the complete file at Temp its final name: fsync, a record of the intent, rename without replacing
// (ErrTaken), fsync of the folder. A crash at any moment leaves either nothing or the whole file under the final name, and
// the next Start knows that it is ours.
func (j *Job) Publish() error { return errors.ErrUnsupported }

// Done records that the output stands under its final name, durably, and then does to the source what OnSuccess says. An
// error tells that the record could not be written (the file will be taken again after a restart), or that the source could
// not be moved or deleted (it stays, and is not taken again).
func (j *Job) Done() error { return errors.ErrUnsupported }

// Fail records a failed attempt. With retry the file is tried again after a while, up to Retry.MaxAttempts; without, only
// after it changed. The reason is a short stable word, such as "not_video"; err says the rest.
func (j *Job) Fail(reason string, err error, retry bool) error { return errors.ErrUnsupported }

// Abandon gives the file back unfinished, as at shutdown: it is taken again, and the attempt does not count.
func (j *Job) Abandon() {}
