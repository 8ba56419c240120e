// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/confine"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// Tools gives the paths of the programs that decode and encode, and the hardware that they use. An empty path is looked
// up in PATH.
type Tools struct {
	FFmpeg  string `mapstructure:"ffmpeg"`
	FFprobe string `mapstructure:"ffprobe"`
	// Decoder is software, cuda or vaapi. One that does not work is an error, never a silent fallback.
	Decoder string `mapstructure:"decoder"`
	// VAAPIDevice is the GPU that vaapi uses, for Decoder and Output.Encoder.
	VAAPIDevice string `mapstructure:"vaapi_device"`
	// Confine is whether the programs start with next to no rights: auto (as far as the system supports it), require (or
	// not at all), or off (never).
	Confine string `mapstructure:"confine"`

	_ struct{}
}

func (c *Tools) validate() []error {
	errs := []error{
		oneOf("decoder", c.Decoder, media.Decoders()),
		oneOf("confine", c.Confine, confine.Modes()),
	}
	if !filepath.IsAbs(c.VAAPIDevice) || strings.ContainsAny(c.VAAPIDevice, ",\x00") {
		errs = append(errs, fmt.Errorf("vaapi_device: %q is not an absolute path without a comma: write one such as %s",
			c.VAAPIDevice, media.DefaultVAAPIDevice))
	}
	return errs
}
