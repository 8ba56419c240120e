// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package engine // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/engine"

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// maxResourceSize is the maximum size in bytes of the attributes of an output resource, which bounds the memory of a
// series. Values from larger resources go to the overflow series.
const maxResourceSize = 64 << 10

// attributeOverhead is the approximate memory in bytes that an attribute takes in addition to its key and value.
const attributeOverhead = 32

// OverflowAttribute marks the series that receives the values beyond the series limit:
// https://opentelemetry.io/docs/specs/otel/metrics/sdk/#overflow-attribute
const OverflowAttribute = "otel.metric.overflow"

// resource is an output resource: the attributes that a selection picked from an input resource.
type resource struct {
	hash        uint64
	attributes  pcommon.Map
	seriesCount int // live series on this resource
	next        *resource
}

// series is a time series of a definition. Its identity never changes; Engine.flushMu guards its other fields.
type series struct {
	def      *definition
	resource *resource
	hash     uint64
	labels   []label // nil for an overflow series
	overflow bool
	next     *series // guarded by registry.mu

	acc         accumulator
	updated     bool              // has received values since the last flush
	expired     bool              // removed from the registry
	start       pcommon.Timestamp // start of its first window
	lastSeen    time.Duration     // Engine.elapsed at the last flush with new values
	latestEnd   pcommon.Timestamp // gauges: end of the span that has the last value
	latestEndAt time.Duration     // gauges: Engine.elapsed at the flush that set latestEnd
	latestPoint pcommon.Timestamp // gauges: the latest timestamp of a point
}

// registry holds the live series and resources. Methods with names ending in Locked require mu.
type registry struct {
	seed maphash.Seed

	mu        sync.RWMutex
	resources map[uint64]*resource // by hash, chained by next
	series    []seriesTable        // by definition
}

type seriesTable struct {
	byHash   map[uint64]*series // chained by next
	list     []*series
	regular  int // series in list that are not overflow series
	overflow map[*resource]*series
}

func newRegistry(definitions int) *registry {
	r := &registry{
		seed:      maphash.MakeSeed(),
		resources: make(map[uint64]*resource),
		series:    make([]seriesTable, definitions),
	}
	for i := range r.series {
		r.series[i] = seriesTable{byHash: make(map[uint64]*series), overflow: make(map[*resource]*series)}
	}
	return r
}

// selection picks resource attributes by name; nil keys pick all attributes.
type selection struct {
	keys []string
}

var (
	allAttributes = &selection{}
	noAttributes  = &selection{keys: []string{}}
)

// each calls f for every attribute that the selection picks. A range function would allocate.
func (sel *selection) each(attributes pcommon.Map, f func(string, pcommon.Value)) {
	if sel.keys == nil {
		for k, v := range attributes.All() {
			f(k, v)
		}
		return
	}
	for _, k := range sel.keys {
		if v, ok := attributes.Get(k); ok {
			f(k, v)
		}
	}
}

// size returns the approximate memory in bytes of the attributes that the selection picks.
func (sel *selection) size(attributes pcommon.Map) int {
	total := 0
	sel.each(attributes, func(k string, v pcommon.Value) {
		total += attributeOverhead + len(k) + valueSize(v)
	})
	return total
}

func valueSize(v pcommon.Value) int {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return len(v.Str())
	case pcommon.ValueTypeBytes:
		return v.Bytes().Len()
	case pcommon.ValueTypeMap:
		return allAttributes.size(v.Map())
	case pcommon.ValueTypeSlice:
		total := 0
		for _, item := range v.Slice().All() {
			total += attributeOverhead + valueSize(item)
		}
		return total
	}
	return 8
}

// hash returns the hash of an output resource, which does not depend on the order of the attributes.
func (r *registry) hash(sel *selection, attributes pcommon.Map) uint64 {
	var h uint64
	sel.each(attributes, func(k string, v pcommon.Value) {
		h += mix(maphash.String(r.seed, k), hashText(r.seed, v))
	})
	return h
}

// matches reports whether sel picks exactly the attributes of res, compared as text.
func (res *resource) matches(sel *selection, attributes pcommon.Map) bool {
	if sel.keys == nil {
		if res.attributes.Len() != attributes.Len() {
			return false
		}
		for k, v := range attributes.All() {
			if own, ok := res.attributes.Get(k); !ok || !sameText(own, v) {
				return false
			}
		}
		return true
	}
	found := 0
	for _, k := range sel.keys {
		v, ok := attributes.Get(k)
		if !ok {
			continue
		}
		found++
		if own, ok := res.attributes.Get(k); !ok || !sameText(own, v) {
			return false
		}
	}
	return found == res.attributes.Len()
}

// findResource returns the live resource that consists of what sel picks from attributes, or nil.
func (r *registry) findResource(hash uint64, sel *selection, attributes pcommon.Map) *resource {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.findResourceLocked(hash, sel, attributes)
}

func (r *registry) findResourceLocked(hash uint64, sel *selection, attributes pcommon.Map) *resource {
	res := r.resources[hash]
	for res != nil && !res.matches(sel, attributes) {
		res = res.next
	}
	return res
}

