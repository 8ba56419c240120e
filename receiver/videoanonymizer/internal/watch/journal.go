// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bufio"
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

// state is the progress of a source from its first claim to its outcome. A source that was never claimed has none.
//
//	none, pending       -- claim -------------------------> claimed
//	claimed             -- Publish -----------------------> publishing
//	publishing          -- Done --------------------------> done
//	claimed, publishing -- Fail, last Retry --------------> failed
//	claimed, publishing -- Retry, Abandon, Suspend, Postpone -> pending
//	claimed             -- crash, next start -------------> pending, or failed after the last attempt
//	publishing          -- crash, next start -------------> done if the output is complete, otherwise like claimed
//	failed              -- next start, if it was given up -> pending
//
// Await acts like Suspend, and Cancel like Fail. A file that changed starts from none again, whatever its entry says.
type state string

const (
	// statePending means that an attempt ended without an outcome; another will follow.
	statePending state = "pending"
	// stateClaimed means that it is being processed, or was when the collector died.
	stateClaimed state = "claimed"
	// statePublishing means that its output is complete and is about to get its final name.
	statePublishing state = "publishing"
	// stateDone means that its output got its final name.
	stateDone state = "done"
	// stateFailed means that it is left alone until it changes.
	stateFailed state = "failed"
	// stateOutput means that it is not a source but one of our outputs, which was renamed or copied into a watched folder.
	stateOutput state = "output"
)

// final reports whether nothing follows until the file changes.
func (s state) final() bool { return s == stateDone || s == stateFailed || s == stateOutput }

// source is all that is known about a file in a watched folder. The journal holds the latest entry for each path.
type source struct {
	Path   pathText  `json:"path"`
	Rel    pathText  `json:"rel,omitzero"`
	State  state     `json:"state"`
	Time   time.Time `json:"time"`
	Stamp  stamp     `json:"stamp"`
	Digest string    `json:"digest,omitempty"`
	// Body is the digest without the first sample, see digests.
	Body string `json:"body,omitempty"`
	// Attempt counts the attempts at this content that got no further than earlier ones; Crashes counts those of them in
	// which the collector died.
	Attempt int `json:"attempt,omitempty"`
	Crashes int `json:"died,omitempty"`
	// Furthest is the maximum number of frames that were safe on disk in any attempt.
	Furthest int64 `json:"furthest,omitempty"`
	// Temp is Job.Temp while an attempt runs, and afterward if its temporary files are kept.
	Temp   pathText    `json:"temp,omitzero"`
	Output *outputFile `json:"output,omitempty"`
	// Companions are published with the output.
	Companions []companionFile `json:"beside,omitempty"`
	// Previous are outputs of shorter versions of the source, which are marked as superseded once this one is done.
	Previous []previous `json:"previous,omitempty"`
	// KeepSource means that the source stays in place, whatever OnSuccess says.
	KeepSource bool `json:"keep_source,omitempty"`
	// Action is what still has to be done to the source.
	Action action `json:"action,omitempty"`
	Reason string `json:"reason,omitempty"`
	Error  string `json:"error,omitempty"`
	// GaveUp means that all allowed attempts failed, though the cause may be temporary.
	GaveUp bool `json:"gave_up,omitempty"`
	// Gone means that we moved or deleted the source.
	Gone bool `json:"gone,omitempty"`
	// Paused means that it waits until the operator resumes it.
	Paused bool `json:"paused,omitempty"`
	// First is larger the later the operator put it first; 0 if that never happened.
	First uint64 `json:"first,omitempty"`
}

// outputFile is a file that we made. Size and Digest are set once it is complete.
type outputFile struct {
	Path   pathText `json:"path"`
	Size   int64    `json:"size,omitempty"`
	Digest string   `json:"digest,omitempty"`
}

// companionFile is a file that is published with an output.
type companionFile struct {
	outputFile
	Temp pathText `json:"temp"`
}

// record is a line of the journal.
type record struct {
	// Format is the format of the line, if newer than 1; lines of format 1 have none. A version that changes the meaning
	// of lines must raise journalFormat and write it into each line.
	Format int     `json:"format,omitempty"`
	Source *source `json:"source,omitempty"`
	// Output is a file of ours that no source's entry lists, or no longer lists.
	Output *outputFile `json:"output,omitempty"`
}

// content identifies the content of a file.
type content struct {
	size   int64
	digest string
}

