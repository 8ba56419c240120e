// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// Telemetry configures the spans, logs and metrics.
type Telemetry struct {
	// ServiceName is the resource attribute service.name.
	ServiceName string `mapstructure:"service_name"`
	// BatchSize is the number of spans forwarded at once.
	BatchSize int `mapstructure:"batch_size"`
	// BatchInterval is the maximum time that a span waits for its batch to fill.
	BatchInterval time.Duration `mapstructure:"batch_interval"`
	// MaxWait is how long a pipeline that refuses a batch may delay the video. Then the batch is dropped and counted.
	MaxWait time.Duration `mapstructure:"max_wait"`
	// MetricsInterval is the time from one set of metrics to the next.
	MetricsInterval time.Duration `mapstructure:"metrics_interval"`
	// VideoNames is how telemetry and log identify videos: by name, or by hash, a pseudonym.
	VideoNames string `mapstructure:"video_names"`
	// ResourceAttributes are added to the resource of all signals.
	ResourceAttributes map[string]any `mapstructure:"resource_attributes"`
	// SpanAttributes are added to the root span of each frame and video.
	SpanAttributes map[string]any `mapstructure:"span_attributes"`

	_ struct{}
}

// The values of Telemetry.VideoNames.
const (
	NamesAsTheyAre = "name"
	NamesHashed    = "hash"
)

func defaultTelemetry() Telemetry {
	return Telemetry{
		ServiceName:     "videoanonymizer",
		BatchSize:       1024,
		BatchInterval:   time.Second,
		MaxWait:         time.Minute,
		MetricsInterval: 10 * time.Second,
		VideoNames:      NamesAsTheyAre,
	}
}

func (c *Telemetry) validate() []error {
	errs := []error{
		inRange("batch_size", c.BatchSize, 1, 10_000, "the number of spans forwarded at once"),
		inRange("batch_interval", c.BatchInterval, 10*time.Millisecond, time.Minute, "a duration such as 1s"),
		inRange("max_wait", c.MaxWait, 0, time.Hour, "a duration such as 1m; 0 never holds a video back"),
		inRange("metrics_interval", c.MetricsInterval, 100*time.Millisecond, time.Hour, "a duration such as 10s"),
		oneOf("video_names", c.VideoNames, []string{NamesAsTheyAre, NamesHashed}),
		validateAttributes("resource_attributes", c.ResourceAttributes),
		validateAttributes("span_attributes", c.SpanAttributes),
	}
	if c.ServiceName == "" {
		errs = append(errs, errors.New("service_name: is empty: write the value of the resource attribute service.name"))
	}
	if _, twice := c.ResourceAttributes["service.name"]; twice {
		errs = append(errs, errors.New("resource_attributes: service.name is set by service_name: write it there"))
	}
	return errs
}

func validateAttributes(key string, attributes map[string]any) error {
	if _, empty := attributes[""]; empty {
		return fmt.Errorf("%s: a name is empty: remove it", key)
	}
	if err := pcommon.NewMap().FromRaw(attributes); err != nil {
		return fmt.Errorf("%s: write strings, numbers, booleans, or lists of them: %w", key, err)
	}
	return nil
}
