// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadatatest"
)

var errRefused = errors.New("memory limiter: too much")

// pipeline accepts frames, unless behave, which gets the number of the call, from 0, returns an error for a batch.
type pipeline struct {
	behave  func(ctx context.Context, call int, traces ptrace.Traces) error
	mutates bool

	mu     sync.Mutex
	calls  int
	frames []int64 // indexes, in the order of arrival
	sizes  []int   // of the accepted batches
}

func (p *pipeline) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: p.mutates}
}

func (p *pipeline) ConsumeTraces(ctx context.Context, traces ptrace.Traces) error {
	p.mu.Lock()
	call := p.calls
	p.calls++
	p.mu.Unlock()
	if p.behave != nil {
		if err := p.behave(ctx, call, traces); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frames = append(p.frames, indexes(traces)...)
	p.sizes = append(p.sizes, traces.SpanCount())
	return nil
}

// taken returns the indexes of the accepted frames.
func (p *pipeline) taken() []int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.frames)
}

// batches returns the number of spans in each accepted batch.
func (p *pipeline) batches() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sizes)
}

func (p *pipeline) take(frames ...int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frames = append(p.frames, frames...)
}

func indexes(traces ptrace.Traces) (list []int64) {
	for _, span := range spansOf(traces).All() {
		if i, ok := span.Attributes().Get(attrFrameIndex); ok {
			list = append(list, i.Int())
		}
	}
	return list
}

func upTo(n int) []int64 {
	list := make([]int64, n)
	for i := range list {
		list[i] = int64(i)
	}
	return list
}

// delivering runs the test in a synctest bubble, where time advances only when all goroutines are blocked. Batches hold
// two frames that were not analyzed, with six spans each.
func delivering(t *testing.T, p *pipeline, change func(*Options),
	test func(*testing.T, *Emitter, *VideoSpan, *componenttest.Telemetry)) {
	synctest.Test(t, func(t *testing.T) {
		tel := componenttest.NewTelemetry()
		defer func() { require.NoError(t, tel.Shutdown(context.WithoutCancel(t.Context()))) }()
		set := testSettings()
		set.TelemetrySettings = tel.NewTelemetrySettings()
		opts := testOptions()
		opts.BatchSize = 12
		if change != nil {
			change(&opts)
		}
		e, err := NewEmitter(set, opts, Consumers{Traces: p})
		require.NoError(t, err)
		defer func() { require.NoError(t, e.Shutdown(t.Context())) }()
		test(t, e, e.VideoStarted(t.Context(), testVideo), tel)
	})
}

func frames(s *VideoSpan, from, to int) (took time.Duration) {
	start := time.Now()
	for i := from; i < to; i++ {
		s.Frame(frameRecord(time.Now(), i, 1, false))
	}
	return time.Since(start)
}

func point(n int64, attrs ...attribute.KeyValue) []metricdata.DataPoint[int64] {
	return []metricdata.DataPoint[int64]{{Value: n, Attributes: attribute.NewSet(attrs...)}}
}

// receiverID is an attribute of all internal metrics of the receiver.
var receiverID = attribute.String("receiver", "videoanonymizer")

// dropped returns the data points for n items dropped for a reason, and 0 for each other reason.
func dropped(n int64, reason string) (points []metricdata.DataPoint[int64]) {
	for each := range metadata.MapAttributeDropReason {
		points = append(points, point(0, receiverID, attribute.String("reason", each))...)
		if each == reason {
			points[len(points)-1].Value = n
		}
	}
	return points
}

// retried returns the data points for n retries of a signal, and 0 for each other signal.
func retried(n int64, signal string) (points []metricdata.DataPoint[int64]) {
	for each := range metadata.MapAttributeSignal {
		points = append(points, point(0, receiverID, attribute.String("otel_signal", each))...)
		if each == signal {
			points[len(points)-1].Value = n
		}
	}
	return points
}

