// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package durable

import (
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// Stamp identifies the state of a file without reading it: any change of the content changes CTime. Times are
// nanoseconds since 1970. The device is left out, since its number changes when a disk is mounted again.
type Stamp struct {
	Size  int64  `json:"size"`
	MTime int64  `json:"mtime"`
	CTime int64  `json:"ctime"`
	Inode uint64 `json:"inode"`
}

// SameFile reports whether two stamps are equal except for CTime, which renaming, linking and chmod also change.
func (s Stamp) SameFile(t Stamp) bool {
	t.CTime = s.CTime
	return s == t
}

// ModTime returns MTime as a time.Time.
func (s Stamp) ModTime() time.Time { return time.Unix(0, s.MTime) }

// StampOf returns the stamp of a file from the result of a stat call.
func StampOf(st *unix.Stat_t) Stamp {
	return Stamp{Size: st.Size, MTime: unix.TimespecToNsec(st.Mtim), CTime: unix.TimespecToNsec(st.Ctim), Inode: st.Ino}
}

// StampAt returns the stamp of the regular file at path. It fails with ErrNotRegular for anything else.
func StampAt(path string) (Stamp, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return Stamp{}, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return Stamp{}, &fs.PathError{Op: "lstat", Path: path, Err: ErrNotRegular}
	}
	return StampOf(&st), nil
}
