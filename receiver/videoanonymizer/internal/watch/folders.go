// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.uber.org/zap"
)

// prepareFolders creates the folders, tells the scanner which of them hold no sources, and returns the resolved output
// directory.
func (w *Watcher) prepareFolders(state string) (output string, err error) {
	if output, err = makeRealFolder(w.opts.OutputDirectory); err != nil {
		return "", fmt.Errorf("output directory: %w", err)
	}
	if state, err = makeRealFolder(state); err != nil {
		return "", fmt.Errorf("state directory: %w", err)
	}
	w.scanner.skip[state] = true
	for _, directory := range []*string{&w.opts.MoveTo, &w.opts.QuarantineDirectory} {
		if *directory == "" {
			continue
		}
		if *directory, err = makeRealFolder(*directory); err != nil {
			return "", err
		}
		w.scanner.skip[*directory] = true
	}
	for _, r := range w.scanner.roots {
		w.createMissingRoot(r)
	}
	if err := w.checkRoots(); err != nil {
		return "", err
	}
	// The output directory may be a watched folder, or contain one: the scanner still enters it as a root, and the journal
	// knows which files are outputs.
	w.scanner.skip[output] = true
	return output, nil
}

// checkRoots refuses watched folders inside the state directory, or inside folders for finished or failed sources.
func (w *Watcher) checkRoots() error {
	for _, r := range w.scanner.roots {
		base, err := filepath.EvalSymlinks(r.base)
		if err != nil {
			continue
		}
		for skip := range w.scanner.skip {
			if within(base, skip) {
				return fmt.Errorf("the watched folder %s is inside %s, where finished or failed files go: separate them",
					base, skip)
			}
		}
	}
	return nil
}

// makeRealFolder creates a folder and returns its absolute path without symbolic links.
func makeRealFolder(directory string) (string, error) {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return "", err
	}
	directory, err := filepath.Abs(directory)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(directory)
}

// createMissingRoot creates a watched folder that is missing below the working directory, where a new user expects it.
// A folder that is missing elsewhere is more likely on a disk that is not mounted yet.
func (w *Watcher) createMissingRoot(r root) {
	here, err := os.Getwd()
	if err != nil || r.literal || !within(r.base, here) {
		return
	}
	if there, err := exists(r.base); err != nil || there {
		return
	}
	if err := os.MkdirAll(r.base, 0o755); err != nil {
		w.logger.Warn("cannot create the watched folder", zap.String("folder", r.base), zap.Error(err))
		return
	}
	w.logger.Info("created the watched folder", zap.String("folder", r.base))
}

// maxInotify limits the number of folders that inotify watches.
const maxInotify = 256

// folderMonitor logs when a watched folder becomes unreadable or readable again, and makes inotify watch those that are
// scanned. Only the polling goroutine uses it.
type folderMonitor struct {
	logger     *zap.Logger
	inotify    *inotify          // nil if the kernel refuses it
	added      int               // folders added to inotify in this scan
	lastLogged map[string]string // by folder: why it could not be read
}

func newFolderMonitor(logger *zap.Logger) *folderMonitor {
	return &folderMonitor{logger: logger, lastLogged: map[string]string{}}
}

func (m *folderMonitor) beginScan() { m.added = 0 }

// entered is called for each folder that the scanner reads.
func (m *folderMonitor) entered(directory string) {
	if m.lastLogged[directory] != "" {
		delete(m.lastLogged, directory)
		m.logger.Info("the watched folder is readable again", zap.String("folder", directory))
	}
	if m.inotify != nil && m.added < maxInotify {
		m.added++
		_ = m.inotify.add(directory) // each time, since another folder may have this name by now
	}
}

// unreadable is called for each folder that the scanner cannot read.
func (m *folderMonitor) unreadable(directory string, err error) {
	if m.lastLogged[directory] == err.Error() {
		return
	}
	m.lastLogged[directory] = err.Error()
	if errors.Is(err, fs.ErrNotExist) {
		m.logger.Info("waiting for the watched folder to appear", zap.String("folder", directory))
		return
	}
	m.logger.Warn("cannot read a watched folder: its files wait until it is readable",
		zap.String("folder", directory), zap.Error(err))
}
