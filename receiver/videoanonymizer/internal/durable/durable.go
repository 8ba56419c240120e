// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package durable writes files that survive a power failure, and opens files safely in folders to which others can
// write: it neither follows nor blocks on what they put in place of a file, such as a link or a FIFO.
package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Private is the mode of files that only their owner may read.
const Private os.FileMode = 0o600

// ErrNotRegular says that a path names something other than a regular file.
var ErrNotRegular = errors.New("it is not a regular file")

// Open opens a regular file, for reading or with further flags of os.OpenFile. It fails with ErrNotRegular for anything
// else, or with syscall.ELOOP for a symbolic link.
func Open(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, Private)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: ErrNotRegular}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Create creates a file for reading and writing, with mode Private. It fails with fs.ErrExist if the name is taken.
func Create(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, Private)
}

// Replace is Create, but removes any file that has the name.
func Replace(path string) (*os.File, error) {
	if err := RemoveIfThere(path); err != nil {
		return nil, err
	}
	return Create(path)
}

// ReadFile returns the content of a regular file. It fails like Open.
func ReadFile(path string) ([]byte, error) {
	f, err := Open(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(f)
	return text, errors.Join(err, f.Close())
}

// Sync flushes the content of a file, or the names in a directory, to disk. Some network and user-space file systems do
// not support that (fsync(2): EINVAL or ENOTSUP), which is not an error.
func Sync(f *os.File) error {
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}

// WriteFile writes a new file, in place of any that has the name, and flushes it to disk. Its mode is exactly mode.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	f, err := Replace(path)
	if err != nil {
		return err
	}
	Share(f, mode)
	_, err = f.Write(data)
	return errors.Join(err, Sync(f), f.Close())
}

// ReplaceFile replaces the file at path, so that a crash or an error leaves either the old or the new file whole. It
// writes to path+".new" first. The mode of the new file is exactly mode.
func ReplaceFile(path string, data []byte, mode os.FileMode) error {
	fresh := path + ".new"
	err := WriteFile(fresh, data, mode)
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return errors.Join(err, RemoveIfThere(fresh))
	}
	return SyncPath(filepath.Dir(path))
}

// RemoveIfThere is os.Remove, but succeeds if the file does not exist.
func RemoveIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Share sets the mode of a file that is Private. Some file systems refuse that; the mode then stays as it is.
func Share(f *os.File, mode os.FileMode) {
	if mode != Private {
		_ = f.Chmod(mode)
	}
}

// SyncPath is Sync for the file or directory at path.
func SyncPath(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return Sync(f)
}

// LinkNoReplace renames a file by creating a second link, and fails with fs.ErrExist if the new name is taken. A
// network file system may send a request again that was already carried out, and then find its own result: it is not an
// error if the new name already belongs to the same file.
func LinkNoReplace(from, to string) error {
	if err := link(from, to); err != nil && (!errors.Is(err, fs.ErrExist) || !sameFile(from, to)) {
		return err
	}
	return RemoveIfThere(from)
}

// link is a variable so that tests can simulate such a file system.
var link = os.Link

func sameFile(a, b string) bool {
	first, err := os.Lstat(a)
	if err != nil {
		return false
	}
	second, err := os.Lstat(b)
	return err == nil && os.SameFile(first, second)
}
