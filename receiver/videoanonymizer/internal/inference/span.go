// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package inference

import (
	"context"
	"encoding/hex"
	"sync/atomic"
)

// Span is the span that runs belong to. Its identity is known before they begin, so that a server's own spans can be
// its children.
type Span struct {
	TraceID [16]byte
	SpanID  [8]byte
	// Sampled means that servers are told of the span, and trace their work on the runs.
	Sampled bool

	server atomic.Pointer[Server]
}

// Server is one that answers runs.
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

// AnsweredBy records the server that answered a run; of several, the last one stays.
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

// TraceParent is the W3C Trace Context header of the span's children; empty if servers are not told of it.
func (s *Span) TraceParent() string {
	if s == nil || !s.Sampled {
		return ""
	}
	return "00-" + hex.EncodeToString(s.TraceID[:]) + "-" + hex.EncodeToString(s.SpanID[:]) + "-01"
}