// addResourceLocked returns nil if the attributes exceed maxResourceSize.
func (r *registry) addResourceLocked(hash uint64, sel *selection, attributes pcommon.Map) *resource {
	if sel.size(attributes) > maxResourceSize {
		return nil
	}
	res := &resource{hash: hash, attributes: pcommon.NewMap(), next: r.resources[hash]}
	if sel.keys == nil {
		attributes.CopyTo(res.attributes)
	}
	for _, k := range sel.keys {
		if v, ok := attributes.Get(k); ok {
			v.CopyTo(res.attributes.PutEmpty(k))
		}
	}
	r.resources[hash] = res
	return res
}

// findOrCreate returns the live series with these labels. If there is none, it creates one if the series limit allows
// it. Otherwise it returns an overflow series: on the same resource if it is registered, otherwise on the empty
// resource.
func (r *registry) findOrCreate(
	def *definition, hash, resourceHash uint64, resourceAttributes pcommon.Map, labels []label,
) *series {
	r.mu.RLock()
	s, create := r.lookupLocked(def, hash, resourceHash, resourceAttributes, labels)
	r.mu.RUnlock()
	if !create {
		return s
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	s, create = r.lookupLocked(def, hash, resourceHash, resourceAttributes, labels)
	if !create {
		return s
	}
	table := &r.series[def.index]
	res := r.findResourceLocked(resourceHash, def.selection, resourceAttributes)
	if table.regular < def.SeriesLimit {
		if res == nil {
			res = r.addResourceLocked(resourceHash, def.selection, resourceAttributes)
		}
		if res != nil {
			owned := make([]label, len(labels))
			for i := range labels {
				owned[i] = strings.Clone(labels[i]) // do not share the memory of the span
			}
			table.regular++
			return r.addSeriesLocked(def, res, &series{hash: hash, labels: owned})
		}
	}
	return r.overflowLocked(def, res)
}

// replace returns the live series that replaces old, which has expired.
func (r *registry) replace(old *series) *series {
	if !old.overflow {
		return r.findOrCreate(old.def, old.hash, old.resource.hash, old.resource.attributes, old.labels)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	res := r.findResourceLocked(old.resource.hash, old.def.selection, old.resource.attributes)
	return r.overflowLocked(old.def, res)
}

// overflowLocked returns the overflow series on res, or on the empty resource if res is nil.
func (r *registry) overflowLocked(def *definition, res *resource) *series {
	if res == nil {
		res = r.emptyResourceLocked()
	}
	table := &r.series[def.index]
	s := table.overflow[res]
	if s == nil {
		s = r.addSeriesLocked(def, res, &series{hash: mix(res.hash, uint64(def.index)), overflow: true})
		table.overflow[res] = s
	}
	return s
}

// lookupLocked returns the series if it exists. Otherwise it reports that a series must be created.
func (r *registry) lookupLocked(
	def *definition, hash, resourceHash uint64, resourceAttributes pcommon.Map, labels []label,
) (found *series, create bool) {
	table := &r.series[def.index]
	res := r.findResourceLocked(resourceHash, def.selection, resourceAttributes)
	if res != nil {
		for s := table.byHash[hash]; s != nil; s = s.next {
			if s.resource == res && !s.overflow && slices.Equal(s.labels, labels) {
				return s, false
			}
		}
	}
	if table.regular < def.SeriesLimit && (res != nil || def.selection.size(resourceAttributes) <= maxResourceSize) {
		return nil, true
	}
	if res == nil {
		res = r.findResourceLocked(0, noAttributes, pcommon.NewMap())
	}
	s := table.overflow[res]
	return s, s == nil
}

func (r *registry) emptyResourceLocked() *resource {
	if res := r.findResourceLocked(0, noAttributes, pcommon.NewMap()); res != nil {
		return res
	}
	return r.addResourceLocked(0, noAttributes, pcommon.NewMap())
}

func (r *registry) addSeriesLocked(def *definition, res *resource, s *series) *series {
	table := &r.series[def.index]
	s.def, s.resource, s.acc = def, res, def.newAccumulator()
	s.next = table.byHash[s.hash]
	table.byHash[s.hash] = s
	table.list = append(table.list, s)
	res.seriesCount++
	return s
}

// snapshot returns the series of def. The caller must be a flush: only a flush removes series, so it may read the list
// without a lock.
func (r *registry) snapshot(def *definition) []*series {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.series[def.index].list
}

// removeExpired removes the expired series of def, and resources without series.
func (r *registry) removeExpired(def *definition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	table := &r.series[def.index]
	table.list = slices.DeleteFunc(table.list, func(s *series) bool {
		if s.expired {
			r.unlinkLocked(table, s)
		}
		return s.expired
	})
}

func (r *registry) unlinkLocked(table *seriesTable, s *series) {
	if s.overflow {
		delete(table.overflow, s.resource)
	} else {
		table.regular--
	}
	unlink(table.byHash, s.hash, s, func(x *series) **series { return &x.next })
	s.resource.seriesCount--
	if s.resource.seriesCount == 0 {
		unlink(r.resources, s.resource.hash, s.resource, func(x *resource) **resource { return &x.next })
	}
}

// unlink removes x from the chain that starts at m[hash].
func unlink[T any](m map[uint64]*T, hash uint64, x *T, next func(*T) **T) {
	if m[hash] == x {
		if *next(x) == nil {
			delete(m, hash)
		} else {
			m[hash] = *next(x)
		}
		return
	}
	for at := m[hash]; at != nil; at = *next(at) {
		if *next(at) == x {
			*next(at) = *next(x)
			return
		}
	}
}
