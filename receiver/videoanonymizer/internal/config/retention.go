// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"time"

	"github.com/bmatcuk/doublestar/v4"
)

// Retention controls how long the receiver keeps what it writes; 0 means forever. It never removes sources.
type Retention struct {
	// Outputs is the age at which an output is removed, with all its companion files and its data in the console.
	Outputs time.Duration `mapstructure:"outputs"`
	// Reports is the age at which the report, contact sheet and preview of an output are removed.
	Reports time.Duration `mapstructure:"reports"`
	// Unreviewed also removes outputs, and their reports, that no reviewer has decided on in the console.
	Unreviewed bool `mapstructure:"unreviewed"`
	// Journal is the age at which the receiver forgets a source that no longer exists, if its output does not either.
	Journal time.Duration `mapstructure:"journal"`
	// Telemetry is the age at which telemetry files are removed. TelemetryFiles are globs for them.
	Telemetry      time.Duration `mapstructure:"telemetry"`
	TelemetryFiles []string      `mapstructure:"telemetry_files"`

	_ struct{}
}

// Any reports whether anything is removed by age.
func (r *Retention) Any() bool {
	return r.Outputs > 0 || r.Reports > 0 || r.Journal > 0 || r.Telemetry > 0
}

// shortestRetention catches mistakes: a shorter time is unlikely to be meant.
const shortestRetention = time.Hour

func (c *Config) validateRetention() []error {
	r := &c.Retention
	errs := []error{
		validateAge("outputs", r.Outputs), validateAge("reports", r.Reports), validateAge("journal", r.Journal),
		validateAge("telemetry", r.Telemetry),
	}
	if (r.Outputs > 0 || r.Reports > 0) && !r.Unreviewed && c.Console == nil {
		errs = append(errs, errors.New("unreviewed: nobody can decide on an output without a console, so none would be "+
			"removed: write true, or set console"))
	}
	if r.Outputs > 0 && r.Reports >= r.Outputs {
		errs = append(errs, fmt.Errorf("reports: %v has no effect, since outputs are removed at %v with their reports: "+
			"write a shorter time, or remove it", r.Reports, r.Outputs))
	}
	switch {
	case r.Telemetry > 0 && len(r.TelemetryFiles) == 0:
		errs = append(errs, errors.New("telemetry_files: is required with telemetry: list the files of the file exporter, "+
			"such as [telemetry/*.json]"))
	case r.Telemetry == 0 && len(r.TelemetryFiles) > 0:
		errs = append(errs, errors.New("telemetry_files: has no effect without telemetry: remove it, or set telemetry"))
	}
	for _, pattern := range r.TelemetryFiles {
		if pattern == "" || !doublestar.ValidatePattern(pattern) {
			errs = append(errs, fmt.Errorf("telemetry_files: %q is not a valid pattern: write one such as telemetry/*.json",
				pattern))
		}
	}
	return within("retention", errs)
}

func validateAge(key string, age time.Duration) error {
	if age == 0 {
		return nil
	}
	return inRange(key, age, shortestRetention, 100*365*24*time.Hour, "an age such as 720h, which is 30 days; 0 keeps it")
}
