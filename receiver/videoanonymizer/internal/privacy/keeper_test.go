// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package privacy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/render"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house contains the folders of a receiver and the files that it writes there.
type house struct {
	t      *testing.T
	places Places
	in     string
	known  []watch.Known
	forgot []string
}

func newHouse(t *testing.T) *house {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	h := &house{t: t, in: root + "/in", places: Places{Receiver: "videoanonymizer", Outputs: root + "/out",
		State: root + "/out/" + watch.StateDirectoryName, Approved: root + "/approved"}}
	require.NoError(t, os.MkdirAll(filepath.Join(h.places.State, audit.DirectoryName), 0o700))
	return h
}

func (h *house) write(path, text string) string {
	h.t.Helper()
	require.NoError(h.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(h.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// make creates an output of a source, with its companions, and returns its path.
func (h *house) make(name string) string {
	h.t.Helper()
	source := h.write(filepath.Join(h.in, name+".mp4"), "source of "+name)
	output := h.output(name+"_anonymized.mp4", source, nil)
	st, err := watch.Describe(output)
	require.NoError(h.t, err)
	st.Name = filepath.Base(output)
	h.known = append(h.known, watch.Known{
		Overview:   watch.Overview{Path: source, Phase: watch.PhaseDone, Updated: time.Now(), Output: st},
		Rel:        name + ".mp4",
		Companions: []string{report.Path(output), report.SheetPath(output)}, Final: true,
	})
	return output
}

// output writes an output and its companions.
func (h *house) output(name, source string, revision *report.Revision) string {
	h.t.Helper()
	path := h.write(filepath.Join(h.places.Outputs, name), "masked "+name)
	for _, companion := range companionsOf(path) {
		if companion != report.Path(path) && companion != audit.ApprovalPath(path) && companion != watch.MarkOf(path) {
			h.write(companion, "{}")
		}
	}
	from, err := report.Identify(h.t.Context(), source)
	require.NoError(h.t, err)
	made, err := report.Identify(h.t.Context(), path)
	require.NoError(h.t, err)
	recorder, err := report.NewRecorder(filepath.Join(h.t.TempDir(), "frames"))
	require.NoError(h.t, err)
	defer recorder.Close()
	require.NoError(h.t, recorder.Write(report.Path(path), report.About{
		Program: report.Program{Name: "otelcol-anonymizer", Version: "v1"}, Source: from, Output: made, Revision: revision,
		Models:   []report.Model{{Key: "detector::model", Name: "nanodet-m", SHA256: "0123456789abcdef"}},
		Settings: report.Settings{Recall: "balanced", Method: "heads", Shape: "ellipse", Fill: "solid"},
	}))
	return path
}

// revise creates a revision of an output.
func (h *house) revise(output string, n int) string {
	h.t.Helper()
	first, err := report.Read(report.Path(output))
	require.NoError(h.t, err)
	return h.output(filepath.Base(render.Path(output, n)), filepath.Join(h.in, first.Source.Name),
		&report.Revision{ID: render.ID(n), First: first.Output.SHA256, Operations: 2})
}

// decide records a decision on an output, and creates the approval and the copy of an approved output.
func (h *house) decide(output, action string) {
	h.t.Helper()
	e := audit.Entry{Actor: "Ann", Role: "review", Action: action, Output: relative(h.places.Outputs, output),
		OutputSHA256: digest(h.t, output), ReportSHA256: digest(h.t, report.Path(output)), Watched: 1, Note: "=1+1"}
	e = h.append(e)
	if action == audit.Approved {
		h.write(audit.ApprovalPath(output), fmt.Sprintf(`{"schema":%q,"audit_entry":%d,"audit_hash":%q}`,
			audit.ApprovalSchema, e.Seq, e.Hash))
		require.NoError(h.t, os.MkdirAll(h.places.Approved, 0o755))
		require.NoError(h.t, os.Link(output, filepath.Join(h.places.Approved, e.Output)))
	}
}

func (h *house) append(e audit.Entry) audit.Entry {
	h.t.Helper()
	log, err := audit.Open(filepath.Join(h.places.State, audit.DirectoryName))
	require.NoError(h.t, err)
	e, err = log.Append(e)
	require.NoError(h.t, err)
	require.NoError(h.t, log.Close())
	return e
}

func digest(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Known and Forget implement Journal.
func (h *house) Known() []watch.Known { return h.known }

func (h *house) Forget(paths ...string) error {
	h.forgot = append(h.forgot, paths...)
	return nil
}

func (h *house) keeper(retention config.Retention) *Keeper {
	return &Keeper{Retention: retention, Places: h.places, Journal: h, Logger: zaptest.NewLogger(h.t),
		Record: func(e audit.Entry) error { h.append(e); return nil }}
}

// left returns the files in a folder and below it, except those of the receiver itself.
func left(t *testing.T, folder string) (names []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if entry.Name() == watch.StateDirectoryName {
			return filepath.SkipDir
		}
		if !entry.IsDir() {
			names = append(names, relative(folder, path))
		}
		return err
	}))
	return names
}

const day = 24 * time.Hour

// TestRetention checks which outputs are removed once they are old enough: those without a decision are kept, and so
// are sources.
func TestRetention(t *testing.T) {
	const output, edits = "walk_anonymized.mp4", "walk_anonymized.mp4.edits.json"
	everything := []string{output, edits, output + ".report.json", output + ".review.jpg", "walk_anonymized_PREVIEW.mp4"}
	tests := map[string]struct {
		retention config.Retention
		prepare   func(h *house, output string)
		after     time.Duration
		want      []string
		fails     string
	}{
		"nobody has decided": {retention: config.Retention{Outputs: day}, after: 2 * day, want: everything},
		"nobody needs to":    {retention: config.Retention{Outputs: day, Unreviewed: true}, after: 2 * day},
		"approved": {retention: config.Retention{Outputs: day}, after: 2 * day,
			prepare: func(h *house, output string) { h.decide(output, audit.Approved) }},
		"rejected": {retention: config.Retention{Outputs: day}, after: 2 * day,
			prepare: func(h *house, output string) { h.decide(output, audit.Rejected) }},
		"too young": {retention: config.Retention{Outputs: 3 * day, Unreviewed: true}, after: 2 * day, want: everything},
		"changed since": {retention: config.Retention{Outputs: day}, after: 2 * day, want: everything,
			prepare: func(h *house, output string) {
				h.decide(output, audit.Rejected)
				h.write(output, "swapped")
			}},
		"reopened": {retention: config.Retention{Outputs: day}, after: 2 * day, want: everything,
			prepare: func(h *house, output string) {
				h.decide(output, audit.Rejected)
				h.append(audit.Entry{Action: audit.Reopened, Output: filepath.Base(output)})
			}},
		"reports": {retention: config.Retention{Outputs: 3 * day, Reports: day}, after: 2 * day,
			want: []string{output, output + ".approval.json", edits},
			prepare: func(h *house, output string) {
				h.decide(output, audit.Approved)
			}},
		"reports that nobody has decided on": {retention: config.Retention{Reports: day}, after: 2 * day, want: everything},
		"reports of a corrected one": {retention: config.Retention{Reports: day}, after: 2 * day,
			prepare: func(h *house, output string) { h.decide(h.revise(output, 2), audit.Rejected) },
			want: slices.Sorted(slices.Values(append([]string{"walk_anonymized.r2.mp4", "walk_anonymized.r2.mp4.edits.json",
				"walk_anonymized.r2.mp4.report.json", "walk_anonymized.r2.mp4.review.jpg", "walk_anonymized.r2_PREVIEW.mp4"},
				everything...)))},
		"a corrected one, of which the correction is approved": {retention: config.Retention{Outputs: day}, after: 2 * day,
			prepare: func(h *house, output string) { h.decide(h.revise(output, 2), audit.Approved) }},
		"a corrected one, of which the first is approved": {retention: config.Retention{Outputs: day}, after: 2 * day,
			prepare: func(h *house, output string) {
				h.decide(output, audit.Rejected)
				h.revise(output, 2)
			},
			want: slices.Sorted(slices.Values(append([]string{"walk_anonymized.r2.mp4", "walk_anonymized.r2.mp4.edits.json",
				"walk_anonymized.r2.mp4.report.json", "walk_anonymized.r2.mp4.review.jpg", "walk_anonymized.r2_PREVIEW.mp4"},
				everything...)))},
		"a corrected one, of which the correction is gone": {retention: config.Retention{Outputs: day}, after: 2 * day,
			prepare: func(h *house, output string) {
				revision := h.revise(output, 2)
				for _, path := range append(companionsOf(revision), revision) {
					if path != report.Path(revision) {
						require.NoError(h.t, os.RemoveAll(path))
					}
				}
			},
			want: slices.Sorted(slices.Values(append([]string{"walk_anonymized.r2.mp4.report.json"}, everything...)))},
		"a corrected one, of which the first was replaced": {retention: config.Retention{Outputs: day}, after: 2 * day,
			prepare: func(h *house, output string) {
				h.decide(h.revise(output, 2), audit.Rejected)
				h.write(output, "swapped")
			},
			want: slices.Sorted(slices.Values(append([]string{"walk_anonymized.r2.mp4", "walk_anonymized.r2.mp4.edits.json",
				"walk_anonymized.r2.mp4.report.json", "walk_anonymized.r2.mp4.review.jpg", "walk_anonymized.r2_PREVIEW.mp4"},
				everything...)))},
		"replaced, and nobody needs to decide": {retention: config.Retention{Outputs: day, Unreviewed: true},
			after: 2 * day, want: everything,
			prepare: func(h *house, output string) { h.write(output, "swapped") }},
		"the audit was changed": {retention: config.Retention{Outputs: day}, after: 2 * day, want: everything,
			fails: "it is uncertain who decided on them",
			prepare: func(h *house, output string) {
				h.decide(output, audit.Rejected)
				h.write(filepath.Join(h.places.State, audit.DirectoryName, audit.FileName), "{}\n")
			}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			path := h.make("walk")
			if test.prepare != nil {
				test.prepare(h, path)
			}
			other := h.write(filepath.Join(h.places.Approved, "other.mp4"), "of somebody else")
			err := h.keeper(test.retention).Pass(t.Context(), time.Now().Add(test.after))
			if test.fails != "" {
				require.ErrorContains(t, err, test.fails)
			} else {
				require.NoError(t, err)
			}
			assert.Equal(t, test.want, left(t, h.places.Outputs))
			assert.Equal(t, []string{"walk.mp4"}, left(t, h.in), "sources stay")
			assert.FileExists(t, other)
			if test.want == nil {
				assert.Equal(t, []string{"other.mp4"}, left(t, h.places.Approved))
			}
			if test.fails != "" || name == "changed since" {
				return
			}
			log := filepath.Join(h.places.State, audit.DirectoryName)
			if _, err := os.Stat(filepath.Join(log, audit.FileName)); err != nil {
				return
			}
			verified, err := audit.VerifyDirectory(t.Context(), log, h.places.Outputs, true)
			require.NoError(t, err)
			assert.True(t, verified.OK(), "%v", verified)
			before := verified.Entries
			require.NoError(t, h.keeper(test.retention).Pass(t.Context(), time.Now().Add(test.after)))
			verified, err = audit.VerifyDirectory(t.Context(), log, h.places.Outputs, true)
			require.NoError(t, err)
			assert.Equal(t, before, verified.Entries, "another pass has nothing to do")
		})
	}
}

