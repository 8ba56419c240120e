// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package audit keeps the record of who did what in the console, the audit log: a file of JSON lines, each of which is
// synced before it counts, and contains the hash of the previous line. Changing, removing or inserting a line breaks
// the chain, unless everything after it is rewritten. That is detected, too, because approvals beside the outputs
// contain the hashes of their entries.
package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

const (
	// DirectoryName is the name of the folder for reviews and the audit log in the receiver's state directory.
	DirectoryName = "console"
	// FileName is the name of the audit log in that folder.
	FileName = "audit.jsonl"
)

// Values of Entry.Action.
const (
	ReviewStarted = "review_started"
	Approved      = "approved"
	Rejected      = "rejected"
	Reopened      = "reopened"
	Retried       = "retried"
	Paused        = "paused"
	Resumed       = "resumed"
	Canceled      = "canceled"
	PutFirst      = "put_first"
	Uploaded      = "uploaded"
)

// Entry is a line of the log. Fields that do not apply are empty.
type Entry struct {
	Seq    int       `json:"seq"`
	Time   time.Time `json:"time"`
	Actor  string    `json:"actor"`
	Role   string    `json:"role"`
	Action string    `json:"action"`
	// Video is an ID, Name the file name of the source.
	Video    string `json:"video,omitempty"`
	Name     string `json:"name,omitempty"`
	Revision string `json:"revision,omitempty"`
	// Output is the path relative to the output directory.
	Output       string  `json:"output,omitempty"`
	OutputSHA256 string  `json:"output_sha256,omitempty"`
	ReportSHA256 string  `json:"report_sha256,omitempty"`
	Note         string  `json:"note,omitempty"`
	Moments      int     `json:"moments,omitempty"`
	MomentsSeen  int     `json:"moments_seen,omitempty"`
	Watched      float64 `json:"watched,omitempty"`
	// Remnant means that the information about a video in this entry was erased. Its hash is that of the original line.
	Remnant bool `json:"remnant,omitempty"`
	// Erased lists the lines that were partly erased, if the action is Erased.
	Erased []ErasedLine `json:"erased,omitempty"`
	// Previous is the hash of the previous line, empty in the first line.
	Previous string `json:"previous"`
	// Hash is the SHA-256 of the line without this key, in hex.
	Hash string `json:"hash,omitempty"`
}

// Log is an audit log, open for appending. It is safe for concurrent use.
type Log struct {
	path string

	mu   sync.Mutex
	file *os.File
	size int64
	seq  int
	last string // hash
}

// Open opens the log in an existing directory. It removes the incomplete, unacknowledged line that a crash may have
// left.
func Open(directory string) (*Log, error) {
	path := filepath.Join(directory, FileName)
	file, err := durable.Open(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	l := &Log{path: path, file: file}
	err = l.recover()
	if err == nil {
		err = durable.SyncPath(directory)
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("audit: %s: %w", path, err)
	}
	return l, nil
}

// recover finds the last line. Unreadable lines are left for Verify to report, and new entries are appended after them.
func (l *Log) recover() error {
	lines := bufio.NewReader(l.file)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		l.size += int64(len(line))
		l.seq++
		var e Entry
		if json.Unmarshal(line, &e) == nil {
			l.seq, l.last = max(l.seq, e.Seq), e.Hash
		}
	}
	return l.file.Truncate(l.size)
}

// Append adds an entry durably, and returns it as added, with its number, time and hashes.
func (l *Log) Append(e Entry) (Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return e, fmt.Errorf("audit: %w", fs.ErrClosed)
	}
	e.Seq, e.Time, e.Previous = l.seq+1, now().UTC(), l.last
	line, err := seal(&e)
	if err == nil {
		err = l.write(line)
	}
	if err != nil {
		return e, fmt.Errorf("audit: %w", err)
	}
	l.seq, l.last = e.Seq, e.Hash
	return e, nil
}

func (l *Log) write(line []byte) error {
	_, err := l.file.WriteAt(line, l.size)
	if err == nil {
		err = durable.Sync(l.file)
	}
	if err != nil { // part of the line may have been written if the disk is full
		return errors.Join(err, l.file.Truncate(l.size))
	}
	l.size += int64(len(line))
	return nil
}

// seal sets the entry's hash and returns its line.
func seal(e *Entry) ([]byte, error) {
	e.Hash = ""
	body, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	e.Hash = hash(body)
	return fmt.Appendf(nil, `%s%s%s"}`+"\n", body[:len(body)-1], hashKey, e.Hash), nil
}

const hashKey = `,"hash":"`

func hash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// Lines calls use for each line currently in the log, without the line ending. The bytes are valid until use returns.
func (l *Log) Lines(use func(line []byte) error) error {
	l.mu.Lock()
	size := l.size
	l.mu.Unlock()
	file, err := durable.Open(l.path, os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	defer file.Close()
	return eachLine(io.LimitReader(file, size), use)
}

// maxLine limits the bytes of a line.
const maxLine = 1 << 20

func eachLine(from io.Reader, use func(line []byte) error) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if err := use(lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}

// Close closes the file. It may be called more than once.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// ErrBad identifies the first line of a log that was changed.
type ErrBad struct {
	// Line is the number of the line, from 1, and of the entry that it should contain.
	Line int
	// Problem describes what is wrong.
	Problem string
}

func (e *ErrBad) Error() string { return fmt.Sprintf("entry %d: %s", e.Line, e.Problem) }

// now returns the current time. Tests replace it.
var now = time.Now

// Verify reads a log, calls use for each good entry, and returns their number and an *ErrBad for the first bad entry. A
// partly erased entry is good if a later entry confirms the erasure. Whether one does is known only at the end.
func Verify(from io.Reader, use func(Entry)) (good int, err error) {
	previous := ""
	remnants := map[int]string{} // hashes of remnants that no entry has confirmed yet
	whole := bufio.NewReader(from)
	for {
		line, err := whole.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return good, unspoken(remnants)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return good, err
		}
		e, problem := check(line, good+1, previous)
		if problem != "" {
			return good, &ErrBad{good + 1, problem}
		}
		good, previous = good+1, e.Hash
		if e.Remnant {
			remnants[e.Seq] = hash(bytes.TrimSuffix(line, []byte("\n")))
		}
		for _, erased := range e.Erased {
			if remnants[erased.Seq] == erased.Hash {
				delete(remnants, erased.Seq)
			}
		}
		use(e)
	}
}

// unspoken returns an error for the first unconfirmed remnant, if any.
func unspoken(remnants map[int]string) error {
	if len(remnants) == 0 {
		return nil
	}
	first := slices.Min(slices.Collect(maps.Keys(remnants)))
	return &ErrBad{first, "the line is not what was written: no later entry says that a part of it was erased"}
}

func check(line []byte, number int, previous string) (e Entry, problem string) {
	text, ended := bytes.CutSuffix(line, []byte("\n"))
	if !ended {
		return e, "the line is cut off"
	}
	at := bytes.LastIndex(text, []byte(hashKey))
	if at < 0 {
		return e, "the line has no hash"
	}
	body := append(bytes.Clone(text[:at]), '}')
	if err := json.Unmarshal(text, &e); err != nil {
		return e, "the line is not JSON"
	}
	if !e.Remnant && string(text[at:]) != hashKey+hash(body)+`"}` {
		return e, "the line is not what was written: its hash differs"
	}
	switch {
	case e.Seq != number:
		return e, fmt.Sprintf("its number is %d: entries are missing or were added", e.Seq)
	case e.Previous != previous:
		return e, "it does not continue the entry before: entries are missing or were exchanged"
	}
	return e, ""
}
