// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package engine // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/engine"

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlspan"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlspanevent"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// maxPoints bounds the values of every_span that wait for a flush, for each metric. At half of it a flush is asked for.
const maxPoints = 1 << 16

// recentBits makes room for 1024 series, which are then found without hashing their labels. It is many times what is usual, so
// that two seldom meet in one place.
const recentBits = 10

// definition is a Definition with what the engine adds to it.
type definition struct {
	Definition
	index          int
	selection      *selection
	selectionIndex int
	defaults       []label      // by dimension
	points         atomic.Int64 // of every_span that wait for a flush
}

// stripe aggregates batches one after the other.
type stripe struct {
	engine *Engine

	mu      sync.Mutex
	tables  []stripeTable // by definition
	removed uint64        // Engine.removed when the tables were last emptied

	// What is being looked at. It lives here since what an interface takes would otherwise be allocated.
	input     input
	resources []resolvedResource // by selection, of the input resource
	labels    []label
	propagate error // the first error that is to be returned
}

type stripeTable struct {
	recent     [1 << recentBits]*entry // entries used lately, by the sketch of their labels
	entries    map[uint64]*entry       // all of them, chained by next
	dirty      []*entry                // those with something to merge
	accepted   int64
	overflowed int64
	rejected   [reasons]int64
	example    [reasons]error // the first error since the last flush, for the log
}

// entry is the part of a series that a stripe holds.
type entry struct {
	resource *resource // nil: an overflow series, which no labels lead to
	labels   []label
	dirty    bool
	acc      accumulator
	series   *series
	next     *entry
}

// input is a span, or an event of it, and what it stands in.
type input struct {
	resourceSpans ptrace.ResourceSpans
	scopeSpans    ptrace.ScopeSpans
	span          ptrace.Span
	attributes    pcommon.Map // of the span
	event         ptrace.SpanEvent
	spanContext   *ottlspan.TransformContext // made when the first expression needs it
}

type resolvedResource struct {
	known    bool // hash and resource are those of the input resource
	hash     uint64
	resource *resource // nil: not in the registry when last looked for
}

func newStripe(e *Engine) *stripe {
	s := &stripe{
		engine:    e,
		tables:    make([]stripeTable, len(e.definitions)),
		resources: make([]resolvedResource, len(e.selections)),
	}
	dimensions := 0
	for i, def := range e.definitions {
		s.tables[i].entries = make(map[uint64]*entry)
		dimensions = max(dimensions, len(def.Dimensions))
	}
	s.labels = make([]label, 0, dimensions)
	return s
}

// consume aggregates a batch that arrived at now. Every span is looked at, whatever errors there are.
func (s *stripe) consume(ctx context.Context, td ptrace.Traces, now pcommon.Timestamp) error {
	s.propagate = nil
	for i, all := 0, td.ResourceSpans(); i < all.Len(); i++ {
		s.input.resourceSpans = all.At(i)
		clear(s.resources)
		for j, scopes := 0, s.input.resourceSpans.ScopeSpans(); j < scopes.Len(); j++ {
			s.input.scopeSpans = scopes.At(j)
			for k, spans := 0, s.input.scopeSpans.Spans(); k < spans.Len(); k++ {
				s.input.span = spans.At(k)
				s.consumeSpan(ctx, now)
			}
		}
	}
	s.input = input{} // hold on to no batch
	clear(s.labels[:cap(s.labels)])
	return s.propagate
}

func (s *stripe) consumeSpan(ctx context.Context, now pcommon.Timestamp) {
	ended := bounded(s.input.span.EndTimestamp(), now)
	s.input.attributes = s.input.span.Attributes()
	for _, def := range s.engine.definitions {
		if def.SpanName != "" && s.input.span.Name() != def.SpanName {
			continue
		}
		if def.Source == SourceEvent {
			s.consumeEvents(ctx, def, now)
			continue
		}
		var number Number
		var use bool
		if def.OnSpan.empty() {
			number, use = s.readAttribute(def)
		} else {
			if s.input.spanContext == nil {
				s.input.spanContext = ottlspan.NewTransformContext(s.input.resourceSpans, s.input.scopeSpans, s.input.span)
			}
			number, use = read(ctx, s, def, &def.OnSpan, s.input.spanContext)
		}
		if use {
			s.observe(def, number, ended)
		}
	}
	if s.input.spanContext != nil {
		s.input.spanContext.Close()
		s.input.spanContext = nil
	}
}

