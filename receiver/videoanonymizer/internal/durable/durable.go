// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package durable makes files survive a power failure.
package durable

import (
	"errors"
	"os"
	"syscall"
)

// Sync flushes the content of a file, or the names in a directory, to disk. Some network and user-space file systems do
// not support that (fsync(2): EINVAL or ENOTSUP), which is not an error.
func Sync(f *os.File) error {
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}

// WriteFile is os.WriteFile followed by Sync.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, Sync(f), f.Close())
}

// SyncPath is Sync for the file or directory at path.
func SyncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return Sync(f)
}