// journal records sources and outputs across restarts: it is a file of JSON lines, each synced before it counts. The
// last line for a path is valid. Opening compacts the file; lines that cannot be read (torn by a crash, zeroed by a
// power failure) are left out, and the damaged file is kept, see damage.go. A torn last line loses nothing that put had
// acknowledged.
//
// Apart from ledger.go, the rest of the package uses only openJournal, put, putOutput, update, source, all, unfinished,
// isOutput, outputWith, doneWith, intact, restore and close, and the fields notify and directory.
//
// Lock order: writing, then mu. Lines are written without mu; compact holds it for reading.
type journal struct {
	logger *zap.Logger
	path   string
	notify func() // called when what Overview shows may have changed

	writing   sync.Mutex
	directory folderDevice
	lock      *os.File
	file      *os.File // nil once closed
	size      int64    // of the file up to the last good line
	lines     int

	mu               sync.RWMutex
	sources          map[string]source     // by path
	outputs          map[string]outputFile // by path
	outputsByContent map[content]string    // paths of outputs
	doneByContent    map[content][]string  // paths of sources that were ever done with this content
}

const (
	journalName = "journal.jsonl"
	lockName    = "lock"
	// journalFormat is the newest format that this version reads.
	journalFormat = 1
	// maxOutdated is how many outdated lines are tolerated, in addition to one for each line that is not outdated.
	maxOutdated = 1000
)

// openJournal creates the folder if it is missing, locks it for this process, and reads the journal.
func openJournal(directory string, logger *zap.Logger) (*journal, error) {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(directory, lockName))
	if err != nil {
		return nil, err
	}
	j := newJournal(logger)
	j.path, j.lock, j.directory = filepath.Join(directory, journalName), lock, deviceOf(directory)
	if err := j.load(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("read %s: %w", j.path, err)
	}
	if err := j.compact(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("compact %s: %w", j.path, err)
	}
	return j, nil
}

func newJournal(logger *zap.Logger) *journal {
	return &journal{
		logger: logger, notify: func() {}, sources: map[string]source{}, outputs: map[string]outputFile{},
		outputsByContent: map[content]string{}, doneByContent: map[content][]string{},
	}
}

