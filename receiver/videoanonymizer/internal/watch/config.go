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

// Config selects the files to process. The receiver's configuration validates it.
type Config struct {
	// Include holds glob patterns of the files to process; ** matches any number of folders. A pattern without wildcards
	// names one file, or a folder whose files are processed. Relative patterns start at the working directory. Files that
	// are not videos by their extension, such as the .thm and .xml files of cameras, are processed only if a pattern names
	// that extension. Required.
	Include []string `mapstructure:"include"`
	// Exclude holds glob patterns of files to ignore even if Include matches them. A pattern without a slash is compared
	// with the file's name alone.
	Exclude []string `mapstructure:"exclude"`
	// Pictures makes patterns that do not name an extension include still pictures, too.
	Pictures bool `mapstructure:"pictures"`
	// Recursive also processes files in the folders below those that Include names.
	Recursive bool `mapstructure:"recursive"`
	// PollInterval is the time between two scans of the folders.
	PollInterval time.Duration `mapstructure:"poll_interval"`
	// StableFor is how long a file's size, times and inode must stay unchanged before it counts as complete. A file that a
	// process has open for writing is never complete. If that cannot be determined (a file of another user, a network
	// share), and inotify did not see the file being closed, it must stay unchanged ten times as long (at most ten minutes
	// longer), and at least 30 seconds. A source is moved or deleted only after it has stayed unchanged ten times as long
	// once more, counted from its outcome.
	StableFor time.Duration `mapstructure:"stable_for"`

	_ struct{}
}

// NewDefaultConfig returns the defaults. Include has no default.
func NewDefaultConfig() Config {
	return Config{Pictures: true, PollInterval: time.Second, StableFor: 3 * time.Second}
}

// Folders returns the folder of each Include pattern, up to the first wildcard.
func (c *Config) Folders() []string {
	var folders []string
	for _, pattern := range c.Include {
		folder, _ := doublestar.SplitPattern(pattern)
		folders = append(folders, folder)
	}
	return folders
}

// ValidatePattern returns an error that says what is wrong with a pattern of Include or Exclude, and what to write
// instead.
func ValidatePattern(pattern string) error {
	switch {
	case pattern == "":
		return errors.New("a pattern is empty: write a path such as videos/incoming/*")
	case strings.ContainsRune(pattern, 0):
		return fmt.Errorf("%q contains a NUL byte, which no path can: remove it", pattern)
	case !doublestar.ValidatePattern(pattern):
		return fmt.Errorf("%q is not a valid pattern: close its brackets, or put \\ before those that belong to a name",
			pattern)
	case slashInBraces(pattern):
		return fmt.Errorf("%q has a slash within braces: write a pattern for each alternative", pattern)
	}
	_, rest := doublestar.SplitPattern(pattern)
	if slices.Contains(strings.Split(rest, "/"), "..") {
		return fmt.Errorf("%q has .. at its end or after a wildcard: write the path without it", pattern)
	}
	return nil
}

// slashInBraces reports whether alternatives span folders, which a scan of one folder at a time cannot match.
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

// OnSuccess is what happens to a source once its output is published and recorded, and the source has stayed unchanged
// for a while longer.
type OnSuccess string

// The values of OnSuccess. The empty string is OnSuccessKeep.
const (
	OnSuccessKeep   OnSuccess = "keep"
	OnSuccessMove   OnSuccess = "move"
	OnSuccessDelete OnSuccess = "delete"
)

// Retry configures how a video is retried after a failure that may be temporary, such as a full disk. The receiver's
// configuration validates it.
type Retry struct {
	// InitialInterval is the wait after the first failed attempt. It doubles with each further attempt, up to MaxInterval.
	InitialInterval time.Duration `mapstructure:"initial_interval"`
	MaxInterval     time.Duration `mapstructure:"max_interval"`
	// MaxAttempts is how often a file is tried before it counts as failed. It then stays failed until it changes or, if
	// the collector survived the last attempt, until the collector restarts. Attempts in which the collector died count.
	MaxAttempts int `mapstructure:"max_attempts"`

	_ struct{}
}

// DefaultRetry spreads ten attempts over about 72 minutes.
var DefaultRetry = Retry{InitialInterval: 10 * time.Second, MaxInterval: 30 * time.Minute, MaxAttempts: 10}
