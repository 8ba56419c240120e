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

// What a line says of a video can be erased, though lines cannot be removed: it is replaced by who did what kind of
// thing and when, with the hash of the line that it was, so that the chain continues. That this was meant says a later
// line, Erased, with the hash of what each replaced line is now. Without one, such a line is bad.

const (
	// Erased says that what the lines in Entry.Erased said of a video was erased.
	Erased = "erased"
	// Expired says that an output was removed because of its age.
	Expired = "expired"
	// ReportExpired says that the report of an output was.
	ReportExpired = "report_expired"
)

// ErasedLine is a line of which a part was erased.
type ErasedLine struct {
	Seq int `json:"seq"`
	// Hash is the SHA-256 of the line as it is now.
	Hash string `json:"hash"`
}

// remnant is what is left of an entry.
func (e Entry) remnant() Entry {
	return Entry{Seq: e.Seq, Time: e.Time, Actor: e.Actor, Role: e.Role, Action: e.Action, Remnant: true,
		Previous: e.Previous, Hash: e.Hash}
}

// Erase erases what the log in a directory says in the entries that match, and adds an entry by the actor that says so.
// It returns how many there were; nothing is written if there were none, or if there is no log. Nobody else may have
// the log open. The log must verify.
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

// Count returns how many entries Erase would erase a part of.
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

// matching returns the numbers of the entries that match, of which no part was erased yet.
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

// rewrite returns a good log with the remnants of some entries, and the entry that has to follow.
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

// Decisions returns the latest decision on each output, by its path below the output directory: Approved or Rejected.
// There is none where the output was reopened, erased or removed since. It fails if the log is not as it was written.
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

// decide takes note of an entry.
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

// Erasures returns how often parts of the log in a directory were erased. It fails if the log is not as it was written.
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
