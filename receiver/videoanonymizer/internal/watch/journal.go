// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bufio"
	"bytes"
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
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// state is what is known of a source.
type state string

const (
	// statePending: was tried, is to be tried again.
	statePending state = "pending"
	// stateClaimed: is being worked on, or was when the collector died.
	stateClaimed state = "claimed"
	// statePublishing: its output is complete and gets its final name.
	statePublishing state = "publishing"
	// stateDone: its output stood under its final name.
	stateDone state = "done"
	// stateFailed: is left alone until it changes.
	stateFailed state = "failed"
	// stateOutput: is no source at all but an output of ours, renamed or copied to where we look for sources.
	stateOutput state = "output"
)

// source is all that is known of one input. The journal holds the latest for each path.
type source struct {
	Path   pathText  `json:"path"`
	Rel    pathText  `json:"rel,omitzero"`
	State  state     `json:"state"`
	Time   time.Time `json:"time"`
	Stamp  stamp     `json:"stamp"`
	Digest string    `json:"digest,omitempty"`
	// Attempt counts the attempts at this content; Died, those of them in which the collector died.
	Attempt int `json:"attempt,omitempty"`
	Died    int `json:"died,omitempty"`
	// Furthest is the most frames that were safe in any attempt.
	Furthest int64 `json:"furthest,omitempty"`
	// Temp is set while an attempt runs, and after it where its files are kept.
	Temp   pathText `json:"temp,omitzero"`
	Output *output  `json:"output,omitempty"`
	// Beside are the further files that get their names together with the output.
	Beside []beside `json:"beside,omitempty"`
	// Action is what still has to be done to the source.
	Action action `json:"action,omitempty"`
	Reason string `json:"reason,omitempty"`
	Error  string `json:"error,omitempty"`
	// GaveUp tells that the cause might have passed, but not within the attempts allowed.
	GaveUp bool `json:"gave_up,omitempty"`
	// Gone tells that the action was taken: we moved or deleted the source.
	Gone bool `json:"gone,omitempty"`
}

// output is a file we made. Size and Digest are set once it is complete.
type output struct {
	Path   pathText `json:"path"`
	Size   int64    `json:"size,omitempty"`
	Digest string   `json:"digest,omitempty"`
}

// beside is a file that is published with an output.
type beside struct {
	output
	Temp pathText `json:"temp"`
}

// record is a line of the journal.
type record struct {
	Source *source `json:"source,omitempty"`
	// Output is a file we made from an earlier content of a source.
	Output *output `json:"output,omitempty"`
}

// content identifies what is in a file.
type content struct {
	size   int64
	digest string
}

// journal remembers the sources and outputs across restarts: a file of JSON lines, each synced before it counts, the
// last one for a path being valid. A line that a crash has torn is dropped, which undoes no more than what had not been
// acknowledged. Opening rewrites it without what is outdated.
//
// Lock order: writing, then mu. mu is never held during I/O.
type journal struct {
	logger *zap.Logger
	path   string
	lock   *os.File

	writing sync.Mutex
	file    *os.File // nil once closed
	size    int64    // of the file up to the last good line
	lines   int

	mu      sync.RWMutex
	sources map[string]source
	outputs map[string]output    // by path
	made    map[content]string   // outputs by content
	done    map[content][]string // paths of sources that were done with this content at some time
}

const (
	journalName = "journal.jsonl"
	lockName    = "lock"
	// slack is how many outdated lines are worth no rewriting.
	slack = 1000
)

// openJournal takes the folder for this process and reads what is known.
func openJournal(directory string, logger *zap.Logger) (*journal, error) {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(directory, lockName))
	if err != nil {
		return nil, err
	}
	j := newJournal(logger)
	j.path, j.lock = filepath.Join(directory, journalName), lock
	if err := j.load(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("read %s: %w", j.path, err)
	}
	if err := j.rewrite(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("rewrite %s: %w", j.path, err)
	}
	return j, nil
}

func newJournal(logger *zap.Logger) *journal {
	return &journal{
		logger: logger, sources: map[string]source{}, outputs: map[string]output{}, made: map[content]string{}, done: map[content][]string{},
	}
}

// load reads all lines. Where one in the middle is damaged, the file is kept beside for a person to look at.
func (j *journal) load() error {
	file, err := os.Open(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	damaged, err := readRecords(file, j.apply)
	if err != nil {
		return err
	}
	if damaged > 0 {
		kept := j.path + ".damaged"
		err := os.Link(j.path, kept)
		j.logger.Error("the journal is damaged: the videos on its damaged lines may be done again",
			zap.String("journal", j.path), zap.Int("damaged_lines", damaged), zap.String("kept_as", kept), zap.Error(err))
	}
	return nil
}

// readRecords calls apply for each whole line and counts those that are damaged, but for a torn last one.
func readRecords(from io.Reader, apply func(record)) (damaged int, err error) {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return damaged, err
		}
		var rec record
		if parse := json.Unmarshal(line, &rec); parse == nil {
			apply(rec)
		} else if err == nil && len(bytes.TrimSpace(line)) > 0 {
			damaged++
		}
		if err != nil {
			return damaged, nil
		}
	}
}