// TestRetentionOfTwins checks that a correction of one of two outputs with the same content is attributed to that
// output.
func TestRetentionOfTwins(t *testing.T) {
	h := newHouse(t)
	first, second := h.make("a"), h.make("b")
	for _, output := range []string{first, second} {
		h.write(output, "the same")
		require.NoError(t, os.Remove(report.Path(output)))
		h.reportOn(output, h.in+"/a.mp4")
		made, err := watch.Describe(output)
		require.NoError(t, err)
		made.Name = filepath.Base(output)
		h.known[slices.Index([]string{first, second}, output)].Output = made
	}
	h.decide(h.revise(first, 2), audit.Approved)
	require.NoError(t, h.keeper(config.Retention{Outputs: day}).Pass(t.Context(), time.Now().Add(2*day)))
	assert.NoFileExists(t, first)
	assert.NoFileExists(t, render.Path(first, 2))
	assert.FileExists(t, second, "nobody has decided on it")
}

// TestRetentionGoesOn checks that a pass removes what an interrupted pass has left.
func TestRetentionGoesOn(t *testing.T) {
	h := newHouse(t)
	path := h.make("walk")
	h.decide(path, audit.Approved)
	require.NoError(t, os.Remove(path))
	require.NoError(t, h.keeper(config.Retention{Outputs: day}).Pass(t.Context(), time.Now().Add(2*day)))
	assert.Empty(t, left(t, h.places.Outputs))
}

