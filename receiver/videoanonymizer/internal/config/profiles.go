// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"go.opentelemetry.io/collector/confmap"
)

// Profile overrides keys of the receiver's configuration for some of the videos.
type Profile struct {
	// Name appears in reports and telemetry.
	Name string `mapstructure:"name"`
	// Include are globs for paths below the watched folder, or for absolute paths. A glob without a slash matches the name
	// only.
	Include []string `mapstructure:"include"`
	// Keys are the receiver's keys with the values for this profile.
	Keys map[string]any `mapstructure:",remain"`

	config *Config // with these keys; nil if nothing was read

	_ struct{}
}

// profileKeys are the keys that a profile may have. When and where videos are processed is up to the receiver.
var profileKeys = []string{"recall", "detect_every", "look_ahead", "detector", "pose", "segmentation", "mask",
	"on_damaged", "output"}

// profileOutputKeys are the keys that a profile may have in output.
var profileOutputKeys = []string{"codec", "pixel_format", "quality", "webp_quality", "jpeg_quality", "preset", "audio",
	"keep"}

// For returns the configuration for a source: that of the first profile that includes it, or else the receiver's own.
// rel is the path below the watched folder.
func (c *Config) For(source, rel string) *Config {
	for i := range c.Profiles {
		if p := &c.Profiles[i]; p.includes(source, rel) {
			return c.with(p)
		}
	}
	as := *c
	as.Profiles = nil
	return &as
}

// Profiled returns the configurations of all profiles.
func (c *Config) Profiled() (all []*Config) {
	for i := range c.Profiles {
		all = append(all, c.with(&c.Profiles[i]))
	}
	return all
}

// Profile returns the name of the profile whose configuration this is, or "" for the receiver's own.
func (c *Config) Profile() string { return c.profile }

// with returns the configuration with the profile's keys.
func (c *Config) with(p *Profile) *Config {
	as, from := *c, p.config
	as.Profiles, as.profile = nil, p.Name
	if from == nil {
		return &as
	}
	as.Recall, as.DetectEvery, as.LookAhead, as.thorough = from.Recall, from.DetectEvery, from.LookAhead, from.thorough
	as.Detector, as.Pose, as.Segmentation, as.Mask = from.Detector, from.Pose, from.Segmentation, from.Mask
	as.OnDamaged = from.OnDamaged
	o := &from.Output
	as.Output.Codec, as.Output.PixelFormat, as.Output.Quality = o.Codec, o.PixelFormat, o.Quality
	as.Output.WebPQuality, as.Output.JPEGQuality = o.WebPQuality, o.JPEGQuality
	as.Output.Preset, as.Output.Audio, as.Output.Keep = o.Preset, o.Audio, o.Keep
	return &as
}

func (p *Profile) includes(source, rel string) bool {
	return slices.ContainsFunc(p.Include, func(pattern string) bool {
		name := rel
		switch {
		case path.IsAbs(pattern):
			name = source
		case !strings.Contains(pattern, "/"):
			name = path.Base(rel)
		}
		matches, _ := doublestar.Match(pattern, name)
		return matches
	})
}

// readProfiles reads the receiver's configuration once more for each profile, with its keys. before is what the
// configuration was before it was read.
func (c *Config) readProfiles(conf *confmap.Conf, before *Config) error {
	var errs []error
	for i := range c.Profiles {
		p := &c.Profiles[i]
		merged := confmap.NewFromStringMap(conf.ToStringMap())
		merged.Delete("profiles")
		keys := maps.Clone(p.Keys)
		maps.DeleteFunc(keys, func(key string, _ any) bool { return !slices.Contains(profileKeys, key) }) // Validate refuses
		if err := merged.Merge(confmap.NewFromStringMap(keys)); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.key(i), err))
			continue
		}
		read := *before
		if err := read.read(merged); err != nil {
			errs = append(errs, within(p.key(i), explained(err, nil))...)
			continue
		}
		p.config = &read
	}
	if len(errs) == 0 {
		return nil
	}
	return undecoded(errs)
}

// key returns how errors name the profile.
func (p *Profile) key(i int) string {
	if p.Name == "" {
		return fmt.Sprintf("profiles[%d]", i)
	}
	return "profiles[" + p.Name + "]"
}

var profileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// validateProfiles reports the errors of the profiles themselves and of the resulting configurations, except those that
// are among own, the errors of the receiver's own configuration.
func (c *Config) validateProfiles(own []error) (errs []error) {
	known := map[string]bool{}
	for _, err := range own {
		if err != nil {
			known[err.Error()] = true
		}
	}
	names := map[string]bool{}
	for i := range c.Profiles {
		p := &c.Profiles[i]
		problems := p.validate()
		if names[p.Name] {
			problems = append(problems, fmt.Errorf("name: %s is used twice: choose another name", p.Name))
		}
		names[p.Name] = true
		if p.config != nil {
			for _, err := range c.with(p).errors() {
				if err != nil && !known[err.Error()] {
					problems = append(problems, err)
				}
			}
		}
		errs = append(errs, within(p.key(i), problems)...)
	}
	return errs
}

func (p *Profile) validate() (errs []error) {
	if !profileName.MatchString(p.Name) {
		errs = append(errs, fmt.Errorf("name: %q is not a valid name: write letters, digits, _, . and -, such as ward",
			p.Name))
	}
	if len(p.Include) == 0 {
		errs = append(errs, errors.New("include: is required: list paths below the watched folder, such as [ward/**]"))
	}
	for _, pattern := range p.Include {
		if pattern == "" || !doublestar.ValidatePattern(pattern) {
			errs = append(errs, fmt.Errorf("include: %q is not a valid pattern: write one such as ward/** or *.mkv", pattern))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(p.Keys)) {
		if !slices.Contains(profileKeys, key) {
			errs = append(errs, fmt.Errorf("%s: profiles cannot set it: use %s", key, strings.Join(profileKeys, ", ")))
		}
	}
	if output, ok := p.Keys["output"].(map[string]any); ok {
		for _, key := range slices.Sorted(maps.Keys(output)) {
			if !slices.Contains(profileOutputKeys, key) {
				errs = append(errs, fmt.Errorf("output::%s: profiles cannot set it: use %s", key,
					strings.Join(profileOutputKeys, ", ")))
			}
		}
	}
	return errs
}
