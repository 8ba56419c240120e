// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

// Report selects the companion files of an output, which help the reviewer check it.
type Report struct {
	// Enabled writes an audit report: <output>.report.json.
	Enabled bool `mapstructure:"enabled"`
	// ContactSheet draws the weakest moments of the output: <output>.review.jpg.
	ContactSheet bool `mapstructure:"contact_sheet"`
	// Tiles is the maximum number of moments on a contact sheet.
	Tiles int `mapstructure:"tiles"`
	// Preview is none or boxes: a copy of the output with everything that was found drawn on it,
	// <name>_PREVIEW.<extension>.
	Preview Preview `mapstructure:"preview"`

	_ struct{}
}

// Preview is the kind of preview.
type Preview string

// The values of Preview.
const (
	NoPreview    Preview = "none"
	PreviewBoxes Preview = "boxes"
)

var previews = []Preview{NoPreview, PreviewBoxes}

func (c *Report) validate() []error {
	return []error{
		oneOf("preview", c.Preview, previews),
		inRange("tiles", c.Tiles, 1, 100, "the most moments that a contact sheet shows"),
	}
}
