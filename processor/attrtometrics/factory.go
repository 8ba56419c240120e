// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package attrtometrics // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics"

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/otel/attribute"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/engine"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/metadata"
)

// NewFactory returns the factory of the processor.
func NewFactory() processor.Factory {
	return processor.NewFactory(metadata.Type, createDefaultConfig,
		processor.WithTraces(createTraces, metadata.TracesStability))
}

// NewConnectorFactory returns the factory of the connector. The collector builder takes it from the package connector.
func NewConnectorFactory() connector.Factory {
	return connector.NewFactory(metadata.Type, createDefaultConfig,
		connector.WithTracesToMetrics(createTracesToMetrics, metadata.TracesStability))
}

func createTraces(
	ctx context.Context, set processor.Settings, cfg component.Config, next consumer.Traces,
) (processor.Traces, error) {
	return newProcessor(ctx, set, cfg.(*Config), next)
}

func createTracesToMetrics(
	_ context.Context, set connector.Settings, cfg component.Config, next consumer.Metrics,
) (connector.Traces, error) {
	return newConnector(set, cfg.(*Config), next, time.Now)
}

// newEngine compiles the metrics of a valid cfg. It returns an error if the component's internal telemetry cannot be
// set up. That telemetry carries the kind and ID of the component, like the telemetry that the collector's helpers
// record.
func newEngine(
	cfg *Config, id attribute.KeyValue, set component.TelemetrySettings, build component.BuildInfo,
	now func() time.Time,
) (*engine.Engine, error) {
	defs, err := cfg.definitions(set)
	if err != nil {
		return nil, err
	}
	if cfg.Expiration > 0 && cfg.Expiration < cfg.ScrapeInterval {
		set.Logger.Warn("expiration is shorter than scrape_interval: series may expire before they are scraped",
			zap.Duration("expiration", cfg.Expiration), zap.Duration("scrape_interval", cfg.ScrapeInterval))
	}
	return engine.New(engine.Settings{
		Definitions:   defs,
		FlushInterval: cfg.FlushInterval,
		Expiration:    cfg.Expiration,
		ErrorMode:     cfg.ErrorMode,
		Telemetry:     set,
		Component:     id,
		Version:       build.Version,
		Now:           now,
	})
}
