// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// Receive writes a file into a watched folder: the first one whose patterns include it. If the name is taken, a number
// is inserted before its extension. Receive returns the file's name and size. If from cannot be read to its end,
// nothing is left. ErrRefused says that no watched folder would pick up a file of that name.
func (w *Watcher) Receive(name string, from io.Reader) (stored string, size int64, err error) {
	folder, err := w.scanner.folderFor(name)
	if err != nil {
		return "", 0, err
	}
	folder, err = filepath.EvalSymlinks(folder)
	if err != nil {
		return "", 0, err
	}
	temp := filepath.Join(folder, tempPrefix+"received-"+rand.Text())
	defer os.Remove(temp)
	file, err := durable.Create(temp)
	if err != nil {
		return "", 0, err
	}
	size, err = io.Copy(file, from)
	if err == nil {
		err = durable.Sync(file)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return "", 0, err
	}
	for n := 1; n <= maxNumber; n++ {
		path := numbered(filepath.Join(folder, name), n)
		switch err = renameNoReplace(temp, path); {
		case err == nil:
			w.pollSoon()
			return filepath.Base(path), size, durable.SyncPath(folder)
		case !errors.Is(err, fs.ErrExist):
			return "", 0, err
		}
	}
	return "", 0, err
}

// folderFor returns the watched folder in which a file of that name would be picked up.
func (s *scanner) folderFor(name string) (string, error) {
	if name != filepath.Base(name) || !filepath.IsLocal(name) || ignoredName(name) || partialName(name) {
		return "", fmt.Errorf("%w: files named %q are not picked up: write a file name without folders", ErrRefused, name)
	}
	for i := range s.roots {
		r := &s.roots[i]
		if !r.literal && r.matches(name) && !s.excluded(r, name) && r.held(name, "") == "" {
			return r.base, nil
		}
	}
	return "", fmt.Errorf("%w: no watched folder accepts a file named %q: it needs the extension of a video or "+
		"picture, and to match watch::include", ErrRefused, name)
}
