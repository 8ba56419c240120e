// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/scraper/scraperhelper"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/metadata"
)

// NewFactory creates a factory for the NVML receiver.
func NewFactory() receiver.Factory { return newFactory(driver.New) }

// newFactory creates a factory whose receivers access the driver through newLibrary(library_path).
func newFactory(newLibrary func(path string) driver.Library) receiver.Factory {
	f := &factory{newLibrary: newLibrary, sessions: map[*Config]*session{}}
	return receiver.NewFactory(metadata.Type, createDefaultConfig,
		receiver.WithMetrics(f.createMetrics, metadata.MetricsStability),
		receiver.WithLogs(f.createLogs, metadata.LogsStability))
}

func createDefaultConfig() component.Config {
	controller := scraperhelper.NewDefaultControllerConfig()
	controller.CollectionInterval = 10 * time.Second
	controller.Timeout = 5 * time.Second
	return &Config{
		Controller:      controller,
		Builder:         metadata.DefaultMetricsBuilderConfig(),
		Events:          metadata.DefaultEventsConfig(),
		OnMissingDriver: MissingDriverIgnore,
	}
}

// factory lets the metrics and logs receivers of one configuration share a session.
type factory struct {
	newLibrary func(path string) driver.Library

	mu       sync.Mutex
	sessions map[*Config]*session
}

// session returns the session of a configuration. It rejects a configuration that cannot start, as far as that can be
// checked without the driver: the collector's validate command creates every component but starts none.
func (f *factory) session(config *Config, settings receiver.Settings) (*session, error) {
	if err := config.checkLibrary(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sessions[config]
	if s == nil {
		s = newSession(f.newLibrary(config.LibraryPath), settings.Logger)
		f.sessions[config] = s
	}
	return s, nil
}

func (f *factory) forget(config *Config) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.sessions, config)
}

func (f *factory) createMetrics(
	_ context.Context, settings receiver.Settings, c component.Config, next consumer.Metrics,
) (receiver.Metrics, error) {
	config := c.(*Config)
	session, err := f.session(config, settings)
	if err != nil {
		return nil, err
	}
	return newMetricsReceiver(config, settings, session, next, func() { f.forget(config) })
}

func (f *factory) createLogs(
	_ context.Context, settings receiver.Settings, c component.Config, next consumer.Logs,
) (receiver.Logs, error) {
	config := c.(*Config)
	session, err := f.session(config, settings)
	if err != nil {
		return nil, err
	}
	return newLogsReceiver(config, settings, session, next, func() { f.forget(config) })
}
