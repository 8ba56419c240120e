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

// action is what is done to a source after its outcome is recorded.
type action string

const (
	actionMove       action = "move"
	actionDelete     action = "delete"
	actionQuarantine action = "quarantine"
)

func (o *Options) successAction() action {
	switch o.OnSuccess {
	case OnSuccessMove:
		return actionMove
	case OnSuccessDelete:
		return actionDelete
	}
	return ""
}

func (o *Options) failureAction() action {
	if o.QuarantineDirectory != "" {
		return actionQuarantine
	}
	return ""
}

// act does to the source what its record says, and records that it did. A source that is another file by now, or gone, is
// left as it is. An action that the configuration no longer asks for is dropped.
func (w *Watcher) act(s source) error {
	if s.Action == "" {
		return nil
	}
	var err error
	switch path := string(s.Path); {
	case s.Action == actionDelete && w.opts.OnSuccess == OnSuccessDelete:
		err = remove(path, s.Stamp)
	case s.Action == actionMove && w.opts.OnSuccess == OnSuccessMove:
		_, err = move(path, s.Stamp, filepath.Join(w.opts.MoveTo, string(s.Rel)), nil)
	case s.Action == actionQuarantine && w.opts.QuarantineDirectory != "":
		_, err = move(path, s.Stamp, filepath.Join(w.opts.QuarantineDirectory, string(s.Rel)), func(to string) error {
			recorded, _ := w.journal.source(path) // with its time
			return writeReason(to, recorded)
		})
	default:
		s.Action = ""
		return w.journal.put(s)
	}
	if err != nil && !errors.Is(err, errOther) {
		return fmt.Errorf("%s the source %s: %w", s.Action, s.Path, err)
	}
	s.Gone, s.Action = err == nil, ""
	return w.journal.put(s)
}

// errOther says that the path holds another file than the one meant, or none.
var errOther = errors.New("it is not the file that was worked on")

// remove deletes the file if it is the one meant. It is renamed first, so that a file put in its place at the last moment
// is found out, and put back, rather than deleted.
func remove(path string, meant stamp) error {
	aside := asidePath(path, meant)
	if err := takeAside(path, aside, meant); err != nil {
		return err
	}
	return os.Remove(aside)
}

// asidePath is the same at each try, so that a restart finds what a crash left.
func asidePath(path string, meant stamp) string {
	return filepath.Join(filepath.Dir(path), fmt.Sprintf("%sdone-%d-%d", tempPrefix, meant.Inode, meant.MTime))
}

// takeAside renames the file if it is the one meant.
func takeAside(path, to string, meant stamp) error {
	if err := check(path, meant); err != nil {
		if errors.Is(err, errOther) && check(to, meant) == nil {
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
	if err == nil && (mode != unix.S_IFREG || !st.sameFile(meant)) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", path, errOther)
	}
	return err
}

// move renames the file to the first name that is free, across file systems too, and gives the name. Where it is given,
// prepare is called with the name first.
func move(path string, meant stamp, to string, prepare func(to string) error) (string, error) {
	if err := check(path, meant); err != nil {
		return "", err
	}
	if err := makeFolders(filepath.Dir(to)); err != nil {
		return "", err
	}
	for n := 1; n <= maxNumber; n++ {
		candidate := numbered(to, n)
		if there, err := exists(candidate); err != nil {
			return "", err
		} else if there {
			continue
		}
		if prepare != nil {
			if err := prepare(candidate); errors.Is(err, fs.ErrExist) {
				continue
			} else if err != nil {
				return "", err
			}
		}
		err := takeAside(path, candidate, meant)
		if errors.Is(err, unix.EXDEV) {
			err = carry(path, candidate, meant)
		}
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		return candidate, errors.Join(durable.SyncPath(filepath.Dir(candidate)), durable.SyncPath(filepath.Dir(path)))
	}
	return "", fmt.Errorf("%s and %d names with a number are taken: empty the folder", to, maxNumber-1)
}

// carry moves between file systems: the copy is complete and durable before the original goes.
func carry(path, to string, meant stamp) error {
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
	if !st.sameFile(meant) {
		return fmt.Errorf("%s: %w", path, errOther)
	}
	copied, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
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
	return errors.Join(durable.Sync(copied), os.Chtimes(to, time.Time{}, meant.modTime()))
}

// reasonSuffix is put after the name of a file in quarantine.
const reasonSuffix = ".reason.json"

// reason is what the file beside a file in quarantine says.
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

// writeReason says beside a file in quarantine why it is there. It is on the disk before the file moves, and takes no name that is
// taken (fs.ErrExist), but by the same reason, which an earlier try left.
func writeReason(path string, s source) error {
	why := reason{s.Path, s.Reason, s.Error, s.Attempt, s.Stamp.Size, s.Stamp.modTime().UTC(), s.Time}
	text, err := why.text()
	if err != nil {
		return err
	}
	path += reasonSuffix
	temp := asidePath(path, s.Stamp) + reasonSuffix
	defer os.Remove(temp)
	if err := durable.WriteFile(temp, text, 0o644); err != nil {
		return err
	}
	err = renameDurably(temp, path)
	if errors.Is(err, fs.ErrExist) && why.standsIn(path) {
		return nil
	}
	return err
}

// standsIn tells whether the file says the same, but for the time, which a restart records anew.
func (r reason) standsIn(path string) bool {
	there, err := os.ReadFile(path)
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
