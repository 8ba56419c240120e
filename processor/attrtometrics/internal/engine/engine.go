// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package engine // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/engine"

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/metadata"
)

// logInterval is how long the same complaint about the same metric is not repeated.
const logInterval = time.Minute

// Settings of an Engine.
type Settings struct {
	Definitions   []Definition
	FlushInterval time.Duration // above 0
	Expiration    time.Duration // 0: never
	ErrorMode     ottl.ErrorMode
	Telemetry     component.TelemetrySettings
	Version       string // of the scope of the metrics
	Now           func() time.Time
}

// Engine aggregates spans and sends metrics in intervals. Its methods may be called concurrently.
type Engine struct {
	definitions []*definition
	selections  []*selection
	interval    time.Duration
	expiration  time.Duration
	errorMode   ottl.ErrorMode
	logger      *zap.Logger
	builder     *metadata.TelemetryBuilder
	metrics     []selfMetrics // by definition
	version     string
	now         func() time.Time

	registry *registry
	stripes  []*stripe
	removed  atomic.Uint64 // how often series were removed: when it grows, the stripes empty their tables

	soon   chan struct{} // asks for a flush before its time
	quit   chan struct{} // closed by Shutdown; nil before Start
	done   chan struct{} // closed when run has returned
	ctx    context.Context
	cancel context.CancelFunc

	flushMu   sync.Mutex // guards what follows, and what a series says that is the flush's
	next      consumer.Metrics
	flushedAt pcommon.Timestamp // the end of the previous window
	logged    map[complaint]*logState
}

// New returns an engine that is not started.
func New(set Settings) (*Engine, error) {
	builder, err := metadata.NewTelemetryBuilder(set.Telemetry)
	if err != nil {
		return nil, err
	}
	e := &Engine{
		interval:   set.FlushInterval,
		expiration: set.Expiration,
		errorMode:  set.ErrorMode,
		logger:     set.Telemetry.Logger,
		builder:    builder,
		version:    set.Version,
		now:        set.Now,
		registry:   newRegistry(len(set.Definitions)),
		soon:       make(chan struct{}, 1),
		logged:     make(map[complaint]*logState),
	}
	for i, d := range set.Definitions {
		def := &definition{Definition: d, index: i}
		if def.selectionIndex = e.selectionIndex(d.ResourceAttributes); def.selectionIndex == len(e.selections) {
			e.selections = append(e.selections, &selection{keys: d.ResourceAttributes})
		}
		def.selection = e.selections[def.selectionIndex]
		for _, dim := range d.Dimensions {
			l := label{}
			if dim.Default != nil {
				v := pcommon.NewValueEmpty()
				if err := v.FromRaw(dim.Default); err != nil {
					return nil, fmt.Errorf("default of dimension %q: %w", dim.Name, err)
				}
				l = labelOf(v)
			}
			def.defaults = append(def.defaults, l)
		}
		e.definitions = append(e.definitions, def)
		e.metrics = append(e.metrics, newSelfMetrics(d.Name))
	}
	for range runtime.GOMAXPROCS(0) {
		e.stripes = append(e.stripes, newStripe(e))
	}
	return e, nil
}

// selectionIndex returns the index of the selection of these keys, or the number of selections.
func (e *Engine) selectionIndex(keys []string) int {
	for i, s := range e.selections {
		if (s.keys == nil) == (keys == nil) && slices.Equal(s.keys, keys) {
			return i
		}
	}
	return len(e.selections)
}

// Start sends to next from now on, once in each flush interval.
func (e *Engine) Start(next consumer.Metrics) {
	e.flushMu.Lock()
	e.next = next
	e.flushedAt = e.timestamp()
	e.flushMu.Unlock()

	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.quit = make(chan struct{})
	e.done = make(chan struct{})
	go e.run()
}

func (e *Engine) run() {
	defer close(e.done)
	ticker := time.NewTicker(e.interval)
	defer ticker.Stop()
	for {
		select {
		case <-e.quit:
			return
		case <-ticker.C:
		case <-e.soon:
		}
		_ = e.Flush(e.ctx) // counted and logged
	}
}

func (e *Engine) flushSoon() {
	select {
	case e.soon <- struct{}{}:
	default:
	}
}