func (s *stripe) consumeEvents(ctx context.Context, def *definition, now pcommon.Timestamp) {
	for i, events := 0, s.input.span.Events(); i < events.Len(); i++ {
		s.input.event = events.At(i)
		if def.EventName != "" && s.input.event.Name() != def.EventName {
			continue
		}
		var eventContext *ottlspanevent.TransformContext
		if !def.OnEvent.empty() {
			eventContext = ottlspanevent.NewTransformContext(
				s.input.resourceSpans, s.input.scopeSpans, s.input.span, s.input.event, ottlspanevent.WithEventIndex(int64(i)))
		}
		if number, use := read(ctx, s, def, &def.OnEvent, eventContext); use {
			s.observe(def, number, bounded(s.input.event.Timestamp(), now))
		}
		if eventContext != nil {
			eventContext.Close()
		}
	}
}

// bounded returns t, or now if t is not set or lies ahead: one wrong clock must not stop a series until it is right.
func bounded(t, now pcommon.Timestamp) pcommon.Timestamp {
	if t == 0 || t > now {
		return now
	}
	return t
}

// read returns the value of what is being looked at, and whether the conditions and the value allow to use it.
func read[K any](ctx context.Context, s *stripe, def *definition, x *Expressions[K], tCtx K) (Number, bool) {
	if len(x.Conditions) > 0 && !holds(ctx, s, def, x.Conditions, tCtx) {
		return Number{}, false
	}
	if x.Value == nil {
		return s.readAttribute(def)
	}
	raw, err := x.Value.Eval(ctx, tCtx)
	if err != nil {
		s.reject(def, ExpressionError, err)
		return Number{}, false
	}
	number, reason := fromAny(raw, def.Length)
	return number, s.accepts(def, number, reason)
}

// readAttribute returns the value of the attribute, and whether it can be used.
func (s *stripe) readAttribute(def *definition) (Number, bool) {
	if def.Source == SourceSpan && !def.Monotonic { // by far the most usual, without a call
		if value, ok := s.input.attributes.Get(def.Attribute); ok && value.Type() == pcommon.ValueTypeInt {
			return intNumber(value.Int()), true
		}
	}
	value, ok := s.attributes(def.Source).Get(def.Attribute)
	if !ok {
		s.tables[def.index].rejected[Missing]++
		return Number{}, false
	}
	number, reason := fromValue(value, def.Length)
	return number, s.accepts(def, number, reason)
}

func (s *stripe) accepts(def *definition, number Number, reason Reason) bool {
	if reason == accepted && def.Monotonic && number.less(Number{}) {
		reason = Negative
	}
	if reason != accepted {
		s.reject(def, reason, nil)
	}
	return reason == accepted
}

// holds tells whether any of the conditions is true. One that fails is not.
func holds[K any](ctx context.Context, s *stripe, def *definition, conditions []*ottl.Condition[K], tCtx K) bool {
	for _, c := range conditions {
		ok, err := c.Eval(ctx, tCtx)
		if err != nil {
			s.reject(def, ConditionError, err)
		}
		if ok && err == nil {
			return true
		}
	}
	return false
}

func (s *stripe) attributes(from Source) pcommon.Map {
	switch from {
	case SourceResource:
		return s.input.resourceSpans.Resource().Attributes()
	case SourceScope:
		return s.input.scopeSpans.Scope().Attributes()
	case SourceEvent:
		return s.input.event.Attributes()
	}
	return s.input.attributes
}

