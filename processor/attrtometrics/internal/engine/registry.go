// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package engine // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/engine"

import (
	"hash/maphash"
	"slices"
	"sync"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// maxResourceSize bounds the bytes that the attributes of one output resource may take, and with it the memory of a series:
// the values of a larger one count as beyond the series limit.
const maxResourceSize = 64 << 10

// overflowAttribute marks the series of what is beyond the series limit:
// https://opentelemetry.io/docs/specs/otel/metrics/sdk/#overflow-attribute
const overflowAttribute = "otel.metric.overflow"

// resource is an output resource: the attributes that a selection took of an input resource.
type resource struct {
	hash       uint64
	attributes pcommon.Map
	series     int // that live on it
	next       *resource
}

// series is one time series of a definition. What identifies it never changes; the rest belongs to the flush.
type series struct {
	def      *definition
	resource *resource
	hash     uint64
	labels   []label // nil for the overflow series
	overflow bool
	next     *series

	acc      accumulator
	touched  bool              // something arrived since the last flush
	dead     bool              // expired, and no longer in the registry
	start    pcommon.Timestamp // of the first window
	lastSeen pcommon.Timestamp // the last flush that found something new
	newest   pcommon.Timestamp // gauges: the latest end of a span
	stamped  pcommon.Timestamp // gauges: the latest timestamp of a point
}

// registry knows every live series and resource.
type registry struct {
	seed maphash.Seed

	mu        sync.RWMutex
	resources map[uint64]*resource // chained by next
	series    []seriesTable        // by definition
}

type seriesTable struct {
	byHash   map[uint64]*series // chained by next
	list     []*series
	regular  int // in list, without overflow series
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

// selection is a choice of resource attributes; nil keys: all.
type selection struct {
	keys []string
}

var noAttributes = &selection{keys: []string{}}

// hash does not depend on the order of the attributes.
func (r *registry) hash(sel *selection, attributes pcommon.Map) uint64 {
	var h uint64
	if sel.keys == nil {
		for k, v := range attributes.All() {
			h += mix(maphash.String(r.seed, k), labelOf(v).hash(r.seed))
		}
		return h
	}
	for _, k := range sel.keys {
		if v, ok := attributes.Get(k); ok {
			h += mix(maphash.String(r.seed, k), labelOf(v).hash(r.seed))
		}
	}
	return h
}

// matches tells whether sel takes exactly the attributes of res.
func (res *resource) matches(sel *selection, attributes pcommon.Map) bool {
	if sel.keys == nil {
		return res.attributes.Equal(attributes)
	}
	found := 0
	for _, k := range sel.keys {
		v, ok := attributes.Get(k)
		if !ok {
			continue
		}
		found++
		if mine, ok := res.attributes.Get(k); !ok || !mine.Equal(v) {
			return false
		}
	}
	return found == res.attributes.Len()
}

// findResource returns the live resource with that hash which sel takes of attributes, or nil.
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

// addResourceLocked returns nil if the attributes are too large to keep.
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

// size of what the selection takes of attributes, in bytes, roughly.
func (sel *selection) size(attributes pcommon.Map) int {
	if sel.keys == nil {
		return size(attributes)
	}
	total := 0
	for _, k := range sel.keys {
		if v, ok := attributes.Get(k); ok {
			total += 32 + len(k) + valueSize(v)
		}
	}
	return total
}

func size(m pcommon.Map) int {
	total := 0
	for k, v := range m.All() {
		total += 32 + len(k) + valueSize(v)
	}
	return total
}

func valueSize(v pcommon.Value) int {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return len(v.Str())
	case pcommon.ValueTypeBytes:
		return v.Bytes().Len()
	case pcommon.ValueTypeMap:
		return size(v.Map())
	case pcommon.ValueTypeSlice:
		total := 0
		for _, item := range v.Slice().All() {
			total += 32 + valueSize(item)
		}
		return total
	}
	return 8
}

// seriesFor returns the live series of these labels, a new one while the limit allows, or else the overflow series: on the
// same resource if that one is known, on the empty resource if it is not.
func (r *registry) seriesFor(def *definition, hash, resourceHash uint64, resourceAttributes pcommon.Map, labels []label) *series {
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
				owned[i] = labels[i].clone()
			}
			table.regular++
			return r.addSeriesLocked(def, res, &series{hash: hash, labels: owned})
		}
	}
	return r.overflowLocked(def, res)
}

// revive returns the live series that goes on with what arrived for old, which has expired.
func (r *registry) revive(old *series) *series {
	if !old.overflow {
		return r.seriesFor(old.def, old.hash, old.resource.hash, old.resource.attributes, old.labels)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.overflowLocked(old.def, r.findResourceLocked(old.resource.hash, old.def.selection, old.resource.attributes))
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

// lookupLocked returns the series that is there already, or create.
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
	res.series++
	return s
}

// snapshot returns the series of def. Only a flush removes from it, so that the flush may read it without a lock.
func (r *registry) snapshot(def *definition) []*series {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.series[def.index].list
}

// remove forgets the series of def that are dead.
func (r *registry) remove(def *definition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	table := &r.series[def.index]
	table.list = slices.DeleteFunc(table.list, func(s *series) bool {
		if s.dead {
			r.unlinkLocked(table, s)
		}
		return s.dead
	})
}

func (r *registry) unlinkLocked(table *seriesTable, s *series) {
	if s.overflow {
		delete(table.overflow, s.resource)
	} else {
		table.regular--
	}
	unlink(table.byHash, s.hash, s, func(x *series) **series { return &x.next })
	s.resource.series--
	if s.resource.series == 0 {
		unlink(r.resources, s.resource.hash, s.resource, func(x *resource) **resource { return &x.next })
	}
}

// unlink takes x out of the chain that begins at m[hash].
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
