// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package privacy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// journal creates the journal of a real watcher that has processed the sources, and has failed to process those in
// failed.
func (h *house) journal(failed ...string) {
	h.t.Helper()
	w, err := watch.New(watch.Options{
		Config:          watch.Config{Include: []string{h.in + "/**"}, PollInterval: 1e7},
		OutputDirectory: h.places.Outputs, OutputName: func(rel string) string {
			return strings.TrimSuffix(rel, filepath.Ext(rel)) + "_anonymized.mp4"
		},
		Companions: func(output string) []string { return []string{report.Path(output)} },
	})
	require.NoError(h.t, err)
	sources := left(h.t, h.in)
	require.NoError(h.t, w.Start())
	for range sources {
		job, err := w.Next(h.t.Context())
		require.NoError(h.t, err)
		name := strings.TrimSuffix(filepath.Base(job.Path), ".mp4")
		if len(failed) > 0 && strings.HasPrefix(name, failed[0]) {
			require.NoError(h.t, job.Fail("not_video", nil))
			continue
		}
		h.write(job.Temp, "masked "+job.Path)
		require.NoError(h.t, job.Publish())
		h.reportOn(job.Output, job.Path)
		require.NoError(h.t, job.Done())
	}
	require.NoError(h.t, w.Stop(h.t.Context()))
}

// reportOn writes the report of an output.
func (h *house) reportOn(output, source string) {
	h.t.Helper()
	from, err := report.Identify(h.t.Context(), source)
	require.NoError(h.t, err)
	made, err := report.Identify(h.t.Context(), output)
	require.NoError(h.t, err)
	recorder, err := report.NewRecorder(filepath.Join(h.t.TempDir(), "frames"))
	require.NoError(h.t, err)
	defer recorder.Close()
	require.NoError(h.t, recorder.Write(report.Path(output), report.About{Source: from, Output: made,
		Settings: report.Settings{Method: "heads", Shape: "box", Fill: "solid", Also: []string{"screens"}},
		Models:   []report.Model{{Key: "detector::model", Name: "nanodet-m", SHA256: "0123456789abcdef"}}}))
}

// erase erases a video, after a dry run that must change nothing and predict the result.
func (h *house) erase(query string) *Erasure {
	h.t.Helper()
	before := contents(h.t, filepath.Dir(h.in))
	planned, err := Erase(h.t.Context(), h.places, query, "root", true)
	require.NoError(h.t, err)
	assert.Equal(h.t, before, contents(h.t, filepath.Dir(h.in)), "a dry run changes nothing")
	done, err := Erase(h.t.Context(), h.places, query, "root", false)
	require.NoError(h.t, err)
	assert.Equal(h.t, planned, done, "it does what it said")
	return done
}

// contents returns the contents of all files below a folder, by path.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = string(text)
		return err
	}))
	return all
}

// TestEraseByEveryName erases one of two videos by each way to identify it, and checks that the other one is unchanged.
func TestEraseByEveryName(t *testing.T) {
	for name, query := range map[string]func(h *house, output string) string{
		"name":          func(*house, string) string { return "jane.mp4" },
		"path":          func(h *house, _ string) string { return h.in + "/ward/jane.mp4" },
		"path below":    func(*house, string) string { return "ward/jane.mp4" },
		"output":        func(*house, string) string { return "jane_anonymized.mp4" },
		"output's path": func(_ *house, output string) string { return output },
		"source's hash": func(h *house, _ string) string { return digest(h.t, h.in+"/ward/jane.mp4") },
		"output's hash": func(h *house, output string) string { return digest(h.t, output) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			source := h.write(h.in+"/ward/jane.mp4", "the source")
			h.write(h.in+"/walk.mp4", "another source")
			h.journal()
			output := h.places.Outputs + "/ward/jane_anonymized.mp4"
			h.write(report.SheetPath(output), "sheet")
			h.decide(h.places.Outputs+"/walk_anonymized.mp4", audit.Approved)
			require.NoError(t, os.MkdirAll(h.places.Approved+"/ward", 0o755))
			h.decide(output, audit.Approved)
			other := contents(t, h.places.Outputs)
			asked := query(h, output)
			require.NoError(t, os.Remove(source))

			done := h.erase(asked)
			assert.Equal(t, []string{source}, done.Sources)
			assert.Empty(t, done.Remaining)
			assert.Equal(t, 1, done.Audit)
			now := contents(t, filepath.Dir(h.in))
			for path, text := range now {
				assert.NotContains(t, path+text, "jane", path)
			}
			assert.Equal(t, []string{"walk_anonymized.mp4"}, left(t, h.places.Approved))
			for path, text := range other {
				if strings.Contains(path, "walk") {
					assert.Equal(t, text, now[path], "the other video is as it was")
				}
			}
			verified, err := audit.VerifyDirectory(t.Context(), filepath.Join(h.places.State, audit.DirectoryName),
				h.places.Outputs, true)
			require.NoError(t, err)
			assert.True(t, verified.OK(), "%v", verified)
			ledger, err := watch.ReadLedger(h.places.State)
			require.NoError(t, err)
			assert.Len(t, ledger.Known(), 1)
			_, err = Erase(t.Context(), h.places, asked, "root", false)
			assert.ErrorIs(t, err, ErrUnknown)
		})
	}
}

