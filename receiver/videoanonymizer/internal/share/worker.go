// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// Worker does the work. Its methods are called from several goroutines, and stop when ctx ends: then another worker
// does the work, and their results are ignored. After an error, the work is tried again, unless the error is Permanent.
type Worker interface {
	// Plan divides a video into units.
	Plan(ctx context.Context, video Video) (Plan, error)
	// Do processes a unit, and returns what a neighbor or the join compares. All files of its result are sealed.
	Do(ctx context.Context, unit *UnitTask) (edges json.RawMessage, err error)
	// Join makes the files to publish from the units, each under its hidden name, in the order in which they are
	// published, the video last. It fails with *Redo if units must be redone.
	Join(ctx context.Context, join *JoinTask) ([]JoinedFile, error)
	// Published is called when all files have their final names, before the video counts as done. After a fault it is
	// called again, even on another machine, and may be late: it must make sure that the source still has the video's
	// version before it moves or deletes it. It fails with *Later to be called again after a while.
	Published(ctx context.Context, video Video) error
	// Failed is called after a video's failure is recorded, unless this machine dies in between.
	Failed(ctx context.Context, video Video)
}

// Source finds the videos to anonymize. Only the coordinator calls it.
type Source interface {
	// Scan returns all complete files, including those that are done. A file that it leaves out counts as gone only if its
	// name no longer exists.
	Scan(ctx context.Context) ([]Found, error)
}

// Found is a video to anonymize.
type Found struct {
	// Path is the path below root, with slashes.
	Path    string
	Version Version
	// Trace is a W3C trace parent, or empty.
	Trace string
}

// Plan is the division of a video.
type Plan struct {
	// Shared is for all units and the join: JSON, or nil.
	Shared json.RawMessage
	// Units are the units in order, at least one. Each is JSON, or nil.
	Units []json.RawMessage
}

// JoinedFile is a file to publish.
type JoinedFile struct {
	// Temp is a path from JoinTask.Temp, and Name the final path, absolute and below root.
	Temp, Name string
}

// UnitTask is a unit to process.
type UnitTask struct {
	Video Video
	Index int
	Spec  json.RawMessage
	// Sealed are the segments that earlier claims have left: only what comes after them must be done.
	Sealed []SealedSegment
	// Source is the absolute path of the source.
	Source string

	run  *unitRun
	next int
}

// Restart forgets what earlier claims have sealed: the unit starts over.
func (t *UnitTask) Restart(ctx context.Context) error {
	t.Sealed = nil
	return t.run.restart(ctx)
}

// SealedSegment is a segment with the absolute paths of its files, which must not be written to.
type SealedSegment struct {
	Paths []string
	Note  json.RawMessage
}

// Path returns an absolute path for a new file, which ends in suffix and belongs to this claim alone.
func (t *UnitTask) Path(suffix string) string {
	t.next++
	return filepath.Join(t.run.folder, fmt.Sprintf("u%d.%s.%d%s", t.Index, t.run.epoch, t.next, suffix))
}

// Seal makes a segment of files from Path durable: it flushes them to disk and records them. They must not be written
// to afterwards. If Seal fails, the unit no longer belongs to this worker.
func (t *UnitTask) Seal(ctx context.Context, paths []string, note json.RawMessage) error {
	return t.run.seal(ctx, paths, note)
}

// JoinTask is a video to join.
type JoinTask struct {
	Video Video
	// Units are all units, in order.
	Units []JoinUnit
	// Source is the absolute path of the source.
	Source string
	// Result is set by Join: what Published needs to know about the outputs, as JSON, or nil.
	Result json.RawMessage

	folder, epoch string
	next          int
}

// JoinUnit is a unit that is done.
type JoinUnit struct {
	Spec, Edges json.RawMessage
	Segments    []SealedSegment
}

// Temp returns an absolute path for a file to publish. It ends in suffix, and is on the file system of root, as all
// final names must be.
func (t *JoinTask) Temp(suffix string) string {
	t.next++
	return filepath.Join(t.folder, fmt.Sprintf("j.%s.%d%s", t.epoch, t.next, suffix))
}

// Redo is an error of Join: units must be redone.
type Redo struct {
	// Units maps indices of units to their new specs, as JSON.
	Units map[int]json.RawMessage
	// Plan, if not nil, divides the video again. Then Units is ignored.
	Plan  *Plan
	Cause error
	// Free means that the units are fine except for what made them, such as another model on a server: the redo does not
	// count.
	Free bool
}

// Error returns the message, with the cause.
func (r *Redo) Error() string { return fmt.Sprintf("units must be redone: %v", r.Cause) }

// Unwrap returns the cause.
func (r *Redo) Unwrap() error { return r.Cause }

// Later is an error of Published: any machine is to call it again once the record has not changed for Wait.
type Later struct{ Wait time.Duration }

// Error returns the message, with the wait.
func (l *Later) Error() string { return fmt.Sprintf("to be called again after %v", l.Wait) }

// passing marks an error that says nothing about the video.
type passing struct{ error }

func (p passing) Unwrap() error { return p.error }

// Passing marks an error that says nothing about the video, such as a full disk: it does not count as an attempt.
func Passing(err error) error { return passing{err} }

// ErrStale means that a source is no longer what was found, which the next scan sees. It is not the machine's fault.
var ErrStale = errors.New("the source is no longer what was found")

func isPassing(err error) bool { return errors.As(err, new(passing)) }

// permanent marks an error that a retry cannot fix.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent marks an error that a retry cannot fix: the video fails.
func Permanent(err error) error { return permanent{err} }

func isPermanent(err error) bool { return errors.As(err, new(permanent)) }
