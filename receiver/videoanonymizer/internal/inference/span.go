// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package inference

import (
	"context"
	"encoding/hex"
	"sync/atomic"
)

// Span is the tracing span that runs belong to. Its IDs are known before they begin, so that a server's own spans can
// be its children.
type Span struct {
	TraceID [16]byte
	SpanID  [8]byte
	// Sampled means that runs propagate the span to servers, which then trace their own work.
	Sampled bool

	server atomic.Pointer[Server]
}

// Server is an inference server that answers runs.
type Server struct {
	// Address is a host name or an IP address.
	Address string
	Port    int
	// Protocol is grpc or http.
	Protocol string
}

type spanKey struct{}

// WithSpan returns a context whose runs belong to the span, which may be nil.
func WithSpan(ctx context.Context, span *Span) context.Context {
	if span == nil {
		return ctx
	}
	return context.WithValue(ctx, spanKey{}, span)
}

// SpanOf returns the span that the context's runs belong to; nil if there is none.
func SpanOf(ctx context.Context) *Span {
	span, _ := ctx.Value(spanKey{}).(*Span)
	return span
}

// AnsweredBy records the server that answered a run, replacing any earlier one.
func (s *Span) AnsweredBy(server *Server) {
	if s != nil {
		s.server.Store(server)
	}
}

// Server returns the server that answered the span's last run; nil if none did.
func (s *Span) Server() *Server {
	if s == nil {
		return nil
	}
	return s.server.Load()
}

// TraceParent returns the W3C traceparent header for the span's children; empty if the span is not sampled.
func (s *Span) TraceParent() string {
	if s == nil || !s.Sampled {
		return ""
	}
	return "00-" + hex.EncodeToString(s.TraceID[:]) + "-" + hex.EncodeToString(s.SpanID[:]) + "-01"
}
