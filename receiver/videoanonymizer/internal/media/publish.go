// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// publish brings a finished file to the disk and gives it its final name, never over another file.
func publish(temp, final string) error {
	if err := syncPath(temp); err != nil {
		return fileError(temp, diskCause(err), "%v", rootCause(err))
	}
	switch err := renameNew(temp, final); {
	case errors.Is(err, fs.ErrExist):
		return fileError(final, ErrExists, "left as it is")
	case err != nil:
		return fileError(final, diskCause(err), "%v", err)
	}
	// The video stands under its name and is whole: a folder that cannot be synced (some network file systems) does
	// not change that.
	_ = syncPath(filepath.Dir(final))
	return nil
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// linkNew is renameNew in two steps, for file systems without the one.
func linkNew(from, to string) error {
	if err := os.Link(from, to); err != nil {
		return err
	}
	return os.Remove(from)
}

// diskCause sorts an error of the file system.
func diskCause(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return ErrNoSpace
	case errors.Is(err, fs.ErrNotExist):
		return ErrVanished
	default:
		return ErrUnwritable
	}
}
