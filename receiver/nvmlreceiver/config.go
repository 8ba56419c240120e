// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"fmt"

	"go.opentelemetry.io/collector/scraper/scraperhelper"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/metadata"
)

// Config of the receiver. The README describes every key.
type Config struct {
	Controller scraperhelper.ControllerConfig `mapstructure:",squash"`
	Builder    metadata.MetricsBuilderConfig  `mapstructure:",squash"`
	Events     metadata.EventsConfig          `mapstructure:"events"`

	// OnMissingDriver says what a computer without an NVIDIA driver means.
	OnMissingDriver MissingDriver `mapstructure:"on_missing_driver"`
	// LibraryPath of libnvidia-ml.so.1; empty leaves it to the dynamic linker.
	LibraryPath string `mapstructure:"library_path"`
	// ProcessCommandLine adds the command line to the metrics of processes.
	ProcessCommandLine bool `mapstructure:"process_command_line"`

	_ struct{}
}

// MissingDriver says what a computer without an NVIDIA driver means.
type MissingDriver string

const (
	// Ignore: say so once, and look again from time to time.
	Ignore MissingDriver = "ignore"
	// Fail: the collector does not start.
	Fail MissingDriver = "fail"
)

// Validate the receiver's own keys; the embedded parts are validated by themselves.
func (c *Config) Validate() error {
	switch c.OnMissingDriver {
	case Ignore, Fail:
		return nil
	}
	return fmt.Errorf("on_missing_driver: %q is not known; write %q or %q", c.OnMissingDriver, Ignore, Fail)
}
