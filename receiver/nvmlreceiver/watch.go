// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
)

// Waits of the watcher. It cannot be woken while it waits for an event, and so it outlives a shutdown by eventWait at most;
// the shutdown does not wait for it.
const (
	eventWait  = 5 * time.Second
	watchPause = 10 * time.Second // after a failure
)

// gpuEvent is an event with the GPU that it happened to. gpu is zero where the driver does not say which.
type gpuEvent struct {
	driver.Event
	gpu  foundGPU
	gen  *generation
	at   time.Time
	lost bool // the GPU was lost; Event is empty
}

// watch hands events to every onEvent, until the session is shut down.
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

// pause waits, and is false if the session was shut down meanwhile.
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

// watchGeneration returns when gen is stale, when the driver has no events, and at the shutdown.
func (s *session) watchGeneration(gen *generation) {
	set, err := s.register(gen)
	if err != nil {
		s.once.say(problem{what: "events", code: driver.CodeOf(err)}, func() {
			s.logger.Info("the driver gives no events (XID and others)", zap.Error(err))
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
			s.hand(gen, gpuEvent{Event: event})
		case code == driver.Timeout:
		case code.Void():
			s.hand(gen, gpuEvent{lost: true})
			s.renew(gen)
			return
		default:
			s.once.say(problem{what: "wait", code: code}, func() {
				s.logger.Warn("waiting for GPU events", zap.Error(err))
			})
			return
		}
	}
}

// register makes an event set of every GPU that has events.
func (s *session) register(gen *generation) (driver.EventSet, error) {
	set, err := s.lib.NewEventSet()
	if err != nil {
		return nil, err
	}
	registered := false
	for _, gpu := range gen.gpus {
		if err = set.Register(gpu.device, driver.EventsCritical); err == nil {
			registered = true
		}
	}
	if !registered {
		_ = set.Close()
		return nil, err
	}
	return set, nil
}

func (s *session) hand(gen *generation, event gpuEvent) {
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
