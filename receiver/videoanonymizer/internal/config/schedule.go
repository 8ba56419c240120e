// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/schedule"
)

// Schedule controls when videos are processed on a machine that others use, too.
type Schedule struct {
	// Hours are times of the day or week, in local time, such as "mon-fri 19:00-07:00" or "sat,sun". Empty means always.
	Hours []string `mapstructure:"hours"`
	// OnBattery is work, or pause while no power supply is connected.
	OnBattery OnBattery `mapstructure:"on_battery"`
	// MaxOthers is the fraction of all processors that other programs may use, averaged over a minute; 0 means any.
	MaxOthers float64 `mapstructure:"max_others"`
	// Running is what happens to videos in progress when a pause begins: finish or suspend.
	Running Running `mapstructure:"running"`

	_ struct{}
}

// OnBattery is what to do without a power supply.
type OnBattery string

// The values of OnBattery.
const (
	OnBatteryWork  OnBattery = "work"
	OnBatteryPause OnBattery = "pause"
)

// Running is what happens to videos in progress when a pause begins.
type Running string

// The values of Running.
const (
	RunningFinish  Running = "finish"
	RunningSuspend Running = "suspend"
)

func defaultSchedule() Schedule { return Schedule{OnBattery: OnBatteryWork, Running: RunningSuspend} }

// Spans returns Hours, parsed. The configuration must be valid.
func (c *Schedule) Spans() (spans []schedule.Span) {
	for _, text := range c.Hours {
		if s, err := schedule.ParseSpan(text); err == nil {
			spans = append(spans, s)
		}
	}
	return spans
}

func (c *Schedule) validate() []error {
	errs := []error{
		oneOf("on_battery", c.OnBattery, []OnBattery{OnBatteryWork, OnBatteryPause}),
		oneOf("running", c.Running, []Running{RunningFinish, RunningSuspend}),
		inRange("max_others", c.MaxOthers, 0, 1, "the share of all processors that other programs may use, such as 0.5; "+
			"0 means any"),
	}
	for _, text := range c.Hours {
		if _, err := schedule.ParseSpan(text); err != nil {
			errs = append(errs, fmt.Errorf("hours: %q: %w: write 22:00-06:00, mon-fri 19:00-07:00, or sat,sun, for example",
				text, err))
		}
	}
	return errs
}
