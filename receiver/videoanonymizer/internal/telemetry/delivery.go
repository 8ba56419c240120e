// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
)

const (
	// maxQueued is the number of full batches that may wait, in addition to the one being forwarded and the one being
	// filled.
	maxQueued = 4
	// firstBackoff is the time before the first retry of a refused batch. It doubles with each retry, up to maxBackoff.
	firstBackoff = 50 * time.Millisecond
	maxBackoff   = 5 * time.Second
	// maxFlush is how long Shutdown retries batches that the pipeline refuses.
	maxFlush = 5 * time.Second
	// abandonAfter is how long a consumer may take to return after its context has ended.
	abandonAfter = time.Second
)

// signal tells delivery how to handle a type of telemetry. T is ptrace.Traces or plog.Logs.
type signal[T any] struct {
	name metadata.AttributeSignal
	// fresh returns an empty batch.
	fresh func() T
	// clone copies a batch before it is forwarded. It is nil if the consumer does not mutate data.
	clone func(T) T
	// consume forwards a batch to the pipeline.
	consume func(context.Context, T) error
	// remainder returns the part of the batch that the pipeline refused, if the error contains it.
	remainder func(error) (T, bool)
	// count returns the number of spans or records in a batch.
	count func(T) int
	// dropped and retried count dropped items and retries of batches.
	dropped func(n int, reason metadata.AttributeDropReason)
	retried func()
}

// delivery fills batches and forwards them to the pipeline, in order, from one goroutine. While the pipeline refuses
// data, it holds back callers of add, for at most maxWait per stall. After that, it drops the oldest batch in favor of
// the newest.
type delivery[T any] struct {
	signal[T]
	batchSize int
	linger    time.Duration
	maxWait   time.Duration
	logger    *zap.Logger

	mu       sync.Mutex
	open     batch[T]
	queue    []batch[T]
	inFlight bool          // a batch is being forwarded
	stalled  time.Time     // since when the pipeline has accepted nothing although a batch was waiting
	progress chan struct{} // closed and replaced whenever a batch was delivered or dropped

	wake    chan struct{}
	closing chan struct{}
	done    chan struct{}
	stop    sync.Once
	// giveUp ends all retries when Shutdown runs out of time.
	ctx    context.Context
	giveUp context.CancelFunc
}

type batch[T any] struct {
	data  T
	count int
	since time.Time // when the first item was added
}

func (d *delivery[T]) start() {
	d.progress = make(chan struct{})
	d.wake = make(chan struct{}, 1)
	d.closing = make(chan struct{})
	d.done = make(chan struct{})
	d.ctx, d.giveUp = context.WithCancel(context.Background())
	go d.run()
}

// add lets build append to the open batch and return how many spans or records it appended. While too many batches
// wait, it blocks until the context ends or maxWait has passed. The items remain in the batch in any case.
func (d *delivery[T]) add(ctx context.Context, build func(T) int) {
	d.mu.Lock()
	first := d.open.count == 0
	if first {
		d.open = batch[T]{data: d.fresh(), since: time.Now()}
	}
	d.open.count += build(d.open.data)
	full := d.open.count >= d.batchSize
	if full {
		if !d.inFlight && len(d.queue) == 0 {
			d.stalled = time.Now()
		}
		d.queue = append(d.queue, d.open)
		d.open = batch[T]{}
	}
	crowded := len(d.queue) > maxQueued
	d.mu.Unlock()
	if first || full {
		d.wakeUp()
	}
	if crowded {
		d.holdBack(ctx)
	}
}