// reject counts a value that is not used, and keeps the first error for the log or the caller.
func (s *stripe) reject(def *definition, reason Reason, cause error) {
	table := &s.tables[def.index]
	table.rejected[reason]++
	if reason == Missing || s.engine.errorMode == ottl.SilentError {
		return
	}
	propagates := s.engine.errorMode == ottl.PropagateError && s.propagate == nil
	if !propagates && table.example[reason] != nil {
		return
	}
	err := fmt.Errorf("metric %q: span %q: %s", def.Name, s.input.span.Name(), reason)
	if cause != nil {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	if propagates {
		s.propagate = err
	}
	if table.example[reason] == nil {
		table.example[reason] = err
	}
}

// observe adds a number, which is of the time at, to the series that the input belongs to.
func (s *stripe) observe(def *definition, number Number, at pcommon.Timestamp) {
	if def.Kind == KindEverySpan && !s.takePoint(def) {
		return
	}
	table := &s.tables[def.index]
	resolved := &s.resources[def.selectionIndex]
	if !resolved.known {
		s.resolve(def, resolved)
	}
	recent := &table.recent[s.readLabels(def)]
	e := *recent
	if e == nil || !e.is(resolved.resource, s.labels) {
		e = s.entryFor(def, resolved)
		if e.resource != nil {
			*recent = e
		}
	}
	if !e.dirty {
		e.dirty = true
		table.dirty = append(table.dirty, e)
	}
	e.acc.observe(sample{number: number, at: at, span: s.input.span})
	table.accepted++
	if e.resource == nil {
		table.overflowed++
	}
}

// takePoint reserves a place for one more point of every_span.
func (s *stripe) takePoint(def *definition) bool {
	switch n := def.points.Add(1); {
	case n > maxPoints:
		def.points.Add(-1)
		s.reject(def, BufferFull, nil)
		return false
	case n == maxPoints/2:
		s.engine.flushSoon()
	}
	return true
}

// entryFor returns the stripe's part of the series that s.labels belong to on a resource.
func (s *stripe) entryFor(def *definition, resolved *resolvedResource) *entry {
	table := &s.tables[def.index]
	hash := resolved.hash
	for _, l := range s.labels {
		hash = mix(hash, l.hash(s.engine.registry.seed))
	}
	for e := table.entries[hash]; e != nil; e = e.next {
		if e.is(resolved.resource, s.labels) {
			return e
		}
	}

	found := s.engine.registry.seriesFor(def, hash, resolved.hash, s.input.resourceSpans.Resource().Attributes(), s.labels)
	for e := table.entries[found.hash]; e != nil; e = e.next {
		if e.series == found {
			return e
		}
	}
	e := &entry{acc: def.newAccumulator(), series: found, next: table.entries[found.hash]}
	if !found.overflow {
		resolved.resource = found.resource
		e.resource, e.labels = found.resource, found.labels
	}
	table.entries[found.hash] = e
	return e
}

// is tells whether res, which is nil while it is not known, and labels lead to e.
func (e *entry) is(res *resource, labels []label) bool {
	return e.resource == res && res != nil && slices.Equal(e.labels, labels)
}

// resolve finds the output resource.
func (s *stripe) resolve(def *definition, resolved *resolvedResource) {
	attributes := s.input.resourceSpans.Resource().Attributes()
	resolved.known = true
	resolved.hash = s.engine.registry.hash(def.selection, attributes)
	resolved.resource = s.engine.registry.findResource(resolved.hash, def.selection, attributes)
}

// readLabels fills s.labels with the values of the dimensions and returns their place among the recent entries.
func (s *stripe) readLabels(def *definition) uint64 {
	s.labels = s.labels[:len(def.Dimensions)]
	sketch := uint64(0)
	for i := range s.labels {
		if d := &def.Dimensions[i]; d.Source == SourceSpan { // by far the most usual, without a call
			if v, ok := s.input.attributes.Get(d.Attribute); ok && v.Type() == pcommon.ValueTypeStr {
				if str := v.Str(); len(str) >= 8 && len(str) <= maxLabelLength {
					s.labels[i] = label{kind: labelString, str: str}
					sketch = sketch*31 + word(str) + 31*word(str[len(str)-8:]) + uint64(len(str))
					continue
				}
			}
		}
		s.labels[i] = s.readLabel(def, i)
		sketch = sketch*31 + s.labels[i].sketch()
	}
	return sketch * 0x9e3779b97f4a7c15 >> (64 - recentBits) // Fibonacci hashing
}

// readLabel returns the value of a dimension.
func (s *stripe) readLabel(def *definition, i int) label {
	var l label
	d := &def.Dimensions[i]
	if d.Source == SourceSpanName {
		l = label{kind: labelString, str: cut(s.input.span.Name())}
	} else if v, ok := s.attributes(d.Source).Get(d.Attribute); ok {
		l = labelOf(v)
	}
	if l.kind == labelAbsent {
		l = def.defaults[i]
	}
	return l
}