// load reads all lines, and keeps a damaged file for the operator to inspect.
func (j *journal) load() error {
	file, err := durable.Open(j.path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	newest := 0
	damaged, err := readRecords(file, func(rec record) {
		newest = max(newest, rec.Format)
		j.apply(rec)
	})
	if newest > journalFormat {
		return fmt.Errorf("a newer version of this program wrote it, in format %d, and this version reads at most %d: "+
			"reinstall that version, or set another output::state_directory, where all sources count as new; nothing was "+
			"changed", newest, journalFormat)
	}
	if err != nil || damaged == 0 {
		return err
	}
	kept, err := keepDamaged(j.path, time.Now())
	if err != nil {
		return fmt.Errorf("the journal is damaged and cannot be set aside: %w", err)
	}
	j.logger.Error("the journal is damaged: its readable lines are used, but the videos on its damaged lines may be "+
		"processed again", zap.String("journal", j.path), zap.Int("damaged_lines", damaged), zap.String("kept_as", kept))
	return nil
}

// apply updates what is known with a record.
func (j *journal) apply(rec record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if rec.Output != nil {
		j.applyOutput(*rec.Output)
	}
	if rec.Source == nil || rec.Source.Path == "" {
		return
	}
	s := *rec.Source
	if len(s.Companions) == 0 {
		s.Companions = nil // as a compaction leaves it
	}
	if len(s.Previous) == 0 {
		s.Previous = nil
	}
	j.sources[string(s.Path)] = s
	if s.State != stateDone {
		return
	}
	key := content{s.Stamp.Size, s.Digest}
	if s.Digest != "" && !slices.Contains(j.doneByContent[key], string(s.Path)) {
		j.doneByContent[key] = append(j.doneByContent[key], string(s.Path))
	}
	if s.Output != nil {
		j.applyOutput(*s.Output)
	}
	for _, c := range s.Companions {
		j.applyOutput(c.outputFile)
	}
}

func (j *journal) applyOutput(o outputFile) {
	if o.Path == "" {
		return
	}
	j.outputs[string(o.Path)] = o
	if o.Digest != "" {
		j.outputsByContent[content{o.Size, o.Digest}] = string(o.Path)
	}
}

// put records a source durably. If it fails, the previous entry stays valid. After close, it returns ErrStopped.
func (j *journal) put(s source) error {
	j.writing.Lock()
	defer j.writing.Unlock()
	return j.putLocked(s)
}

// update is put, unless the source's entry has been replaced since s was read.
func (j *journal) update(s source) error {
	j.writing.Lock()
	defer j.writing.Unlock()
	if current, _ := j.source(string(s.Path)); !current.Time.Equal(s.Time) {
		return nil
	}
	return j.putLocked(s)
}

// putOutput durably records a file of ours that is not published by a job.
func (j *journal) putOutput(o outputFile) error {
	j.writing.Lock()
	defer j.writing.Unlock()
	return j.append(record{Output: &o})
}

func (j *journal) putLocked(s source) error {
	s.Time = time.Now().UTC()
	return j.append(record{Source: &s})
}

// append writes and applies a record. The caller holds writing.
func (j *journal) append(rec record) error {
	if j.file == nil {
		return ErrStopped
	}
	if err := j.write(rec); err != nil {
		return fmt.Errorf("write %s: %w", j.path, err)
	}
	j.apply(rec)
	j.notify()
	if j.lines > 2*j.live()+maxOutdated {
		if err := j.compact(); err != nil {
			j.logger.Warn("cannot compact the journal: it grows until that succeeds",
				zap.String("journal", j.path), zap.Error(err))
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
	if err != nil { // a full disk may have taken part of the line
		return errors.Join(err, j.file.Truncate(j.size))
	}
	j.size += int64(len(line))
	j.lines++
	return nil
}

// compact replaces the file with one without outdated lines. The old file stays until the new one is safe.
func (j *journal) compact() error {
	fresh, err := durable.Replace(j.path + ".new")
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

// dump writes all that is known, and returns the number of lines and bytes.
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
	// What the sources' entries say about each output: the last one counts, until the output's own record replaces it.
	listed := map[pathText]outputFile{}
	for _, path := range slices.Sorted(maps.Keys(j.sources)) {
		s := j.sources[path]
		if s.State == stateDone && s.Output != nil {
			listed[s.Output.Path] = *s.Output
		}
		if s.State == stateDone {
			for _, c := range s.Companions {
				listed[c.Path] = c.outputFile
			}
		}
		if err := emit(record{Source: &s}); err != nil {
			return 0, 0, err
		}
	}
	for _, path := range slices.Sorted(maps.Keys(j.outputs)) {
		if o := j.outputs[path]; listed[o.Path] != o {
			if err := emit(record{Output: &o}); err != nil {
				return 0, 0, err
			}
		}
	}
	return lines, size, buffered.Flush()
}

// live returns the number of lines that are not outdated, or a little more.
func (j *journal) live() int {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return len(j.sources) + len(j.outputs)
}

// source returns what is known about a path.
func (j *journal) source(path string) (source, bool) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	s, ok := j.sources[path]
	return s, ok
}

// all returns what is known about all sources.
func (j *journal) all() []source {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return slices.Collect(maps.Values(j.sources))
}

// unfinished returns the sources that a restart has to resolve.
func (j *journal) unfinished() []source {
	j.mu.RLock()
	defer j.mu.RUnlock()
	var found []source
	for _, path := range slices.Sorted(maps.Keys(j.sources)) {
		if s := j.sources[path]; s.Temp != "" || s.Action != "" || s.GaveUp ||
			s.State == stateDone && len(s.Previous) > 0 {
			found = append(found, s)
		}
	}
	return found
}

// isOutput reports whether we ever published a file at the path.
func (j *journal) isOutput(path string) bool {
	j.mu.RLock()
	defer j.mu.RUnlock()
	_, ok := j.outputs[path]
	return ok
}

// outputWith returns a path at which we published a file with this content.
func (j *journal) outputWith(c content) (path string, ok bool) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	path, ok = j.outputsByContent[c]
	return path, ok
}

// doneWith returns the sources that are done and have this content.
func (j *journal) doneWith(c content) []source {
	j.mu.RLock()
	defer j.mu.RUnlock()
	var found []source
	for _, path := range j.doneByContent[c] {
		if s := j.sources[path]; s.State == stateDone && s.Digest == c.digest && s.Stamp.Size == c.size {
			found = append(found, s)
		}
	}
	return found
}

// close closes the journal, and releases the directory lock for another process.
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

// pathText is a path in JSON: a string, or {"base64": ...} if it is not valid UTF-8, which JSON strings have to be.
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
