// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Stats are the counts of this machine since it started.
type Stats struct {
	// Units counts the units of videos that are not final, by state, as far as this machine knows.
	Units map[UnitState]int
	// Videos counts all known videos, by state.
	Videos map[VideoState]int
	// Takeovers counts claims that this machine took over from others.
	Takeovers uint64
	// Fenced counts changes of records that were refused because another worker had changed the record first. Claims do
	// not count: if several machines claim something, only one can succeed.
	Fenced uint64
	// Redone counts units that had to be redone, because they did not fit or their files were lost.
	Redone uint64
	// Published counts files to which this machine gave their final names.
	Published uint64
	// Rebuilds counts how often this machine rebuilt the records after NATS lost its data.
	Rebuilds uint64
	// Away means that NATS does not answer, for example without a majority of its servers, or that root cannot be written
	// to.
	Away bool
	// Coordinator means that this machine scans for videos. Only the coordinator reports the length of the queue.
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

// Trouble returns why this machine takes no work although it should: NATS does not answer, or there is a problem with
// root.
func (e *Engine) Trouble() error {
	e.mu.Lock()
	s := e.session
	e.mu.Unlock()
	if e.counters.away.Load() {
		return errors.New("share: NATS does not answer, or root cannot be written to: this machine takes no work")
	}
	if s == nil {
		return nil
	}
	if problem, _ := s.problem(); problem != "" {
		return errors.New("share: this machine takes no work: " + problem)
	}
	return nil
}

func (e *Engine) currentView() *view {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.session == nil {
		return nil
	}
	return e.session.view
}

// Status says who works on what.
type Status struct {
	// Coordinator is the machine that scans for videos; empty if none does.
	Coordinator string          `json:"coordinator,omitempty"`
	Machines    []MachineStatus `json:"machines"`
	// Videos are the videos that are not final, in the order in which they were found, and then those that failed.
	Videos []VideoStatus `json:"videos"`
	// Counts has the number of videos in each state.
	Counts map[VideoState]int `json:"counts"`
}

// MachineStatus is one run of the program on a machine that takes part, or did until recently. A machine that died and
// has not come back is listed for at least a day.
type MachineStatus struct {
	Name string `json:"name"`
	// Alive means that the machine showed a sign of life within a lease. Silent is how long ago the last one was, in
	// seconds.
	Alive  bool    `json:"alive"`
	Silent float64 `json:"silent_s"`
	// Since is when it began to take part, and Left means that it has stopped, rather than died.
	Since time.Time `json:"since"`
	Left  bool      `json:"left,omitempty"`
	// Draining means that it finishes its current work and takes no more.
	Draining bool `json:"draining,omitempty"`
	// Problem is why it takes no work, if there is a problem.
	Problem string `json:"problem,omitempty"`
	// Made is the identity of its program, models and configuration: machines of another identity leave its videos alone.
	Made  string `json:"made"`
	Slots int    `json:"slots"`
	Doing []Task `json:"doing,omitempty"`
}

// State returns the state of the machine in one word.
func (m MachineStatus) State() MachineState {
	switch {
	case m.Left:
		return MachineStopped
	case !m.Alive:
		return MachineSilent
	case m.Problem != "":
		return MachineTakesNothing
	case m.Draining:
		return MachineDrains
	}
	return MachineWorks
}

// MachineState is the state of a machine.
type MachineState string

// The states of machines.
const (
	MachineWorks        MachineState = "works"
	MachineDrains       MachineState = "drains"
	MachineTakesNothing MachineState = "takes_nothing"
	MachineSilent       MachineState = "silent"
	MachineStopped      MachineState = "stopped"
)

// Task is what a machine works on.
type Task struct {
	// Task is plan, unit, join or publish.
	Task  string `json:"task"`
	Video string `json:"video"`
	// Unit is the index of the unit; nil for tasks that concern a whole video.
	Unit  *int      `json:"unit,omitempty"`
	Since time.Time `json:"since"`
}

// VideoStatus is the status of a video.
type VideoStatus struct {
	Path  string     `json:"path"`
	State VideoState `json:"state"`
	Since time.Time  `json:"since"`
	// Machine is the machine that works on the video as a whole: it plans, joins or publishes it.
	Machine string `json:"machine,omitempty"`
	// Error is the error of the last attempt, and Reason a word for it.
	Error  string       `json:"error,omitempty"`
	Reason string       `json:"reason,omitempty"`
	Units  []UnitStatus `json:"units,omitempty"`
}

// UnitStatus is the status of a unit.
type UnitStatus struct {
	Index  int       `json:"index"`
	State  UnitState `json:"state"`
	Since  time.Time `json:"since"`
	Sealed int       `json:"sealed,omitempty"`
	// Machine is the machine that works on the unit, and Lost are those that died while they did.
	Machine string   `json:"machine,omitempty"`
	Lost    []string `json:"lost,omitempty"`
	Error   string   `json:"error,omitempty"`
}

// Status returns the status of the share, as far as this machine knows.
func (e *Engine) Status() Status {
	v := e.currentView()
	if v == nil {
		return Status{}
	}
	return v.status()
}

// Machines returns the machines alone, which is fast even with many videos.
func (e *Engine) Machines() []MachineStatus {
	v := e.currentView()
	if v == nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	doing := map[string][]string{}
	for id, w := range v.workers {
		doing[id] = w.rec.Doing
	}
	return v.machines(doing)
}

func (v *view) status() Status {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := Status{Videos: []VideoStatus{}, Counts: map[VideoState]int{}}
	if c := v.coordinator.rec.Claim; c != nil && !v.dead(c.Worker) {
		s.Coordinator = c.Machine
	}
	s.Machines = v.machines(v.claimed())
	for _, p := range v.active() {
		s.Videos = append(s.Videos, v.videoStatus(p.id))
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

// claimed returns the keys of the records that each worker has claimed. It is more recent than the heartbeats, which
// list a claim only after a while.
func (v *view) claimed() map[string][]string {
	keys := map[string][]string{}
	add := func(key string, h *holding) {
		if h.Claim != nil {
			keys[h.Claim.Worker] = append(keys[h.Claim.Worker], key)
		}
	}
	for _, p := range v.active() {
		video := v.videos[p.id].rec
		add(videoKey(p.id), &video.holding)
		for index, u := range v.units[plan{p.id, video.Plan}] {
			add(unitKey(p.id, video.Plan, index), &u.rec.holding)
		}
	}
	return keys
}

// machines returns the runs of the program, sorted by machine, without ended runs that have a successor. doing has the
// keys of the records that each run works on.
func (v *view) machines(doing map[string][]string) []MachineStatus {
	newest := v.newest()
	all := []MachineStatus{}
	for id, w := range v.workers {
		m := MachineStatus{
			Name: w.rec.Name, Alive: !v.dead(id), Since: w.rec.Since, Left: w.rec.Left,
			Draining: w.rec.Draining || v.drained[cleanName(w.rec.Name)], Problem: w.rec.Problem,
			Made: w.rec.Made, Slots: w.rec.Slots,
		}
		if !m.Alive && m.Since.Before(newest[m.Name]) {
			continue
		}
		if id != v.me {
			m.Silent = max(0, v.echo.Sub(w.at).Seconds())
		}
		for _, key := range slices.Sorted(slices.Values(doing[id])) {
			if t, ok := v.task(id, key); ok && m.Alive {
				m.Doing = append(m.Doing, t)
			}
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b MachineStatus) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), a.Since.Compare(b.Since))
	})
	return all
}

