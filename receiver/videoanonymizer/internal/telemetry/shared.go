// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
)

// Names of the spans of a video that several machines process, except those of units. spans.md describes each.
const (
	SpanPlan    = "plan"
	SpanJoin    = "join"
	SpanPublish = "publish"
)

// NewTraceParent returns a new ID, in the format of W3C Trace Context, for the span of a video. The span is reported at
// the end, possibly by another machine.
func NewTraceParent() string {
	var id [24]byte
	_, _ = rand.Read(id[:]) // never fails
	return fmt.Sprintf("00-%x-%x-01", id[:16], id[16:])
}

// parseTraceParent returns the span ID in the text, if there is one.
func parseTraceParent(text string) (id spanID, ok bool) {
	parts := strings.Split(text, "-")
	if len(parts) != 4 || len(parts[1]) != 2*len(id.trace) || len(parts[2]) != 2*len(id.span) {
		return id, false
	}
	_, traceErr := hex.Decode(id.trace[:], []byte(parts[1]))
	_, spanErr := hex.Decode(id.span[:], []byte(parts[2]))
	return id, traceErr == nil && spanErr == nil && !id.trace.IsEmpty() && !id.span.IsEmpty()
}

// VideoShared reports on one machine's part in a video that several machines process. parent is the ID of the video's
// span, from NewTraceParent. A part ends with Released. The last part of the video ends with Outcome and Finished or
// Failed.
func (e *Emitter) VideoShared(ctx context.Context, video Video, parent string) *VideoSpan {
	s := e.newVideoSpan(ctx, video)
	if id, ok := parseTraceParent(parent); ok {
		s.id = id
	}
	return s
}

// Started reports that processing of the video has started.
func (s *VideoSpan) Started() {
	s.log(s.start, "started", " started", plog.SeverityNumberInfo, s.describe)
}

// Released ends a part.
func (s *VideoSpan) Released() { s.ended = true }

// Outcome sets the result of all parts of the video: the time when processing began, by the clock of the machine that
// found the video, and the counts.
func (s *VideoSpan) Outcome(began time.Time, counted record.Summary) {
	if began.Before(s.start) {
		s.start = began
	}
	s.emitter.mu.Lock()
	defer s.emitter.mu.Unlock()
	s.figures = figures{
		frames: counted.Frames, analyzed: counted.Analyzed, failed: counted.Failed, whole: counted.MaskedWhole,
		masks: counted.Masks, uncertain: counted.Uncertain, most: counted.MaxPeople, last: s.video.Duration,
	}
}

// Step reports a step that concerns the whole video and began at start. The name is one of the constants above.
func (s *VideoSpan) Step(name string, start time.Time, err error) {
	if s.emitter.traces == nil {
		return
	}
	s.early.mu.Lock()
	id := s.early.ids.span()
	s.early.mu.Unlock()
	end := s.emitter.now()
	s.emitter.traces.add(s.ctx, func(traces ptrace.Traces) int {
		span := spansOf(traces).AppendEmpty()
		span.SetTraceID(s.id.trace)
		span.SetSpanID(id)
		span.SetParentSpanID(s.id.span)
		span.SetName(name)
		span.SetKind(ptrace.SpanKindInternal)
		span.SetStartTimestamp(pcommon.NewTimestampFromTime(start))
		span.SetEndTimestamp(pcommon.NewTimestampFromTime(end))
		span.Attributes().PutStr(attrVideoName, s.video.Name)
		if err != nil {
			span.Status().SetCode(ptrace.StatusCodeError)
			span.Status().SetMessage(s.message(err))
		}
		return 1
	})
}

// ShareStats are the values of a share in the collector's internal metrics.
type ShareStats struct {
	Takeovers, FencedCommits, UnitsRedone uint64
	// BrokerAvailable means that the NATS servers answer.
	BrokerAvailable bool
	// Units is nil unless this machine is the coordinator.
	Units map[metadata.AttributeShareUnitState]int
}

// ObserveShare registers stats as the source of the share's values in the collector's internal metrics.
func (e *Emitter) ObserveShare(stats func() ShareStats) error {
	c := e.self
	counter := func(register func(metric.Int64Callback) error, value func(ShareStats) uint64) error {
		return register(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(value(stats())), c.receiver)
			return nil
		})
	}
	for _, err := range []error{
		counter(c.builder.RegisterReceiverVideoanonymizerShareTakeoversCallback,
			func(s ShareStats) uint64 { return s.Takeovers }),
		counter(c.builder.RegisterReceiverVideoanonymizerShareFencedCommitsCallback,
			func(s ShareStats) uint64 { return s.FencedCommits }),
		counter(c.builder.RegisterReceiverVideoanonymizerShareUnitsRedoneCallback,
			func(s ShareStats) uint64 { return s.UnitsRedone }),
		counter(c.builder.RegisterReceiverVideoanonymizerShareBrokerAvailableCallback, func(s ShareStats) uint64 {
			if s.BrokerAvailable {
				return 1
			}
			return 0
		}),
		c.builder.RegisterReceiverVideoanonymizerShareUnitsCallback(func(_ context.Context, o metric.Int64Observer) error {
			for state, n := range stats().Units {
				o.Observe(int64(n), c.receiver, metric.WithAttributes(attribute.String("state", state.String())))
			}
			return nil
		}),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}
