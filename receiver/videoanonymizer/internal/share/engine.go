// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// Options are what an Engine needs in addition to its configuration.
type Options struct {
	// Machine names this machine. If empty, embedded::node or else the host name is used.
	Machine string
	// Made identifies the program, its models and its configuration. All units of a video are processed by machines of the
	// same identity.
	Made string
	// Worker does the work, and Source finds the videos.
	Worker Worker
	Source Source
	// Slots is how many tasks this machine runs at once; 1 if 0.
	Slots int
	// ScanInterval is how often the coordinator looks for videos; 5 s if 0.
	ScanInterval time.Duration
	// Attempts is how often a task is tried that fails with an error that may pass; 5 if 0.
	Attempts int
	// Reason returns a one-word reason for an error, for Video.Reason; nil for none.
	Reason func(error) string
	// Deaths is how many workers may die of a task, on at least two machines, before it counts as failed; 3 if 0. If there
	// is only one machine, it is twice as many.
	Deaths int
	Logger *zap.Logger

	// wall is the clock for times that are shown to people.
	wall func() time.Time
	// reached is called at points where tests inject faults.
	reached func(point string)
}

// Engine takes part in a share.
type Engine struct {
	cfg    Config
	opts   Options
	me     string
	logger *zap.Logger
	node   *node
	nc     *link
	tree   tree
	// expiry is when the certificate expires, if there is one.
	expiry Expiry

	writes   atomic.Uint64
	counters counters
	draining atomic.Bool
	// held means that this machine takes no work for now, and suspended that it also stops its current work.
	held, suspended atomic.Bool

	// emptied is the era whose data turned out to be lost.
	emptied era

	mu      sync.Mutex
	session *session
}

// New starts the embedded server, if there is one, and connects. The caller must then call Run, which ends both.
func New(cfg Config, opts Options) (*Engine, error) {
	if err := errors.Join(cfg.Errors()...); err != nil {
		return nil, err
	}
	opts = opts.withDefaults(&cfg)
	e := &Engine{cfg: cfg, opts: opts, logger: opts.Logger.With(zap.String("share", cfg.Name))}
	e.me = cleanName(opts.Machine) + "-" + strings.ToLower(rand.Text()[:10])
	e.tree = newTree(cfg.Root, cfg.Name)
	id, err := cfg.identity()
	if err != nil {
		return nil, err
	}
	if cfg.TLS != nil {
		if e.expiry, err = cfg.TLS.Expiry(); err != nil {
			return nil, err
		}
	}
	if cfg.Embedded != nil {
		if e.node, err = startNode(&cfg, id, e.logger); err != nil {
			return nil, err
		}
	}
	if e.nc, err = connect(&cfg, e.node, id, e.logger); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

func (c *Config) identity() (*identity, error) {
	if c.NKeyFile == "" {
		return nil, nil
	}
	id, err := readIdentity(c.NKeyFile)
	return &id, err
}

func (o Options) withDefaults(cfg *Config) Options {
	if o.Machine == "" && cfg.Embedded != nil {
		o.Machine = cfg.Embedded.Node
	}
	if o.Machine == "" {
		o.Machine, _ = os.Hostname()
	}
	o.Slots, o.Attempts, o.Deaths = orDefault(o.Slots, 1), orDefault(o.Attempts, 5), orDefault(o.Deaths, 3)
	o.ScanInterval = orDefault(o.ScanInterval, 5*time.Second)
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.wall == nil {
		o.wall = time.Now
	}
	if o.Reason == nil {
		o.Reason = func(error) string { return "" }
	}
	if o.reached == nil {
		o.reached = func(string) {}
	}
	return o
}

func orDefault[T int | time.Duration](n, otherwise T) T {
	if n == 0 {
		return otherwise
	}
	return n
}

// cleanName replaces the characters of a name that a key cannot have.
func cleanName(name string) string {
	return strings.Map(func(r rune) rune {
		if r < 128 && (r == '-' || r == '_' || validName.MatchString(string(r))) {
			return r
		}
		return '_'
	}, name)
}

// Run takes part until ctx ends, and then leaves, so that other machines continue this machine's work at once.
func (e *Engine) Run(ctx context.Context) error {
	defer e.close()
	defer e.tree.leave(e.me)
	var watches sync.WaitGroup
	defer watches.Wait()
	if e.cfg.TLS != nil {
		watches.Go(func() { e.expiry.watch(ctx, e.logger) })
	}
	var missing time.Time
	out := absence{logger: e.logger, patience: 2 * e.cfg.Lease}
	for ctx.Err() == nil {
		s, err := e.begin(ctx, &missing)
		if err == nil {
			out.ended()
			e.logger.Info("this machine takes part in the share", zap.String("machine", e.opts.Machine))
			err = s.run(ctx)
		}
		if err != nil && ctx.Err() == nil {
			passing := errors.Is(err, errEra) || errors.Is(err, errMissing)
			e.counters.away.Store(!passing)
			if !passing {
				out.explain(err, e.nc.IsConnected())
			}
			_ = sleep(ctx, 250*time.Millisecond)
		}
	}
	return nil
}

// absence is a time during which this machine does not take part.
type absence struct {
	logger *zap.Logger
	// patience is how long servers may take to find each other.
	patience time.Duration
	began    time.Time
	told     string
}

func (a *absence) ended() { a.began, a.told = time.Time{}, "" }

// explain logs an error once. A server that is connected but does not answer is no fault unless that lasts: servers
// that have just started must find each other first.
func (a *absence) explain(err error, connected bool) {
	if a.began.IsZero() {
		a.began = time.Now()
	}
	level, text := zap.WarnLevel, "this machine takes no part in the share: will retry"
	if connected && incomplete(err) {
		text = "this machine takes no part in the share: waiting for a majority of the servers"
		if time.Since(a.began) < a.patience {
			level = zap.InfoLevel
		}
	}
	if said := fmt.Sprint(level, text, err); said != a.told {
		a.told = said
		a.logger.Log(level, text, zap.Error(err))
	}
}

// incomplete reports whether an error comes from a server that lacks the others.
func incomplete(err error) bool {
	var refused jetstream.JetStreamError
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &refused) && refused.APIError() != nil &&
		refused.APIError().Code == http.StatusServiceUnavailable
}

