// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// An output is superseded once there is an output of a longer version of its source: a larger file at the same path
// that begins with what the earlier output was made from, except for the first 64 KiB, which recorders rewrite when
// they close a file. That happens if a copy paused for longer than stable_for, or a recording continued. Any other
// content under the name of an earlier video is another video, and no output is marked: trusting a mark must never lose
// footage.
//
// The mark is a file next to the superseded output, <output>.superseded.json, which names the newer output, the source,
// the time and the reason. It never replaces another file; if its name is taken, it gets a number. The superseded
// output, its report and its other companion files stay as they are.

// previous is an output of an earlier version of a source, and what identifies the content of that version.
type previous struct {
	Output outputFile `json:"output"`
	Size   int64      `json:"size"`
	Digest string     `json:"digest,omitempty"`
	Body   string     `json:"body,omitempty"`
}

// previousOutputs returns the outputs of a source's earlier versions that may turn out to be superseded.
func previousOutputs(earlier source) []previous {
	if earlier.State != stateDone || earlier.Output == nil {
		return earlier.Previous
	}
	return append(earlier.Previous[:len(earlier.Previous):len(earlier.Previous)],
		previous{*earlier.Output, earlier.Stamp.Size, earlier.Digest, earlier.Body})
}

// continuedBy reports whether a file of the given size is a longer version of what the output was made from.
func (p *previous) continuedBy(f *os.File, size int64) (bool, error) {
	if p.Digest == "" || size <= p.Size {
		return false, nil
	}
	sum, body, err := digests(f, p.Size)
	return sum == p.Digest || body != "" && body == p.Body, err
}

// continued returns the previous outputs of which the file is a longer version.
func (w *Watcher) continued(f *file, opened *os.File) ([]previous, error) {
	earlier, _ := w.journal.source(f.path)
	var kept []previous
	for _, p := range previousOutputs(earlier) {
		switch ok, err := p.continuedBy(opened, f.stamp.Size); {
		case err != nil:
			return nil, err
		case ok:
			kept = append(kept, p)
		case earlier.State == stateDone:
			w.logger.Info("another video has the same name as an earlier one: the earlier output stays as it is",
				zap.String("file", f.path), zap.String("earlier_output", string(p.Output.Path)))
		}
	}
	return kept, nil
}

const supersededSuffix = ".superseded.json"

// supersededPath returns the path of an output's mark, if that name is free.
func supersededPath(output string) string {
	dir, name := filepath.Split(output)
	if excess := len(name) + len(supersededSuffix) + numberLength - maxName; excess > 0 {
		if short, ok := shorten(name, excess); ok {
			name = short
		}
	}
	return dir + name + supersededSuffix
}

// superseded is the content of a mark.
type superseded struct {
	Output       pathText  `json:"output"`
	SupersededBy pathText  `json:"superseded_by"`
	Source       pathText  `json:"source"`
	Time         time.Time `json:"time"`
	Reason       string    `json:"reason"`
}

// markSuperseded marks the outputs that a source's output supersedes, once that is published. Outputs that cannot be
// marked now are marked at the next start.
func markSuperseded(journal *journal, path string, mode os.FileMode, logger *zap.Logger) {
	s, ok := journal.source(path)
	if !ok || s.State != stateDone || s.Output == nil || len(s.Previous) == 0 {
		return
	}
	if s.Digest == "" { // it could not be compared with what the previous outputs were made from
		return
	}
	var failed []previous
	for _, p := range s.Previous {
		if !p.Output.isAt(p.Output.Path) {
			logger.Info("a superseded output has been moved or changed, and is not marked",
				zap.String("output", string(p.Output.Path)), zap.String("superseded_by", string(s.Output.Path)))
			continue
		}
		mark, err := markOutput(journal, p, s, mode)
		if err != nil {
			failed = append(failed, p)
		}
		logger.Warn("an output is superseded: its source has since grown, and the newer output covers all of it",
			zap.String("output", string(p.Output.Path)), zap.String("superseded_by", string(s.Output.Path)),
			zap.String("file", path), zap.String("mark", mark), zap.Error(err))
	}
	s.Previous = failed
	if err := journal.update(s); err != nil {
		logger.Warn("cannot record that outputs are marked as superseded: will retry at the next start",
			zap.String("file", path), zap.Error(err))
	}
}

// markOutput writes the mark of an output, and returns its path.
func markOutput(journal *journal, p previous, s source, mode os.FileMode) (path string, err error) {
	mark := superseded{
		Output: p.Output.Path, SupersededBy: s.Output.Path, Source: s.Path, Time: s.Time,
		Reason: fmt.Sprintf("the source grew from %d to %d bytes after this output was made", p.Size, s.Stamp.Size),
	}
	text, err := json.MarshalIndent(mark, "", "  ")
	if err != nil {
		return "", err
	}
	first := supersededPath(string(p.Output.Path))
	temp := asidePath(first, s.Stamp) + supersededSuffix
	defer os.Remove(temp)
	if err := durable.WriteFile(temp, append(text, '\n'), mode); err != nil {
		return "", err
	}
	for n := 1; n <= maxNumber; n++ {
		path = numbered(first, n)
		if mark.isIn(path) { // written before a crash
			return path, nil
		}
		if there, err := exists(path); err != nil {
			return "", err
		} else if there {
			continue
		}
		if err := recordMark(journal, temp, path); err != nil {
			return "", err
		}
		if err := renameDurably(temp, path); !errors.Is(err, fs.ErrExist) {
			return path, err
		}
	}
	return "", fmt.Errorf("%s and %d numbered names are taken: empty the folder", first, maxNumber-1)
}

// recordMark records that the file at temp will be ours at path, so that it never counts as a source.
func recordMark(journal *journal, temp, path string) error {
	o, err := describe(temp)
	if err != nil {
		return err
	}
	o.Path = pathText(path)
	return journal.putOutput(o)
}

// isIn reports whether the file is a mark of the same output that names the same newer output.
func (m superseded) isIn(path string) bool {
	text, err := durable.ReadFile(path)
	if err != nil {
		return false
	}
	var there superseded
	return json.Unmarshal(text, &there) == nil && there.Output == m.Output && there.SupersededBy == m.SupersededBy
}
