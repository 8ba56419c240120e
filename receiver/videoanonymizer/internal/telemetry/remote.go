// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"encoding/binary"
	"sync"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
)

// Served describes a model on inference servers: its version there, and the digest of the answer to a known tensor.
// Both are empty for a model that runs in this process.
type Served struct{ Version, Answer string }

// earlyIDs generates the IDs that are needed before a frame is reported. It is safe for concurrent use.
type earlyIDs struct {
	mu  sync.Mutex
	ids ids
}

// Inferences returns IDs for the inference spans of a frame, one below detection and one below pose estimation, so that
// the spans of a server can be their children. It may be called concurrently, also with all other methods. It returns
// nil if there is no traces pipeline.
func (s *VideoSpan) Inferences() (detection, pose *inference.Span) {
	if s.emitter.traces == nil {
		return nil, nil
	}
	s.early.mu.Lock()
	defer s.early.mu.Unlock()
	trace := s.early.ids.trace()
	if s.video.Picture {
		trace = s.id.trace
	}
	sampled := inRatio(trace, s.emitter.traceRatio)
	detection = &inference.Span{TraceID: trace, SpanID: s.early.ids.span(), Sampled: sampled}
	pose = &inference.Span{TraceID: trace, SpanID: s.early.ids.span(), Sampled: sampled}
	return detection, pose
}

// inRatio decides based on the last 56 bits of the trace ID, as specified by W3C Trace Context Level 2, so that other
// samplers that do so keep the same traces.
func inRatio(trace pcommon.TraceID, ratio float64) bool {
	const all = 1 << 56
	return binary.BigEndian.Uint64(trace[8:])%all >= uint64((1-ratio)*all)
}

// traceOf returns the trace ID of a frame: that of its inferences or, if there are none, a new one.
func (s *VideoSpan) traceOf(rec *record.Frame) pcommon.TraceID {
	if rec.DetectionInference != nil {
		return rec.DetectionInference.TraceID
	}
	if s.video.Picture {
		return s.id.trace
	}
	return s.ids.trace()
}

// remote sets the ID that the inference span got in advance, and describes the server that answered last.
func remote(span ptrace.Span, made *inference.Span, served Served) {
	span.SetSpanID(made.SpanID)
	server := made.Server()
	if server == nil {
		return
	}
	span.SetKind(ptrace.SpanKindClient)
	attrs := span.Attributes()
	attrs.PutStr(string(semconv.ServerAddressKey), server.Address)
	attrs.PutInt(string(semconv.ServerPortKey), int64(server.Port))
	attrs.PutStr(string(semconv.NetworkProtocolNameKey), "http")
	if server.Protocol == "grpc" {
		attrs.PutStr(string(semconv.RPCSystemNameKey), "grpc")
		attrs.PutStr(string(semconv.RPCMethodKey), "inference.GRPCInferenceService/ModelInfer")
	} else {
		attrs.PutStr(string(semconv.HTTPRequestMethodKey), "POST")
	}
	putKnown(attrs, attrModelVersion, served.Version)
	putKnown(attrs, attrModelAnswer, served.Answer)
}

// RequestFailed counts a failed request to an inference server.
func (e *Emitter) RequestFailed() {
	e.self.add(e.self.builder.ReceiverVideoanonymizerRemoteRequestsFailed, 1)
}

// ServersAvailable reports whether inference servers are available.
func (e *Emitter) ServersAvailable(available bool) { e.self.available(available) }
