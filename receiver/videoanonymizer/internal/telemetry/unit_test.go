// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"errors"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// TestUnitsAddUp reports two units concurrently, one of which is processed again, and a third that is resumed, and
// checks that they add up to the video.
func TestUnitsAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := new(consumertest.TracesSink)
		e, err := NewEmitter(testSettings(), testOptions(), Consumers{Traces: sink})
		require.NoError(t, err)
		s := e.VideoStarted(t.Context(), testVideo) // 100 frames
		unit := func(number, attempt int) *UnitSpan {
			return s.Unit(Unit{Number: number, Attempt: attempt, From: time.Duration(number) * time.Second,
				To: time.Duration(number+1) * time.Second})
		}
		play := func(u *UnitSpan, from, to int) {
			for i := from; i < to; i++ {
				time.Sleep(100 * time.Millisecond)
				u.Frame(frameRecord(time.Now(), i, 1, true))
			}
		}
		var both sync.WaitGroup
		both.Go(func() {
			u := unit(0, 1)
			play(u, 0, 40)
			u.End(nil)
		})
		both.Go(func() {
			u := unit(1, 1)
			play(u, 40, 50)
			u.End(errors.New("another seam"))
			again := unit(1, 2)
			play(again, 40, 70)
			again.End(nil)
		})
		both.Wait()
		p := s.Progress()
		assert.Equal(t, 70, p.Frames, "the first attempt at the second unit does not count")
		assert.InDelta(t, 0.7, p.Done, 1e-6)
		third := unit(2, 1)
		third.Resumed(800*time.Millisecond, 20)
		p = s.Progress()
		assert.InDelta(t, 0.9, p.Done, 1e-6)
		play(third, 90, 100)
		third.Decoded(15)
		third.End(nil)
		p = s.Progress()
		assert.InDelta(t, 1, p.Done, 1e-6)
		assert.Zero(t, p.Remaining)
		assert.Equal(t, 100, e.Active()[0].Done)
		s.Finished(Result{})
		require.NoError(t, e.Shutdown(t.Context()))

		documented, err := os.ReadFile("../../spans.md")
		require.NoError(t, err)
		var video ptrace.Span
		units := map[[2]int64]ptrace.Span{}
		for _, traces := range sink.AllTraces() {
			for _, span := range spansOf(traces).All() {
				switch span.Name() {
				case spanVideo:
					video = span
				case spanUnit:
					number, _ := span.Attributes().Get(attrUnitNumber)
					attempt, _ := span.Attributes().Get(attrUnitAttempt)
					units[[2]int64{number.Int(), attempt.Int()}] = span
				}
			}
		}
		require.Len(t, units, 4)
		for key, span := range units {
			assert.Equal(t, video.TraceID(), span.TraceID())
			assert.Equal(t, video.SpanID(), span.ParentSpanID())
			assert.Equal(t, key == [2]int64{1, 1}, span.Status().Code() == ptrace.StatusCodeError, key)
			for name := range span.Attributes().All() {
				assert.Contains(t, string(documented), "`"+name+"`", "spans.md does not explain it")
			}
		}
		from, _ := units[[2]int64{2, 1}].Attributes().Get(attrUnitFrom)
		assert.InDelta(t, 2, from.Double(), 1e-9)
		decoded, _ := units[[2]int64{2, 1}].Attributes().Get(attrUnitDecoded)
		assert.EqualValues(t, 15, decoded.Int())
		for name, want := range map[string]int64{attrVideoFrames: 80, attrVideoResumed: 20, attrVideoMasks: 80} {
			got, _ := video.Attributes().Get(name)
			assert.Equal(t, want, got.Int(), name)
		}
	})
}
