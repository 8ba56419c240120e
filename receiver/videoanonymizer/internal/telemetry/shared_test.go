// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadatatest"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
)

// TestSharedVideoIsOneTrace has two machines report on a video. The second one sends the video's span, with the counts
// of both.
func TestSharedVideoIsOneTrace(t *testing.T) {
	traces, logs := new(consumertest.TracesSink), new(consumertest.LogsSink)
	parent := NewTraceParent()
	found := time.Now().Add(-time.Minute)
	machine := func(do func(*VideoSpan)) {
		e, err := NewEmitter(testSettings(), testOptions(), Consumers{Traces: traces, Logs: logs})
		require.NoError(t, err)
		s := e.VideoShared(t.Context(), testVideo, parent)
		assert.Empty(t, e.Active(), "its progress is not that of the video")
		do(s)
		require.NoError(t, e.Shutdown(t.Context()))
	}
	machine(func(s *VideoSpan) {
		s.Started()
		s.Step(SpanPlan, s.start, nil)
		u := s.Unit(Unit{Number: 1, Attempt: 1})
		u.Frame(frameRecord(time.Now(), 0, 1, true))
		u.End(nil)
		s.Released()
	})
	machine(func(s *VideoSpan) {
		s.Step(SpanJoin, s.start, errors.New("a unit does not fit"))
		s.Outcome(found, record.Summary{Frames: 100, Analyzed: 20, Masks: 30, MaxPeople: 2, Failed: 1, Uncertain: 3})
		s.Step(SpanPublish, s.start, nil)
		s.Finished(Result{Output: "/out/walk_anonymized.mkv", Size: 5})
		s.Finished(Result{})
	})
	documented, err := os.ReadFile("../../spans.md")
	require.NoError(t, err)
	id, ok := parseTraceParent(parent)
	require.True(t, ok)
	names := map[string]ptrace.Span{}
	for _, all := range traces.AllTraces() {
		for _, span := range spansOf(all).All() {
			if span.Name() == spanFrame || span.Attributes().Len() == 0 {
				continue
			}
			if _, of := names[span.Name()]; span.TraceID() == id.trace {
				assert.False(t, of, "two spans %s", span.Name())
				names[span.Name()] = span
			}
		}
	}
	for _, name := range []string{SpanPlan, spanUnit, SpanJoin, SpanPublish} {
		require.Contains(t, names, name)
		assert.Equal(t, id.span, names[name].ParentSpanID(), name)
		assert.Equal(t, name == SpanJoin, names[name].Status().Code() == ptrace.StatusCodeError, name)
		assert.Contains(t, string(documented), "`"+name+"`", "spans.md does not explain it")
	}
	root := names[spanVideo]
	assert.Equal(t, id.span, root.SpanID())
	assert.Equal(t, found.UnixNano(), root.StartTimestamp().AsTime().UnixNano())
	for name, want := range map[string]int64{
		attrVideoFrames: 100, attrVideoJudged: 20, attrVideoMasks: 30, attrVideoPeople: 2, attrVideoFailed: 1,
		attrVideoUncertain: 3,
	} {
		got, _ := root.Attributes().Get(name)
		assert.Equal(t, want, got.Int(), name)
	}
	assert.Equal(t, 2, logs.LogRecordCount(), "it started and finished once")
}

func TestParseTraceParent(t *testing.T) {
	assert.NotEqual(t, NewTraceParent(), NewTraceParent())
	for _, text := range []string{"", "00-12-34-01", "00-00000000000000000000000000000000-0000000000000000-01",
		"00-0123456789abcdef0123456789abcdeg-0123456789abcdef-01"} {
		_, ok := parseTraceParent(text)
		assert.False(t, ok, text)
	}
}

func TestObserveShare(t *testing.T) {
	tel := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	set := testSettings()
	set.TelemetrySettings = tel.NewTelemetrySettings()
	e, err := NewEmitter(set, testOptions(), Consumers{})
	require.NoError(t, err)
	stats := ShareStats{Takeovers: 1, FencedCommits: 2, UnitsRedone: 3}
	require.NoError(t, e.ObserveShare(func() ShareStats { return stats }))
	id := attribute.String("receiver", set.ID.String())
	point := func(n int64, more ...attribute.KeyValue) []metricdata.DataPoint[int64] {
		return []metricdata.DataPoint[int64]{{Value: n, Attributes: attribute.NewSet(append(more, id)...)}}
	}
	ignore := metricdatatest.IgnoreTimestamp()
	metadatatest.AssertEqualReceiverVideoanonymizerShareTakeovers(t, tel, point(1), ignore)
	metadatatest.AssertEqualReceiverVideoanonymizerShareFencedCommits(t, tel, point(2), ignore)
	metadatatest.AssertEqualReceiverVideoanonymizerShareUnitsRedone(t, tel, point(3), ignore)
	metadatatest.AssertEqualReceiverVideoanonymizerShareBrokerAvailable(t, tel, point(0), ignore)
	_, err = tel.GetMetric("otelcol_receiver_videoanonymizer_share_units")
	require.Error(t, err, "another machine is the coordinator")
	stats.BrokerAvailable = true
	stats.Units = map[metadata.AttributeShareUnitState]int{metadata.AttributeShareUnitStateClaimed: 4}
	metadatatest.AssertEqualReceiverVideoanonymizerShareBrokerAvailable(t, tel, point(1), ignore)
	claimed := point(4, attribute.String("state", "claimed"))
	metadatatest.AssertEqualReceiverVideoanonymizerShareUnits(t, tel, claimed, ignore)
	require.NoError(t, e.Shutdown(t.Context()))
}
