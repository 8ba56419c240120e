// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"

	"go.uber.org/zap"
)

// taskKind is a kind of task. The kinds that are closest to a finished video come first.
type taskKind int

const (
	taskFail    taskKind = iota // the video fails: a unit failed, or too many workers died of the task
	taskPublish                 // publishing was interrupted or deferred
	taskJoin
	taskUnit
	taskPlan
	taskKinds
)

// task is something that can be done, according to the view.
type task struct {
	kind  taskKind
	video entry[Video]
	// unit is set for taskUnit.
	unit entry[Unit]
	plan plan
	// suspect means that a worker died of the task, so it runs alone.
	suspect bool
	// reason and word are for taskFail: the error, and a word for it.
	reason, word string
}

func (t *task) key() string {
	if t.kind == taskUnit {
		return t.unit.key
	}
	return t.video.key
}

func (t *task) holding() *holding {
	if t.kind == taskUnit {
		return &t.unit.rec.holding
	}
	return &t.video.rec.holding
}

// work runs tasks until ctx ends.
func (s *session) work(ctx context.Context) {
	for ctx.Err() == nil {
		wake := s.view.awaken()
		t, j, ok := s.take()
		if !ok {
			select {
			case <-ctx.Done():
			case <-wake:
				_ = sleep(ctx, rand.N(20*time.Millisecond)) // so that not all workers start at once
			case <-time.After(s.cfg.Lease / 4): // a lease may have run out
			}
			continue
		}
		s.do(ctx, t, j)
	}
}

// do claims and runs a task that take has marked as running.
func (s *session) do(ctx context.Context, t task, j *job) {
	jobCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.mu.Lock()
	j.cancel = cancel
	if s.suspended.Load() {
		cancel(errHeld)
	}
	s.mu.Unlock()
	var err error
	switch t.kind {
	case taskFail:
		err = s.fail(jobCtx, t)
	case taskPublish, taskJoin:
		err = s.join(jobCtx, t)
	case taskUnit:
		err = s.unit(jobCtx, t)
	case taskPlan:
		err = s.plan(jobCtx, t)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, t.key())
	switch {
	case err == nil:
		s.failures = 0
	case errors.Is(context.Cause(jobCtx), errHeld), errors.Is(err, ErrStale):
	case ctx.Err() == nil && !errors.Is(err, errFenced) && !errors.Is(err, errEra):
		// What fails here may work elsewhere: a bad machine must not try every task.
		s.failures++
		s.pauseEnd = time.Now().Add(min(s.cfg.Lease, s.cfg.Lease/16<<min(s.failures, 8)))
		s.logger.Info("a task of the share failed", zap.String("key", t.key()),
			zap.String("video", s.tree.abs(t.video.rec.Path)), zap.Error(err))
	}
}

// take picks the next task, and marks it as running.
func (s *session) take() (task, *job, bool) {
	if _, takes := s.problem(); !takes || s.isDraining() {
		return task{}, nil, false
	}
	s.view.mu.Lock()
	defer s.view.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.view.synced || !s.view.ready || time.Now().Before(s.pauseEnd) {
		return task{}, nil, false
	}
	for _, j := range s.running {
		if j.suspect {
			return task{}, nil, false
		}
	}
	t, ok := s.pick()
	if !ok || t.suspect && len(s.running) > 0 { // a suspect waits until nothing else runs here
		return task{}, nil, false
	}
	j := &job{cancel: func(error) {}, suspect: t.suspect, since: time.Now()}
	s.running[t.key()] = j
	return t, j, true
}

// pick returns one of the first tasks of the best kind, at random so that machines do not all try the same one. On the
// machine that a suspect is meant for, it goes before all other tasks.
func (s *session) pick() (task, bool) {
	enough := 4 * max(1, len(s.view.living("")))
	var best [taskKinds][]task
	for _, p := range s.view.active() {
		if p.fresh && len(best[taskPlan]) >= enough { // skip most of the waiting videos: there may be thousands
			continue
		}
		for _, t := range s.tasksOf(p.id) {
			if s.running[t.key()] != nil {
				continue
			}
			if t.suspect {
				if s.meantFor(&t) == s.opts.Machine {
					return t, true
				}
				continue
			}
			if len(best[t.kind]) < enough {
				best[t.kind] = append(best[t.kind], t)
			}
		}
	}
	for _, tasks := range best {
		if len(tasks) > 0 {
			return tasks[rand.N(len(tasks))], true
		}
	}
	return task{}, false
}

// meantFor returns the machine that is to run a suspect: one on which no worker died of it, if there is one.
func (s *session) meantFor(t *task) string {
	made := s.opts.Made
	all := s.view.living(made)
	fresh := slices.DeleteFunc(slices.Clone(all), func(name string) bool {
		return slices.ContainsFunc(t.holding().Lost, func(l Loss) bool { return l.Machine == name })
	})
	if len(fresh) > 0 {
		all = fresh
	}
	var winner string
	var best uint64
	for _, name := range all {
		h := fnv.New64a()
		fmt.Fprintf(h, "%s %s", t.key(), name)
		if sum := h.Sum64(); winner == "" || sum > best {
			winner, best = name, sum
		}
	}
	return winner
}

