// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"
	otelscraper "go.opentelemetry.io/collector/scraper"
	"go.opentelemetry.io/collector/scraper/scraperhelper"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/metadata"
)

// member is a receiver's membership in a session.
type member struct {
	session *session
	config  *Config
	host    component.Host
	started bool
	forget  func() // called when the session has ended
}

func (m *member) start(ctx context.Context, host component.Host) error {
	m.host, m.started = host, true
	return m.session.start(ctx, m, m.config.OnMissingDriver == MissingDriverFail)
}

// shutdown may be called before start, and more than once.
func (m *member) shutdown() {
	if !m.started {
		return
	}
	m.started = false
	if m.session.shutdown(m) {
		m.forget()
	}
}

type metricsReceiver struct {
	member
	id         component.ID
	controller receiver.Metrics
	stop       context.CancelFunc // cancels the scrape in progress
	shown      *shown
	detach     func() // removes the GPUs from the console
}

func newMetricsReceiver(
	config *Config, settings receiver.Settings, session *session, next consumer.Metrics, forget func(),
) (*metricsReceiver, error) {
	s := newScraper(config, settings, session)
	shown := &shown{lasts: 3 * config.Controller.CollectionInterval}
	stopped, stop := context.WithCancel(context.Background())
	scrape, err := otelscraper.NewMetrics(func(ctx context.Context) (pmetric.Metrics, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(stopped, cancel)()
		metrics, err := s.scrape(ctx)
		if config.Console != nil {
			shown.update(metrics)
		}
		return metrics, err
	})
	if err != nil {
		stop()
		return nil, err
	}
	settings.Logger = zap.NewNop() // the controller would log the error of each scrape; the session logs each cause once
	controller, err := scraperhelper.NewMetricsController(&config.Controller, settings, next,
		scraperhelper.AddMetricsScraper(metadata.Type, scrape))
	if err != nil {
		stop()
		return nil, err
	}
	return &metricsReceiver{
		member: member{session: session, config: config, forget: forget}, id: settings.ID, controller: controller,
		stop: stop, shown: shown, detach: func() {},
	}, nil
}

// Start starts scraping. It fails if the driver is missing and on_missing_driver is "fail".
func (r *metricsReceiver) Start(ctx context.Context, host component.Host) error {
	if err := r.member.start(ctx, host); err != nil {
		r.member.shutdown()
		return err
	}
	detach, err := r.shown.attach(host, r.config.Console, r.id)
	if err != nil {
		r.member.shutdown()
		return err
	}
	r.detach = detach
	return r.controller.Start(ctx, host)
}

// Shutdown cancels the scrape in progress. It does not wait for a hanging driver call.
func (r *metricsReceiver) Shutdown(ctx context.Context) error {
	r.stop()
	r.detach()
	if !r.started {
		return nil
	}
	err := r.controller.Shutdown(ctx)
	r.member.shutdown()
	return err
}

type logsReceiver struct {
	member
	logs *eventLogs
}

func newLogsReceiver(
	config *Config, settings receiver.Settings, session *session, next consumer.Logs, forget func(),
) (*logsReceiver, error) {
	logs, err := newEventLogs(config, settings, session, next)
	if err != nil {
		return nil, err
	}
	return &logsReceiver{member: member{session: session, config: config, forget: forget}, logs: logs}, nil
}

// Start starts watching for events. It fails if the driver is missing and on_missing_driver is "fail".
func (r *logsReceiver) Start(ctx context.Context, host component.Host) error {
	if err := r.member.start(ctx, host); err != nil {
		r.member.shutdown()
		return err
	}
	return nil
}

// Shutdown stops delivering events. It does not wait for a hanging driver call.
func (r *logsReceiver) Shutdown(context.Context) error {
	r.logs.shutdown()
	r.member.shutdown()
	return nil
}
