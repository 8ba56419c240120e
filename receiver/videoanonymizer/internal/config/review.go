// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"path/filepath"
)

// Review controls how outputs are reviewed in the console.
type Review struct {
	// ApprovedDirectory receives the approved outputs, and nothing else; empty for none. It requires a console.
	ApprovedDirectory string `mapstructure:"approved_directory"`
	// TwoPeople requires a second person to confirm any removal of masks.
	TwoPeople bool `mapstructure:"two_people"`

	_ struct{}
}

func (c *Config) validateReview() (errs []error) {
	r := &c.Review
	if c.Console == nil && (r.ApprovedDirectory != "" || r.TwoPeople) {
		errs = append(errs, errors.New("console: is required with review: write the ID of an anonymizer_console"))
	}
	if r.ApprovedDirectory == "" {
		return errs
	}
	approved, err := filepath.Abs(r.ApprovedDirectory)
	if err != nil {
		return append(errs, fmt.Errorf("review::approved_directory: %w", err))
	}
	output, err := filepath.Abs(c.Output.Directory)
	if err == nil && approved == output {
		errs = append(errs, fmt.Errorf("review::approved_directory: %s is output::directory, which holds all outputs: "+
			"write another one", r.ApprovedDirectory))
	}
	return errs
}
