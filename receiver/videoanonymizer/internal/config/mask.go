// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
)

// Mask controls how heads are covered.
type Mask struct {
	// Method is heads or whitelist.
	Method mask.Method `mapstructure:"method"`
	// Shape is ellipse, circle, box or nose_disc.
	Shape mask.Shape `mapstructure:"shape"`
	// Fill is solid, mosaic or blur.
	Fill mask.Fill `mapstructure:"fill"`
	// Color is the color of a solid mask: "#rrggbb".
	Color string `mapstructure:"color"`
	// Scale multiplies the size of masks.
	Scale float64 `mapstructure:"scale"`
	// OnUncertain is what to cover of a person whose head cannot be located: head_region, whole_person or whole_frame.
	OnUncertain mask.OnUncertain `mapstructure:"on_uncertain"`
	// MaxSize bounds the width and height of masks, as a fraction of the frame's shorter side; 0 means no limit.
	MaxSize float64 `mapstructure:"max_size"`
	// Also lists what else to mask besides people: screens.
	Also []mask.Thing `mapstructure:"also"`
	// Regions are parts of the frame that are always or never masked.
	Regions []Region `mapstructure:"regions"`

	_ struct{}
}

// Region is a part of the frame that is always or never masked.
type Region struct {
	// Polygon lists the corners as [x, y], in fractions 0..1 of the frame's width and height from the upper left. Empty
	// means the whole frame.
	Polygon [][]float64 `mapstructure:"polygon"`
	// Action is mask or keep.
	Action mask.Action `mapstructure:"action"`
	// From and To are the times in the video between which the region applies. A To of 0 is the end of the video.
	From time.Duration `mapstructure:"from"`
	To   time.Duration `mapstructure:"to"`

	_ struct{}
}

func defaultMask() Mask {
	return Mask{
		Method: mask.Heads, Shape: mask.Ellipse, Fill: mask.Solid, Color: "#000000", Scale: 1, OnUncertain: mask.HeadRegion,
	}
}

// PainterOptions returns the options of the painter. The configuration must be valid.
func (c *Mask) PainterOptions() mask.Options {
	color, _ := c.rgb()
	options := mask.Options{Shape: c.Shape, Fill: c.Fill, Color: color, Scale: c.Scale, MaxSize: c.MaxSize}
	for _, r := range c.Regions {
		options.Regions = append(options.Regions, r.region())
	}
	return options
}

func (c *Mask) validate() []error {
	errs := []error{
		oneOf("method", c.Method, mask.Methods),
		oneOf("shape", c.Shape, mask.Shapes),
		oneOf("fill", c.Fill, mask.Fills),
		oneOf("on_uncertain", c.OnUncertain, mask.OnUncertainValues),
		inRange("scale", c.Scale, 0.5, 10, "1 covers the head; below 1, parts of a face may be visible"),
		inRange("max_size", c.MaxSize, 0, 1,
			"the largest mask as a fraction of the frame's shorter side; 0 means no limit"),
	}
	errs = append(errs, c.validateAlso()...)
	for i, region := range c.Regions {
		errs = append(errs, within(fmt.Sprintf("regions[%d]", i), region.validate())...)
	}
	_, err := c.rgb()
	return append(errs, err)
}

func (c *Mask) validateAlso() (errs []error) {
	for i, thing := range c.Also {
		switch {
		case thing == mask.Plates:
			errs = append(errs, errors.New("also: plates: license plates cannot be found, since no model for them has a "+
				"permissive license: mask the places where they appear with regions, or remove it"))
		case slices.Contains(c.Also[:i], thing):
			errs = append(errs, fmt.Errorf("also: %s is listed twice: remove one", thing))
		default:
			errs = append(errs, oneOf("also", thing, mask.Things))
		}
	}
	return errs
}

func (c *Mask) rgb() (mask.RGB, error) {
	digits, found := strings.CutPrefix(c.Color, "#")
	rgb, err := hex.DecodeString(digits)
	if !found || err != nil || len(rgb) != 3 {
		return mask.RGB{}, fmt.Errorf(`color: %q is not a valid color: write "#rrggbb" with quotes, such as "#000000"`,
			c.Color)
	}
	return mask.RGB{R: rgb[0], G: rgb[1], B: rgb[2]}, nil
}

func (c Region) validate() []error {
	for i, corner := range c.Polygon {
		if len(corner) != 2 {
			return []error{fmt.Errorf("polygon: corner %d has %d numbers: write [x, y]", i+1, len(corner))}
		}
	}
	return c.region().Validate()
}

// region returns the painter's form of the region. Corners must be pairs.
func (c Region) region() mask.Region {
	region := mask.Region{Action: c.Action, From: c.From, To: c.To}
	for _, corner := range c.Polygon {
		region.Polygon = append(region.Polygon, [2]float64(corner))
	}
	return region
}
