// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package config is the receiver's configuration: its keys, their defaults, and their validation. Each key is validated
// here and nowhere else; the packages that use a block trust what they are given. The receiver's README.md lists every
// key.
package config

import (
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/confine"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/share"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// Config holds what an operator can set. Everything but Watch.Include and Output.Directory has a default.
type Config struct {
	// Watch selects the videos to process.
	Watch watch.Config `mapstructure:"watch"`
	// Output says where anonymized videos go and how they are encoded.
	Output Output `mapstructure:"output"`
	// Retry controls how a video is retried after a failure that may be temporary.
	Retry watch.Retry `mapstructure:"retry"`
	// Recall trades speed for recall: fast, balanced or thorough. It sets the defaults of detect_every and of keys in
	// Detector; a key that is given takes precedence.
	Recall Recall `mapstructure:"recall"`
	// Detector finds the people in a frame.
	Detector Detector `mapstructure:"detector"`
	// Pose finds the head of each person.
	Pose Pose `mapstructure:"pose"`
	// Segmentation finds the silhouette of each person, with mask::method whitelist.
	Segmentation Segmentation `mapstructure:"segmentation"`
	// Mask controls how heads are covered.
	Mask Mask `mapstructure:"mask"`
	// Inference selects what the models run on.
	Inference Inference `mapstructure:"inference"`
	// Models locates the models.
	Models Models `mapstructure:"models"`
	// Limits bounds what a file may demand; a file beyond the limits is refused.
	Limits media.Limits `mapstructure:"limits"`
	// OnDamaged is what to do with a video that does not decode completely: fail, or salvage the part that does.
	OnDamaged OnDamaged `mapstructure:"on_damaged"`
	// Tools are the programs that decode and encode.
	Tools Tools `mapstructure:"tools"`
	// DetectEvery is the number of frames from one detection to the next; positions in between are interpolated. 0 adapts
	// to the content of the frames.
	DetectEvery int `mapstructure:"detect_every"`
	// LookAhead is how long frames are held back, so that a person detected late is also masked in earlier frames.
	LookAhead time.Duration `mapstructure:"look_ahead"`
	// MaxConcurrentVideos is the number of videos processed at once.
	MaxConcurrentVideos int `mapstructure:"max_concurrent_videos"`
	// MaxConcurrentUnits is the number of units of a long video processed at once; 0 means enough to keep the cores busy.
	MaxConcurrentUnits int `mapstructure:"max_concurrent_units"`
	// UnitLength is the approximate length of the units of a long video.
	UnitLength time.Duration `mapstructure:"unit_length"`
	// Report selects the companion files of an output, which help the reviewer check it.
	Report Report `mapstructure:"report"`
	// Console is the ID of the extension in which people follow the progress and review the outputs. Nil shows nothing.
	Console *component.ID `mapstructure:"console"`
	// Review controls how outputs are reviewed in the console.
	Review Review `mapstructure:"review"`
	// Profiles override keys for some of the videos. The first profile that includes a video applies.
	Profiles []Profile `mapstructure:"profiles"`
	// Schedule controls when videos are processed.
	Schedule Schedule `mapstructure:"schedule"`
	// Resources limits what the collector takes of a machine that others use, too.
	Resources Resources `mapstructure:"resources"`
	// Share lets several machines do the work together. With nil, this machine works alone.
	Share *share.Config `mapstructure:"share"`
	// Notifications configures who is notified of what happens to videos.
	Notifications []Notification `mapstructure:"notifications"`
	// Retention controls how long the receiver keeps what it writes.
	Retention Retention `mapstructure:"retention"`
	// Telemetry configures the spans, logs and metrics.
	Telemetry Telemetry `mapstructure:"telemetry"`
	// Metrics disables individual metrics.
	Metrics metadata.MetricsConfig `mapstructure:"metrics"`

	thorough *Config  // the same input with recall: thorough; nil if nothing was read
	profile  string   // name of the profile that made it
	warnings []string // about keys that were given under a former name

	// prevent unkeyed literal initialization
	_ struct{}
}

// OnDamaged is what to do with a video that does not decode completely.
type OnDamaged string

const (
	// OnDamagedFail refuses the video.
	OnDamagedFail OnDamaged = "fail"
	// OnDamagedSalvage keeps what decodes, and reports what does not.
	OnDamagedSalvage OnDamaged = "salvage"
)

var (
	_ confmap.Validator   = (*Config)(nil)
	_ confmap.Unmarshaler = (*Config)(nil)
	_ confmap.Unmarshaler = (*Detector)(nil)
)

// Folders returns all folders of videos and outputs that the configuration names.
func (c *Config) Folders() []string {
	return append(c.Watch.Folders(), c.Output.Directory, c.Output.StatePath(), c.Output.MoveTo,
		c.Output.QuarantineDirectory, c.Review.ApprovedDirectory)
}

const defaultUnitLength = 2 * time.Minute

// Default returns a new configuration with all defaults.
func Default() *Config {
	cfg := &Config{
		Watch:        watch.NewDefaultConfig(),
		Output:       defaultOutput(),
		Retry:        watch.DefaultRetry,
		Detector:     defaultDetector(),
		Pose:         defaultPose(),
		Segmentation: Segmentation{Model: "selfie-segmentation"},
		Mask:         defaultMask(),
		Inference:    Inference{Provider: "cpu", Timeout: time.Minute, Remote: defaultRemote()},
		Tools: Tools{Decoder: media.Software, VAAPIDevice: media.DefaultVAAPIDevice,
			Confine: confine.Auto},
		LookAhead:           time.Second,
		MaxConcurrentVideos: 1,
		UnitLength:          defaultUnitLength,
		Limits:              media.DefaultLimits(),
		OnDamaged:           OnDamagedFail,
		Report:              Report{Enabled: true, ContactSheet: true, Tiles: 12, Preview: NoPreview},
		Schedule:            defaultSchedule(),
		Resources:           defaultResources(),
		Telemetry:           defaultTelemetry(),
		Metrics:             metadata.DefaultMetricsConfig(),
	}
	cfg.setRecall(Balanced)
	return cfg
}
