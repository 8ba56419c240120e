// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// Shared returns the configuration of a machine in a share, which uses the share's unit length.
func (c *Config) Shared() *Config {
	as := *c
	as.UnitLength = c.Share.UnitLength
	return &as
}

// validateShare checks the block share, and that the rest of the configuration can be combined with it.
func (c *Config) validateShare() []error {
	if c.Share == nil {
		return nil
	}
	errs := within("share", c.Share.Errors())
	for _, folder := range c.Watch.Folders() {
		errs = append(errs, c.validateBelow("watch::include", folder))
	}
	errs = append(errs, c.validateBelow("output::directory", c.Output.Directory),
		c.validateBelow("output::move_to", c.Output.MoveTo),
		c.validateBelow("output::state_directory", c.Output.StatePath()))
	for _, key := range []struct {
		name string
		set  bool
		why  string
	}{
		{"review::approved_directory", c.Review.ApprovedDirectory != "", "a console shows no videos of a share"},
		{"review::two_people", c.Review.TwoPeople, "a console shows no videos of a share"},
		{"retention", c.Retention.Any(), "no machine has a journal of what is done"},
		{"notifications", len(c.Notifications) > 0, "every machine would notify; alert on the metrics instead"},
		{"output::quarantine_directory", c.Output.QuarantineDirectory != "", "sources that failed stay where they are"},
		{"retry::initial_interval", c.Retry.InitialInterval != watch.DefaultRetry.InitialInterval,
			"wait times are derived from share::lease"},
		{"retry::max_interval", c.Retry.MaxInterval != watch.DefaultRetry.MaxInterval,
			"wait times are derived from share::lease"},
		{"unit_length", c.UnitLength != defaultUnitLength, "write share::unit_length"},
	} {
		if key.set {
			errs = append(errs, fmt.Errorf("%s: cannot be combined with share: remove one of them: %s", key.name, key.why))
		}
	}
	return errs
}

// validateBelow refuses a folder that is not below the root of the share. An empty folder is not set.
func (c *Config) validateBelow(key, folder string) error {
	root := c.Share.Root
	if folder == "" || !filepath.IsAbs(root) || isBelow(real(folder), real(root)) {
		return nil
	}
	return fmt.Errorf("%s: %s is not below share::root, %s: write a folder that all machines share", key, folder, root)
}

// real returns the absolute path without symbolic links, for the part of it that exists.
func real(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		return resolved
	}
	if parent := filepath.Dir(path); parent != path {
		return filepath.Join(real(parent), filepath.Base(path))
	}
	return path
}

func isBelow(path, root string) bool {
	rel, err := filepath.Rel(root, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
