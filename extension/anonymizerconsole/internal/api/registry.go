// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
)

// Registry holds the attached workspaces, GPUs, and shares.
type Registry struct {
	mu       sync.RWMutex
	attached []*attached
	gpus     map[component.ID]func() []consoleapi.GPU
	shares   map[component.ID]func() consoleapi.Share
	changed  func() // called when a workspace was attached, was detached, or changed
}

// attached is a workspace and the requests that use it.
type attached struct {
	consoleapi.Workspace
	id       component.ID
	ctx      context.Context // ends when the workspace is detached
	cancel   context.CancelFunc
	requests sync.WaitGroup
}

// Attach adds a workspace until detach is called.
func (r *Registry) Attach(id component.ID,
	workspace consoleapi.Workspace) (detach func(context.Context) error, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.ContainsFunc(r.attached, func(a *attached) bool { return a.id == id }) {
		return nil, fmt.Errorf("%s is already attached", id)
	}
	a := &attached{Workspace: workspace, id: id}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	r.attached = append(r.attached, a)
	a.requests.Go(func() {
		for {
			select {
			case <-a.ctx.Done():
				return
			case <-workspace.Changed():
				r.changed()
			}
		}
	})
	r.changed()
	return func(ctx context.Context) error { return r.detach(ctx, a) }, nil
}

func (r *Registry) detach(ctx context.Context, a *attached) error {
	r.mu.Lock()
	r.attached = slices.DeleteFunc(r.attached, func(other *attached) bool { return other == a })
	r.mu.Unlock()
	a.cancel()
	r.changed()
	ended := make(chan struct{})
	go func() {
		a.requests.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("requests to the console have not ended: %w", ctx.Err())
	}
}

// AttachGPUs shows GPUs until detach is called.
func (r *Registry) AttachGPUs(id component.ID, read func() []consoleapi.GPU) (detach func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gpus == nil {
		r.gpus = map[component.ID]func() []consoleapi.GPU{}
	}
	r.gpus[id] = read
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.gpus, id)
	}
}

// readGPUs returns the GPUs.
func (r *Registry) readGPUs() []consoleapi.GPU {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := []consoleapi.GPU{}
	for _, read := range r.gpus {
		all = append(all, read()...)
	}
	return all
}

// AttachMachines shows the machines of a share until detach is called.
func (r *Registry) AttachMachines(id component.ID, read func() consoleapi.Share) (detach func()) {
	r.mu.Lock()
	if r.shares == nil {
		r.shares = map[component.ID]func() consoleapi.Share{}
	}
	r.shares[id] = read
	r.mu.Unlock()
	r.changed()
	return func() {
		r.mu.Lock()
		delete(r.shares, id)
		r.mu.Unlock()
		r.changed()
	}
}

// readShares merges the activity of the machines of all shares; nil if there is no share.
func (r *Registry) readShares() *consoleapi.Share {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.shares) == 0 {
		return nil
	}
	joined := &consoleapi.Share{Machines: []consoleapi.Machine{}, Videos: map[string]int{}}
	for _, read := range r.shares {
		one := read()
		joined.Machines = append(joined.Machines, one.Machines...)
		for state, n := range one.Videos {
			joined.Videos[state] += n
		}
	}
	slices.SortStableFunc(joined.Machines, func(a, b consoleapi.Machine) int { return cmp.Compare(a.Name, b.Name) })
	return joined
}

var (
	// errNotAttached means that no receiver has attached itself yet.
	errNotAttached = errors.New("no receiver is attached: set the receiver's key console, and wait until it has started")
	// errShared means that the only receivers here take part in a share.
	errShared = errors.New("several machines share the work on the videos: the console shows the machines, but no videos")
)

// missing returns the reason why there is no workspace.
func (r *Registry) missing() error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.shares) > 0 {
		return errShared
	}
	return errNotAttached
}

// all returns the attached workspaces for the duration of a request. done must be called.
func (r *Registry) all() (all []*attached, done func()) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all = slices.Clone(r.attached)
	for _, a := range all {
		a.requests.Add(1)
	}
	return all, func() {
		for _, a := range all {
			a.requests.Done()
		}
	}
}

// videos returns the videos of all workspaces.
func (r *Registry) videos(ctx context.Context, working bool) ([]consoleapi.Video, error) {
	all, done := r.all()
	defer done()
	if len(all) == 0 {
		return nil, r.missing()
	}
	var videos []consoleapi.Video
	for _, a := range all {
		some, err := a.Videos(ctx, working)
		if err != nil {
			return nil, err
		}
		videos = append(videos, some...)
	}
	return videos, nil
}

// redact returns text as it may appear in the log.
func (r *Registry) redact(text string) string {
	all, done := r.all()
	defer done()
	for _, a := range all {
		text = a.Redact(text)
	}
	return text
}

// status merges the current activity of the workspaces.
func (r *Registry) status(counts map[consoleapi.State]int) (joined consoleapi.StatusNow) {
	all, done := r.all()
	defer done()
	joined.Time, joined.GPUs, joined.Stages = time.Now().UTC(), r.readGPUs(), []consoleapi.StageTime{}
	joined.Share = r.readShares()
	for _, a := range all {
		s := a.Status()
		joined.FramesPerS += s.FramesPerS
		joined.People += s.People
		if len(s.Stages) > 0 {
			joined.Stages = s.Stages
		}
	}
	joined.Counts = counts
	return joined
}

// history merges the past activity of the workspaces.
func (r *Registry) history() (joined consoleapi.History) {
	all, done := r.all()
	defer done()
	joined = consoleapi.History{
		Time: []float64{}, FramesPerS: []float64{}, People: []int{}, Stages: map[string][]float64{},
	}
	for i, a := range all {
		h := a.History()
		if i == 0 {
			joined = h
			continue
		}
		for k := range min(len(h.Time), len(joined.Time)) {
			joined.FramesPerS[k] += h.FramesPerS[k]
			joined.People[k] = max(joined.People[k], h.People[k])
			for stage, values := range h.Stages {
				joined.Stages[stage][k] = max(joined.Stages[stage][k], values[k])
			}
		}
	}
	return joined
}