func TestBatchesBySizeAndInterval(t *testing.T) {
	p := new(pipeline)
	delivering(t, p, nil, func(t *testing.T, _ *Emitter, s *VideoSpan, _ *componenttest.Telemetry) {
		frames(s, 0, 5)
		synctest.Wait()
		assert.Equal(t, []int{12, 12}, p.batches(), "full batches go at once")
		time.Sleep(999 * time.Millisecond)
		synctest.Wait()
		assert.Len(t, p.batches(), 2)
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		assert.Equal(t, []int{12, 12, 6}, p.batches(), "the rest goes after the interval")
		frames(s, 5, 6)
		time.Sleep(1001 * time.Millisecond)
		synctest.Wait()
		assert.Equal(t, []int{12, 12, 6, 6}, p.batches(), "and again after a quiet time")
		assert.Equal(t, upTo(6), p.taken())
	})
}

func TestRefusedBatchesAreRetriedWithoutLossOrRepetition(t *testing.T) {
	p := &pipeline{behave: func(_ context.Context, call int, _ ptrace.Traces) error {
		if call%5 != 4 { // four refusals for each batch
			return errRefused
		}
		return nil
	}}
	delivering(t, p, nil, func(t *testing.T, e *Emitter, s *VideoSpan, tel *componenttest.Telemetry) {
		took := frames(s, 0, 40)
		assert.Positive(t, took, "the frames are held back")
		assert.Less(t, took, 20*time.Second)
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, upTo(40), p.taken())
		metadatatest.AssertEqualReceiverVideoanonymizerBatchesRetried(t, tel, retried(80, "traces"),
			metricdatatest.IgnoreTimestamp())
	})
}

func TestPermanentErrorDropsOnlyTheBatch(t *testing.T) {
	p := &pipeline{behave: func(_ context.Context, call int, _ ptrace.Traces) error {
		if call == 1 {
			return consumererror.NewPermanent(errors.New("malformed"))
		}
		return nil
	}}
	delivering(t, p, nil, func(t *testing.T, _ *Emitter, s *VideoSpan, tel *componenttest.Telemetry) {
		for i := 0; i < 6; i += 2 {
			assert.Zero(t, frames(s, i, i+2))
			synctest.Wait()
		}
		assert.Equal(t, []int64{0, 1, 4, 5}, p.taken())
		assert.Equal(t, 3, p.calls, "it is not retried")
		metadatatest.AssertEqualReceiverVideoanonymizerSpansDropped(t, tel, dropped(12, "permanent"),
			metricdatatest.IgnoreTimestamp())
	})
}

func TestPartiallyRefusedBatchIsRetriedInPart(t *testing.T) {
	p := new(pipeline)
	p.behave = func(_ context.Context, call int, traces ptrace.Traces) error {
		if call > 0 {
			return nil
		}
		rest := ptrace.NewTraces()
		traces.CopyTo(rest)
		kept := 0
		spansOf(rest).RemoveIf(func(ptrace.Span) bool { kept++; return kept <= 6 }) // the first frame is accepted
		p.take(0)
		return consumererror.NewTraces(errRefused, rest)
	}
	delivering(t, p, nil, func(t *testing.T, _ *Emitter, s *VideoSpan, _ *componenttest.Telemetry) {
		frames(s, 0, 2)
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, []int64{0, 1}, p.taken())
		assert.Equal(t, []int{6}, p.batches())
	})
}

func TestRefusedBatchIsRetriedWholeToMutatingConsumer(t *testing.T) {
	p := &pipeline{mutates: true, behave: func(_ context.Context, call int, traces ptrace.Traces) error {
		if call == 0 {
			spansOf(traces).RemoveIf(func(ptrace.Span) bool { return true })
			return errRefused
		}
		return nil
	}}
	delivering(t, p, nil, func(t *testing.T, _ *Emitter, s *VideoSpan, _ *componenttest.Telemetry) {
		frames(s, 0, 2)
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, []int64{0, 1}, p.taken())
	})
}

