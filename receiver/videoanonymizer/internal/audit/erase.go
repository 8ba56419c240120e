// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// Information about a video can be erased from a line, although lines cannot be removed: the line is replaced by a
// remnant that says who did what and when, and contains the hash of the original line, so that the chain continues. A
// later line, Erased, confirms that this was intended. It contains the hash of each remnant. Remnants without such a
// line are bad.

const (
	// Erased means that the information about a video was erased from the lines in Entry.Erased.
	Erased = "erased"
	// Expired means that an output was removed because of its age.
	Expired = "expired"
	// ReportExpired means that the report of an output was removed because of its age.
	ReportExpired = "report_expired"
)

// ErasedLine is a line that was partly erased.
type ErasedLine struct {
	Seq int `json:"seq"`
	// Hash is the SHA-256 of the remnant.
	Hash string `json:"hash"`
}

// remnant returns the part of an entry that is not erased.
func (e Entry) remnant() Entry {
	return Entry{Seq: e.Seq, Time: e.Time, Actor: e.Actor, Role: e.Role, Action: e.Action, Remnant: true,
		Previous: e.Previous, Hash: e.Hash}
}

// Erase erases the information in the matching entries of the log in a directory, and adds an entry about this by the
// actor. It returns the number of matching entries. It writes nothing if there are none, or if there is no log. Nothing
// else may have the log open, and the log must be good.
func Erase(directory, actor string, match func(Entry) bool) (erased int, err error) {
	path := filepath.Join(directory, FileName)
	text, err := durable.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("audit: %w", err)
	}
	erase, err := matching(text, match)
	if err != nil || len(erase) == 0 {
		return 0, err
	}
	rewritten, done, err := rewrite(text, erase)
	if err != nil {
		return 0, fmt.Errorf("audit: %w", err)
	}
	done.Actor, done.Role = actor, "system"
	line, err := seal(&done)
	if err != nil {
		return 0, fmt.Errorf("audit: %w", err)
	}
	if err := durable.ReplaceFile(path, append(rewritten, line...), durable.Private); err != nil {
		return 0, fmt.Errorf("audit: %w", err)
	}
	return len(erase), nil
}

// Count returns the number of entries that Erase would partly erase.
func Count(directory string, match func(Entry) bool) (int, error) {
	text, err := durable.ReadFile(filepath.Join(directory, FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("audit: %w", err)
	}
	found, err := matching(text, match)
	return len(found), err
}

// matching returns the numbers of the matching entries that are not yet partly erased.
func matching(text []byte, match func(Entry) bool) (map[int]bool, error) {
	found := map[int]bool{}
	_, err := Verify(bytes.NewReader(text), func(e Entry) {
		if match(e) && !e.Remnant {
			found[e.Seq] = true
		}
	})
	if err != nil {
		return nil, fmt.Errorf("audit: %w: nothing is erased from a log that has been changed", err)
	}
	return found, nil
}

// rewrite returns a good log in which the given entries are replaced by remnants, and the entry that must follow.
func rewrite(text []byte, erase map[int]bool) (rewritten []byte, done Entry, err error) {
	done = Entry{Time: now().UTC(), Action: Erased}
	for line := range bytes.Lines(text) {
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, done, err
		}
		if erase[e.Seq] {
			if line, err = json.Marshal(e.remnant()); err != nil {
				return nil, done, err
			}
			done.Erased = append(done.Erased, ErasedLine{e.Seq, hash(line)})
			line = append(line, '\n')
		}
		rewritten = append(rewritten, line...)
		done.Seq, done.Previous = e.Seq+1, e.Hash
	}
	return rewritten, done, nil
}

// Decisions returns the latest decision on each output, Approved or Rejected, by its path relative to the output
// directory. Outputs that were reopened, erased or removed since then have none. It fails if the log was changed.
func Decisions(directory string) (map[string]Entry, error) {
	decided := map[string]Entry{}
	file, err := durable.Open(filepath.Join(directory, FileName), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return decided, nil
	}
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	defer file.Close()
	if _, err := Verify(file, func(e Entry) { decide(decided, e) }); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return decided, nil
}

// decide applies an entry to the decisions.
func decide(decided map[string]Entry, e Entry) {
	switch {
	case e.Remnant:
	case e.Action == Approved || e.Action == Rejected:
		decided[e.Output] = e
	case e.Action == Reopened || e.Action == Expired:
		delete(decided, e.Output)
	case e.Action == ReportExpired:
		if d, ok := decided[e.Output]; ok {
			d.ReportSHA256 = ""
			decided[e.Output] = d
		}
	}
}

// Erasures returns the number of erasures in the log in a directory. It fails if the log was changed.
func Erasures(directory string) (n int, err error) {
	file, err := durable.Open(filepath.Join(directory, FileName), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("audit: %w", err)
	}
	defer file.Close()
	_, err = Verify(file, func(e Entry) {
		if e.Action == Erased {
			n++
		}
	})
	return n, err
}
