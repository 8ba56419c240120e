// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// Phase is the state of a file, as Overview shows it.
type Phase string

// The phases.
const (
	// PhaseWaiting means that it is not complete yet, or waits for its turn.
	PhaseWaiting Phase = "waiting"
	// PhasePaused means that it waits until the operator resumes it.
	PhasePaused Phase = "paused"
	// PhaseWorking means that it is being processed.
	PhaseWorking Phase = "working"
	// PhaseDone means that there is an output.
	PhaseDone Phase = "done"
	// PhaseFailed means that it is left alone, see Reason, which is ReasonCanceled if the operator canceled it.
	PhaseFailed Phase = "failed"
)

// Overview is what is known about a file.
type Overview struct {
	// Path is the absolute path of the source.
	Path  string
	Phase Phase
	// Position is the place in the queue, from 1, or 0 for a file whose turn cannot come yet.
	Position int
	// Held is why it is not picked up, because it is not complete or because of Watcher.Hold. Due is when it is tried
	// again after a failure. Otherwise, they are zero.
	Held string
	Due  time.Time
	// Size is the source's, in bytes. Updated is when something last happened to it.
	Size    int64
	Updated time.Time
	// Attempt counts from 1, and is 0 before the first.
	Attempt int
	// Furthest is the maximum number of frames that were safe on disk in any attempt.
	Furthest int64
	// Reason and Error are those of the last failure; empty if there was none.
	Reason, Error string
	// Output is set in PhaseDone.
	Output Output
}

// Output is a published file.
type Output struct {
	// Path is absolute; Name is the path below the output directory.
	Path, Name string
	Size       int64
	// Digest is computed from samples of its content or, for a picture, from all of it.
	Digest string
}

// Intact returns nil if there is a file of the output's size that equals it in samples of its content or, for a
// picture, in all of it. It returns ErrChanged if there is a different file, and fs.ErrNotExist if there is none.
func (o *Output) Intact() error {
	sum, size, err := digestPath(o.Path)
	if err == nil && (size != o.Size || sum != o.Digest) {
		err = ErrChanged
	}
	return err
}

// SourceOf returns the current path of a source: the same path, or where the source was moved to; empty if it is gone.
// Where sources are moved to, a file of the same size counts as the source.
func (w *Watcher) SourceOf(path string) string {
	if _, err := durable.StampAt(path); err == nil {
		return path
	}
	s, known := w.journal.source(path)
	if !known || w.disposal.moveTo == "" {
		return ""
	}
	for n := 1; n <= maxNumber; n++ {
		moved := numbered(filepath.Join(w.disposal.moveTo, string(s.Rel)), n)
		st, err := durable.StampAt(moved)
		if errors.Is(err, fs.ErrNotExist) {
			return ""
		}
		if err == nil && st.Size == s.Stamp.Size {
			return moved
		}
	}
	return ""
}

// Overview returns the files that wait, that are being processed, or that have an outcome, in no particular order.
// Start must have been called.
func (w *Watcher) Overview() []Overview {
	files := w.queue.snapshot()
	now := w.queue.now()
	positions := positionsOf(files, now)
	all := make([]Overview, 0, len(files))
	byOutput := map[string]int{} // index in all
	for _, s := range w.journal.all() {
		f, there := files[string(s.Path)]
		if there && f.phase != settled || !s.State.final() || s.State == stateOutput {
			continue
		}
		o := w.outcome(s)
		if o.Phase == PhaseDone {
			// A source that was renamed has two entries.
			if i, twice := byOutput[o.Output.Path]; twice {
				if there {
					all[i] = o
				}
				continue
			}
			byOutput[o.Output.Path] = len(all)
		}
		all = append(all, o)
	}
	for path, f := range files {
		if f.phase != settled {
			all = append(all, w.unfinished(f, positions[path], now))
		}
	}
	return all
}

// outcome describes a source that is done or failed.
func (w *Watcher) outcome(s source) Overview { return outcomeOf(s, w.names.directory) }

// outcomeOf describes a source that is done or failed. It names the output relative to the directory; if that is "", by
// its base name.
func outcomeOf(s source, directory string) Overview {
	o := Overview{
		Path: string(s.Path), Phase: PhaseFailed, Size: s.Stamp.Size, Updated: s.Time, Attempt: s.Attempt,
		Furthest: s.Furthest, Reason: s.Reason, Error: s.Error,
	}
	if s.State == stateDone && s.Output != nil {
		o.Phase, o.Reason, o.Error = PhaseDone, "", ""
		o.Output = Output{Path: string(s.Output.Path), Size: s.Output.Size, Digest: s.Output.Digest}
		o.Output.Name = filepath.Base(o.Output.Path)
		if name, err := filepath.Rel(directory, o.Output.Path); err == nil && filepath.IsLocal(name) {
			o.Output.Name = name
		}
	}
	return o
}

// unfinished describes a file that waits or is being processed.
func (w *Watcher) unfinished(f file, position int, now time.Time) Overview {
	o := Overview{
		Path: f.path, Phase: PhaseWaiting, Position: position, Held: string(f.wait.held), Size: f.stamp.Size,
		Updated: f.stamp.ModTime(),
	}
	if s, ok := w.journal.source(f.path); ok && s.Stamp.SameFile(f.stamp) && !s.State.final() {
		o.Updated, o.Attempt, o.Furthest, o.Reason, o.Error = s.Time, s.Attempt, s.Furthest, s.Reason, s.Error
	}
	switch {
	case f.phase == claimed:
		o.Phase, o.Held, o.Position = PhaseWorking, "", 0
	case f.control.paused:
		o.Phase, o.Held, o.Position = PhasePaused, "", 0
	case f.phase == queued && f.due.After(now):
		o.Due = f.due
	case f.phase == queued && o.Held == "":
		o.Held = w.heldWhy()
	}
	return o
}

// snapshot returns copies of all files, by path.
func (q *queue) snapshot() map[string]file {
	q.mu.Lock()
	defer q.mu.Unlock()
	files := make(map[string]file, len(q.files))
	for path, f := range q.files {
		files[path] = *f
	}
	return files
}

// positionsOf numbers the files that are ready, from 1.
func positionsOf(files map[string]file, now time.Time) map[string]int {
	var ready []*file
	for _, f := range files {
		if f.ready(now) {
			ready = append(ready, &f)
		}
	}
	slices.SortFunc(ready, func(a, b *file) int {
		if before(a, b) {
			return -1
		}
		return 1
	})
	positions := make(map[string]int, len(ready))
	for i, f := range ready {
		positions[f.path] = i + 1
	}
	return positions
}
