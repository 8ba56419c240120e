// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// sharedAs returns an output as it is in the directory of approved outputs; its Path is "" if there is no such
// directory.
func (w *Workspace) sharedAs(o *watch.Output) watch.Output {
	shared := *o
	if shared.Path = ""; w.opts.ApprovedDirectory != "" {
		shared.Path = filepath.Join(w.opts.ApprovedDirectory, o.Name)
	}
	return shared
}

// share puts an approved output into the directory of approved outputs: as another hard link or, on another disk, as a
// copy. It appears there only once it is complete.
func (w *Workspace) share(o *watch.Output) error {
	shared := w.sharedAs(o)
	if shared.Path == "" || shared.Intact() == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(shared.Path), 0o755); err != nil {
		return fmt.Errorf("review::approved_directory: %w", err)
	}
	temp := watch.NewTemp(shared.Path)
	defer func() { _ = watch.RemoveTemps(temp) }()
	err := os.Link(o.Path, temp)
	if err != nil {
		err = w.copyFile(o.Path, temp)
	}
	if err == nil {
		err = w.opts.Watcher.Own(temp, shared.Path)
	}
	if err == nil {
		err = watch.RenameNew(temp, shared.Path)
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: review::approved_directory has another file with that name: move it away",
			consoleapi.ErrConflict)
	}
	if err != nil {
		return fmt.Errorf("review::approved_directory: %w", err)
	}
	return nil
}

func (w *Workspace) copyFile(from, to string) error {
	source, err := openFile(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := durable.Create(to)
	if err != nil {
		return err
	}
	durable.Share(target, w.opts.FileMode)
	_, err = io.Copy(target, source)
	return errors.Join(err, durable.Sync(target), target.Close())
}

// unshare removes an output from the directory of approved outputs. A different file of that name stays.
func (w *Workspace) unshare(o *watch.Output) error {
	shared := w.sharedAs(o)
	if shared.Path == "" || shared.Intact() != nil {
		return nil
	}
	if err := durable.RemoveIfThere(shared.Path); err != nil {
		return fmt.Errorf("review::approved_directory: %w", err)
	}
	return nil
}
