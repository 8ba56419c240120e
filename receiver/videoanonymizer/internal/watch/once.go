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

	"golang.org/x/sys/unix"
)

// Callers that process a set of files once, rather than whatever appears in folders, list the files first (List), limit
// the watcher to them (Options.Only), and ask it for the outcome of each (Watcher.Outcome).

// Listed is a file that the patterns include.
type Listed struct {
	// Path is absolute, without symbolic links; Rel is what is passed to Options.OutputName.
	Path, Rel string
	// Size is in bytes.
	Size int64
	// Held says why it is not picked up; empty if it is.
	Held string
	// OtherKind means that it is never picked up: its extension is never a video's, or it is named like a contact sheet.
	OtherKind bool
}

// List returns the files that the patterns include now, ordered by path, each once. It opens none of them, and enters
// the folders in skip only if patterns name them. The error names the folders that cannot be read.
func List(config Config, skip ...string) ([]Listed, error) {
	s, err := newScanner(config)
	if err != nil {
		return nil, err
	}
	for _, folder := range skip {
		if real, err := filepath.EvalSymlinks(folder); err == nil {
			s.skip[real] = true
		}
	}
	var unreadable []error
	s.entered = func(string) {}
	s.unreadable = func(directory string, err error) {
		unreadable = append(unreadable, fmt.Errorf("cannot read the folder %s: %w", directory, err))
	}
	var files []Listed
	for _, f := range s.scan(nil) {
		listed := Listed{Path: f.path, Rel: f.rel, Size: f.stamp.Size, Held: string(f.held), OtherKind: f.held.final()}
		if f.mode != unix.S_IFREG {
			listed.Held = "it is a " + kindOf(f.mode) + ", not a file"
		}
		files = append(files, listed)
	}
	slices.SortFunc(files, func(a, b Listed) int { return strings.Compare(a.Path, b.Path) })
	files = slices.CompactFunc(files, func(a, b Listed) bool { return a.Path == b.Path })
	return files, errors.Join(unreadable...)
}

// Outcome returns what is known about a file that List returned. ended means that nothing follows: the file is done,
// failed, or left alone. If it is left alone, Phase is empty, and Error says why. Start must have been called.
func (w *Watcher) Outcome(path string) (o Overview, ended bool) {
	f, scanned := w.queue.lookup(path)
	switch {
	case f == nil && scanned:
		if _, _, err := lstat(path); errors.Is(err, fs.ErrNotExist) {
			return Overview{Path: path, Error: "it is gone"}, true
		}
		return Overview{Path: path, Phase: PhaseWaiting}, false
	case f == nil:
		return Overview{Path: path, Phase: PhaseWaiting}, false
	case f.phase != settled:
		return w.unfinished(*f, 0, w.queue.now()), false
	}
	known, ok := w.journal.source(path)
	switch {
	case ok && (known.State == stateDone || known.State == stateFailed):
		return w.outcome(known), true
	case ok && known.State == stateOutput || w.journal.isOutput(path):
		return Overview{Path: path, Error: isOurs}, true
	}
	return Overview{Path: path, Error: "it is not a regular file"}, true
}

// Again processes a file once more that is done or failed, as if nothing were known about it. An existing output stays,
// and the new one gets another name.
func (w *Watcher) Again(path string) error {
	entry, ok := w.journal.source(path)
	if !ok || entry.State != stateDone && entry.State != stateFailed {
		return fmt.Errorf("%w: it has no outcome yet", ErrRefused)
	}
	entry = source{Path: entry.Path, Rel: entry.Rel, State: statePending, Stamp: entry.Stamp}
	if err := w.journal.put(entry); err != nil {
		return err
	}
	w.queue.forgetPath(path)
	w.pollSoon()
	return nil
}

// lookup returns a copy of the file at a path, or nil if the last scan did not find it, and whether there was a scan.
func (q *queue) lookup(path string) (f *file, scanned bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if there := q.files[path]; there != nil {
		found := *there
		return &found, true
	}
	return nil, q.scans > 0
}
