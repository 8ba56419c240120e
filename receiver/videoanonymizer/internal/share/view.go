// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// seen is a record, and when it last arrived by this machine's monotonic clock.
type seen[T any] struct {
	entry[T]
	at time.Time
}

// view is what this worker knows about the bucket. It may lag behind: every decision is a compare-and-set.
type view struct {
	store  *store
	me     string
	logger *zap.Logger
	// now is this machine's clock, of which only differences matter.
	now func() time.Time
	// changed is called with each record of a video or a unit, under mu; own means that this worker wrote it.
	changed func(key string, h *holding, own bool)

	mu     sync.Mutex
	synced bool
	ready  bool
	last   uint64
	// began is the last revision of the records that existed before this worker began to watch.
	began uint64
	echo  time.Time
	// acked is the newest heartbeat that was acknowledged, and ackedAt when the first one was that has not come back.
	acked   uint64
	ackedAt time.Time

	workers     map[string]seen[Machine]
	videos      map[string]seen[Video]
	units       map[plan]map[int]seen[Unit]
	drained     map[string]bool
	coordinator seen[holding]
	// places has the videos that are not final. order has them in the order in which they were found, unless unordered.
	places    map[string]*place
	order     []*place
	unordered bool
	// news has the keys that changed since the mirror was last written; nil unless this worker writes it.
	news map[string]bool
	wake chan struct{}
}

// place is a video's place in the order in which videos are processed.
type place struct {
	id    string
	found time.Time
	// fresh means that no worker has started on the video, so that it can only be planned.
	fresh bool
	final bool
}

func newView(s *store, me string, logger *zap.Logger) *view {
	return &view{
		store: s, me: me, logger: logger, now: time.Now, changed: func(string, *holding, bool) {},
		workers: map[string]seen[Machine]{}, videos: map[string]seen[Video]{}, units: map[plan]map[int]seen[Unit]{},
		drained: map[string]bool{}, places: map[string]*place{}, wake: make(chan struct{}),
	}
}

// follow keeps the view up to date until ctx ends.
func (v *view) follow(ctx context.Context) {
	for ctx.Err() == nil {
		if err := v.watch(ctx); err != nil {
			v.logger.Debug("the watch of the bucket ended: it continues where it was", zap.Error(err))
		}
		_ = sleep(ctx, 100*time.Millisecond)
	}
}

// watch follows the bucket until the watch fails or stalls.
func (v *view) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var opts []jetstream.WatchOpt
	v.mu.Lock()
	if v.synced {
		opts = append(opts, jetstream.ResumeFromRevision(v.last+1))
	}
	v.mu.Unlock()
	watcher, err := v.store.kv.Watch(ctx, v.store.key(">"), opts...)
	if err != nil {
		return err
	}
	defer func() {
		_ = watcher.Stop()
		go func() { // otherwise a late update would block forever
			for range watcher.Updates() { //nolint:revive // emptied
			}
		}()
	}()
	tick := time.NewTicker(v.store.lease / 6)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-watcher.Updates():
			switch {
			case !ok:
				return nil
			case e == nil:
				v.mu.Lock()
				if !v.synced {
					v.synced, v.began = true, v.last
				}
				v.stir()
				v.mu.Unlock()
			case e.Operation() == jetstream.KeyValuePut:
				v.apply(strings.TrimPrefix(e.Key(), v.store.key("")), e.Value(), e.Revision())
			}
		case <-tick.C:
			if v.stalled() {
				return nil
			}
		}
	}
}

// stalled reports whether a heartbeat was acknowledged but does not come back.
func (v *view) stalled() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.acked > v.last && v.now().Sub(v.ackedAt) > v.store.lease/3
}

// has reports whether everything up to a revision has arrived.
func (v *view) has(rev uint64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.last >= rev
}

// floor returns a revision that the bucket has reached.
func (v *view) floor() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return max(v.last, v.acked)
}

// beaten notes that a heartbeat was acknowledged.
func (v *view) beaten(rev uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.acked <= v.last {
		v.ackedAt = v.now()
	}
	v.acked = max(v.acked, rev)
}

// apply takes in a record, unless the known one is newer.
func (v *view) apply(key string, value []byte, rev uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.take(key, value, rev)
	v.last = max(v.last, rev)
	v.stir()
}

// wrote takes in a record that this worker wrote, before it comes back.
func (v *view) wrote(key string, value []byte, rev uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.take(key, value, rev)
	v.stir()
}