// Shutdown sends what there is. It is called once, after the last spans. An engine that was not started has nothing to do.
func (e *Engine) Shutdown(ctx context.Context) error {
	defer e.builder.Shutdown()
	if e.quit == nil {
		return nil
	}
	defer e.cancel()
	close(e.quit)
	select {
	case <-e.done:
		return e.Flush(ctx)
	case <-ctx.Done():
		return fmt.Errorf("the next component still holds an earlier flush: %w", context.Cause(ctx))
	}
}

// Consume aggregates the spans of td, which it neither changes nor keeps. It returns an error only under error_mode
// propagate, after every span was looked at; the error is permanent, since another try would count values twice.
func (e *Engine) Consume(ctx context.Context, td ptrace.Traces) error {
	s := e.lockStripe()
	defer s.mu.Unlock()
	if err := s.consume(ctx, td, e.timestamp()); err != nil {
		return consumererror.NewPermanent(err)
	}
	return nil
}

// lockStripe prefers the first stripes, so that there are only as many in use as there are goroutines at a time.
func (e *Engine) lockStripe() *stripe {
	for _, s := range e.stripes {
		if s.mu.TryLock() {
			return s
		}
	}
	s := e.stripes[rand.IntN(len(e.stripes))]
	s.mu.Lock()
	return s
}

func (e *Engine) timestamp() pcommon.Timestamp {
	return pcommon.NewTimestampFromTime(e.now())
}

// Flush ends the window: it sends one batch of metrics, if there is anything to say, and lets series expire.
func (e *Engine) Flush(ctx context.Context) error {
	e.flushMu.Lock()
	defer e.flushMu.Unlock()

	counts := make([]tally, len(e.definitions))
	for _, s := range e.stripes {
		e.collect(s, counts)
	}
	// After collecting, so that no value is younger; and later than the previous flush, even if the clock was set back.
	now := max(e.timestamp(), e.flushedAt+1)

	out := newBatch(e.version)
	for _, def := range e.definitions {
		counts[def.index].expired = e.emit(out, def, now)
		counts[def.index].series = int64(len(e.registry.snapshot(def)))
	}
	e.flushedAt = now
	e.report(ctx, counts)
	if out.metrics.MetricCount() == 0 {
		return nil
	}
	if err := e.next.ConsumeMetrics(ctx, out.metrics); err != nil {
		e.builder.AttrtometricsFlushFailures.Add(ctx, 1)
		e.warn("the next component refused the metrics", -1, accepted, 1, err)
		return fmt.Errorf("the next component refused the metrics: %w", err)
	}
	return nil
}

// collect merges what the stripe holds into the series.
func (e *Engine) collect(s *stripe, counts []tally) {
	s.mu.Lock()
	defer s.mu.Unlock()
	removed := e.removed.Load()
	for i := range s.tables {
		table := &s.tables[i]
		for _, entry := range table.dirty {
			if entry.series.dead { // it expired while the stripe still knew it: it begins anew
				entry.series = e.registry.revive(entry.series)
			}
			entry.series.acc.merge(entry.acc)
			entry.series.touched = true
			entry.acc.clear()
			entry.dirty = false
		}
		clear(table.dirty)
		table.dirty = table.dirty[:0]
		if s.removed != removed {
			clear(table.entries)
			clear(table.recent[:])
		}
		counts[i].add(table)
		if def := e.definitions[i]; def.Kind == KindEverySpan {
			def.points.Add(-table.accepted)
		}
		table.accepted, table.overflowed = 0, 0
		clear(table.rejected[:])
		clear(table.example[:])
	}
	s.removed = removed
}

// emit writes the points of def into out and removes the series that expired. It returns how many those were.
func (e *Engine) emit(out *batch, def *definition, now pcommon.Timestamp) int64 {
	var expired int64
	for _, s := range e.registry.snapshot(def) {
		switch {
		case s.touched:
			s.touched = false
			if s.start == 0 {
				s.start = e.flushedAt // the value came after that
			}
			s.lastSeen = now
			s.emit(out, e.flushedAt, now)
		case e.expiration > 0 && now-s.lastSeen >= pcommon.Timestamp(e.expiration):
			s.dead = true
			expired++
			out.end(s, now)
		case def.cumulative():
			s.emit(out, e.flushedAt, now)
		}
	}
	if expired > 0 {
		e.registry.remove(def)
		e.removed.Add(1)
	}
	return expired
}
