// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// Stats are what this machine counts, since it started.
type Stats struct {
	// Units are those of videos that are not final, by state, as far as this machine knows.
	Units map[UnitState]int
	// Videos are all that are known, by state.
	Videos map[VideoState]int
	// Takeovers counts claims of others that this machine took over.
	Takeovers uint64
	// Fenced counts changes of records that came too late, because another had made one.
	Fenced uint64
	// Redone counts units that had to be done again, since they did not fit or their files were lost.
	Redone uint64
	// Published counts files that this machine gave their final names.
	Published uint64
	// Rebuilds counts how often this machine rebuilt the records after the data of NATS were lost.
	Rebuilds uint64
	// Away means that NATS does not answer, such as without a majority of its servers.
	Away bool
	// Coordinator means that this machine looks for videos: only it reports the length of the queue.
	Coordinator bool
}

type counters struct {
	takeovers, fenced, redone, published, rebuilds atomic.Uint64
	away                                           atomic.Bool
}

// Stats returns the counters.
func (e *Engine) Stats() Stats {
	c := &e.counters
	stats := Stats{
		Units: map[UnitState]int{}, Videos: map[VideoState]int{},
		Takeovers: c.takeovers.Load(), Fenced: c.fenced.Load(), Redone: c.redone.Load(), Published: c.published.Load(),
		Rebuilds: c.rebuilds.Load(), Away: c.away.Load(),
	}
	v := e.currentView()
	if v == nil {
		return stats
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, video := range v.videos {
		stats.Videos[video.rec.State]++
	}
	for p, units := range v.units {
		if v.videos[p.video].rec.Plan != p.epoch {
			continue
		}
		for _, u := range units {
			stats.Units[u.rec.State]++
		}
	}
	claim := v.coordinator.rec.Claim
	stats.Coordinator = claim != nil && claim.Worker == v.me
	return stats
}

// Away is Stats.Away.
func (e *Engine) Away() bool { return e.counters.away.Load() }

func (e *Engine) currentView() *view {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.session == nil {
		return nil
	}
	return e.session.view
}

// Status is who does what.
type Status struct {
	// Coordinator is the machine that looks for videos; empty if none does.
	Coordinator string          `json:"coordinator,omitempty"`
	Machines    []MachineStatus `json:"machines"`
	// Videos are those that are not done, in the order in which they were found, and then those that failed.
	Videos []VideoStatus `json:"videos"`
	// Counts are all videos by state.
	Counts map[VideoState]int `json:"counts"`
}

// MachineStatus is a machine that takes part, or did until recently.
type MachineStatus struct {
	Machine
	Alive bool `json:"alive"`
}

// VideoStatus is a video.
type VideoStatus struct {
	Path  string     `json:"path"`
	State VideoState `json:"state"`
	Since time.Time  `json:"since"`
	// Machine has the video in hand as a whole: it plans, joins or publishes it.
	Machine string       `json:"machine,omitempty"`
	Error   string       `json:"error,omitempty"`
	Units   []UnitStatus `json:"units,omitempty"`
}

// UnitStatus is a unit of a video.
type UnitStatus struct {
	Index  int       `json:"index"`
	State  UnitState `json:"state"`
	Since  time.Time `json:"since"`
	Sealed int       `json:"sealed,omitempty"`
	// Machine does it, and Lost are those on which programs died of it.
	Machine string   `json:"machine,omitempty"`
	Lost    []string `json:"lost,omitempty"`
	Error   string   `json:"error,omitempty"`
}

// Status returns what this machine knows of all.
func (e *Engine) Status() Status {
	v := e.currentView()
	if v == nil {
		return Status{}
	}
	return v.status()
}

func (v *view) status() Status {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := Status{Counts: map[VideoState]int{}}
	if c := v.coordinator.rec.Claim; c != nil && !v.dead(c.Worker) {
		s.Coordinator = c.Machine
	}
	for id, w := range v.workers {
		s.Machines = append(s.Machines, MachineStatus{w.rec, !v.dead(id)})
	}
	slices.SortFunc(s.Machines, func(a, b MachineStatus) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), a.Since.Compare(b.Since))
	})
	for _, id := range v.active() {
		s.Videos = append(s.Videos, v.videoStatus(id))
	}
	var failed []VideoStatus
	for id, video := range v.videos {
		s.Counts[video.rec.State]++
		if video.rec.State == VideoFailed {
			failed = append(failed, v.videoStatus(id))
		}
	}
	slices.SortFunc(failed, func(a, b VideoStatus) int { return cmp.Compare(a.Path, b.Path) })
	s.Videos = append(s.Videos, failed...)
	return s
}