// TestOutage has the pipeline refuse everything for an hour and then accept everything again.
func TestOutage(t *testing.T) {
	var down sync.Mutex
	refuse := true
	p := &pipeline{behave: func(context.Context, int, ptrace.Traces) error {
		down.Lock()
		defer down.Unlock()
		if refuse {
			return errRefused
		}
		return nil
	}}
	delivering(t, p, nil, func(t *testing.T, _ *Emitter, s *VideoSpan, tel *componenttest.Telemetry) {
		capacity := 2 * (maxQueued + 1) // frames in full batches: those waiting, and the one being forwarded
		frames(s, 0, 2)
		synctest.Wait()
		assert.Zero(t, frames(s, 2, capacity), "a short stall is not felt")
		held := frames(s, capacity, capacity+2)
		assert.InDelta(t, time.Minute, held, float64(time.Second), "held back for max_wait")
		assert.Zero(t, frames(s, capacity+2, 1000), "and then no longer, however long the outage")
		time.Sleep(time.Hour)
		assert.Zero(t, frames(s, 1000, 1002))
		assert.Empty(t, p.taken())

		down.Lock()
		refuse = false
		down.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		want := append([]int64{0, 1}, upTo(1002)[1002-2*maxQueued:]...)
		assert.Equal(t, want, p.taken(), "the batch being forwarded and the newest ones are kept")
		lost := int64(6 * (1002 - len(want)))
		metadatatest.AssertEqualReceiverVideoanonymizerSpansDropped(t, tel, dropped(lost, "max_wait"),
			metricdatatest.IgnoreTimestamp())

		assert.Zero(t, frames(s, 1002, 1004))
		synctest.Wait()
		assert.Equal(t, int64(1003), p.taken()[len(p.taken())-1])
	})
}

// TestIdleTimeIsNotAStall fills the queue at once after a period without anything to deliver.
func TestIdleTimeIsNotAStall(t *testing.T) {
	p := new(pipeline)
	delivering(t, p, nil, func(t *testing.T, _ *Emitter, s *VideoSpan, _ *componenttest.Telemetry) {
		for range 2 {
			time.Sleep(time.Hour)
			before := len(p.taken())
			frames(s, 0, 200)
			synctest.Wait()
			assert.Equal(t, upTo(200), p.taken()[before:])
		}
	})
}

func TestSlowPipelineHoldsVideoBackWithoutLoss(t *testing.T) {
	p := &pipeline{behave: func(context.Context, int, ptrace.Traces) error {
		time.Sleep(10 * time.Second)
		return nil
	}}
	delivering(t, p, func(o *Options) { o.MaxWait = 11 * time.Second },
		func(t *testing.T, e *Emitter, s *VideoSpan, _ *componenttest.Telemetry) {
			took := frames(s, 0, 40)
			assert.InDelta(t, 150*time.Second, took, float64(10*time.Second), "15 of 20 batches, 10 s each")
			time.Sleep(time.Minute)
			synctest.Wait()
			assert.Equal(t, upTo(40), p.taken())
		})
}

func TestNothingIsHeldBackAfterTheContextEnds(t *testing.T) {
	p := &pipeline{behave: func(_ context.Context, _ int, _ ptrace.Traces) error { return errRefused }}
	delivering(t, p, func(o *Options) { o.MaxWait = time.Hour },
		func(t *testing.T, e *Emitter, _ *VideoSpan, _ *componenttest.Telemetry) {
			ctx, cancel := context.WithCancel(t.Context())
			s := e.VideoStarted(ctx, testVideo)
			time.AfterFunc(3*time.Second, cancel)
			assert.Equal(t, 3*time.Second, frames(s, 0, 14), "until the context ends")
			assert.Zero(t, frames(s, 14, 20))
			s.Interrupted()
		})
}

func TestShutdownDeliversEverything(t *testing.T) {
	for name, behave := range map[string]func(context.Context, int, ptrace.Traces) error{
		"taken":   nil,
		"refused": func(_ context.Context, call int, _ ptrace.Traces) error { return []error{errRefused, nil}[call%2] },
		"slow":    func(context.Context, int, ptrace.Traces) error { time.Sleep(time.Second); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			p := &pipeline{behave: behave}
			delivering(t, p, nil, func(t *testing.T, e *Emitter, s *VideoSpan, _ *componenttest.Telemetry) {
				frames(s, 0, 7)
				s.Finished(Result{})
				require.NoError(t, e.Shutdown(t.Context()))
				assert.Equal(t, upTo(7), p.taken())
				assert.Equal(t, 7*6+1, sum(p.batches()))
			})
		})
	}
}