func TestEraseRefuses(t *testing.T) {
	h := newHouse(t)
	h.write(h.in+"/a/jane.mp4", "one")
	h.write(h.in+"/b/jane.mp4", "other")
	h.journal()
	before := left(t, filepath.Dir(h.in))
	_, err := Erase(t.Context(), h.places, "jane.mp4", "root", false)
	assert.ErrorContains(t, err, "is the name of several videos")
	assert.ErrorContains(t, err, h.places.Outputs+"/a/jane_anonymized.mp4")
	_, err = Erase(t.Context(), h.places, "walk.mp4", "root", false)
	assert.ErrorIs(t, err, ErrUnknown)
	ledger, err := watch.OpenLedger(h.places.State)
	require.NoError(t, err)
	_, err = Erase(t.Context(), h.places, h.in+"/a/jane.mp4", "root", false)
	assert.ErrorContains(t, err, "is in use by process")
	require.NoError(t, ledger.Close())
	assert.Equal(t, before, left(t, filepath.Dir(h.in)))

	done := h.erase(h.in + "/a/jane.mp4")
	assert.FileExists(t, h.places.Outputs+"/b/jane_anonymized.mp4")
	require.Len(t, done.Remaining, 1)
	assert.Contains(t, done.Remaining[0], "sources are never touched")
	assert.FileExists(t, h.in+"/a/jane.mp4")
}

// TestEraseFindsWhatTheJournalForgot finds outputs by their reports. Two sources with the same name but different
// content are two videos.
func TestEraseFindsWhatTheJournalForgot(t *testing.T) {
	h := newHouse(t)
	source := h.write(h.in+"/jane.mp4", "one")
	h.output("jane_anonymized.mp4", source, nil)
	first := digest(t, source)
	h.write(source, "another")
	h.output("later/jane_anonymized.mp4", source, nil)
	require.NoError(t, os.Remove(source))
	_, err := Erase(t.Context(), h.places, "jane.mp4", "root", false)
	assert.ErrorContains(t, err, "is the name of several videos")
	h.erase(first)
	assert.NoFileExists(t, h.places.Outputs+"/jane_anonymized.mp4")
	assert.FileExists(t, h.places.Outputs+"/later/jane_anonymized.mp4")
	h.erase("jane.mp4")
	assert.Empty(t, left(t, h.places.Outputs))
}

// TestEraseFailed erases a source that failed, and checks that the result says where it is in quarantine.
func TestEraseFailed(t *testing.T) {
	h := newHouse(t)
	h.places.Quarantine = filepath.Dir(h.in) + "/failed"
	source := h.write(h.in+"/jane.mp4", "no video")
	h.journal("jane")
	require.NoError(t, os.MkdirAll(h.places.Quarantine, 0o755))
	require.NoError(t, os.Rename(source, h.places.Quarantine+"/jane.mp4"))
	h.write(h.places.Quarantine+"/jane.mp4"+watch.ReasonSuffix, `{"source":"`+source+`"}`)
	done := h.erase("jane.mp4")
	assert.Equal(t, []string{"jane.mp4"}, left(t, h.places.Quarantine), "the source itself stays")
	require.Len(t, done.Remaining, 1)
	assert.Contains(t, done.Remaining[0], h.places.Quarantine+"/jane.mp4")
}

// telemetryFiles writes files about two videos like the file exporter.
func telemetryFiles(t *testing.T, h *house) (folder string) {
	folder = filepath.Dir(h.in) + "/telemetry"
	traces, logs, metrics := ptrace.NewTraces(), plog.NewLogs(), pmetric.NewMetrics()
	spans := traces.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	records := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	all := metrics.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics()
	points := all.AppendEmpty()
	points.SetEmptyGauge()
	latency := all.AppendEmpty()
	latency.SetEmptyHistogram()
	for i, name := range []string{"jane.mp4", "walk.mp4"} {
		trace := pcommon.TraceID{byte(i + 1)}
		root := spans.AppendEmpty()
		root.SetName("process_single_frame")
		root.SetTraceID(trace)
		root.Attributes().PutStr("anonymizer.video.name", name)
		child := spans.AppendEmpty()
		child.SetName("decode of " + name[:1])
		child.SetTraceID(trace)
		records.AppendEmpty().Body().SetStr("video failed: \"" + h.in + "/" + name + "\": not a video")
		records.AppendEmpty().SetTraceID(trace)
		points.Gauge().DataPoints().AppendEmpty().Attributes().PutStr("anonymizer.video.name", name)
		shared := latency.Histogram().DataPoints().AppendEmpty()
		shared.Attributes().PutStr("span.name", "decode")
		shared.Exemplars().AppendEmpty().SetTraceID(trace)
	}
	write := func(name string, text []byte, err error) {
		require.NoError(t, err)
		h.write(filepath.Join(folder, name), emptyBatch+"\n"+string(text)+"\n"+emptyBatch+"\n")
	}
	text, err := (&ptrace.JSONMarshaler{}).MarshalTraces(traces)
	write("traces.json", text, err)
	text, err = (&plog.JSONMarshaler{}).MarshalLogs(logs)
	write("logs.json", text, err)
	text, err = (&pmetric.JSONMarshaler{}).MarshalMetrics(metrics)
	write("metrics.json", text, err)
	return folder
}

