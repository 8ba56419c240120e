// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// errOtherFile says that a path names another file than the one that was processed, or no file.
var errOtherFile = errors.New("it is not the file that was processed")

// remove deletes the file if it is the one meant. It renames the file first, so that another file that takes its place
// at the last moment is noticed, and put back instead of deleted.
func remove(path string, meant stamp) error {
	aside := asidePath(path, meant)
	if err := takeAside(path, aside, meant); err != nil {
		return err
	}
	return os.Remove(aside)
}

// asidePath returns the same path for each try, so that a restart finds what a crash left.
func asidePath(path string, meant stamp) string {
	return filepath.Join(filepath.Dir(path), fmt.Sprintf("%sdone-%d-%d", tempPrefix, meant.Inode, meant.MTime))
}

// takeAside renames the file if it is the one meant.
func takeAside(path, to string, meant stamp) error {
	if err := check(path, meant); err != nil {
		if errors.Is(err, errOtherFile) && check(to, meant) == nil {
			return nil // an earlier try got this far
		}
		return err
	}
	if err := renameNoReplace(path, to); err != nil {
		return err
	}
	if err := check(to, meant); err != nil {
		return errors.Join(err, renameNoReplace(to, path))
	}
	return nil
}

func check(path string, meant stamp) error {
	st, mode, err := lstat(path)
	if err == nil && (mode != unix.S_IFREG || !st.SameFile(meant)) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", path, errOtherFile)
	}
	return err
}

// move renames the file to the first free numbered name, even on another file system. If prepare is given, it is called
// first with each name that is tried; if it fails with fs.ErrExist, the next name is tried.
func move(path string, meant stamp, to string, prepare func(to string) error) error {
	if err := check(path, meant); err != nil {
		return err
	}
	if err := makeFolders(filepath.Dir(to)); err != nil {
		return err
	}
	for n := 1; n <= maxNumber; n++ {
		err := moveTo(path, meant, numbered(to, n), prepare)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return fmt.Errorf("%s and %d numbered names are taken: empty the folder", to, maxNumber-1)
}

// moveTo is move with one name. It fails with fs.ErrExist if the name is taken.
func moveTo(path string, meant stamp, to string, prepare func(to string) error) error {
	if there, err := exists(to); err != nil {
		return err
	} else if there {
		return fs.ErrExist
	}
	if prepare != nil {
		if err := prepare(to); err != nil {
			return err
		}
	}
	err := takeAside(path, to, meant)
	if errors.Is(err, unix.EXDEV) {
		err = moveAcross(path, to, meant)
	}
	if err != nil {
		return err
	}
	return errors.Join(durable.SyncPath(filepath.Dir(to)), durable.SyncPath(filepath.Dir(path)))
}

// moveAcross moves a file to another file system: the copy is complete and durable before the original is removed.
func moveAcross(path, to string, meant stamp) error {
	temp := tempPath(to)
	defer os.Remove(temp)
	if err := copyFile(path, temp, meant); err != nil {
		return err
	}
	if err := check(path, meant); err != nil {
		return err
	}
	if err := renameDurably(temp, to); err != nil {
		return err
	}
	return remove(path, meant)
}

func copyFile(path, to string, meant stamp) (err error) {
	from, st, err := openRegular(path)
	if err != nil {
		return err
	}
	defer from.Close()
	if !st.SameFile(meant) {
		return fmt.Errorf("%s: %w", path, errOtherFile)
	}
	copied, err := durable.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, copied.Close()) }()
	if n, err := io.Copy(copied, from); err != nil {
		return err
	} else if n != meant.Size {
		return fmt.Errorf("%s: copied %d of %d bytes", path, n, meant.Size)
	}
	if info, err := from.Stat(); err == nil {
		_ = copied.Chmod(info.Mode().Perm())
	}
	return errors.Join(durable.Sync(copied), os.Chtimes(to, time.Time{}, meant.ModTime()))
}

// ReasonSuffix is appended to the name of a file in quarantine.
const ReasonSuffix = ".reason.json"

// reason is the content of the file that explains why another one is in quarantine.
type reason struct {
	Source   pathText  `json:"source"`
	Reason   string    `json:"reason"`
	Error    string    `json:"error"`
	Attempts int       `json:"attempts"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	Failed   time.Time `json:"failed"`
}

func (r reason) text() ([]byte, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	return append(text, '\n'), err
}

// writeReason writes why the file that will be at path is in quarantine. The reason is on disk before the file is
// moved. It fails with fs.ErrExist if the name is taken, unless an earlier try left the same reason there.
func writeReason(path string, s source, mode os.FileMode) error {
	why := reason{s.Path, s.Reason, s.Error, s.Attempt, s.Stamp.Size, s.Stamp.ModTime().UTC(), s.Time}
	text, err := why.text()
	if err != nil {
		return err
	}
	path += ReasonSuffix
	temp := asidePath(path, s.Stamp) + ReasonSuffix
	defer os.Remove(temp)
	if err := durable.WriteFile(temp, text, mode); err != nil {
		return err
	}
	err = renameDurably(temp, path)
	if errors.Is(err, fs.ErrExist) && why.isIn(path) {
		return nil
	}
	return err
}

// isIn reports whether the file has the same content, except for the time, which a restart updates.
func (r reason) isIn(path string) bool {
	there, err := durable.ReadFile(path)
	if err != nil {
		return false
	}
	var other reason
	if err := json.Unmarshal(there, &other); err != nil {
		return false
	}
	r.Failed = other.Failed
	text, err := r.text()
	return err == nil && bytes.Equal(there, text)
}
