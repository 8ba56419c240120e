// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// Ledger is what a journal said when it was read. ReadLedger is for programs that only look: it locks nothing, and
// works while a collector runs.
type Ledger struct{ journal *journal }

// ReadLedger reads the journal in a state directory; without a journal, nothing is known. Lines that are damaged, or
// are being written, are left out.
func ReadLedger(state string) (*Ledger, error) {
	l := &Ledger{newJournal(zap.NewNop())}
	file, err := durable.Open(filepath.Join(state, journalName), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	defer file.Close()
	if _, err := readRecords(file, l.journal.apply); err != nil {
		return nil, fmt.Errorf("read the journal %s: %w", file.Name(), err)
	}
	return l, nil
}

// Outcome returns what is known about the file at an absolute path without symbolic links, if it has not changed since
// its outcome. For an output of ours, Phase is empty, and Error says so.
func (l *Ledger) Outcome(path string) (o Overview, ok bool) {
	st, _, err := lstat(path)
	known, there := l.journal.source(path)
	switch {
	case err != nil:
		return o, false
	case there && known.State == stateOutput && known.Stamp == st, l.journal.isOutput(path):
		return Overview{Path: path, Error: isOurs}, true
	case !there || !known.State.final() || known.Stamp != st:
		return o, false
	}
	return outcomeOf(known, ""), true
}

// isOurs says why an output is left alone.
const isOurs = "it is an output of this program"

// OpenLedger opens and locks the journal in a state directory, for Forget. It fails while a collector uses it.
func OpenLedger(state string) (*Ledger, error) {
	j, err := openJournal(state, zap.NewNop())
	if err != nil {
		return nil, err
	}
	return &Ledger{j}, nil
}

// Close releases the lock that OpenLedger took.
func (l *Ledger) Close() error { return l.journal.close() }

// Known is what the journal says about a source.
type Known struct {
	Overview
	// Rel is the path below the watched folder.
	Rel string
	// Companions are the files that were published with the output.
	Companions []string
	// Previous are outputs of shorter versions of the source.
	Previous []string
	// Temp is the temporary path of an interrupted attempt that left files; empty if there is none.
	Temp string
	// Final means that it has an outcome.
	Final bool
}

// Known returns what the journal says about all sources.
func (l *Ledger) Known() []Known { return l.journal.known("") }

// Known returns what the journal says about all sources. Start must have been called.
func (w *Watcher) Known() []Known { return w.journal.known(w.names.directory) }

func (j *journal) known(directory string) (all []Known) {
	for _, s := range j.all() {
		k := Known{Overview: outcomeOf(s, directory), Rel: string(s.Rel), Temp: string(s.Temp), Final: s.State.final()}
		if s.State != stateDone && s.State != stateFailed {
			k.Phase = ""
		}
		for _, c := range s.Companions {
			k.Companions = append(k.Companions, string(c.Path))
		}
		for _, p := range s.Previous {
			k.Previous = append(k.Previous, string(p.Output.Path))
		}
		all = append(all, k)
	}
	return all
}

// Forget removes all that is known about sources and our files, given by their paths, from memory and disk. A file that
// is then found at such a path is new.
func (l *Ledger) Forget(paths ...string) error { return l.journal.forget(paths) }

// Forget is Ledger.Forget, but leaves alone sources without an outcome, and files that still exist.
func (w *Watcher) Forget(paths ...string) error {
	return w.journal.forget(slices.DeleteFunc(slices.Clone(paths), func(path string) bool {
		if s, ok := w.journal.source(path); ok && !s.State.final() {
			return true
		}
		_, _, err := lstat(path)
		return !errors.Is(err, fs.ErrNotExist)
	}))
}

func (j *journal) forget(paths []string) error {
	j.writing.Lock()
	defer j.writing.Unlock()
	if j.file == nil {
		return ErrStopped
	}
	j.drop(paths)
	j.notify()
	if err := j.compact(); err != nil { // the lines that were appended before are still in the file
		return fmt.Errorf("write %s: %w", j.path, err)
	}
	return nil
}

// drop removes paths from memory.
func (j *journal) drop(paths []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, path := range paths {
		delete(j.sources, path)
		delete(j.outputs, path)
	}
	maps.DeleteFunc(j.outputsByContent, func(_ content, path string) bool { return j.outputs[path].Path == "" })
	for key, sources := range j.doneByContent {
		left := slices.DeleteFunc(sources, func(path string) bool { return slices.Contains(paths, path) })
		if j.doneByContent[key] = left; len(left) == 0 {
			delete(j.doneByContent, key)
		}
	}
}

// DamagedCopies returns the copies of damaged journals that were kept in a state directory for the operator to inspect.
func DamagedCopies(state string) []string {
	copies, _ := filepath.Glob(filepath.Join(state, journalName+damagedSuffix+"*")) // the name has no wildcards
	return copies
}

// LeftBy removes the temporary files that an attempt left at Known.Temp.
func LeftBy(temp string) error { return removeTemps(temp) }

// MarkOf returns the path of the mark of a superseded output.
func MarkOf(output string) string { return supersededPath(output) }