func (v *view) videoStatus(id string) VideoStatus {
	rec := v.videos[id].rec
	s := VideoStatus{Path: rec.Path, State: rec.State, Since: rec.Since, Machine: rec.machine(), Error: rec.Error}
	units := v.units[plan{id, rec.Plan}]
	for index := range rec.Units {
		u, ok := units[index]
		if !ok {
			continue
		}
		one := UnitStatus{
			Index: index, State: u.rec.State, Since: u.rec.Since, Sealed: len(u.rec.Sealed), Machine: u.rec.machine(),
			Error: u.rec.Error,
		}
		for _, l := range u.rec.Lost {
			one.Lost = append(one.Lost, l.Machine)
		}
		s.Units = append(s.Units, one)
	}
	return s
}

func (h *holding) machine() string {
	if h.Claim == nil {
		return ""
	}
	return h.Claim.Machine
}

// Client looks at a share without taking part.
type Client struct {
	nc    *link
	store *store
	view  *view
	stop  context.CancelFunc
	done  chan struct{}
}

// Dial connects to the share of a configuration: to its servers, or to the embedded server of the collector that runs
// on this machine. It fails when ctx ends, or if nobody has ever run the share.
func Dial(ctx context.Context, cfg Config, logger *zap.Logger) (*Client, error) {
	id, err := cfg.identity()
	if err != nil {
		return nil, err
	}
	if cfg.Embedded != nil {
		scheme := "nats://"
		if cfg.TLS != nil {
			scheme = "tls://"
		}
		cfg.Servers = []string{scheme + cfg.Embedded.listen()}
	}
	nc, err := connect(&cfg, nil, id, logger)
	if err != nil {
		return nil, err
	}
	c := &Client{nc: nc, stop: func() {}}
	if err := c.open(ctx, &cfg, logger); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Client) open(ctx context.Context, cfg *Config, logger *zap.Logger) (err error) {
	for c.store == nil {
		var st *store
		st, err = openStore(ctx, c.nc.Conn, cfg.Name, cfg.Lease)
		if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, errUnborn) {
			return fmt.Errorf("no collector has run the share %s yet", cfg.Name)
		}
		if err == nil {
			c.store = st
		} else {
			if waited := sleep(ctx, 100*time.Millisecond); waited != nil {
				return fmt.Errorf("ask NATS about the share %s: %w", cfg.Name, errors.Join(err, c.nc.trouble()))
			}
		}
	}
	c.view = newView(c.store, "", logger)
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop, c.done = stop, make(chan struct{})
	go func() {
		defer close(c.done)
		c.view.follow(following)
	}()
	for {
		wake := c.view.awaken()
		c.view.mu.Lock()
		synced := c.view.synced
		c.view.mu.Unlock()
		if synced {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
		}
	}
}

// Close ends the connection.
func (c *Client) Close() {
	c.stop()
	if c.done != nil {
		<-c.done
	}
	c.nc.Close()
}

// Watch returns the status after watching for as long as d: what then has given no sign of life for a lease is not
// alive, so d is a lease or more to be sure.
func (c *Client) Watch(ctx context.Context, d time.Duration) (Status, error) {
	err := sleep(ctx, d)
	c.view.mu.Lock()
	c.view.echo = c.view.now() // it has no heartbeat of its own
	c.view.mu.Unlock()
	return c.view.status(), err
}

// Drain makes a machine finish what it does and take no more, or take work again. It holds until it is undone, even if
// the machine starts anew.
func (c *Client) Drain(ctx context.Context, machine string, on bool) error {
	_, err := c.store.put(ctx, kindDrain+"."+cleanName(machine), encode(on))
	return err
}
