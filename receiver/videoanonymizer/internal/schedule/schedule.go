// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"
)

// Options configure when videos are processed.
type Options struct {
	// Hours are the spans in which videos are processed. Without any, they always are.
	Hours []Span
	// PauseOnBattery pauses while no power supply is connected.
	PauseOnBattery bool
	// MaxOthers is the share (0 to 1) of all processors that other programs may use; 0 means no limit.
	MaxOthers float64
	// Hold is called with the reason why videos are not processed, or empty if they are, whenever it changes.
	Hold   func(why string)
	Logger *zap.Logger
}

// Any reports whether there is anything to check.
func (o *Options) Any() bool { return len(o.Hours) > 0 || o.PauseOnBattery || o.MaxOthers > 0 }

// Schedule checks regularly whether videos may be processed.
type Schedule struct {
	Options
	machine machine
	now     func() time.Time
	why     string
	load    load
}

// New returns a schedule that has not checked anything yet.
func New(opts Options) *Schedule {
	return &Schedule{Options: opts, machine: machine{"/proc", "/sys"}, now: time.Now}
}

// lookInterval is the time between two checks.
const lookInterval = 10 * time.Second

// Run calls Look regularly until the context ends.
func (s *Schedule) Run(ctx context.Context) {
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for {
		s.Look()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Look checks once, and calls Hold if the result has changed.
func (s *Schedule) Look() {
	why := s.reason()
	if why == s.why {
		return
	}
	s.why = why
	if why == "" {
		s.Logger.Info("videos are processed again (schedule)")
	} else {
		s.Logger.Info("no videos are processed (schedule)", zap.String("why", why))
	}
	s.Hold(why)
}

// The reasons why videos are not processed.
const (
	outsideHours = "it is outside the hours of schedule::hours"
	onBattery    = "the machine is running on battery (schedule::on_battery)"
	othersWork   = "other programs use more of the processors than schedule::max_others"
)

func (s *Schedule) reason() string {
	now := s.now()
	busy := s.MaxOthers > 0 && s.load.tooHigh(s, now)
	switch {
	case len(s.Hours) > 0 && !slices.ContainsFunc(s.Hours, func(h Span) bool { return h.Includes(now) }):
		return outsideHours
	case s.PauseOnBattery && s.machine.onBattery():
		return onBattery
	case busy:
		return othersWork
	}
	return ""
}

// load tracks how much of the processors other programs use.
type load struct {
	readings []reading // of the last loadWindow, the oldest first
	high     bool
	failed   string
}

type reading struct {
	at time.Time
	cpu
}

const (
	// loadWindow is the time over which the load is averaged.
	loadWindow = time.Minute
	// loadAgain is the share of MaxOthers to which the load must fall before videos are processed again, so that
	// processing does not keep switching on and off.
	loadAgain = 0.8
)

// tooHigh measures the load and reports whether it is too high. A load that cannot be read is not too high.
func (l *load) tooHigh(s *Schedule, now time.Time) bool {
	c, err := s.machine.cpu()
	if err != nil {
		if text := fmt.Sprint(err); text != l.failed {
			l.failed = text
			s.Logger.Warn("the load of other programs cannot be read: schedule::max_others has no effect", zap.Error(err))
		}
		return false
	}
	l.readings = append(l.readings, reading{now, c})
	for len(l.readings) > 2 && now.Sub(l.readings[1].at) >= loadWindow {
		l.readings = l.readings[1:]
	}
	if now.Sub(l.readings[0].at) < loadWindow {
		return l.high // not known yet
	}
	share := others(l.readings[0].cpu, c)
	if l.high {
		l.high = share > loadAgain*s.MaxOthers
	} else {
		l.high = share > s.MaxOthers
	}
	return l.high
}