func (v *view) take(key string, value []byte, rev uint64) {
	kind, name, _ := strings.Cut(key, ".")
	switch kind {
	case kindVideo:
		if rec, ok := decode(v, key, value, rev, v.videos[name].rev, new(Video)); ok {
			v.videos[name] = rec
			v.rank(name, &rec.rec)
			v.tidy(name, &rec)
			v.tell(key, &rec.rec.holding)
		}
	case kindUnit:
		p, index, ok := planOf(key)
		if !ok {
			return
		}
		if rec, ok := decode(v, key, value, rev, v.units[p][index].rev, new(Unit)); ok {
			if v.units[p] == nil {
				v.units[p] = map[int]seen[Unit]{}
			}
			v.units[p][index] = rec
			v.tell(key, &rec.rec.holding)
		}
	case kindWorker:
		if rec, ok := decode(v, key, value, rev, v.workers[name].rev, new(Machine)); ok {
			v.workers[name] = rec
			if name == v.me {
				v.echoed()
			}
		}
	case kindDrain:
		v.drained[name] = string(value) == "true"
	case keyCoordinator:
		if rec, ok := decode(v, key, value, rev, v.coordinator.rev, new(holding)); ok {
			v.coordinator = rec
		}
	case keyReady:
		v.ready = true
	}
}

func decode[T any](v *view, key string, value []byte, rev, known uint64, into *T) (seen[T], bool) {
	if rev <= known {
		return seen[T]{}, false
	}
	if err := json.Unmarshal(value, into); err != nil {
		v.logger.Warn("a record of the share cannot be read: it is left alone", zap.String("key", key), zap.Error(err))
		return seen[T]{}, false
	}
	return seen[T]{entry[T]{key, rev, *into}, v.now()}, true
}

// tell passes on that a record changed, and notes its key for the mirror.
func (v *view) tell(key string, h *holding) {
	if v.news != nil {
		v.news[key] = true
	}
	v.changed(key, h, strings.HasPrefix(h.Writer, v.me+"#"))
}

// rank gives a video its place among those that are not final, or removes that place.
func (v *view) rank(id string, video *Video) {
	p, ok := v.places[id]
	if video.State.final() {
		if ok {
			p.final, v.unordered = true, true
			delete(v.places, id)
		}
		return
	}
	if !ok {
		p = &place{id: id}
		v.places[id], v.order = p, append(v.order, p)
	}
	if !ok || !p.found.Equal(video.Found) {
		p.found, v.unordered = video.Found, true
	}
	p.fresh = video.State == VideoFound && video.Claim == nil && video.Attempts == 0 && video.Wait == 0 &&
		len(video.Lost) == 0
}

// tidy forgets the units of a video once it is final. Earlier, another plan may be in the making, whose units count.
func (v *view) tidy(id string, video *seen[Video]) {
	if !video.rec.State.final() {
		return
	}
	for p := range v.units {
		if p.video == id {
			delete(v.units, p)
		}
	}
}

// echoed notes that a heartbeat of this worker came back. If none did for half a lease, this worker was cut off, and
// the others get a whole lease again.
func (v *view) echoed() {
	now := v.now()
	if now.Sub(v.echo) > v.store.lease/2 {
		for name, w := range v.workers {
			w.at = now
			v.workers[name] = w
		}
	}
	v.echo = now
}

// stir wakes everything that waits for a change.
func (v *view) stir() {
	close(v.wake)
	v.wake = make(chan struct{})
}

// awaken returns a channel that is closed at the next change.
func (v *view) awaken() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.wake
}

// dead reports whether a worker left, or showed no sign of life for a lease while this worker could have received one.
func (v *view) dead(worker string) bool {
	if worker == v.me {
		return false
	}
	w, ok := v.workers[worker]
	return !ok || w.rec.Left || v.echo.Sub(w.at) > v.store.lease
}

// seesItself reports whether a worker has said, since this one began to watch, that it sees its own probe.
func (v *view) seesItself(worker string) bool {
	w := v.workers[worker]
	return v.synced && w.rev > v.began && w.rec.Problem == ""
}

// crashed is dead, except for workers that left.
func (v *view) crashed(worker string) bool { return v.dead(worker) && !v.workers[worker].rec.Left }

// living returns the machines that can take work of an identity, or of any if made is empty.
func (v *view) living(made string) (names []string) {
	for id, w := range v.workers {
		if !v.dead(id) && !w.rec.Draining && w.rec.Problem == "" && (made == "" || w.rec.Made == made) {
			names = append(names, w.rec.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// deaths returns how many workers were lost and have not come back, and on how many machines.
func (v *view) deaths(h *holding) (n, machines int) {
	var names []string
	for _, l := range h.Lost {
		if v.dead(l.Worker) {
			n++
			names = append(names, l.Machine)
		}
	}
	slices.Sort(names)
	return n, len(slices.Compact(names))
}

// active returns the videos that are not final, in the order in which they were found.
func (v *view) active() []*place {
	if v.unordered {
		v.unordered = false
		v.order = slices.DeleteFunc(v.order, func(p *place) bool { return p.final })
		slices.SortFunc(v.order, func(a, b *place) int { // fast, since few are out of place
			return cmp.Or(a.found.Compare(b.found), strings.Compare(a.id, b.id))
		})
	}
	return v.order
}
