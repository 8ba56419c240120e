// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// stamp identifies the state of a file.
type stamp = durable.Stamp

// lstat returns the stamp and the S_IFMT bits of a file. It does not follow a symbolic link.
func lstat(path string) (stamp, uint32, error) {
	var st unix.Stat_t
	err := retryEINTR(func() error { return unix.Lstat(path, &st) })
	if err != nil {
		return stamp{}, 0, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	return durable.StampOf(&st), st.Mode & unix.S_IFMT, nil
}

// exists reports whether a path exists, even as a dangling link.
func exists(path string) (bool, error) {
	_, _, err := lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// mayExist reports whether a path exists, or that cannot be determined.
func mayExist(path string) bool {
	there, err := exists(path)
	return there || err != nil
}

// openRegular opens a regular file for reading. It refuses anything else (errNotRegular), and never blocks, as opening
// a FIFO would.
func openRegular(path string) (*os.File, stamp, error) {
	f, err := durable.Open(path, os.O_RDONLY)
	if err != nil {
		return nil, stamp{}, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		f.Close()
		return nil, stamp{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return f, durable.StampOf(&st), nil
}

var errNotRegular = durable.ErrNotRegular

const (
	digestBlock  = 64 << 10
	digestBlocks = 4
)

// digest identifies a video by its size and samples of its content: the first 16 bytes, in hexadecimal, of a SHA-256 of
// the size and four blocks of 64 KiB, spread evenly from the start to the end. Compressed videos differ everywhere, so
// the samples distinguish them at next to no cost. A change of a few bytes between the samples that keeps the size goes
// unnoticed.
//
// Pictures, recognized by their extension, are read whole: they may be uncompressed, with samples that are all black.
func digest(f *os.File, size int64) (string, error) {
	sum, _, err := digests(f, size)
	return sum, err
}

// digests returns the digest of a file's first size bytes, and body, a digest of the same samples except the first,
// which stays the same if only the beginning is rewritten. body is empty for a picture, and if the file is so small
// that the samples overlap.
func digests(f *os.File, size int64) (sum, body string, err error) {
	whole, rest := sha256.New(), sha256.New()
	fmt.Fprintln(whole, size)
	if IsPicture(f.Name()) {
		if _, err := io.Copy(whole, io.NewSectionReader(f, 0, size)); err != nil {
			return "", "", fmt.Errorf("read %s: %w", f.Name(), err)
		}
		return hex.EncodeToString(whole.Sum(nil)[:16]), "", nil
	}
	fmt.Fprintln(rest, size)
	block := make([]byte, min(digestBlock, size))
	last := size - int64(len(block))
	for i := range int64(digestBlocks) {
		n, err := f.ReadAt(block, last*i/(digestBlocks-1))
		if err != nil && !errors.Is(err, io.EOF) {
			return "", "", fmt.Errorf("read %s: %w", f.Name(), err)
		}
		whole.Write(block[:n])
		if i > 0 {
			rest.Write(block[:n])
		}
	}
	if last/(digestBlocks-1) >= digestBlock {
		body = hex.EncodeToString(rest.Sum(nil)[:16])
	}
	return hex.EncodeToString(whole.Sum(nil)[:16]), body, nil
}

// digestPath returns the digest of the regular file at path, and its size in bytes.
func digestPath(path string) (string, int64, error) {
	f, st, err := openRegular(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	sum, err := digest(f, st.Size)
	return sum, st.Size, err
}

// renameNoReplace renames a file atomically, and fails with fs.ErrExist if the new name is taken (renameat2(2),
// RENAME_NOREPLACE). On file systems without it (NFS, some FUSE), a second link is created first, which fails in the
// same way.
func renameNoReplace(from, to string) error {
	err := retryEINTR(func() error {
		return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	})
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP) {
		return durable.LinkNoReplace(from, to)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// renameDurably is renameNoReplace, but makes the new name survive a power failure.
func renameDurably(from, to string) error {
	if err := renameNoReplace(from, to); err != nil {
		return err
	}
	return durable.SyncPath(filepath.Dir(to))
}

// makeFolders is os.MkdirAll, but makes the new folders survive a power failure.
func makeFolders(path string) error {
	there, err := exists(path)
	if err != nil || there {
		return err
	}
	if err := makeFolders(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return durable.SyncPath(filepath.Dir(path))
}

// lockFile locks the file for this process until it is closed, and writes the process ID into it. It does not write
// into a file that has other names, too, since that may belong to someone else.
func lockFile(path string) (*os.File, error) {
	f, err := durable.Open(path, os.O_RDWR|os.O_CREATE)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, errNotRegular) {
		return nil, fmt.Errorf("%w: remove it, since the collector did not create it", err)
	}
	if err != nil {
		return nil, err
	}
	err = retryEINTR(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		holder, _ := io.ReadAll(io.LimitReader(f, 32))
		f.Close()
		return nil, fmt.Errorf(
			"%s is in use by process %s: stop that collector, or give this receiver its own output directory",
			filepath.Dir(path), strings.TrimSpace(string(holder)))
	}
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(int(f.Fd()), &st)
	}
	if err != nil {
		f.Close()
		return nil, &fs.PathError{Op: "lock", Path: path, Err: err}
	}
	if st.Nlink > 1 {
		return f, nil
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, strconv.Itoa(os.Getpid())+"\n", 0)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func writeAt(f *os.File, text string, offset int64) error {
	_, err := f.WriteAt([]byte(text), offset)
	return err
}

func retryEINTR(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
