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

// Phase is where a file is, as Overview shows it.
type Phase string

// The phases.
const (
	// PhaseWaiting: it is not complete yet, or waits for its turn.
	PhaseWaiting Phase = "waiting"
	// PhasePaused: it waits until somebody resumes it.
	PhasePaused Phase = "paused"
	// PhaseWorking: it is processed.
	PhaseWorking Phase = "working"
	// PhaseDone: there is an output.
	PhaseDone Phase = "done"
	// PhaseFailed: it is left alone, see Reason; ReasonCanceled if somebody wanted that.
	PhaseFailed Phase = "failed"
)

// Overview is what is known of a file.
type Overview struct {
	// Path is the source's, absolute.
	Path  string
	Phase Phase
	// Position in the queue counts from 1, and is 0 for a file whose turn cannot come yet.
	Position int
	// Held is why it is not complete, and Due when it is tried again after a failure; zero otherwise.
	Held string
	Due  time.Time
	// Size is the source's, in bytes. Updated is when the last thing happened to it.
	Size    int64
	Updated time.Time
	// Attempt counts from 1, and is 0 before the first.
	Attempt int
	// Furthest is the most frames that are safe on the disk.
	Furthest int64
	// Reason and Error are of the last failure; empty if there is none.
	Reason, Error string
	// Output is set in PhaseDone.
	Output Output
}

// Output is a published file.
type Output struct {
	// Path is absolute, Name the path below the output directory.
	Path, Name string
	Size       int64
	// Digest is of samples of its content, of a picture of all of it.
	Digest string
}

// Intact reports whether there is a file of the output's size that equals it in samples of its content, or in all of it
// if it is a picture. It is ErrChanged if there is another, fs.ErrNotExist if there is none.
func (o *Output) Intact() error {
	sum, size, err := digestPath(o.Path)
	if err == nil && (size != o.Size || sum != o.Digest) {
		err = ErrChanged
	}
	return err
}

// SourceOf is where the source with a path is now: there, or where it was moved to afterward; empty if it is gone.
// There it counts as the same by its size.
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

// Overview returns the files that wait, those that are processed, and those that have an outcome, in no particular
// order. Start must have been called.
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

// outcomeOf names outputs below the directory; "" names them by their base.
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

// unfinished describes a file that waits or is processed.
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