func (e *Engine) close() {
	if e.nc != nil {
		e.nc.Close()
	}
	if e.node != nil {
		e.node.stop()
	}
}

// begin opens the bucket. It creates one if there has been none for a while, since missing, or if the data was lost.
func (e *Engine) begin(ctx context.Context, missing *time.Time) (*session, error) {
	if err := e.tree.join(e.me); err != nil {
		return nil, err
	}
	nc, name, lease := e.nc.Conn, e.cfg.Name, e.cfg.Lease
	st, err := openStore(ctx, nc, name, lease)
	if err == nil && st.era != e.emptied {
		*missing = time.Time{}
		return e.newSession(st), nil
	}
	none := errors.Is(err, jetstream.ErrStreamNotFound)
	if err != nil && !none && !errors.Is(err, errUnborn) {
		*missing = time.Time{}
		return nil, errors.Join(err, e.nc.trouble())
	}
	if missing.IsZero() {
		*missing = time.Now()
	}
	if time.Since(*missing) < min(lease/2, 3*time.Second)+mathrand.N(lease/8) { // another machine may be creating it
		return nil, errMissing
	}
	number, err := e.tree.nextEra()
	if err != nil {
		return nil, err
	}
	if none {
		err = createStore(ctx, nc, name, lease, number)
	} else {
		err = renewStore(ctx, nc, name, lease, number)
	}
	if err != nil {
		return nil, fmt.Errorf("create the bucket: %w", err)
	}
	return nil, errMissing // the next attempt opens it
}

// errMissing means that there is no bucket yet.
var errMissing = errors.New("there is no bucket yet")

// Drain makes this machine finish its current work and take no more, or take work again.
func (e *Engine) Drain(on bool) { e.draining.Store(on) }

// Hold makes this machine take no work for now, or take work again. With suspend, it also lets go of its current work,
// which other machines continue; otherwise it finishes that work.
func (e *Engine) Hold(on, suspend bool) {
	e.held.Store(on)
	e.suspended.Store(on && suspend)
	e.mu.Lock()
	s := e.session
	e.mu.Unlock()
	if s == nil || !e.suspended.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.running {
		j.cancel(errHeld)
	}
}

// errHeld means that work was let go of because this machine must not work now.
var errHeld = errors.New("this machine does not work now")

// session is a worker's participation in one era.
type session struct {
	*Engine
	store *store
	view  *view
	began time.Time
	// acquaintance is the last other worker, a string, whose probe this one has seen.
	acquaintance atomic.Value

	mu sync.Mutex
	// running has this worker's claims, by key.
	running map[string]*job
	// failures is how many tasks in a row failed.
	failures int
	pauseEnd time.Time
}

// job is a claim that this worker holds.
type job struct {
	cancel  context.CancelCauseFunc
	suspect bool
	since   time.Time
}

func (e *Engine) newSession(st *store) *session {
	s := &session{
		Engine: e, store: st, view: newView(st, e.me, e.logger), running: map[string]*job{}, began: e.opts.wall(),
	}
	s.view.changed = s.noticed
	e.mu.Lock()
	defer e.mu.Unlock()
	e.session = s
	return s
}

func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	all.Go(func() { s.view.follow(ctx) })
	all.Go(func() { s.beatUntil(ctx, cancel) })
	all.Go(func() { s.coordinate(ctx) })
	for range s.opts.Slots {
		all.Go(func() { s.work(ctx) })
	}
	all.Wait()
	err := context.Cause(ctx)
	if !errors.Is(err, errEra) {
		s.leave(context.WithoutCancel(ctx))
	}
	return err
}