func TestShutdownReturnsWhileThePipelineRefuses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		behave  func(context.Context, int, ptrace.Traces) error
		timeout time.Duration
		want    time.Duration
	}{
		{"refused", func(context.Context, int, ptrace.Traces) error { return errRefused }, time.Hour, maxFlush},
		{"hanging", func(ctx context.Context, _ int, _ ptrace.Traces) error { <-ctx.Done(); return ctx.Err() }, time.Hour,
			maxFlush},
		{"context", func(context.Context, int, ptrace.Traces) error { return errRefused }, time.Second, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &pipeline{behave: tt.behave}
			delivering(t, p, nil, func(t *testing.T, e *Emitter, s *VideoSpan, tel *componenttest.Telemetry) {
				frames(s, 0, 7)
				ctx, cancel := context.WithTimeout(t.Context(), tt.timeout)
				defer cancel()
				start := time.Now()
				require.NoError(t, e.Shutdown(ctx))
				assert.InDelta(t, tt.want, time.Since(start), float64(100*time.Millisecond))
				metadatatest.AssertEqualReceiverVideoanonymizerSpansDropped(t, tel, dropped(42, "shutdown"),
					metricdatatest.IgnoreTimestamp())
			})
		})
	}
}

func TestShutdownReportsPipelinesThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		p := &pipeline{behave: func(context.Context, int, ptrace.Traces) error { <-hang; return nil }}
		metrics, err := consumer.NewMetrics(func(context.Context, pmetric.Metrics) error { <-hang; return nil })
		require.NoError(t, err)
		e, err := NewEmitter(testSettings(), testOptions(), Consumers{Traces: p, Metrics: metrics})
		require.NoError(t, err)
		e.VideoStarted(t.Context(), testVideo).Finished(Result{})
		start := time.Now()
		err = e.Shutdown(t.Context())
		require.ErrorContains(t, err, "a traces pipeline did not return")
		require.ErrorContains(t, err, "a metrics pipeline did not return")
		assert.Equal(t, maxFlush+abandonAfter, time.Since(start))
		close(hang)
	})
}

func TestRefusedLogsAreRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bodies []string
		calls := 0
		next, err := consumer.NewLogs(func(_ context.Context, logs plog.Logs) error {
			if calls++; calls < 3 {
				return errRefused
			}
			for _, record := range logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
				bodies = append(bodies, record.Body().Str())
			}
			return nil
		})
		require.NoError(t, err)
		e, err := NewEmitter(testSettings(), testOptions(), Consumers{Logs: next})
		require.NoError(t, err)
		e.VideoStarted(t.Context(), testVideo).Failed(errors.New("no space left"), "no_space", false)
		require.NoError(t, e.Shutdown(t.Context()))
		assert.Equal(t, []string{"video started", "video failed: no space left"}, bodies)
	})
}

func TestPermanentlyRefusedLogsAreDropped(t *testing.T) {
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(context.WithoutCancel(t.Context()))) }()
	set := testSettings()
	set.TelemetrySettings = tel.NewTelemetrySettings()
	next, err := consumer.NewLogs(func(context.Context, plog.Logs) error { return consumererror.NewPermanent(errRefused) },
		consumer.WithCapabilities(consumer.Capabilities{MutatesData: true}))
	require.NoError(t, err)
	e, err := NewEmitter(set, testOptions(), Consumers{Logs: next})
	require.NoError(t, err)
	e.VideoStarted(t.Context(), testVideo).Finished(Result{})
	require.NoError(t, e.Shutdown(t.Context()))
	metadatatest.AssertEqualReceiverVideoanonymizerLogRecordsDropped(t, tel, dropped(2, "permanent"),
		metricdatatest.IgnoreTimestamp())
}

// TestRefusedMetricsAreReplaced refuses the first set of metrics. The second supersedes it.
func TestRefusedMetricsAreReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		next, err := consumer.NewMetrics(func(context.Context, pmetric.Metrics) error {
			if calls++; calls == 1 {
				return errRefused
			}
			return nil
		})
		require.NoError(t, err)
		logger, logs := observer.New(zap.WarnLevel)
		set := testSettings()
		set.Logger = zap.New(logger)
		e, err := NewEmitter(set, testOptions(), Consumers{Metrics: next})
		require.NoError(t, err)
		time.Sleep(35 * time.Second)
		require.NoError(t, e.Shutdown(t.Context()))
		assert.Equal(t, 4, calls, "three by interval, one at the end, none again")
		assert.Equal(t, 1, logs.Len())
	})
}

func sum(list []int) (n int) {
	for _, v := range list {
		n += v
	}
	return n
}
