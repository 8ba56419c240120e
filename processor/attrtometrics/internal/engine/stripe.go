// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package engine // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/engine"

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlspan"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlspanevent"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// maxBufferedPoints is the maximum number of values of a KindEverySpan metric that wait for a flush. When it is half
// reached, a flush is requested.
const maxBufferedPoints = 1 << 16

// recentBits provides room for 1024 recently used entries, which are found without hashing their labels in full. Most
// metrics have far fewer series, so two of them rarely share a slot.
const recentBits = 10

// stripe aggregates one batch at a time and holds the result until the next flush.
type stripe struct {
	engine *Engine

	mu           sync.Mutex
	tables       []stripeTable // by definition
	removalsSeen uint64        // Engine.removals at the last flush

	// The state of the batch being consumed. It is kept here rather than in local variables to avoid allocations.
	input      input
	resources  []resolvedResource // of the current input resource, by selection
	labels     []label            // of the current value, by dimension
	integers   integerTexts
	firstError error // to return; only if the error mode is propagate
}

type stripeTable struct {
	recent  [1 << recentBits]*entry // a direct-mapped cache of entries, by the quick hash of their labels
	entries map[uint64]*entry       // by hash, chained by next
	dirty   []*entry                // entries with values to merge

	// Counts since the last flush.
	accepted    int64
	overflowed  int64
	rejected    [reasonCount]int64
	firstErrors [reasonCount]error // for the log
}

func (t *stripeTable) clearCounts() {
	t.accepted, t.overflowed = 0, 0
	clear(t.rejected[:])
	clear(t.firstErrors[:])
}

// entry is a stripe's share of a series.
type entry struct {
	resource *resource // nil for an overflow series
	labels   []label   // nil for an overflow series
	dirty    bool
	acc      accumulator
	series   *series
	next     *entry
}

// input is the current span, its current event, and the resource and scope that they belong to.
type input struct {
	resourceSpans ptrace.ResourceSpans
	scopeSpans    ptrace.ScopeSpans
	span          ptrace.Span
	attributes    pcommon.Map // of span
	event         ptrace.SpanEvent
	spanContext   *ottlspan.TransformContext // created when an expression first needs it
}

// resolvedResource caches the output resource for the current input resource.
type resolvedResource struct {
	known    bool // the fields below are set
	hash     uint64
	resource *resource // nil if it is not registered yet
}

func newStripe(e *Engine) *stripe {
	s := &stripe{
		engine:    e,
		tables:    make([]stripeTable, len(e.definitions)),
		resources: make([]resolvedResource, len(e.selections)),
		integers:  make(integerTexts),
	}
	dimensions := 0
	for i, def := range e.definitions {
		s.tables[i].entries = make(map[uint64]*entry)
		dimensions = max(dimensions, len(def.Dimensions))
	}
	s.labels = make([]label, 0, dimensions)
	return s
}

// consume aggregates a batch that arrived at now. It processes every span even if some values are rejected.
func (s *stripe) consume(ctx context.Context, td ptrace.Traces, now pcommon.Timestamp) error {
	s.firstError = nil
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
	s.input = input{} // do not retain the batch
	clear(s.labels[:cap(s.labels)])
	return s.firstError
}

func (s *stripe) consumeSpan(ctx context.Context, now pcommon.Timestamp) {
	ended := clampTime(s.input.span.EndTimestamp(), now)
	s.input.attributes = s.input.span.Attributes()
	for _, def := range s.engine.definitions {
		if def.SpanName != "" && s.input.span.Name() != def.SpanName {
			continue
		}
		if def.Source == SourceEvent {
			s.consumeEvents(ctx, def, now)
			continue
		}
		var n number
		var ok bool
		if def.OnSpan.empty() {
			n, ok = s.readAttribute(def)
		} else {
			if s.input.spanContext == nil {
				s.input.spanContext = ottlspan.NewTransformContext(
					s.input.resourceSpans, s.input.scopeSpans, s.input.span)
			}
			n, ok = evaluate(ctx, s, def, &def.OnSpan, s.input.spanContext)
		}
		if ok {
			s.observe(def, n, ended)
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
				s.input.resourceSpans, s.input.scopeSpans, s.input.span, s.input.event,
				ottlspanevent.WithEventIndex(int64(i)))
		}
		if n, ok := evaluate(ctx, s, def, &def.OnEvent, eventContext); ok {
			s.observe(def, n, clampTime(s.input.event.Timestamp(), now))
		}
		if eventContext != nil {
			eventContext.Close()
		}
	}
}