// beatUntil sends heartbeats until ctx ends. It ends the session when the bucket is lost.
func (s *session) beatUntil(ctx context.Context, end context.CancelCauseFunc) {
	tick := time.NewTicker(s.cfg.Lease / 6)
	defer tick.Stop()
	lost := 0
	heard := time.Now()
	for beat := uint64(1); ; beat++ {
		floor := s.view.floor()
		rev, err := s.store.put(ctx, kindWorker+"."+s.me, encode(s.machine(beat)))
		switch {
		case err == nil && rev <= floor: // revisions only grow, unless the bucket lost its data
			s.emptied = s.store.era
			end(errEra)
			return
		case err == nil:
			lost, heard = 0, time.Now()
			s.counters.away.Store(false)
			s.view.beaten(rev)
		case ctx.Err() != nil:
		case s.store.lost(ctx, err) != nil:
			if lost++; lost >= 3 {
				end(errEra)
				return
			}
		case time.Since(heard) > s.cfg.Lease:
			if !s.counters.away.Swap(true) {
				s.logger.Warn("NATS does not answer: nothing is committed until it does", zap.Error(err))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *session) machine(beat uint64) Machine {
	problem, _ := s.problem()
	m := Machine{
		Name: s.opts.Machine, Made: s.opts.Made, Since: s.began, Slots: s.opts.Slots, Lease: s.cfg.Lease,
		Draining: s.isDraining(), Problem: problem, Beat: beat,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.running {
		m.Doing = append(m.Doing, key)
	}
	return m
}

func (s *session) isDraining() bool {
	s.view.mu.Lock()
	defer s.view.mu.Unlock()
	return s.draining.Load() || s.held.Load() || s.view.drained[cleanName(s.opts.Machine)]
}

// problem returns why this machine takes no work, and whether it takes any. It takes none if root is not the folder
// that the coordinator sees, which the coordinator's probe shows. If the probe may be missing only because the
// coordinator has ended, this machine takes no work either, but reports no problem.
func (s *session) problem() (text string, takes bool) {
	if err := s.tree.sees(s.me); err != nil {
		return "root cannot be read: " + err.Error(), false
	}
	s.view.mu.Lock()
	claim := s.view.coordinator.rec.Claim
	gone := claim == nil || s.view.dead(claim.Worker)
	there := !gone && s.view.seesItself(claim.Worker)
	s.view.mu.Unlock()
	switch {
	case gone || s.met(claim.Worker):
		return "", true
	case !there || claim.Machine == s.opts.Machine: // an earlier run of this machine, or it cannot read root, either
		return "", false
	}
	return fmt.Sprintf("root is not the folder that %s sees: mount the same one on both", claim.Machine), false
}

// met reports whether the probe of a worker is in root, or was. The latter is enough: root stays the same folder as
// long as it has this worker's own probe, and a worker that ends removes its probe.
func (s *session) met(worker string) bool {
	if worker == s.me || s.acquaintance.Load() == worker {
		return true
	}
	if s.tree.sees(worker) != nil {
		return false
	}
	s.acquaintance.Store(worker)
	return true
}

// leave records that this worker is gone for good.
func (s *session) leave(ctx context.Context) {
	m := s.machine(0)
	m.Left, m.Doing = true, nil
	if _, err := s.store.put(ctx, kindWorker+"."+s.me, encode(m)); err != nil {
		s.logger.Debug("could not say goodbye: the others will wait for a lease", zap.Error(err))
	}
}

// noticed cancels the work that a change of a record has made pointless. It is called under the view's lock.
func (s *session) noticed(key string, h *holding, own bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j, ok := s.running[key]; ok && !own && (h.Claim == nil || h.Claim.Worker != s.me) {
		j.cancel(errFenced)
	}
	id, isVideo := strings.CutPrefix(key, kindVideo+".")
	if !isVideo {
		return
	}
	v := s.view.videos[id].rec
	for unit, j := range s.running {
		if p, _, ok := planOf(unit); ok && p.video == id && (v.State.final() || v.Plan != p.epoch) {
			j.cancel(errFenced)
		}
	}
}

// write replaces the record at its known revision, and takes the new one into the view.
func write[T any](ctx context.Context, s *session, e *entry[T], h *holding) error {
	h.Writer = fmt.Sprintf("%s#%d", s.me, s.writes.Add(1))
	value := encode(&e.rec)
	if len(value) > maxRecord {
		return Permanent(fmt.Errorf("the record %s has %d bytes, but only %d are allowed: shorten the worker's note",
			e.key, len(value), maxRecord))
	}
	rev, err := s.store.update(ctx, e.key, value, e.rev)
	if err != nil {
		if claiming := h.Claim != nil && h.Claim.Epoch == 0; errors.Is(err, errFenced) && !claiming {
			s.counters.fenced.Add(1)
		}
		return fmt.Errorf("%s: %w", e.key, err)
	}
	if h.takeover {
		s.counters.takeovers.Add(1)
		h.takeover = false
	}
	s.view.wrote(e.key, value, rev)
	e.rev = rev
	h.held(rev)
	return nil
}

// maxRecord is below the maximum size of a message to a server, 1 MiB.
const maxRecord = 1000 << 10

// encode returns a record as JSON. Records contain only what JSON can represent: what a worker provides has been
// checked.
func encode(record any) []byte {
	text, err := json.Marshal(record)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", record, err))
	}
	return text
}