func TestRetentionOfJournal(t *testing.T) {
	h := newHouse(t)
	for _, name := range []string{"gone", "there", "output"} {
		path := h.make(name)
		if name != "output" {
			for _, f := range append(companionsOf(path), path) {
				require.NoError(t, os.RemoveAll(f))
			}
		}
		if name != "there" {
			require.NoError(t, os.Remove(filepath.Join(h.in, name+".mp4")))
		}
	}
	k := h.keeper(config.Retention{Journal: day})
	require.NoError(t, k.Pass(t.Context(), time.Now()))
	assert.Empty(t, h.forgot, "too young")
	require.NoError(t, k.Pass(t.Context(), time.Now().Add(2*day)))
	assert.Contains(t, h.forgot, filepath.Join(h.in, "gone.mp4"))
	assert.Contains(t, h.forgot, filepath.Join(h.places.Outputs, "gone_anonymized.mp4"))
	for _, path := range h.forgot {
		assert.Contains(t, path, "gone", "what is there may not be taken for new")
	}
}

func TestRetentionOfTelemetry(t *testing.T) {
	h := newHouse(t)
	folder := t.TempDir()
	const spans = "{}\n{}\n" + `{"resourceSpans":[]}` + "\n"
	old := h.write(folder+"/traces-old.json", spans)
	open := h.write(folder+"/traces.json", spans)
	other := h.write(folder+"/video.json", "{}\na video by this name")
	writer, err := os.OpenFile(open, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	defer writer.Close()
	target := h.write(folder+"/target", spans)
	require.NoError(t, os.Symlink(target, folder+"/link.json"))
	k := h.keeper(config.Retention{Telemetry: day, TelemetryFiles: []string{folder + "/*.json"}})
	require.NoError(t, k.Pass(t.Context(), time.Now()))
	assert.FileExists(t, old, "too young")
	require.NoError(t, k.Pass(t.Context(), time.Now().Add(2*day)))
	assert.NoFileExists(t, old)
	assert.FileExists(t, open, "the exporter writes to it")
	assert.FileExists(t, other, "it is no telemetry")
	assert.FileExists(t, target, "links are not followed")
}
