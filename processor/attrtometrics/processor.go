// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package attrtometrics // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics"

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processorhelper"
	"go.opentelemetry.io/otel/attribute"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/engine"
)

// tap is the processor: it aggregates the spans that pass through it and leaves them unchanged.
type tap struct {
	outlet *outlet
	engine *engine.Engine // shared with the taps of other pipelines that have the same ID
}

func newProcessor(
	ctx context.Context, set processor.Settings, cfg *Config, next consumer.Traces,
) (processor.Traces, error) {
	if len(cfg.Metrics) == 0 {
		return nil, errors.New("metrics: is empty: configure at least one metric")
	}
	o, err := findOutlet(set.ID, set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	if err := checkSingleWriter(o, set.ID, cfg); err != nil {
		return nil, err
	}
	e, err := o.shared.acquire(func() (*engine.Engine, error) {
		return newEngine(cfg, attribute.Stringer("processor", set.ID), set.TelemetrySettings, set.BuildInfo, time.Now)
	})
	if err != nil {
		return nil, err
	}
	t := &tap{outlet: o, engine: e}
	return processorhelper.NewTraces(ctx, set, cfg, next, t.process,
		processorhelper.WithCapabilities(consumer.Capabilities{MutatesData: false}),
		processorhelper.WithStart(t.start),
		processorhelper.WithShutdown(o.shared.release))
}

// checkSingleWriter returns an error for metrics that the connector also sends to its pipelines.
func checkSingleWriter(o *outlet, id component.ID, cfg *Config) error {
	var errs []error
	checkNames(func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) },
		slices.Concat(o.names, cfg.outputNames(fmt.Sprintf("processors::%s::", id))))
	return errors.Join(errs...)
}

func (t *tap) start(context.Context, component.Host) error {
	if err := t.outlet.running(); err != nil {
		return err
	}
	t.outlet.shared.start(t.outlet)
	return nil
}

func (t *tap) process(ctx context.Context, td ptrace.Traces) (ptrace.Traces, error) {
	return td, t.engine.Consume(ctx, td)
}
