// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/resources"
)

// Resources limits what the collector takes of a machine that others use, too.
type Resources struct {
	// CPUs is how many CPUs the collector and its child processes run on; 0 means all that they may use.
	CPUs int `mapstructure:"cpus"`
	// Nice is their minimum nice value, 0 to 19.
	Nice int `mapstructure:"nice"`
	// IOClass is their I/O scheduling class: unchanged, best_effort or idle.
	IOClass IOClass `mapstructure:"io_class"`
	// IOPriority is their priority in the class best_effort, 0 (first) to 7 (last).
	IOPriority int `mapstructure:"io_priority"`

	_ struct{}
}

// IOClass is an I/O scheduling class.
type IOClass string

// The values of IOClass.
const (
	IOUnchanged  IOClass = "unchanged"
	IOBestEffort IOClass = "best_effort"
	IOIdle       IOClass = "idle"
)

const (
	defaultIOPriority = 4 // the kernel's
	lastIOPriority    = 7
)

func defaultResources() Resources {
	return Resources{IOClass: IOUnchanged, IOPriority: defaultIOPriority}
}

// Limits returns the limits to apply. The configuration must be valid.
func (c *Resources) Limits() resources.Limits {
	l := resources.Limits{CPUs: c.CPUs, Nice: c.Nice}
	switch c.IOClass {
	case IOBestEffort:
		l.IO = resources.IO{Class: resources.BestEffort, Priority: c.IOPriority}
	case IOIdle:
		l.IO = resources.IO{Class: resources.Idle}
	}
	return l
}

func (c *Resources) validate() []error {
	errs := []error{
		inRange("cpus", c.CPUs, 0, 4096, "how many CPUs may be used, as a whole number; 0 for all"),
		inRange("nice", c.Nice, 0, 19, "19 gives way to all other programs"),
		oneOf("io_class", c.IOClass, []IOClass{IOUnchanged, IOBestEffort, IOIdle}),
		inRange("io_priority", c.IOPriority, 0, lastIOPriority, "0 goes first, 7 last"),
	}
	if c.IOPriority != defaultIOPriority && c.IOClass != IOBestEffort {
		errs = append(errs, errors.New("io_priority: has an effect only with io_class: best_effort: set that, or "+
			"remove it"))
	}
	return errs
}
