// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/scraper/scraperhelper"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/metadata"
)

// Config is the configuration of the receiver. The README describes every key.
type Config struct {
	Controller scraperhelper.ControllerConfig `mapstructure:",squash"`
	Builder    metadata.MetricsBuilderConfig  `mapstructure:",squash"`
	Events     metadata.EventsConfig          `mapstructure:"events"`

	// OnMissingDriver selects what happens on a computer without an NVIDIA driver.
	OnMissingDriver MissingDriverPolicy `mapstructure:"on_missing_driver"`
	// LibraryPath is the path of libnvidia-ml.so.1; if empty, the dynamic linker looks for it.
	LibraryPath string `mapstructure:"library_path"`
	// Console is the ID of the extension that shows the GPUs in a console. If nil, no console shows them.
	Console *component.ID `mapstructure:"console"`
	// ProcessCommandLine adds the command line to process metrics. Command lines can contain secrets.
	ProcessCommandLine bool `mapstructure:"process_command_line"`

	_ struct{}
}

// MissingDriverPolicy selects what happens on a computer without an NVIDIA driver.
type MissingDriverPolicy string

const (
	// MissingDriverIgnore logs the missing driver once, and checks again periodically.
	MissingDriverIgnore MissingDriverPolicy = "ignore"
	// MissingDriverFail keeps the collector from starting.
	MissingDriverFail MissingDriverPolicy = "fail"
)

// Validate checks the receiver's own keys; the collector validates the embedded parts.
func (c *Config) Validate() error {
	switch c.OnMissingDriver {
	case MissingDriverIgnore, MissingDriverFail:
		return nil
	}
	return fmt.Errorf("on_missing_driver: %q is not valid; use %q or %q",
		c.OnMissingDriver, MissingDriverIgnore, MissingDriverFail)
}

// checkLibrary returns an error if the library is required but missing. It leaves a name without a directory to the
// dynamic linker.
func (c *Config) checkLibrary() error {
	if c.OnMissingDriver != MissingDriverFail || !strings.ContainsRune(c.LibraryPath, filepath.Separator) {
		return nil
	}
	if _, err := os.Stat(c.LibraryPath); err != nil {
		return fmt.Errorf("library_path: %w (to start without a driver, set on_missing_driver: ignore)", err)
	}
	return nil
}
