// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadatatest"
)

// TestServedInferences checks that inference spans have the IDs that were generated in advance, and name the server
// that answered.
func TestServedInferences(t *testing.T) {
	opts := testOptions()
	opts.TraceRatio = 1
	sink, logs := new(consumertest.TracesSink), new(consumertest.LogsSink)
	e, err := NewEmitter(testSettings(), opts, Consumers{Traces: sink, Logs: logs})
	require.NoError(t, err)
	video := testVideo
	video.DetectorServed, video.PoseServed = Served{Version: "3", Answer: "aa"}, Served{Answer: "bb"}
	video.Served = []string{"nanodet-m, version 3, answer aa"}
	s := e.VideoStarted(t.Context(), video)
	rec := frameRecord(time.Now(), 0, 1, true)
	rec.DetectionInference, rec.PoseInference = s.Inferences()
	rec.DetectionInference.AnsweredBy(&inference.Server{Address: "triton", Port: 8001, Protocol: "grpc"})
	rec.PoseInference.AnsweredBy(&inference.Server{Address: "::1", Port: 8000, Protocol: "http"})
	s.Frame(rec)
	s.Unavailable(errors.New("triton: no answer"))
	require.NoError(t, e.Shutdown(t.Context()))

	assert.Equal(t, 1, checkFrameTraces(t, allSpans(sink)))
	byID := map[pcommon.SpanID]ptrace.Span{}
	var ended ptrace.Span
	for _, span := range allSpans(sink) {
		if span.Name() == spanInference {
			byID[span.SpanID()] = span
		}
		if span.Name() == spanVideo {
			ended = span
		}
	}
	require.Len(t, byID, 2)
	detection, pose := byID[rec.DetectionInference.SpanID], byID[rec.PoseInference.SpanID]
	assert.Equal(t, pcommon.TraceID(rec.DetectionInference.TraceID), detection.TraceID())
	assert.Equal(t, rec.DetectionInference.TraceID, rec.PoseInference.TraceID)
	want := map[string]any{"server.address": "triton", "server.port": int64(8001), "network.protocol.name": "http",
		"rpc.system.name": "grpc", "rpc.method": "inference.GRPCInferenceService/ModelInfer",
		attrModelVersion: "3", attrModelAnswer: "aa"}
	assert.Subset(t, detection.Attributes().AsRaw(), want)
	assert.Subset(t, pose.Attributes().AsRaw(), map[string]any{"server.address": "::1", "server.port": int64(8000),
		"http.request.method": "POST", attrModelAnswer: "bb"})
	assert.Equal(t, ptrace.SpanKindClient, detection.Kind())

	outcome := ended.Attributes().AsRaw()
	assert.Equal(t, "interrupted", outcome[attrVideoOutcome])
	assert.Equal(t, "inference_unavailable", outcome[attrErrorType])
	assert.Equal(t, ptrace.StatusCodeError, ended.Status().Code())
	assert.Equal(t, []any{"nanodet-m, version 3, answer aa"}, outcome[attrServed])

	documented, err := os.ReadFile("../../spans.md")
	require.NoError(t, err)
	for name := range want {
		assert.Contains(t, string(documented), "`"+name+"`")
	}
	assert.Contains(t, string(documented), "`"+attrServed+"`")
}

// TestInferencesWithoutTraces checks that inference servers get no span IDs without a traces pipeline.
func TestInferencesWithoutTraces(t *testing.T) {
	e, err := NewEmitter(testSettings(), testOptions(), Consumers{})
	require.NoError(t, err)
	detection, pose := e.VideoStarted(t.Context(), testVideo).Inferences()
	assert.Nil(t, detection)
	assert.Nil(t, pose)
	require.NoError(t, e.Shutdown(t.Context()))
}

func TestInRatio(t *testing.T) {
	trace := func(last uint64) (id pcommon.TraceID) {
		binary.BigEndian.PutUint64(id[8:], last)
		return id
	}
	const top = 1<<56 - 1
	for _, tt := range []struct {
		last  uint64
		ratio float64
		want  bool
	}{
		{0, 1, true}, {top, 1, true}, {0, 0, false}, {top, 0, false},
		{1 << 55, 0.5, true}, {1<<55 - 1, 0.5, false}, {0xff<<56 | 1, 0.5, false}, {top, 0.01, true},
	} {
		assert.Equal(t, tt.want, inRatio(trace(tt.last), tt.ratio), "%x, %v", tt.last, tt.ratio)
	}
}

func TestSelfTelemetryOfServers(t *testing.T) {
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(context.WithoutCancel(t.Context()))) }()
	set := testSettings()
	set.TelemetrySettings = tel.NewTelemetrySettings()
	e, err := NewEmitter(set, testOptions(), Consumers{})
	require.NoError(t, err)
	ignore := metricdatatest.IgnoreTimestamp()
	metadatatest.AssertEqualReceiverVideoanonymizerRemoteAvailable(t, tel, point(1, receiverID), ignore)
	e.ServersAvailable(false)
	e.RequestFailed()
	e.RequestFailed()
	e.VideoStarted(t.Context(), testVideo).Unavailable(errors.New("no answer"))
	metadatatest.AssertEqualReceiverVideoanonymizerRemoteAvailable(t, tel, point(0, receiverID), ignore)
	metadatatest.AssertEqualReceiverVideoanonymizerRemoteRequestsFailed(t, tel, point(2, receiverID), ignore)
	metadatatest.AssertEqualReceiverVideoanonymizerAttemptsUnavailable(t, tel, point(1, receiverID), ignore)
	metadatatest.AssertEqualReceiverVideoanonymizerVideosFailed(t, tel, point(0, receiverID), ignore)
	require.NoError(t, e.Shutdown(t.Context()))
}