func (d *delivery[T]) holdBack(ctx context.Context) {
	for {
		d.mu.Lock()
		if len(d.queue) <= maxQueued {
			d.mu.Unlock()
			return
		}
		left := d.maxWait - time.Since(d.stalled)
		if left <= 0 {
			oldest := d.queue[0]
			d.queue = slices.Delete(d.queue, 0, 1)
			d.mu.Unlock()
			d.dropped(oldest.count, metadata.AttributeDropReasonMaxWait)
			continue
		}
		progress := d.progress
		d.mu.Unlock()
		timer := time.NewTimer(left)
		select {
		case <-progress:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		case <-d.closing:
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

func (d *delivery[T]) wakeUp() {
	select {
	case d.wake <- struct{}{}:
	default: // already woken
	}
}

func (d *delivery[T]) run() {
	defer close(d.done)
	for {
		b, ok := d.next()
		if !ok {
			return
		}
		d.deliver(b)
		d.mu.Lock()
		d.inFlight = false
		d.stalled = time.Now()
		close(d.progress)
		d.progress = make(chan struct{})
		d.mu.Unlock()
	}
}

// next waits for a batch that is full or has waited for linger. After closing, it returns false once everything is
// delivered.
func (d *delivery[T]) next() (batch[T], bool) {
	for {
		closing := d.isClosing()
		d.mu.Lock()
		if len(d.queue) > 0 {
			b := d.queue[0]
			d.queue = slices.Delete(d.queue, 0, 1)
			d.inFlight = true
			d.mu.Unlock()
			return b, true
		}
		var due <-chan time.Time
		var timer *time.Timer
		if d.open.count > 0 {
			left := d.linger - time.Since(d.open.since)
			if left <= 0 || closing {
				b := d.open
				d.open = batch[T]{}
				d.inFlight, d.stalled = true, time.Now()
				d.mu.Unlock()
				return b, true
			}
			timer = time.NewTimer(left)
			due = timer.C
		}
		d.mu.Unlock()
		if closing {
			return batch[T]{}, false
		}
		select {
		case <-d.wake:
		case <-due:
		case <-d.closing:
		}
		if timer != nil {
			timer.Stop()
		}
	}
}

func (d *delivery[T]) isClosing() bool {
	select {
	case <-d.closing:
		return true
	default:
		return false
	}
}

// deliver retries the batch until the pipeline accepts it or refuses it permanently, or Shutdown runs out of time.
func (d *delivery[T]) deliver(b batch[T]) {
	backoff := firstBackoff
	for attempt := 0; ; attempt++ {
		offered := b.data
		if d.clone != nil {
			offered = d.clone(b.data)
		}
		err := d.consume(d.ctx, offered)
		switch {
		case err == nil:
			if attempt > 0 {
				d.logger.Info("the pipeline accepts telemetry again", zap.String("signal", d.name.String()),
					zap.Int("retries", attempt))
			}
			return
		case consumererror.IsPermanent(err):
			d.logger.Error("the pipeline refused a batch permanently: it is dropped", zap.String("signal", d.name.String()),
				zap.Int("items", b.count), zap.Error(err))
			d.dropped(b.count, metadata.AttributeDropReasonPermanent)
			return
		case d.ctx.Err() != nil:
			d.logger.Error("the pipeline refused a batch until the receiver stopped: it is dropped",
				zap.String("signal", d.name.String()),
				zap.Int("items", b.count), zap.Error(err))
			d.dropped(b.count, metadata.AttributeDropReasonShutdown)
			return
		}
		if rest, ok := d.remainder(err); ok {
			b.data, b.count = rest, d.count(rest)
		}
		if attempt == 0 {
			d.logger.Warn("the pipeline refuses telemetry: it is retried, and videos are held back in the meantime",
				zap.String("signal", d.name.String()), zap.Duration("held_back_at_most", d.maxWait), zap.Error(err))
		}
		d.pause(backoff)
		backoff = min(2*backoff, maxBackoff)
		d.retried()
	}
}

// pause waits for a random time between half the backoff and all of it or, when the receiver stops, for at most
// firstBackoff.
func (d *delivery[T]) pause(backoff time.Duration) {
	closing := d.closing
	if d.isClosing() {
		backoff, closing = firstBackoff, nil
	}
	timer := time.NewTimer(backoff/2 + rand.N(backoff/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-closing:
	case <-d.ctx.Done():
	}
}

// shutdown delivers all items, within limits, and reports whether the goroutine has ended. It has not if the pipeline
// does not return from a batch although its context has ended.
func (d *delivery[T]) shutdown(ctx context.Context) bool {
	d.stop.Do(func() { close(d.closing) })
	return awaitEnd(ctx, d.done, d.giveUp)
}

// awaitEnd waits for done: first until everything is forwarded and then, once maxFlush has passed or the context has
// ended, until the pipeline returns after giveUp. It reports whether done was closed.
func awaitEnd(ctx context.Context, done <-chan struct{}, giveUp context.CancelFunc) bool {
	defer giveUp()
	flush := time.NewTimer(maxFlush)
	defer flush.Stop()
	select {
	case <-done:
		return true
	case <-flush.C:
	case <-ctx.Done():
	}
	giveUp()
	abandon := time.NewTimer(abandonAfter)
	defer abandon.Stop()
	select {
	case <-done:
		return true
	case <-abandon.C:
		return false
	}
}
