// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/telemetry"
)

func readSpans(t *testing.T, dir string) telemetry.Spans {
	t.Helper()
	spans, err := telemetry.ReadSpans(dir)
	require.NoError(t, err)
	return spans
}

func readLogs(t *testing.T, dir string) records {
	t.Helper()
	logs, err := telemetry.ReadLogs(dir)
	require.NoError(t, err)
	return logs
}

// checkSpans checks that each frame of each video has its own trace, with all stages.
func checkSpans(t *testing.T, all telemetry.Spans, frames map[string]int) {
	children := map[pcommon.SpanID]telemetry.Spans{}
	traces := map[pcommon.TraceID]bool{}
	for _, s := range all {
		children[s.ParentSpanID()] = append(children[s.ParentSpanID()], s)
		service, _ := s.Resource.Attributes().Get("service.name")
		assert.Equal(t, "videoanonymizer", service.AsString())
	}
	videos := map[string]telemetry.Span{}
	for _, video := range all.Named("anonymize_video") {
		videos[attribute(t, video, "anonymizer.video.name").Str()] = video
	}
	require.Len(t, videos, len(frames), "one span for each video")

	counted := map[string]int{}
	analyzed, people := 0, 0
	for _, frame := range all.Named("process_single_frame") {
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
			require.Subset(t, []string{"decode", "person_detection", "pose_estimation", "tracking", "visualization",
				"encode"}, []string{s.Name()})
			require.LessOrEqual(t, frame.StartTimestamp(), s.StartTimestamp())
			require.GreaterOrEqual(t, frame.EndTimestamp(), s.EndTimestamp())
		}
		for _, stage := range []string{"decode", "visualization", "encode"} {
			require.Len(t, stages.Named(stage), 1, "%s of each frame", stage)
		}
		for _, detection := range stages.Named("person_detection") {
			people += int(attribute(t, detection, "bbox.count").Int())
			if attribute(t, detection, "anonymizer.detection.carried").Bool() {
				require.Equal(t, attribute(t, frame, "bbox.count").Int(), attribute(t, detection, "bbox.count").Int())
				continue
			}
			analyzed++
			assertSteps(t, detection, children)
		}
		for _, pose := range stages.Named("pose_estimation") {
			assertSteps(t, pose, children)
		}
	}
	assert.Equal(t, frames, counted, "one trace for each frame")
	assert.GreaterOrEqual(t, analyzed, len(traces)/3, "at least every third frame is analyzed")
	assert.Greater(t, people, len(traces), "on average more than one person was detected")
}

func assertLinks(t *testing.T, frame, video telemetry.Span) {
	t.Helper()
	for _, link := range frame.Links().All() {
		if link.TraceID() == video.TraceID() && link.SpanID() == video.SpanID() {
			return
		}
	}
	require.Fail(t, "a frame does not link to its video")
}

func assertSteps(t *testing.T, stage telemetry.Span, children map[pcommon.SpanID]telemetry.Spans) {
	t.Helper()
	var names []string
	for _, step := range children[stage.SpanID()] {
		names = append(names, step.Name())
	}
	slices.Sort(names)
	require.Equal(t, []string{"inference", "postprocess", "preprocess"}, slices.Compact(names), "steps of %s",
		stage.Name())
}

func attribute(t *testing.T, s telemetry.Span, key string) pcommon.Value {
	t.Helper()
	value, ok := s.Attributes().Get(key)
	require.True(t, ok, "%s has no %s", s.Name(), key)
	return value
}

type records []plog.LogRecord

// about returns the records that name a file.
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
