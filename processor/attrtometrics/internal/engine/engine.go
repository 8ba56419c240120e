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
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/metadata"
)

// Settings are the settings of an Engine.
type Settings struct {
	Definitions   []Definition
	FlushInterval time.Duration // above 0
	Expiration    time.Duration // 0: series never expire
	ErrorMode     ottl.ErrorMode
	Telemetry     component.TelemetrySettings
	Component     attribute.KeyValue // identifies the internal telemetry: the kind of the component, and its ID
	Version       string             // of the instrumentation scope
	Now           func() time.Time
}

// Engine aggregates spans and periodically sends metrics. Consume and Flush may be called concurrently.
type Engine struct {
	definitions []*definition
	selections  []*selection
	interval    time.Duration
	expiration  time.Duration
	errorMode   ottl.ErrorMode
	logger      *zap.Logger
	telemetry   *metadata.TelemetryBuilder
	component   metric.MeasurementOption
	attributes  []telemetryAttributes // by definition
	version     string
	now         func() time.Time
	elapsed     func() time.Duration // since New; not affected by changes to this machine's clock
	maxLateness time.Duration

	registry *registry
	stripes  []*stripe
	removals atomic.Uint64 // incremented when series are removed, so that the stripes drop their entries

	flushRequest chan struct{} // asks for a flush before the next tick
	quit         chan struct{} // closed by Shutdown; nil before Start
	done         chan struct{} // closed when run has returned
	cancel       context.CancelFunc

	flushMu   sync.Mutex // guards the fields below and the mutable fields of every series
	next      consumer.Metrics
	flushedAt pcommon.Timestamp // end of the previous window
	warnings  map[warningKey]*warningState
}

// definition is a Definition with the values that the engine derives from it.
type definition struct {
	Definition
	index          int
	selection      *selection
	selectionIndex int
	defaults       []label      // by dimension
	bufferedPoints atomic.Int64 // KindEverySpan: values waiting for a flush
}

// New returns an engine. It must be started before it consumes spans.
func New(set Settings) (*Engine, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.Telemetry)
	if err != nil {
		return nil, err
	}
	created := set.Now()
	e := &Engine{
		interval:     set.FlushInterval,
		expiration:   set.Expiration,
		errorMode:    set.ErrorMode,
		logger:       set.Telemetry.Logger,
		telemetry:    telemetry,
		component:    withAttributes(set.Component),
		version:      set.Version,
		now:          set.Now,
		elapsed:      func() time.Duration { return set.Now().Sub(created) },
		maxLateness:  max(maxLateness, 2*set.FlushInterval), // a late batch may come with the next flush
		registry:     newRegistry(len(set.Definitions)),
		flushRequest: make(chan struct{}, 1),
		warnings:     make(map[warningKey]*warningState),
	}
	for _, d := range set.Definitions {
		if err := e.addDefinition(d, set.Component); err != nil {
			return nil, err
		}
	}
	for range runtime.GOMAXPROCS(0) {
		e.stripes = append(e.stripes, newStripe(e))
	}
	return e, nil
}

func (e *Engine) addDefinition(d Definition, component attribute.KeyValue) error {
	def := &definition{Definition: d, index: len(e.definitions)}
	def.selectionIndex = slices.IndexFunc(e.selections, func(s *selection) bool {
		return (s.keys == nil) == (d.ResourceAttributes == nil) && slices.Equal(s.keys, d.ResourceAttributes)
	})
	if def.selectionIndex < 0 {
		def.selectionIndex = len(e.selections)
		e.selections = append(e.selections, &selection{keys: d.ResourceAttributes})
	}
	def.selection = e.selections[def.selectionIndex]
	for _, dim := range d.Dimensions {
		v := pcommon.NewValueEmpty()
		if err := v.FromRaw(dim.Default); err != nil {
			return fmt.Errorf("default of dimension %q: %w", dim.Name, err)
		}
		def.defaults = append(def.defaults, labelOf(v))
	}
	e.definitions = append(e.definitions, def)
	e.attributes = append(e.attributes, newTelemetryAttributes(component, d.Name))
	return nil
}

// Start starts sending metrics to next, once per flush interval. It must be called at most once.
func (e *Engine) Start(next consumer.Metrics) {
	e.flushMu.Lock()
	e.next = next
	e.flushedAt = e.timestamp()
	e.flushMu.Unlock()

	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	e.quit = make(chan struct{})
	e.done = make(chan struct{})
	go e.run(ctx)
}

func (e *Engine) run(ctx context.Context) {
	defer close(e.done)
	ticker := time.NewTicker(e.interval)
	defer ticker.Stop()
	for {
		select {
		case <-e.quit:
			return
		case <-ticker.C:
		case <-e.flushRequest:
		}
		_ = e.Flush(ctx) // already counted and logged
	}
}

