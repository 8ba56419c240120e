// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// mirrored is a line of the journal: a record of a video or a unit.
type mirrored struct {
	Era int `json:"era"`
	// Key is the key of the record, and Rev its revision.
	Key   string          `json:"key"`
	Rev   uint64          `json:"rev"`
	Value json.RawMessage `json:"value"`
}

func (m *mirrored) newerThan(o mirrored) bool {
	return m.Era > o.Era || m.Era == o.Era && m.Rev > o.Rev
}

const (
	journalSuffix    = ".jsonl"
	writeAheadSuffix = ".publishing"
)

// term identifies and orders coordinators: a later one has a later era, or a higher revision of the coordinator's
// record.
type term struct {
	era int
	rev uint64
}

func (t term) before(o term) bool { return t.era < o.era || t.era == o.era && t.rev < o.rev }

// mirror is the journal that a coordinator writes. Each coordinator has its own file, which begins with all records and
// so replaces the files of its predecessors. A predecessor may not know yet that it has been replaced.
type mirror struct {
	tree tree
	term term
	path string
	file *os.File
	// lines is how many lines the file has, and whole how many of them it began with, at begun.
	lines, whole int
	begun        time.Time
}

func newMirror(t tree, at term, worker string) *mirror {
	name := fmt.Sprintf("%08d.%d.%s%s", at.era, at.rev, worker, journalSuffix)
	return &mirror{tree: t, term: at, path: filepath.Join(t.journal(), name)}
}

// termOf returns the term in which a journal was written; zero if its name does not say.
func termOf(path string) term {
	var t term
	if _, err := fmt.Sscanf(filepath.Base(path), "%d.%d.", &t.era, &t.rev); err != nil {
		return term{}
	}
	return t
}

func (m *mirror) close() {
	if m.file != nil {
		_ = m.file.Close()
		m.file = nil
	}
}

// write appends what changed since the last call, or rewrites the file if it has grown too long or is gone.
func (m *mirror) write(s *session) error {
	if m.lines > 2*m.whole+10_000 || !m.stands() {
		return m.begin(s)
	}
	s.view.mu.Lock()
	text, lines := m.encode(s.view, s.view.news)
	s.view.news = map[string]bool{}
	s.view.mu.Unlock()
	if lines == 0 {
		return nil
	}
	_, err := m.file.Write(text)
	if err = errors.Join(err, durable.Sync(m.file)); err != nil {
		m.close() // the content is now unknown: the next call rewrites the file
		return err
	}
	m.lines += lines
	return nil
}

// stands reports whether the file is still where it was created. What is written to a removed file is lost.
func (m *mirror) stands() bool {
	if m.file == nil {
		return false
	}
	ours, err := m.file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(m.path)
	return err == nil && os.SameFile(ours, there)
}

func (m *mirror) begin(s *session) error {
	m.close()
	s.view.mu.Lock()
	all := map[string]bool{}
	for id := range s.view.videos {
		all[videoKey(id)] = true
	}
	for p, units := range s.view.units {
		for index := range units {
			all[unitKey(p.video, p.epoch, index)] = true
		}
	}
	text, lines := m.encode(s.view, all)
	s.view.news = map[string]bool{}
	s.view.mu.Unlock()
	if err := durable.ReplaceFile(m.path, text, durable.Private); err != nil {
		return err
	}
	file, err := durable.Open(m.path, os.O_WRONLY|os.O_APPEND)
	if err != nil {
		return err
	}
	m.file, m.lines, m.whole, m.begun = file, lines, lines, time.Now()
	return nil
}

// encode returns the lines for some keys. A claimed unit is written as open, with its sealed segments.
func (m *mirror) encode(v *view, keys map[string]bool) (text []byte, lines int) {
	for key := range keys {
		line := mirrored{Era: m.term.era, Key: key}
		if p, index, ok := planOf(key); ok {
			u, there := v.units[p][index]
			if !there {
				continue
			}
			if u.rec.State == UnitClaimed {
				u.rec.State = UnitOpen
				u.rec.release()
			}
			line.Rev, line.Value = u.rev, encode(&u.rec)
		} else {
			video, there := v.videos[strings.TrimPrefix(key, kindVideo+".")]
			if !there {
				continue
			}
			line.Rev, line.Value = video.rev, encode(&video.rec)
		}
		text = append(append(text, encode(line)...), '\n')
		lines++
	}
	return text, lines
}

