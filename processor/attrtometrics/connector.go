// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package attrtometrics // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics"

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/attribute"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/engine"
)

// spanConnector aggregates the spans that it receives. It is also the outlet of the processors with the same ID.
type spanConnector struct {
	logger   *zap.Logger
	engine   *engine.Engine // nil if the connector has no metrics of its own
	next     consumer.Metrics
	outlet   *outlet
	warnIdle sync.Once
}

// newConnector takes the clock as an argument so that tests can set the time.
func newConnector(
	set connector.Settings, cfg *Config, next consumer.Metrics, now func() time.Time,
) (*spanConnector, error) {
	c := &spanConnector{logger: set.Logger, next: next, outlet: newOutlet(set.ID, set.TelemetrySettings, cfg)}
	if len(cfg.Metrics) == 0 {
		return c, nil
	}
	var err error
	c.engine, err = newEngine(cfg, attribute.Stringer("connector", set.ID), set.TelemetrySettings, set.BuildInfo, now)
	return c, err
}

func (*spanConnector) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: false}
}

func (c *spanConnector) Start(context.Context, component.Host) error {
	if c.engine != nil {
		c.engine.Start(c.next)
	}
	return c.outlet.open(c.next)
}

func (c *spanConnector) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	if c.engine != nil {
		return c.engine.Consume(ctx, td)
	}
	if !c.outlet.used.Load() {
		c.warnIdle.Do(func() {
			c.logger.Warn("the connector ignores its spans: " +
				"it has no metrics, and no processor with the same ID uses it")
		})
	}
	return nil
}

func (c *spanConnector) Shutdown(ctx context.Context) error {
	c.outlet.close()
	if c.engine == nil {
		return nil
	}
	return c.engine.Shutdown(ctx)
}
