// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// Finder finds complete files, by the rules of a Watcher, for callers that track them elsewhere, such as several
// machines that share a folder. It knows only the outcomes in a journal that was written before. Find must not be
// called concurrently.
type Finder struct {
	watcher  *Watcher
	known    *Ledger
	complete map[string]Complete // by path, of settled files
}

// Complete is a file that is complete.
type Complete struct {
	// Path is absolute, without symbolic links; Rel is what is passed to Options.OutputName.
	Path, Rel string
	Size      int64
	ModTime   time.Time
	// Digest identifies the content by samples.
	Digest string
}

// NewFinder creates missing folders, and reads the journal in the state directory, if there is one.
func NewFinder(opts Options) (*Finder, error) {
	w, err := New(opts)
	if err != nil {
		return nil, err
	}
	state := w.opts.statePath()
	output, err := w.prepareFolders(state)
	if err != nil {
		return nil, err
	}
	w.names = newNames(output, &w.opts)
	f := &Finder{watcher: w, complete: map[string]Complete{}}
	if f.known, err = ReadLedger(state); err != nil {
		return nil, err
	}
	w.queue.assess, w.queue.controlBefore = f.assess, func(*found) control { return control{} }
	return f, nil
}

// assess is Watcher.assess for a journal that is no longer written.
func (f *Finder) assess(seen *found) assessment {
	delete(f.complete, seen.path)
	if _, ok := f.known.Outcome(seen.path); ok {
		return finished
	}
	return candidate
}

// Find scans the folders once, and returns all files that are complete. Files in folders that cannot be read are left
// out; the log names these folders.
func (f *Finder) Find() (all []Complete) {
	f.watcher.folders.beginScan()
	f.watcher.found = f.watcher.scanner.scan(f.watcher.found[:0])
	f.watcher.queue.update(f.watcher.found)
	for _, ready := range f.watcher.queue.takeReady() {
		if c, ok := f.check(ready); ok {
			f.complete[ready.path] = c
			f.watcher.queue.settle(ready)
		}
	}
	for path, c := range f.complete {
		if there, _ := f.watcher.queue.lookup(path); there == nil {
			delete(f.complete, path)
			continue
		}
		all = append(all, c)
	}
	return all
}

// check checks a file as a claim does before it takes the file.
func (f *Finder) check(ready *file) (Complete, bool) {
	opened, st, err := openRegular(ready.path)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && st != ready.stamp:
		if err == nil {
			_ = opened.Close()
		}
		f.watcher.queue.forget(ready)
		return Complete{}, false
	case err != nil:
		f.later(ready, heldReason("it cannot be read: "+err.Error()))
		return Complete{}, false
	}
	defer opened.Close()
	if held := f.watcher.completeness.held(opened, st, f.watcher.queue.now().Sub(ready.since), false); held != "" {
		f.later(ready, held)
		return Complete{}, false
	}
	sum, err := digest(opened, st.Size)
	if err != nil {
		f.later(ready, heldReason("it cannot be read: "+err.Error()))
		return Complete{}, false
	}
	return Complete{ready.path, ready.rel, st.Size, st.ModTime().UTC(), sum}, true
}

func (f *Finder) later(ready *file, held heldReason) {
	f.watcher.queue.postpone(ready, held, max(f.watcher.opts.Config.StableFor, minPollGap))
}

// Rel returns Complete.Rel for a path, and whether the patterns include the path.
func (f *Finder) Rel(path string) (string, bool) {
	for i := range f.watcher.scanner.roots {
		r := &f.watcher.scanner.roots[i]
		base, err := filepath.EvalSymlinks(r.base)
		if err != nil || !within(path, base) {
			continue
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(path, base), "/")
		if r.matches(rel) && !f.watcher.scanner.excluded(r, rel) && r.held(rel, "") == "" {
			return rel, true
		}
	}
	return "", false
}

// OutputName returns the output path that Options.OutputName gives a source.
func (f *Finder) OutputName(rel string) (string, error) { return f.watcher.names.outputPath(rel) }

// Output returns a path for the output of a source, given what Rel returned for the source. Neither the path nor those
// of its companion files exist. The name is reserved in this process until release is called.
func (f *Finder) Output(rel string) (output string, release func(), err error) {
	if output, err = f.watcher.names.reserve(rel); err != nil {
		return "", nil, err
	}
	return output, func() { f.watcher.names.release(output) }, nil
}

// Unchanged fails with ErrChanged or ErrVanished if the file is no longer what it was when it was found.
func (c *Complete) Unchanged() error {
	_, err := c.stamp()
	return err
}

func (c *Complete) stamp() (stamp, error) {
	opened, st, err := openRegular(c.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return st, fmt.Errorf("%w: %s", ErrVanished, c.Path)
	case err != nil:
		return st, err
	}
	defer opened.Close()
	if st.Size != c.Size || !st.ModTime().Equal(c.ModTime) {
		return st, fmt.Errorf("%w: %s", ErrChanged, c.Path)
	}
	sum, err := digest(opened, st.Size)
	if err == nil && sum != c.Digest {
		err = fmt.Errorf("%w: %s", ErrChanged, c.Path)
	}
	return st, err
}

// Calm returns how long a source must stay unchanged after its outcome before Dispose may move or remove it, or 0 if
// Dispose leaves it alone.
func (f *Finder) Calm() time.Duration {
	if f.watcher.opts.OnSuccess == OnSuccessKeep {
		return 0
	}
	return max(longCalm(f.watcher.opts.Config.StableFor), minPollGap)
}

// Dispose does what the options request with a source that is done and has been unchanged for calm, which is at least
// Calm: it moves it, removes it, or leaves it alone. It fails with ErrChanged or ErrVanished if the source is no longer
// the same file, and with ErrOpen while a program has it open for writing, or may have and calm is too short.
func (f *Finder) Dispose(c Complete, calm time.Duration) error {
	opts := &f.watcher.opts
	if opts.OnSuccess == OnSuccessKeep {
		return nil
	}
	st, err := c.stamp()
	if err != nil {
		return err
	}
	if err := f.heldBy(c.Path, st, calm); err != nil {
		return err
	}
	if opts.OnSuccess == OnSuccessDelete {
		err = remove(c.Path, st)
	} else {
		err = move(c.Path, st, filepath.Join(opts.MoveTo, c.Rel), nil)
	}
	if errors.Is(err, errOtherFile) {
		return fmt.Errorf("%w: %w", ErrChanged, err)
	}
	if err != nil {
		return fmt.Errorf("%s the source %s: %w", opts.OnSuccess, c.Path, err)
	}
	return nil
}

// ErrOpen says that a program has a source open for writing, as far as that can be determined.
var ErrOpen = errors.New("a program may be writing to the source")

func (f *Finder) heldBy(path string, st stamp, calm time.Duration) error {
	opened, now, err := openRegular(path)
	if err != nil {
		return err
	}
	defer opened.Close()
	if now != st {
		return fmt.Errorf("%w: %s", ErrChanged, path)
	}
	if held := f.watcher.completeness.held(opened, st, calm, true); held != "" {
		return fmt.Errorf("%w: %s: %s", ErrOpen, path, held)
	}
	return nil
}
