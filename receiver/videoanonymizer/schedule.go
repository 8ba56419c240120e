// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/schedule"
)

// schedule returns the schedule that decides when videos are processed, or nil if they always are. The schedule calls
// hold with the reason why they are not, or with an empty string once they are, and whether to suspend videos in
// progress.
func (r *videoReceiver) schedule(hold func(why string, suspend bool)) *schedule.Schedule {
	cfg := &r.cfg.Schedule
	options := schedule.Options{
		Hours:          cfg.Spans(),
		PauseOnBattery: cfg.OnBattery == config.OnBatteryPause,
		MaxOthers:      cfg.MaxOthers,
		Hold:           func(why string) { hold(why, cfg.Running == config.RunningSuspend) },
		Logger:         r.set.Logger,
	}
	if !options.Any() {
		return nil
	}
	return schedule.New(options)
}
