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

// Worker does the work. Its methods are called from several goroutines, and stop when ctx ends: then somebody else does
// the work, and what they return is ignored. An error may pass, and the work is tried again, unless it is Permanent.
type Worker interface {
	// Plan divides a video into units.
	Plan(ctx context.Context, video Video) (Plan, error)
	// Do does a unit, and returns what a neighbor or the join compares. All files of its result are sealed.
	Do(ctx context.Context, unit *UnitTask) (edges json.RawMessage, err error)
	// Join makes the files to publish of the units, each under its hidden name, in the order in which they are published:
	// the video is last. It fails with *Redo if units must be done again.
	Join(ctx context.Context, join *JoinTask) ([]JoinedFile, error)
	// Published is called when all files have their final names, and before the video counts as done. After a fault it
	// is called again, even on another machine, and may come late: it must make sure that the source still is of the
	// video's version before it moves or deletes it. It fails with *Later to be called again after a while.
	Published(ctx context.Context, video Video) error
	// Failed is called once it is recorded that a video failed, unless this machine dies just then.
	Failed(ctx context.Context, video Video)
}

// Source says which videos are to be anonymized. Only the coordinator calls it.
type Source interface {
	// Scan returns all files that are complete, also those that are done. What it leaves out is gone only if nothing has
	// its name any more.
	Scan(ctx context.Context) ([]Found, error)
}

// Found is a video to be anonymized.
type Found struct {
	// Path is below the root, with slashes.
	Path    string
	Version Version
	// Trace is a W3C trace parent, or empty.
	Trace string
}

// Plan is how a video is divided.
type Plan struct {
	// Shared is for all units and the join; JSON, or nil.
	Shared json.RawMessage
	// Units are the units, in order, at least one; each is JSON, or nil.
	Units []json.RawMessage
}

// JoinedFile is a file to be published.
type JoinedFile struct {
	// Temp is a path from JoinTask.Temp, and Name the final one, absolute and below the root.
	Temp, Name string
}

// UnitTask is a unit to be done.
type UnitTask struct {
	Video Video
	Index int
	Spec  json.RawMessage
	// Sealed are the segments that earlier claims have left: only what comes after them is done.
	Sealed []SealedSegment
	// Source is the absolute path of the source.
	Source string

	run  *unitRun
	next int
}

// Restart forgets what earlier claims have sealed: the unit begins anew.
func (t *UnitTask) Restart(ctx context.Context) error {
	t.Sealed = nil
	return t.run.restart(ctx)
}

// SealedSegment is a segment with the absolute paths of its files, which must not be written to.
type SealedSegment struct {
	Paths []string
	Note  json.RawMessage
}

// Path returns an absolute path for a new file, which ends in suffix and is of this claim alone.
func (t *UnitTask) Path(suffix string) string {
	t.next++
	return filepath.Join(t.run.folder, fmt.Sprintf("u%d.%s.%d%s", t.Index, t.run.epoch, t.next, suffix))
}

// Seal makes a segment of files from Path survive whatever comes: it flushes them to disk and records them. They must
// not be written to afterwards. If it fails, the unit is no longer this worker's.
func (t *UnitTask) Seal(ctx context.Context, paths []string, note json.RawMessage) error {
	return t.run.seal(ctx, paths, note)
}

// JoinTask is a video to be joined.
type JoinTask struct {
	Video Video
	// Units are all units, in order.
	Units []JoinUnit
	// Source is the absolute path of the source.
	Source string
	// Result is set by Join: what Published is to know of the outputs, as JSON, or nil.
	Result json.RawMessage

	folder, epoch string
	next          int
}

// JoinUnit is a unit that is done.
type JoinUnit struct {
	Spec, Edges json.RawMessage
	Segments    []SealedSegment
}

// Temp returns an absolute path to make a file at that is then published. It ends in suffix, and is on the file system
// of the root, as all final names must be.
func (t *JoinTask) Temp(suffix string) string {
	t.next++
	return filepath.Join(t.folder, fmt.Sprintf("j.%s.%d%s", t.epoch, t.next, suffix))
}

// Redo is an error of Join: units are to be done again.
type Redo struct {
	// Units are what those of some indices are from now on, as JSON.
	Units map[int]json.RawMessage
	// Plan, if not nil, divides the video anew. Then Units is ignored.
	Plan  *Plan
	Cause error
	// Free means that nothing is wrong with the units but who made them, such as with another model on a server: it does
	// not count.
	Free bool
}

// Error returns why.
func (r *Redo) Error() string { return fmt.Sprintf("units must be redone: %v", r.Cause) }

// Unwrap returns why.
func (r *Redo) Unwrap() error { return r.Cause }

// Later is an error of Published: it is to be called again, by any machine, once the record has not changed for so
// long.
type Later struct{ Wait time.Duration }

// Error returns how long.
func (l *Later) Error() string { return fmt.Sprintf("to be called again after %v", l.Wait) }

// passing marks an error that says nothing about the video.
type passing struct{ error }

func (p passing) Unwrap() error { return p.error }

// Passing marks an error that says nothing about the video, such as that of a full disk: it does not count as an
// attempt.
func Passing(err error) error { return passing{err} }

// ErrStale says that a source is not what was found, which the next scan sees. It is no fault of the machine.
var ErrStale = errors.New("the source is no longer what was found")

func isPassing(err error) bool { return errors.As(err, new(passing)) }

// permanent marks an error that does not pass.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent marks an error that trying again does not help against. The video fails.
func Permanent(err error) error { return permanent{err} }

func isPermanent(err error) bool { return errors.As(err, new(permanent)) }