// clampTime returns t, or now if t is unset or in the future: a sender whose clock is ahead must not freeze a series
// until that time.
func clampTime(t, now pcommon.Timestamp) pcommon.Timestamp {
	if t == 0 || t > now {
		return now
	}
	return t
}

// evaluate returns the value of the current span or event. It returns false if the conditions exclude the span or
// event, or if the value was rejected.
func evaluate[K any](ctx context.Context, s *stripe, def *definition, x *Expressions[K], tCtx K) (number, bool) {
	if len(x.Conditions) > 0 && !anyTrue(ctx, s, def, x.Conditions, tCtx) {
		return number{}, false
	}
	if x.Value == nil {
		return s.readAttribute(def)
	}
	raw, err := x.Value.Eval(ctx, tCtx)
	if err != nil {
		s.reject(def, reasonExpressionError, err)
		return number{}, false
	}
	n, reason := fromAny(raw, def.Length)
	return n, s.accept(def, n, reason)
}

// readAttribute returns the value of the configured attribute. It returns false if the value was rejected.
func (s *stripe) readAttribute(def *definition) (number, bool) {
	if def.Source == SourceSpan && !def.Monotonic { // fast path for the most common case
		if value, ok := s.input.attributes.Get(def.Attribute); ok && value.Type() == pcommon.ValueTypeInt {
			return intNumber(value.Int()), true
		}
	}
	value, ok := s.attributes(def.Source).Get(def.Attribute)
	if !ok {
		s.tables[def.index].rejected[reasonMissing]++
		return number{}, false
	}
	n, reason := fromValue(value, def.Length)
	return n, s.accept(def, n, reason)
}

// accept reports whether the value n can be used; reason is why its conversion failed, if it did. accept counts an
// unusable value as rejected.
func (s *stripe) accept(def *definition, n number, reason rejectReason) bool {
	if reason == accepted && def.Monotonic && n.less(number{}) {
		reason = reasonNegative
	}
	if reason != accepted {
		s.reject(def, reason, nil)
	}
	return reason == accepted
}

