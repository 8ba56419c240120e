// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
)

// Waits of the watcher. The watcher cannot be woken while it waits for an event, so it outlives a shutdown by up to
// eventWait. A shutdown does not wait for it.
const (
	eventWait  = 5 * time.Second
	watchPause = 10 * time.Second // after a failure
)

// gpuEvent is an event and the GPU that it happened on. gpu is the zero value if the driver does not say which GPU.
type gpuEvent struct {
	driver.Event
	gpu  detectedGPU
	gen  *generation
	at   time.Time
	lost bool // the GPU was lost; Event is empty
}

// watch passes events to every onEvent until the session is shut down.
func (s *session) watch() {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), watchPause)
		gen, err := s.acquire(ctx)
		cancel()
		if err == nil {
			if !s.stale(gen) {
				s.watchGeneration(gen)
			}
			s.release(gen)
		}
		if !s.pause(watchPause) {
			return
		}
	}
}

// pause waits for d. It returns false early if the session is shut down.
func (s *session) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.stop:
		return false
	case <-timer.C:
		return true
	}
}

// watchGeneration passes on the events of gen. It returns when gen is stale, when the driver provides no events, or
// when the session is shut down.
func (s *session) watchGeneration(gen *generation) {
	set, err := s.register(gen)
	if err != nil {
		s.logged.do(problem{what: "events", code: driver.CodeOf(err)}, func() {
			s.logger.Info("the driver provides no GPU events such as XIDs", zap.Error(err))
		})
		return
	}
	defer set.Close()
	for !s.stale(gen) {
		event, err := set.Wait(eventWait)
		select {
		case <-s.stop:
			return
		default:
		}
		switch code := driver.CodeOf(err); {
		case code == driver.Success:
			s.setFault("events", nil)
			s.notify(gen, gpuEvent{Event: event})
		case code == driver.Timeout:
			s.setFault("events", nil)
		case code.NeedsReopen():
			if code.GPUGone() && !gen.lossNotified {
				gen.lossNotified = true
				s.notify(gen, gpuEvent{lost: true})
			}
			s.requestReopen(gen)
			return
		default:
			s.setFault("events", err)
			s.logged.do(problem{what: "wait", code: code}, func() {
				s.logger.Warn("cannot wait for GPU events", zap.Error(err))
			})
			return
		}
	}
}

// register creates an event set and registers every GPU that supports events. It returns an error if none does.
func (s *session) register(gen *generation) (driver.EventSet, error) {
	set, err := s.lib.NewEventSet()
	if err != nil {
		return nil, err
	}
	registered := false
	for _, gpu := range gen.gpus {
		if err = set.Register(gpu.device, driver.EventsCritical); err == nil {
			registered = true
			s.mu.Lock()
			s.watched[gpu.uuid] = true
			s.mu.Unlock()
		}
	}
	if !registered {
		_ = set.Close()
		return nil, err
	}
	return set, nil
}

// watches reports whether the driver has ever registered a GPU for events. If not, its number of XIDs is unknown.
func (s *session) watches(uuid string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watched[uuid]
}

func (s *session) notify(gen *generation, event gpuEvent) {
	event.gen, event.at = gen, s.now()
	for _, gpu := range gen.gpus {
		if event.Device != nil && event.Device == gpu.device {
			event.gpu = gpu
		}
	}
	for _, f := range s.onEvent {
		f(event)
	}
}