// apply makes the record known.
func (j *journal) apply(rec record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if rec.Output != nil && rec.Output.Path != "" {
		j.applyOutput(*rec.Output)
	}
	if rec.Source == nil || rec.Source.Path == "" {
		return
	}
	s := *rec.Source
	j.sources[string(s.Path)] = s
	if s.State != stateDone {
		return
	}
	key := content{s.Stamp.Size, s.Digest}
	if s.Digest != "" && !slices.Contains(j.done[key], string(s.Path)) {
		j.done[key] = append(j.done[key], string(s.Path))
	}
	if s.Output != nil {
		j.applyOutput(*s.Output)
	}
	for _, b := range s.Beside {
		j.applyOutput(b.output)
	}
}

func (j *journal) applyOutput(o output) {
	j.outputs[string(o.Path)] = o
	if o.Digest != "" {
		j.made[content{o.Size, o.Digest}] = string(o.Path)
	}
}

// put makes the source known, durably. A failure leaves what was known before.
func (j *journal) put(s source) error {
	s.Time = time.Now().UTC()
	j.writing.Lock()
	defer j.writing.Unlock()
	if j.file == nil {
		return ErrStopped
	}
	if err := j.write(record{Source: &s}); err != nil {
		return fmt.Errorf("write %s: %w", j.path, err)
	}
	j.apply(record{Source: &s})
	if j.lines > 2*j.live()+slack {
		if err := j.rewrite(); err != nil {
			j.logger.Warn("the journal could not be shortened: it grows until it can", zap.String("journal", j.path), zap.Error(err))
		}
	}
	return nil
}

func (j *journal) write(rec record) error {
	line, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	_, err = j.file.WriteAt(line, j.size)
	if err == nil {
		err = durable.Sync(j.file)
	}
	if err != nil { // a full disk may have taken a part of the line
		return errors.Join(err, j.file.Truncate(j.size))
	}
	j.size += int64(len(line))
	j.lines++
	return nil
}

// rewrite replaces the file by one that holds the latest of everything. The old one stays until the new one is safe.
func (j *journal) rewrite() error {
	fresh, err := os.OpenFile(j.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	lines, size, err := j.dump(fresh)
	if err == nil {
		err = durable.Sync(fresh)
	}
	if err == nil {
		err = os.Rename(fresh.Name(), j.path)
	}
	if err == nil {
		err = durable.SyncPath(filepath.Dir(j.path))
	}
	if err != nil {
		fresh.Close()
		return err
	}
	if j.file != nil {
		j.file.Close()
	}
	j.file, j.size, j.lines = fresh, size, lines
	return nil
}

func (j *journal) dump(to io.Writer) (lines int, size int64, err error) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	buffered := bufio.NewWriter(to)
	emit := func(rec record) error {
		line, err := json.Marshal(rec)
		if err != nil {
			return err
		}
		n, err := buffered.Write(append(line, '\n'))
		lines, size = lines+1, size+int64(n)
		return err
	}
	current := map[pathText]bool{}
	for _, path := range slices.Sorted(maps.Keys(j.sources)) {
		s := j.sources[path]
		if s.State == stateDone && s.Output != nil {
			current[s.Output.Path] = true
			for _, b := range s.Beside {
				current[b.Path] = true
			}
		}
		if err := emit(record{Source: &s}); err != nil {
			return 0, 0, err
		}
	}
	for _, path := range slices.Sorted(maps.Keys(j.outputs)) {
		if o := j.outputs[path]; !current[o.Path] {
			if err := emit(record{Output: &o}); err != nil {
				return 0, 0, err
			}
		}
	}
	return lines, size, buffered.Flush()
}

func (j *journal) live() int {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return len(j.sources) + len(j.outputs)
}

// source gives what is known of a path.
func (j *journal) source(path string) (source, bool) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	s, ok := j.sources[path]
	return s, ok
}

// unfinished gives the sources that a restart has to see to.
func (j *journal) unfinished() []source {
	j.mu.RLock()
	defer j.mu.RUnlock()
	var found []source
	for _, path := range slices.Sorted(maps.Keys(j.sources)) {
		if s := j.sources[path]; s.Temp != "" || s.Action != "" || s.GaveUp {
			found = append(found, s)
		}
	}
	return found
}

// isOutput tells whether we put a file there at some time.
func (j *journal) isOutput(path string) bool {
	j.mu.RLock()
	defer j.mu.RUnlock()
	_, ok := j.outputs[path]
	return ok
}

// madeAs gives the name under which we made a file of this content.
func (j *journal) madeAs(c content) (string, bool) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	path, ok := j.made[c]
	return path, ok
}

// doneWith gives the sources that are done and have this content.
func (j *journal) doneWith(c content) []source {
	j.mu.RLock()
	defer j.mu.RUnlock()
	var found []source
	for _, path := range j.done[c] {
		if s := j.sources[path]; s.State == stateDone && s.Digest == c.digest && s.Stamp.Size == c.size {
			found = append(found, s)
		}
	}
	return found
}

// close gives the folder free for another process.
func (j *journal) close() error {
	j.writing.Lock()
	defer j.writing.Unlock()
	if j.file == nil {
		return nil
	}
	err := errors.Join(j.file.Close(), j.lock.Close())
	j.file = nil
	return err
}

// pathText is a file name in JSON: a string, or {"base64": ...} where the name is not valid UTF-8, which JSON cannot
// carry.
type pathText string

type base64Path struct {
	Base64 []byte `json:"base64"`
}

func (p pathText) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(p)) {
		return json.Marshal(string(p))
	}
	return json.Marshal(base64Path{[]byte(p)})
}

func (p *pathText) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '{' {
		var raw base64Path
		err := json.Unmarshal(text, &raw)
		*p = pathText(raw.Base64)
		return err
	}
	return json.Unmarshal(text, (*string)(p))
}
