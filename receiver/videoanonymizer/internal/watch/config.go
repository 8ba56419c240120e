// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
)

// Config says which files are taken, and when.
type Config struct {
	// Include are glob patterns of the files to take; ** stands for any number of folders. A pattern without wildcards
	// names one file, or a folder whose files are taken. Relative patterns start at the working directory. Required.
	Include []string `mapstructure:"include"`
	// Exclude are glob patterns of files to leave alone although Include matches them. A pattern without a slash is
	// compared with the file's name alone.
	Exclude []string `mapstructure:"exclude"`
	// Recursive takes files in the folders below those that Include names, too.
	Recursive bool `mapstructure:"recursive"`
	// PollInterval is the time between two looks at the folders.
	PollInterval time.Duration `mapstructure:"poll_interval"`
	// StableFor is how long size, times and inode of a file must stay as they are before it counts as complete. On
	// local disks a file that another process has open for writing is waited for, however long that takes.
	StableFor time.Duration `mapstructure:"stable_for"`

	_ struct{}
}

// NewDefaultConfig gives the defaults. Include is left to the operator.
func NewDefaultConfig() Config {
	return Config{PollInterval: time.Second, StableFor: 3 * time.Second}
}

// Validate reports every error, each with its key and what to write instead.
func (c *Config) Validate() error {
	var errs []error
	if len(c.Include) == 0 {
		errs = append(errs, errors.New("include: is required: list the files to take, such as [videos/incoming/*]"))
	}
	for _, pattern := range c.Include {
		errs = append(errs, validatePattern("include", pattern))
	}
	for _, pattern := range c.Exclude {
		errs = append(errs, validatePattern("exclude", pattern))
	}
	if c.PollInterval < minPollInterval || c.PollInterval > maxPollInterval {
		errs = append(errs, fmt.Errorf("poll_interval: %v is out of range: write %v to %v, such as 1s", c.PollInterval, minPollInterval, maxPollInterval))
	}
	if c.StableFor < 0 || c.StableFor > maxStableFor {
		errs = append(errs, fmt.Errorf("stable_for: %v is out of range: write 0s to %v, such as 3s", c.StableFor, maxStableFor))
	}
	return errors.Join(errs...)
}

const (
	minPollInterval = 10 * time.Millisecond
	maxPollInterval = time.Hour
	maxStableFor    = 24 * time.Hour
)

func validatePattern(key, pattern string) error {
	switch {
	case pattern == "":
		return fmt.Errorf("%s: a pattern is empty: write a path such as videos/incoming/*", key)
	case strings.ContainsRune(pattern, 0):
		return fmt.Errorf("%s: %q holds a NUL byte, which no path can: remove it", key, pattern)
	case !doublestar.ValidatePattern(pattern):
		return fmt.Errorf("%s: %q is not a valid pattern: close its brackets, or put \\ before those that belong to a name", key, pattern)
	case slashInBraces(pattern):
		return fmt.Errorf("%s: %q has a slash within braces: write a pattern for each alternative", key, pattern)
	}
	_, rest := doublestar.SplitPattern(pattern)
	if slices.Contains(strings.Split(rest, "/"), "..") {
		return fmt.Errorf("%s: %q has .. at its end or after a wildcard: write the path without it", key, pattern)
	}
	return nil
}

// slashInBraces tells whether alternatives span folders, which a folder by folder walk cannot follow.
func slashInBraces(pattern string) bool {
	depth := 0
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '\\':
			i++
		case '{':
			depth++
		case '}':
			depth--
		case '/':
			if depth > 0 {
				return true
			}
		}
	}
	return false
}

// OnSuccess is what becomes of a source once its output stands and is recorded.
type OnSuccess string

// The values of OnSuccess. The empty string is OnSuccessKeep.
const (
	OnSuccessKeep   OnSuccess = "keep"
	OnSuccessMove   OnSuccess = "move"
	OnSuccessDelete OnSuccess = "delete"
)

// Retry says how a video is tried again after a cause that may pass, such as a full disk.
type Retry struct {
	// InitialInterval is the wait after the first failed attempt; it doubles with each further one up to MaxInterval.
	InitialInterval time.Duration `mapstructure:"initial_interval"`
	MaxInterval     time.Duration `mapstructure:"max_interval"`
	// MaxAttempts is how often a file is tried before it is given up until it changes, or, where the collector survived
	// the attempts, until the collector restarts. Attempts in which the collector died count.
	MaxAttempts int `mapstructure:"max_attempts"`

	_ struct{}
}

// DefaultRetry spreads ten attempts over about 100 minutes.
var DefaultRetry = Retry{InitialInterval: 10 * time.Second, MaxInterval: 30 * time.Minute, MaxAttempts: 10}
