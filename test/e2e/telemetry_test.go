// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// span is a span with the resource it belongs to.
type span struct {
	ptrace.Span
	resource pcommon.Resource
}

type spans []span

func (all spans) named(name string) spans {
	var found spans
	for _, s := range all {
		if s.Name() == name {
			found = append(found, s)
		}
	}
	return found
}

// readSpans reads what the file exporter wrote.
func readSpans(t *testing.T, dir string) spans {
	t.Helper()
	var all spans
	for _, line := range readLines(t, filepath.Join(dir, "telemetry", "traces*.json")) {
		traces, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(line)
		require.NoError(t, err)
		for _, resource := range traces.ResourceSpans().All() {
			for _, scope := range resource.ScopeSpans().All() {
				for _, s := range scope.Spans().All() {
					all = append(all, span{Span: s, resource: resource.Resource()})
				}
			}
		}
	}
	return all
}

// checkSpans checks that each frame of each video is one trace with the stages in their places.
func checkSpans(t *testing.T, all spans, frames map[string]int) {
	children := map[pcommon.SpanID]spans{}
	traces := map[pcommon.TraceID]bool{}
	for _, s := range all {
		children[s.ParentSpanID()] = append(children[s.ParentSpanID()], s)
		service, _ := s.resource.Attributes().Get("service.name")
		assert.Equal(t, "videoanonymizer", service.AsString())
	}
	videos := map[string]span{}
	for _, video := range all.named("anonymize_video") {
		videos[attribute(t, video, "anonymizer.video.name").Str()] = video
	}
	require.Len(t, videos, len(frames), "one span for each video")

	counted := map[string]int{}
	judged, people := 0, 0
	for _, frame := range all.named("process_single_frame") {
		require.True(t, frame.ParentSpanID().IsEmpty(), "process_single_frame is a root")
		require.False(t, traces[frame.TraceID()], "each frame has a trace of its own")
		traces[frame.TraceID()] = true

		name := attribute(t, frame, "anonymizer.video.name").Str()
		counted[name]++
		assertLinks(t, frame, videos[name])
		require.GreaterOrEqual(t, attribute(t, frame, "bbox.count").Int(), int64(0))

		stages := children[frame.SpanID()]
		for _, s := range stages {
			require.Equal(t, frame.TraceID(), s.TraceID())
			require.Subset(t, []string{"decode", "person_detection", "pose_estimation", "tracking", "visualization", "encode"}, []string{s.Name()})
			require.LessOrEqual(t, frame.StartTimestamp(), s.StartTimestamp())
			require.GreaterOrEqual(t, frame.EndTimestamp(), s.EndTimestamp())
		}
		for _, stage := range []string{"decode", "visualization", "encode"} {
			require.Len(t, stages.named(stage), 1, "%s of each frame", stage)
		}
		for _, detection := range stages.named("person_detection") {
			people += int(attribute(t, detection, "bbox.count").Int())
			if attribute(t, detection, "anonymizer.detection.carried").Bool() {
				require.Equal(t, attribute(t, frame, "bbox.count").Int(), attribute(t, detection, "bbox.count").Int())
				continue
			}
			judged++
			assertSteps(t, detection, children)
		}
		for _, pose := range stages.named("pose_estimation") {
			assertSteps(t, pose, children)
		}
	}
	assert.Equal(t, frames, counted, "one trace for each frame")
	assert.GreaterOrEqual(t, judged, len(traces)/3, "at least every third frame is judged")
	assert.Greater(t, people, len(traces), "on average more than one person was detected")
}

func assertLinks(t *testing.T, frame, video span) {
	t.Helper()
	for _, link := range frame.Links().All() {
		if link.TraceID() == video.TraceID() && link.SpanID() == video.SpanID() {
			return
		}
	}
	require.Fail(t, "a frame does not link to its video")
}

func assertSteps(t *testing.T, stage span, children map[pcommon.SpanID]spans) {
	t.Helper()
	var names []string
	for _, step := range children[stage.SpanID()] {
		names = append(names, step.Name())
	}
	slices.Sort(names)
	require.Equal(t, []string{"inference", "postprocess", "preprocess"}, slices.Compact(names), "steps of %s", stage.Name())
}

func attribute(t *testing.T, s span, key string) pcommon.Value {
	t.Helper()
	value, ok := s.Attributes().Get(key)
	require.True(t, ok, "%s has no %s", s.Name(), key)
	return value
}

type records []plog.LogRecord

// about are the records that name a file.
func (all records) about(name string) records {
	var found records
	for _, record := range all {
		attributes, _ := json.Marshal(record.Attributes().AsRaw())
		if strings.Contains(record.Body().AsString()+string(attributes), name) {
			found = append(found, record)
		}
	}
	return found
}

func (all records) errors() records {
	var found records
	for _, record := range all {
		if record.SeverityNumber() >= plog.SeverityNumberError {
			found = append(found, record)
		}
	}
	return found
}

// readLogs reads what the file exporter wrote.
func readLogs(t *testing.T, dir string) records {
	t.Helper()
	var all records
	for _, line := range readLines(t, filepath.Join(dir, "telemetry", "logs*.json")) {
		logs, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(line)
		require.NoError(t, err)
		for _, resource := range logs.ResourceLogs().All() {
			for _, scope := range resource.ScopeLogs().All() {
				for _, record := range scope.LogRecords().All() {
					all = append(all, record)
				}
			}
		}
	}
	return all
}

func readLines(t *testing.T, pattern string) [][]byte {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	require.NoError(t, err)
	require.NotEmpty(t, paths, "no file %s", pattern)
	var lines [][]byte
	for _, path := range paths {
		file, err := os.Open(path)
		require.NoError(t, err)
		defer file.Close()
		scanner := bufio.NewScanner(file)
		scanner.Buffer(nil, 64<<20)
		for scanner.Scan() {
			lines = append(lines, slices.Clone(scanner.Bytes()))
		}
		require.NoError(t, scanner.Err())
	}
	return lines
}