// TestEraseBesideLinks checks that a link or a folder among the files of telemetry does not prevent erasing the others.
func TestEraseBesideLinks(t *testing.T) {
	h := newHouse(t)
	source := h.write(h.in+"/jane.mp4", "the source")
	h.journal()
	folder := filepath.Dir(h.in) + "/telemetry"
	h.write(folder+"/elsewhere.txt", "jane.mp4")
	require.NoError(t, os.Symlink(folder+"/elsewhere.txt", folder+"/link.json"))
	require.NoError(t, os.Mkdir(folder+"/folder.json", 0o700))
	h.places.Telemetry = []string{folder + "/*.json"}
	require.NoError(t, os.Remove(source))
	done := h.erase("jane.mp4")
	assert.NoFileExists(t, h.places.Outputs+"/jane_anonymized.mp4")
	assert.Len(t, done.Remaining, 2)
	assert.Contains(t, done.Remaining[0], folder+"/folder.json is not a file")
	assert.Contains(t, done.Remaining[1], folder+"/link.json is not a file")
	assert.FileExists(t, folder+"/elsewhere.txt")
}

// TestEraseTelemetry checks that everything that names a video is removed, including frames that belong to it without
// naming it, and nothing else.
func TestEraseTelemetry(t *testing.T) {
	h := newHouse(t)
	source := h.write(h.in+"/jane.mp4", "the source")
	h.journal()
	require.NoError(t, os.Remove(source))
	folder := telemetryFiles(t, h)
	h.places.Telemetry = []string{folder + "/*.json"}
	open := h.write(folder+"/open.json", contents(t, folder)[folder+"/logs.json"])
	unknown := h.write(folder+"/other.json", "no telemetry about jane.mp4\n")
	writer, err := os.OpenFile(open, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	defer writer.Close()

	done, err := Erase(t.Context(), h.places, "jane.mp4", "root", false)
	require.NoError(t, err)
	assert.Equal(t, map[string]int{folder + "/traces.json": 2, folder + "/logs.json": 2, folder + "/metrics.json": 1},
		done.Telemetry)
	require.Len(t, done.Remaining, 2)
	assert.Contains(t, done.Remaining[0], open)
	assert.Contains(t, done.Remaining[1], unknown)
	for _, name := range []string{"traces.json", "logs.json", "metrics.json"} {
		text := contents(t, folder)[filepath.Join(folder, name)]
		assert.NotContains(t, text, "jane")
		assert.NotContains(t, text, "decode of j")
		assert.NotContains(t, text, `"traceId":"01`)
		assert.Contains(t, text, "02000000", "what is of the other video stays")
	}
}

// TestSubjects checks that names match only as whole words: a longer name that contains one is that of another video.
func TestSubjects(t *testing.T) {
	s := subjects{"jane.mp4": true}
	for text, want := range map[string]bool{
		"jane.mp4": true, `"/in/jane.mp4": not a video`: true, "see jane.mp4, please": true, "mary-jane.mp4": false,
		"jane.mp4.part": false, "mary-jane.mp4 and jane.mp4": true, "": false, "jane": false,
	} {
		assert.Equal(t, want, s.in(pcommon.NewValueStr(text)), text)
	}
}

// TestEraseApprovedCopy checks that the copy of an approved output is erased even if the output itself is gone.
func TestEraseApprovedCopy(t *testing.T) {
	h := newHouse(t)
	h.write(h.in+"/jane.mp4", "the source")
	h.journal()
	output := h.places.Outputs + "/jane_anonymized.mp4"
	h.decide(output, audit.Approved)
	other := h.write(h.places.Approved+"/other.mp4", "of somebody else")
	require.NoError(t, os.Remove(output))
	done := h.erase("jane.mp4")
	assert.Contains(t, done.Files, h.places.Approved+"/jane_anonymized.mp4")
	assert.NoFileExists(t, h.places.Approved+"/jane_anonymized.mp4")
	assert.FileExists(t, other)
}