// requestFlush requests a flush soon, without waiting for it.
func (e *Engine) requestFlush() {
	select {
	case e.flushRequest <- struct{}{}:
	default:
	}
}

// Shutdown stops the periodic flushes and sends what is left. It must be called once, after the last Consume. It does
// nothing if the engine was never started. It returns an error if the next component rejects the metrics or is still
// processing an earlier flush when ctx ends.
func (e *Engine) Shutdown(ctx context.Context) error {
	defer e.telemetry.Shutdown()
	if e.quit == nil {
		return nil
	}
	defer e.cancel()
	close(e.quit)
	select {
	case <-e.done:
		return e.Flush(ctx)
	case <-ctx.Done():
		return fmt.Errorf("the next component is still processing an earlier flush: %w", context.Cause(ctx))
	}
}

// Consume aggregates the spans of td. It neither changes nor retains them. It returns an error only if the error mode
// is propagate, and only after it has processed every span. The error is permanent, because a retry would count values
// twice.
func (e *Engine) Consume(ctx context.Context, td ptrace.Traces) error {
	s := e.lockStripe()
	defer s.mu.Unlock()
	if err := s.consume(ctx, td, e.timestamp()); err != nil {
		return consumererror.NewPermanent(err)
	}
	return nil
}

// lockStripe prefers the first stripes, so that no more stripes are in use than goroutines that consume at the same
// time.
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

// Flush ends the window: it sends one batch of metrics, if there are any, and expires series. It returns an error if
// the next component rejects the metrics.
func (e *Engine) Flush(ctx context.Context) error {
	e.flushMu.Lock()
	defer e.flushMu.Unlock()

	tallies := make([]tally, len(e.definitions))
	for _, s := range e.stripes {
		e.collect(s, tallies)
	}
	// Read the clock after collecting, so that no value is newer than the window. Stay later than the previous flush even
	// if the clock was set back.
	now := max(e.timestamp(), e.flushedAt+1)

	out := newBatch(e.version)
	for _, def := range e.definitions {
		e.emit(out, def, now, &tallies[def.index])
		tallies[def.index].series = int64(len(e.registry.snapshot(def)))
	}
	e.flushedAt = now
	e.report(ctx, tallies)
	if out.metrics.MetricCount() == 0 {
		return nil
	}
	if err := e.next.ConsumeMetrics(ctx, out.metrics); err != nil {
		e.telemetry.AttrtometricsFlushFailures.Add(ctx, 1, e.component)
		e.warn(warningKey{message: "the next component refused the metrics"}, 1, err)
		return fmt.Errorf("the next component refused the metrics: %w", err)
	}
	return nil
}

// collect merges the contents of the stripe into the series.
func (e *Engine) collect(s *stripe, tallies []tally) {
	s.mu.Lock()
	defer s.mu.Unlock()
	removals := e.removals.Load()
	for i := range s.tables {
		table := &s.tables[i]
		for _, entry := range table.dirty {
			if entry.series.expired { // the series expired while the stripe still held this entry: start over
				entry.series = e.registry.replace(entry.series)
			}
			entry.series.acc.merge(entry.acc)
			entry.series.updated = true
			entry.acc.clear()
			entry.dirty = false
		}
		clear(table.dirty)
		table.dirty = table.dirty[:0]
		if s.removalsSeen != removals {
			clear(table.entries)
			clear(table.recent[:])
		}
		tallies[i].add(table)
		if def := e.definitions[i]; def.Kind == KindEverySpan {
			def.bufferedPoints.Add(-table.accepted)
		}
		table.clearCounts()
	}
	s.removalsSeen = removals
}

// emit writes the points of def into out and removes expired series.
func (e *Engine) emit(out *batch, def *definition, now pcommon.Timestamp, t *tally) {
	window := emission{out: out, now: now, elapsed: e.elapsed(), maxLateness: e.maxLateness, tally: t}
	for _, s := range e.registry.snapshot(def) {
		switch {
		case s.updated:
			s.updated = false
			if s.start == 0 {
				s.start = e.flushedAt // its first value arrived after the previous flush
			}
			s.lastSeen = window.elapsed
			s.emit(window, e.flushedAt)
		case e.expiration > 0 && window.elapsed-s.lastSeen >= e.expiration:
			s.expired = true
			t.expired++
			out.endSeries(s, now)
		case def.cumulative():
			s.emit(window, e.flushedAt)
		}
	}
	if t.expired > 0 {
		e.registry.removeExpired(def)
		e.removals.Add(1)
	}
}
