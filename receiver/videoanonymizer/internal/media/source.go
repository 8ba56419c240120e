// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// inputURL is the name under which a child opens its first extra descriptor. That is the file that was checked here,
// even if it has been renamed, and ffmpeg cannot mistake its name for a pattern, an option or a protocol.
const inputURL = "file:/proc/self/fd/3"

// outputURL is the name under which a child opens its second extra descriptor for writing. That is the file that was
// created here, even if another file has its name by then.
const outputURL = "file:/proc/self/fd/4"

// fileID identifies a file, to tell whether it is still the one that was probed.
type fileID struct {
	dev, inode   uint64
	size, mtimeN int64
}

// openSource opens a regular, non-empty file for reading. It follows no symbolic link in the last part of its path, and
// does not wait for a FIFO's writer.
func openSource(path string) (*os.File, fileID, error) {
	return checked(path, path, syscall.O_NOFOLLOW)
}

// checked is openSource for a file that is opened at a path other than its own.
func checked(path, at string, flags int) (*os.File, fileID, error) {
	f, err := os.OpenFile(at, os.O_RDONLY|syscall.O_NONBLOCK|flags, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fileID{}, fileError(path, ErrVanished, "no such file")
	case errors.Is(err, syscall.ELOOP):
		return nil, fileID{}, fileError(path, ErrNotVideo, "a symbolic link")
	case errors.Is(err, syscall.ENXIO):
		return nil, fileID{}, fileError(path, ErrNotVideo, "a socket or device")
	case err != nil:
		return nil, fileID{}, fileError(path, ErrUnreadable, "%v", rootCause(err))
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, fileID{}, fileError(path, ErrUnreadable, "%v", rootCause(err))
	}
	switch {
	case !info.Mode().IsRegular():
		err = fileError(path, ErrNotVideo, "not a regular file but %s", kind(info.Mode()))
	case info.Size() == 0:
		err = fileError(path, ErrNotVideo, "empty")
	}
	if err != nil {
		_ = f.Close()
		return nil, fileID{}, err
	}
	id := fileID{size: info.Size(), mtimeN: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		id.dev, id.inode = st.Dev, st.Ino
	}
	return f, id, nil
}

// Hold returns a copy of the description that refers to this very file until release is called, even if the file is
// deleted or its path names another file by then. It fails like Open.
func (i Info) Hold() (held Info, release func(), err error) {
	f, err := i.openAgain()
	if err != nil {
		return i, nil, err
	}
	i.held = f
	return i, func() { _ = f.Close() }, nil
}

// Source returns the path at which this process finds the file: Path, unless the file is held.
func (i Info) Source() string {
	if i.held == nil {
		return i.Path
	}
	return fmt.Sprintf("/proc/self/fd/%d", i.held.Fd())
}

// openAgain opens the file that was probed. It fails with ErrVanished if the path names another file now, or if the
// file was written to.
func (i Info) openAgain() (*os.File, error) {
	var f *os.File
	var id fileID
	var err error
	if i.held == nil {
		f, id, err = openSource(i.Path)
	} else {
		f, id, err = checked(i.Path, i.Source(), 0)
	}
	if err != nil {
		return nil, err
	}
	if id != i.id {
		_ = f.Close()
		return nil, fileError(i.Path, ErrVanished, "it changed since it was probed")
	}
	return f, nil
}

func kind(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	default:
		return "a device"
	}
}

// rootCause removes the path from a file system error, since fileError names it.
func rootCause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