// anyTrue reports whether any of the conditions is true. A condition that fails to evaluate counts as rejected and as
// not true.
func anyTrue[K any](ctx context.Context, s *stripe, def *definition, conditions []*ottl.Condition[K], tCtx K) bool {
	for _, c := range conditions {
		ok, err := c.Eval(ctx, tCtx)
		if err != nil {
			s.reject(def, reasonConditionError, err)
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

// reject counts a rejected value and keeps the first error for the log or the caller.
func (s *stripe) reject(def *definition, reason rejectReason, cause error) {
	table := &s.tables[def.index]
	table.rejected[reason]++
	if reason == reasonMissing || s.engine.errorMode == ottl.SilentError {
		return
	}
	toReturn := s.engine.errorMode == ottl.PropagateError && s.firstError == nil
	if !toReturn && table.firstErrors[reason] != nil {
		return
	}
	err := fmt.Errorf("metric %q: span %q: %s", def.Name, s.input.span.Name(), reason)
	if cause != nil {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	if toReturn {
		s.firstError = err
	}
	if table.firstErrors[reason] == nil {
		table.firstErrors[reason] = err
	}
}

// observe adds the value n with the timestamp at to the series of the current span or event.
func (s *stripe) observe(def *definition, n number, at pcommon.Timestamp) {
	if def.Kind == KindEverySpan && !s.reservePoint(def) {
		return
	}
	table := &s.tables[def.index]
	resolved := &s.resources[def.selectionIndex]
	if !resolved.known {
		s.resolve(def, resolved)
	}
	recent := &table.recent[s.readLabels(def)]
	e := *recent
	if e == nil || !e.matches(resolved.resource, s.labels) {
		e = s.entryFor(def, resolved)
		if e.resource != nil {
			*recent = e
		}
	}
	if !e.dirty {
		e.dirty = true
		table.dirty = append(table.dirty, e)
	}
	e.acc.observe(sample{number: n, at: at, span: s.input.span})
	table.accepted++
	if e.resource == nil {
		table.overflowed++
	}
}

// reservePoint reserves space for one more point of KindEverySpan. It rejects the value if the buffer is full.
func (s *stripe) reservePoint(def *definition) bool {
	switch n := def.bufferedPoints.Add(1); {
	case n > maxBufferedPoints:
		def.bufferedPoints.Add(-1)
		s.reject(def, reasonBufferFull, nil)
		return false
	case n == maxBufferedPoints/2:
		s.engine.requestFlush()
	}
	return true
}

// entryFor returns the stripe's entry for the series with s.labels on the resolved resource, and creates it if needed.
// If the registry admits no new series, the entry is for an overflow series.
func (s *stripe) entryFor(def *definition, resolved *resolvedResource) *entry {
	table := &s.tables[def.index]
	hash := resolved.hash
	for _, l := range s.labels {
		hash = mix(hash, maphash.String(s.engine.registry.seed, l))
	}
	for e := table.entries[hash]; e != nil; e = e.next {
		if e.matches(resolved.resource, s.labels) {
			return e
		}
	}

	attributes := s.input.resourceSpans.Resource().Attributes()
	found := s.engine.registry.findOrCreate(def, hash, resolved.hash, attributes, s.labels)
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

// matches reports whether e is the entry for these labels on res. It returns false if res is nil (not registered yet).
func (e *entry) matches(res *resource, labels []label) bool {
	return e.resource == res && res != nil && slices.Equal(e.labels, labels)
}

// resolve looks up the output resource for the current input resource.
func (s *stripe) resolve(def *definition, resolved *resolvedResource) {
	attributes := s.input.resourceSpans.Resource().Attributes()
	resolved.known = true
	resolved.hash = s.engine.registry.hash(def.selection, attributes)
	resolved.resource = s.engine.registry.findResource(resolved.hash, def.selection, attributes)
}

// readLabels fills s.labels with the values of the dimensions and returns their index in stripeTable.recent.
func (s *stripe) readLabels(def *definition) uint64 {
	s.labels = s.labels[:len(def.Dimensions)]
	hash := uint64(0)
	for i := range s.labels {
		if d := &def.Dimensions[i]; d.Source == SourceSpan { // fast path for the most common case
			if v, ok := s.input.attributes.Get(d.Attribute); ok && v.Type() == pcommon.ValueTypeStr {
				if str := v.Str(); len(str) >= 8 && len(str) <= maxLabelLength {
					s.labels[i] = str
					hash = hash*31 + word(str) + 31*word(str[len(str)-8:]) + uint64(len(str))
					continue
				}
			}
		}
		s.labels[i] = s.readLabel(def, i)
		hash = hash*31 + quickHash(s.labels[i])
	}
	return hash * 0x9e3779b97f4a7c15 >> (64 - recentBits) // Fibonacci hashing: 2^64 divided by the golden ratio
}

// readLabel returns the value of the dimension i, or its default if it is absent or empty.
func (s *stripe) readLabel(def *definition, i int) label {
	var l label
	d := &def.Dimensions[i]
	if d.Source == SourceSpanName {
		l = truncate(s.input.span.Name())
	} else if v, ok := s.attributes(d.Source).Get(d.Attribute); ok {
		l = s.integers.labelOf(v)
	}
	if l == "" {
		l = def.defaults[i]
	}
	return l
}
