// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

func TestRecent(t *testing.T) {
	clock := time.Unix(1_000_000, 0)
	r := NewRecent()
	r.now = func() time.Time { return clock }
	span := &VideoSpan{emitter: &Emitter{recent: r, spanAttributes: pcommon.NewMap()}, video: Video{Key: "walk"},
		ids: newIDs()}
	frame := func(index, people int, decode time.Duration) {
		start := clock.Add(-time.Second)
		rec := &record.Frame{Index: index, People: people, Start: start, End: clock,
			Decode: vision.Interval{Start: start, End: start.Add(decode)}}
		r.add(span, rec, span.ids.trace())
	}
	for i := range 3 {
		frame(i, i, time.Duration(i+1)*time.Millisecond)
	}
	clock = clock.Add(time.Second)
	second, rate := r.Now()
	assert.Equal(t, 3, second.Frames)
	assert.Equal(t, 2, second.People)
	assert.InDelta(t, 1, rate, 1e-9)
	assert.Equal(t, 2*time.Millisecond, second.Stages()[0])
	assert.Zero(t, second.Stages()[1])

	seconds := r.Seconds()
	require.Len(t, seconds, RecentSeconds-1)
	assert.Equal(t, clock.Unix()-1, seconds[len(seconds)-1].Unix)
	assert.Equal(t, 3, seconds[len(seconds)-1].Frames)
	assert.Zero(t, seconds[0].Frames)

	frames := r.Frames("walk", 2)
	require.Len(t, frames, 2)
	assert.Equal(t, 2, frames[0].Frame)
	assert.Empty(t, r.Frames("run", 2))
	spans := frames[0].Spans()
	require.Equal(t, 2, spans.Len())
	assert.Equal(t, spanFrame, spans.At(0).Name())
	assert.Equal(t, record.StageDecode, spans.At(1).Name())
	assert.Equal(t, spans.At(0).SpanID(), spans.At(1).ParentSpanID())
	assert.Equal(t, frames[0].Trace, spans.At(0).TraceID().String())

	clock = clock.Add(RecentSeconds * time.Second)
	for i := range recentFrames + 5 {
		frame(i, 0, 0)
	}
	assert.Len(t, r.Frames("", 10*recentFrames), recentFrames, "it is bounded")
	for _, second := range r.Seconds() {
		assert.Zero(t, second.Frames, "what is long ago is forgotten")
	}
}

// BenchmarkRecent measures the cost of adding a frame.
func BenchmarkRecent(b *testing.B) {
	r := NewRecent()
	span := &VideoSpan{emitter: &Emitter{recent: r}, ids: newIDs()}
	rec := &record.Frame{}
	for b.Loop() {
		r.add(span, rec, span.id.trace)
	}
}