// newest returns when the latest run of the program on each machine began, by machine.
func (v *view) newest() map[string]time.Time {
	newest := map[string]time.Time{}
	for _, w := range v.workers {
		if w.rec.Since.After(newest[w.rec.Name]) {
			newest[w.rec.Name] = w.rec.Since
		}
	}
	return newest
}

// task describes what a worker does with a record, if the worker has claimed it.
func (v *view) task(worker, key string) (t Task, ok bool) {
	var h *holding
	if p, index, isUnit := planOf(key); isUnit {
		u := v.units[p][index]
		h, t = &u.rec.holding, Task{Task: "unit", Video: v.videos[p.video].rec.Path, Unit: &index}
	} else {
		video := v.videos[strings.TrimPrefix(key, kindVideo+".")]
		h, t = &video.rec.holding, Task{Task: "join", Video: video.rec.Path}
		switch video.rec.State {
		case VideoFound:
			t.Task = "plan"
		case VideoPublishing:
			t.Task = "publish"
		}
	}
	if h.Claim == nil || h.Claim.Worker != worker {
		return Task{}, false
	}
	t.Since = h.Claim.Since
	return t, true
}

func (v *view) videoStatus(id string) VideoStatus {
	rec := v.videos[id].rec
	s := VideoStatus{
		Path: rec.Path, State: rec.State, Since: rec.Since, Machine: rec.machine(), Error: rec.Error, Reason: rec.Reason,
	}
	units := v.units[plan{id, rec.Plan}]
	for index := range rec.Units {
		u, ok := units[index]
		if !ok { // the record has not arrived yet
			u.rec = Unit{State: UnitOpen, Since: rec.Since}
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