// removeEarlier removes the journals of earlier coordinators once this one is older than after, and so has everything
// that they have. Those of later ones stay, even if this coordinator has not heard of them: if two coordinators removed
// each other's journals, none would be left.
func (m *mirror) removeEarlier(after time.Duration) error {
	if !m.stands() || time.Since(m.begun) < after {
		return nil
	}
	files, err := m.tree.journals()
	for _, path := range files {
		if termOf(path).before(m.term) {
			err = errors.Join(err, durable.RemoveIfThere(path))
		}
	}
	return err
}

func (t tree) journals() (paths []string, err error) {
	entries, err := os.ReadDir(t.journal())
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), journalSuffix) {
			paths = append(paths, filepath.Join(t.journal(), e.Name()))
		}
	}
	return paths, err
}

// nextEra returns a number above the eras of all journals.
func (t tree) nextEra() (int, error) {
	last := 0
	paths, err := t.journals()
	for _, path := range paths {
		var n int
		if _, err := fmt.Sscanf(filepath.Base(path), "%d.", &n); err == nil {
			last = max(last, n)
		}
	}
	return last + 1, err
}

// writeAhead writes the record of a video that is about to be published next to its outputs.
func (t tree) writeAhead(e era, v *entry[Video], epoch string) error {
	line := encode(mirrored{Era: e.number, Key: v.key, Rev: v.rev, Value: encode(&v.rec)})
	path := filepath.Join(t.work(&v.rec), "j."+epoch+writeAheadSuffix)
	return durable.ReplaceFile(path, append(line, '\n'), durable.Private)
}

// load returns the newest version of each record in the journals and the write-ahead files. It skips damaged lines,
// such as the last line of a writer that died.
func (t tree) load() (map[string]mirrored, error) {
	paths, err := t.journals()
	if err != nil {
		return nil, err
	}
	ahead, err := filepath.Glob(filepath.Join(t.works(), "*", "*"+writeAheadSuffix))
	if err != nil {
		return nil, err
	}
	all := map[string]mirrored{}
	for _, path := range append(paths, ahead...) {
		text, err := durable.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) { // just collected
			continue
		}
		if err != nil {
			return nil, err
		}
		for line := range bytes.Lines(text) {
			var m mirrored
			if json.Unmarshal(line, &m) == nil && m.newerThan(all[m.Key]) {
				all[m.Key] = m
			}
		}
	}
	return all, nil
}

// rebuild fills a new bucket from the mirror. Until that is done, no machine claims anything.
func (d *duty) rebuild(ctx context.Context) error {
	d.view.mu.Lock()
	ready := d.view.ready
	d.view.mu.Unlock()
	if ready {
		return nil
	}
	known, err := d.tree.load()
	if err != nil {
		return err
	}
	videos := 0
	for key, line := range known {
		if !strings.HasPrefix(key, kindVideo+".") {
			continue
		}
		var v Video
		if err := decodeInto(line.Value, &v); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		videos++
		if err := d.rebuildVideo(ctx, key, &v, known); err != nil && !errors.Is(err, errFenced) {
			return err
		}
	}
	if err := d.mirror.begin(d.session); err != nil { // from here on, the next era gets a higher number
		return err
	}
	if videos > 0 {
		d.counters.rebuilds.Add(1)
		d.logger.Warn("the data of NATS was lost, and is rebuilt from the folder", zap.Int("videos", videos))
	}
	_, err = d.store.put(ctx, keyReady, []byte("true"))
	return err
}

// rebuildVideo puts a video and its units, whose claims are void, into the bucket. If units are missing, the video is
// planned again.
func (d *duty) rebuildVideo(ctx context.Context, key string, v *Video, known map[string]mirrored) error {
	v.release()
	v.Lost = nil
	if v.State == VideoJoining {
		v.State = VideoPlanned
	}
	if !v.State.final() && v.Plan > 0 && !d.rebuildUnits(ctx, v, known) && v.State != VideoPublishing {
		v.restart()
	}
	e := entry[Video]{key: key, rec: *v}
	return write(ctx, d.session, &e, &e.rec.holding)
}

// rebuildUnits puts the units of a video into the bucket, and reports whether all of them are there.
func (d *duty) rebuildUnits(ctx context.Context, v *Video, known map[string]mirrored) bool {
	for index := range v.Units {
		key := unitKey(videoID(v.Path), v.Plan, index)
		line, ok := known[key]
		var u Unit
		if !ok || decodeInto(line.Value, &u) != nil {
			return false
		}
		u.release()
		u.Lost = nil
		e := entry[Unit]{key: key, rec: u}
		if err := write(ctx, d.session, &e, &e.rec.holding); err != nil && !errors.Is(err, errFenced) {
			return false
		}
	}
	return true
}

func decodeInto(text []byte, record any) error { return json.Unmarshal(text, record) }