// ReasonDeaths is the Video.Reason of a video that programs died of.
const ReasonDeaths = "crash"

// tasksOf returns the tasks that can be done for a video.
func (s *session) tasksOf(id string) []task {
	v := s.view.videos[id]
	t := task{video: v.entry, plan: plan{id, v.rec.Plan}}
	if v.rec.State == VideoPlanned {
		return s.tasksOfPlan(t, v)
	}
	if !s.free(&v.rec.holding, v.at) {
		return nil
	}
	switch v.rec.State {
	case VideoFound:
		t.kind = taskPlan
	case VideoJoining:
		t.kind = taskJoin
		if t.plan.epoch == 0 || v.rec.Made != s.opts.Made {
			return s.orphaned(t)
		}
	case VideoPublishing:
		t.kind = taskPublish
	}
	return []task{s.weigh(t)}
}

func (s *session) tasksOfPlan(t task, v seen[Video]) (tasks []task) {
	if v.rec.Made != s.opts.Made {
		return s.orphaned(t)
	}
	units := s.view.units[t.plan]
	if len(units) < v.rec.Units {
		if s.view.echo.Sub(v.at) > s.store.lease { // some units were lost
			t.kind = taskPlan
			return []task{t}
		}
		return nil
	}
	done := 0
	for index := range v.rec.Units {
		u := units[index]
		switch u.rec.State {
		case UnitDone:
			done++
		case UnitFailed:
			t.kind, t.reason, t.word = taskFail, u.rec.Error, u.rec.Reason
			return []task{t}
		default:
			if s.free(&u.rec.holding, u.at) {
				one := t
				one.kind, one.unit = taskUnit, u.entry
				tasks = append(tasks, s.weigh(one))
			}
		}
	}
	if done == v.rec.Units && s.free(&v.rec.holding, v.at) {
		t.kind = taskJoin
		return []task{s.weigh(t)}
	}
	return tasks
}

// orphaned returns a task to plan a video again if no machine is left of the identity that planned it.
func (s *session) orphaned(t task) []task {
	if len(s.view.living(t.video.rec.Made)) > 0 {
		return nil
	}
	t.kind = taskPlan
	return []task{t}
}

// free reports whether no live worker has claimed a record that arrived at the given time, and its last failure is long
// enough ago.
func (s *session) free(h *holding, at time.Time) bool {
	if h.Claim == nil {
		calm := s.view.now().Sub(at)
		return (h.Attempts == 0 || calm > s.retryWait(h.Attempts)) && (h.Wait == 0 || calm > h.Wait)
	}
	return s.view.dead(h.Claim.Worker) || h.Claim.Worker == s.me // a claim that a lost answer left behind
}

// retryWait returns how long to wait after a number of failed attempts.
func (s *session) retryWait(attempts int) time.Duration {
	return min(s.cfg.Lease/8<<min(attempts, 8), 10*s.cfg.Lease)
}

// weigh marks a task as suspect if workers died of it, and makes it a taskFail if too many did.
func (s *session) weigh(t task) task {
	h := *t.holding()
	if c := h.Claim; c != nil && c.Worker != s.me && s.view.crashed(c.Worker) {
		h.lose()
	}
	deaths, machines := s.view.deaths(&h)
	t.suspect = deaths > 0
	alone := len(s.view.living("")) <= 1
	if t.kind == taskPublish { // never fails: its files may have their final names
		return t
	}
	if deaths >= s.opts.Deaths && machines > 1 || deaths >= 2*s.opts.Deaths && alone {
		reason := fmt.Sprintf("%d programs on %d machines died while working on it", deaths, machines)
		if t.kind == taskUnit {
			reason = fmt.Sprintf("unit %d: %s", t.unit.rec.Index, reason)
		}
		t.kind, t.suspect, t.reason, t.word = taskFail, false, reason, ReasonDeaths
	}
	return t
}

// claim makes this worker the holder of a record, and notes if the previous holder died.
func (s *session) claim(h *holding) {
	if c := h.Claim; c != nil && c.Worker != s.me {
		h.takeover = true
		s.view.mu.Lock()
		crashed := s.view.crashed(c.Worker)
		s.view.mu.Unlock()
		if crashed {
			h.lose()
		}
	}
	h.Claim, h.Wait = &Claim{Worker: s.me, Machine: s.opts.Machine, Since: s.opts.wall()}, 0
}

// epoch returns what identifies the claim of a record in file names. It is different in each era.
func (s *session) epoch(h *holding, rev uint64) string {
	return fmt.Sprintf("%d-%d", s.store.era.number, h.epochOf(rev))
}
