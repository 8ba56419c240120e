// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// Validate reports all errors at once, each with its key and what to write instead.
func (c *Config) Validate() error {
	errs := c.errors()
	return errors.Join(append(errs, c.validateProfiles(errs)...)...)
}

// errors returns the errors of everything but the profiles.
func (c *Config) errors() []error {
	return slices.Concat(
		within("watch", validateWatch(c.Watch)),
		within("output", c.Output.validate()),
		within("retry", validateRetry(c.Retry)),
		within("detector", c.Detector.validate()),
		within("pose", c.Pose.validate()),
		within("segmentation", []error{validateModel("model", c.Segmentation.Model, models.Segmentation)}),
		within("mask", c.Mask.validate()),
		c.validateWhitelist(),
		c.validateReview(),
		c.validateRetention(),
		c.validateNotifications(),
		within("schedule", c.Schedule.validate()),
		c.validateShare(),
		within("resources", c.Resources.validate()),
		within("inference", c.Inference.validate()),
		c.validateRemoteModels(),
		within("limits", validateLimits(c.Limits)),
		within("tools", c.Tools.validate()),
		within("report", c.Report.validate()),
		within("telemetry", c.Telemetry.validate()),
		[]error{
			oneOf("recall", c.Recall, recalls),
			oneOf("on_damaged", c.OnDamaged, []OnDamaged{OnDamagedFail, OnDamagedSalvage}),
			inRange("detect_every", c.DetectEvery, 0, 1000, "the number of frames from one detection to the next; 0 adapts to "+
				"the content of the frames"),
			inRange("look_ahead", c.LookAhead, time.Millisecond, 10*time.Second,
				"a duration such as 1s; frames wait in memory for that long"),
			inRange("max_concurrent_videos", c.MaxConcurrentVideos, 1, 1024, "the number of videos processed at once"),
			inRange("max_concurrent_units", c.MaxConcurrentUnits, 0, 1024, "the number of units of a long video processed at "+
				"once; 0 means as many as keep the cores busy"),
			inRange("unit_length", c.UnitLength, time.Second, 24*time.Hour, "a duration such as 2m; long videos are divided "+
				"into units of about this length"),
		},
	)
}

// validateWhitelist refuses keys that would show people in frames for which their silhouettes are not known.
func (c *Config) validateWhitelist() (errs []error) {
	if c.Mask.Method != mask.Whitelist {
		return nil
	}
	if c.DetectEvery != 1 {
		errs = append(errs, fmt.Errorf("detect_every: %d leaves frames without silhouettes, "+
			"which mask::method: whitelist needs: write 1, or remove it", c.DetectEvery))
	}
	if c.Mask.Shape == mask.NoseDisc {
		errs = append(errs, errors.New("mask::shape: nose_disc is for comparison and does not work with "+
			"mask::method: whitelist: write ellipse, or remove it"))
	}
	return errs
}

func validateWatch(c watch.Config) []error {
	errs := []error{
		inRange("poll_interval", c.PollInterval, 10*time.Millisecond, time.Hour, "a duration such as 1s"),
		inRange("stable_for", c.StableFor, 0, 24*time.Hour, "a duration such as 3s"),
	}
	if len(c.Include) == 0 {
		errs = append(errs, errors.New("include: is required: list the files to process, such as [videos/incoming/*]"))
	}
	return append(append(errs, validatePatterns("include", c.Include)...), validatePatterns("exclude", c.Exclude)...)
}

func validatePatterns(key string, patterns []string) (errs []error) {
	for _, pattern := range patterns {
		if err := watch.ValidatePattern(pattern); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	return errs
}

func validateRetry(c watch.Retry) []error {
	return []error{
		inRange("initial_interval", c.InitialInterval, time.Millisecond, 24*time.Hour,
			"the wait after the first attempt, such as 10s"),
		inRange("max_interval", c.MaxInterval, max(time.Millisecond, c.InitialInterval), 7*24*time.Hour,
			"the longest wait, at least initial_interval, such as 30m"),
		inRange("max_attempts", c.MaxAttempts, 1, 1000, "the number of attempts for a file; 1 never retries"),
	}
}

func validateLimits(c media.Limits) []error {
	return []error{
		inRange("width", c.MaxWidth, 16, 65535, "the widest frame in pixels"),
		inRange("height", c.MaxHeight, 16, 65535, "the tallest frame in pixels"),
		inRange("pixels", c.MaxPixels, 256, 1<<32, "the largest area of a frame"),
		inRange("duration", c.MaxDuration, time.Second, 365*24*time.Hour, "the longest video, such as 48h"),
		inRange("frame_rate", c.MaxFrameRate, 1, 1e6, "in frames per second"),
		inRange("frames", c.MaxFrames, 1, 1<<40, "the most frames in a video"),
		inRange("streams", c.MaxStreams, 1, 1000, "the most streams of any kind in a file"),
		inRange("probe_timeout", c.ProbeTimeout, time.Second, time.Hour,
			"the longest time to read a file's headers, such as 1m"),
		inRange("cpu_time", c.MaxCPUTime, time.Second, 365*24*time.Hour,
			"the CPU time of ffmpeg for one video, such as 336h"),
		inRange("memory", c.MaxMemory, 256, 1<<30, "in MiB"),
		inRange("output_size", c.MaxOutput, 1, 1<<30, "in MiB"),
	}
}

// within prefixes the key of each error with the name of the block.
func within(block string, errs []error) []error {
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("%s::%w", block, err)
		}
	}
	return errs
}

func oneOf[T ~string](key string, value T, allowed []T) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	names := make([]string, len(allowed))
	for i, name := range allowed {
		names[i] = string(name)
	}
	return fmt.Errorf("%s: %q is not known: use one of %s", key, value, strings.Join(names, ", "))
}

// inRange refuses NaN and anything outside least..most.
func inRange[T int | int64 | float64 | time.Duration](key string, value, least, most T, meaning string) error {
	if value >= least && value <= most {
		return nil
	}
	return fmt.Errorf("%s: %v is out of range: write %v to %v (%s)", key, value, least, most, meaning)
}
