// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/edits"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// WatchOptions returns the watcher's options for a configuration.
func WatchOptions(cfg *config.Config, logger *zap.Logger) watch.Options {
	return watch.Options{
		Config:          cfg.Watch,
		OutputDirectory: cfg.Output.Directory,
		StateDirectory:  cfg.Output.StateDirectory,
		OutputName:      cfg.Output.FileName,
		Companions:      func(output string) []string { return companionPaths(cfg, output) },
		Workers:         cfg.MaxConcurrentVideos,
		OnSuccess:       cfg.Output.OnSuccess,
		MoveTo:          cfg.Output.MoveTo,
		FileMode:        cfg.Output.Mode(),

		QuarantineDirectory: cfg.Output.QuarantineDirectory,
		Retry:               cfg.Retry,
		Logger:              logger,
	}
}

// companionPaths returns the files that may accompany an output. An approval or edits that outlive their output would
// be taken for another's.
func companionPaths(cfg *config.Config, output string) []string {
	paths := CompanionPaths(cfg.Report, output)
	if cfg.Console != nil {
		paths = append(paths, audit.ApprovalPath(output), edits.Path(output))
	}
	return paths
}

// TelemetryOptions returns the emitter's options for a configuration.
func TelemetryOptions(cfg *config.Config) telemetry.Options {
	return telemetry.Options{
		ServiceName:        cfg.Telemetry.ServiceName,
		ResourceAttributes: cfg.Telemetry.ResourceAttributes,
		SpanAttributes:     cfg.Telemetry.SpanAttributes,
		BatchSize:          cfg.Telemetry.BatchSize,
		BatchInterval:      cfg.Telemetry.BatchInterval,
		MaxWait:            cfg.Telemetry.MaxWait,
		MetricsInterval:    cfg.Telemetry.MetricsInterval,
		Metrics:            cfg.Metrics,
		TraceRatio:         cfg.Inference.Remote.TraceRatio,
	}
}
