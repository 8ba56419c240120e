// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/nopexporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics"
)

// pipelines connect the receiver "in" and the exporter "out" of the test, either through the connector or through the
// processor.
var pipelines = map[string]string{
	"connector": `
receivers: {in: {}}
connectors:
  attrtometrics:
    metrics: [{name: people, attribute: bbox.count}]
exporters: {out: {}}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [in], exporters: [attrtometrics]}
    metrics: {receivers: [attrtometrics], exporters: [out]}
`,
	"processor": `
receivers: {in: {}}
processors:
  attrtometrics:
    metrics: [{name: people, attribute: bbox.count}]
connectors: {attrtometrics: {}}
exporters: {out: {}, nop: {}}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [in], processors: [attrtometrics], exporters: [nop, attrtometrics]}
    metrics: {receivers: [attrtometrics], exporters: [out]}
`,
}

// TestLastFlushAtCollectorShutdown runs complete collectors, two at a time in this process. Each consumes one span,
// whose value can only arrive with the flush at shutdown.
func TestLastFlushAtCollectorShutdown(t *testing.T) {
	for name, config := range pipelines {
		t.Run(name, func(t *testing.T) {
			var wg sync.WaitGroup
			for n := range 2 {
				wg.Go(func() {
					for i := range 50 {
						people := int64(1000*n + i)
						got, err := runCollector(config, people)
						if err != nil {
							t.Error(err)
							return
						}
						if len(got) != 1 || got[0] != people {
							t.Errorf("collector %d, run %d: got %v, want [%d]", n, i, got, people)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// TestPipelinesShareOneStream runs a collector with the processor in two pipelines. One receives 3 people and the other
// 10; each point of the cumulative sum must count what both have received until then.
func TestPipelinesShareOneStream(t *testing.T) {
	const config = `
receivers: {in/a: {}, in/b: {}}
processors:
  attrtometrics:
    flush_interval: 10ms
    metrics: [{name: people, type: sum, attribute: bbox.count}]
connectors: {attrtometrics: {}}
exporters: {out: {}}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces/a: {receivers: [in/a], processors: [attrtometrics], exporters: [attrtometrics]}
    traces/b: {receivers: [in/b], processors: [attrtometrics], exporters: [attrtometrics]}
    metrics: {receivers: [attrtometrics], exporters: [out]}
`
	sink := &consumertest.MetricsSink{}
	in := make(chan consumer.Traces, 2)
	c, err := newCollector(config, in, sink)
	require.NoError(t, err)
	stopped := make(chan error, 1)
	go func() { stopped <- c.Run(context.Background()) }()
	for _, people := range []int64{3, 10} {
		require.NoError(t, (<-in).ConsumeTraces(t.Context(), span(people)))
		require.Eventually(t, func() bool { return sink.DataPointCount() > 0 }, time.Minute, time.Millisecond)
	}
	c.Shutdown()
	require.NoError(t, <-stopped)

	var sums []int64
	for _, md := range sink.AllMetrics() {
		require.Equal(t, 1, md.DataPointCount())
		sum := md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Sum()
		sums = append(sums, sum.DataPoints().At(0).IntValue())
	}
	require.Equal(t, []int64{3, 13}, slices.Compact(sums))
}

// span returns a span with the given number of people.
func span(people int64) ptrace.Traces {
	td := ptrace.NewTraces()
	span := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	span.SetEndTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	span.Attributes().PutInt("bbox.count", people)
	return td
}

// starting serializes collector starts, which set the process-wide gRPC logger.
var starting sync.Mutex

// runCollector sends one span through a collector and returns the values of the points that the collector exported.
func runCollector(config string, people int64) ([]int64, error) {
	sink := &consumertest.MetricsSink{}
	in := make(chan consumer.Traces, 1)
	c, err := newCollector(config, in, sink)
	if err != nil {
		return nil, err
	}
	stopped := make(chan error, 1)
	starting.Lock()
	go func() { stopped <- c.Run(context.Background()) }()
	select {
	case err := <-stopped:
		starting.Unlock()
		return nil, fmt.Errorf("stopped before its receiver started: %w", err)
	case next := <-in:
		starting.Unlock()
		if err := next.ConsumeTraces(context.Background(), span(people)); err != nil {
			return nil, err
		}
	}
	c.Shutdown()
	if err := <-stopped; err != nil {
		return nil, err
	}
	var values []int64
	for _, md := range sink.AllMetrics() {
		gauge := md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Gauge()
		values = append(values, gauge.DataPoints().At(0).IntValue())
	}
	return values, nil
}

// newCollector returns a collector with the components that factories returns.
func newCollector(
	config string, in chan<- consumer.Traces, sink *consumertest.MetricsSink,
) (*otelcol.Collector, error) {
	return otelcol.NewCollector(otelcol.CollectorSettings{
		Factories:               func() (otelcol.Factories, error) { return factories(in, sink) },
		DisableGracefulShutdown: true,
		LoggingOptions:          []zap.Option{zap.IncreaseLevel(zapcore.ErrorLevel)},
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			URIs: []string{"yaml:" + config}, ProviderFactories: []confmap.ProviderFactory{yamlprovider.NewFactory()},
		}},
	})
}

// factories returns the factories of a collector whose receiver passes its next consumer to in when it starts, and
// whose exporter is sink.
func factories(in chan<- consumer.Traces, sink *consumertest.MetricsSink) (f otelcol.Factories, err error) {
	f.Telemetry = otelconftelemetry.NewFactory()
	noConfig := func() component.Config { return &struct{}{} }
	if f.Receivers, err = otelcol.MakeFactoryMap(receiver.NewFactory(component.MustNewType("in"), noConfig,
		receiver.WithTraces(func(
			_ context.Context, _ receiver.Settings, _ component.Config, next consumer.Traces,
		) (receiver.Traces, error) {
			return onStart(func() { in <- next }), nil
		}, component.StabilityLevelStable))); err != nil {
		return f, err
	}
	out := exporter.NewFactory(component.MustNewType("out"), noConfig,
		exporter.WithMetrics(func(context.Context, exporter.Settings, component.Config) (exporter.Metrics, error) {
			return struct {
				component.Component
				consumer.Metrics
			}{onStart(func() {}), sink}, nil
		}, component.StabilityLevelStable))
	if f.Exporters, err = otelcol.MakeFactoryMap(nopexporter.NewFactory(), busyFactory(), out); err != nil {
		return f, err
	}
	if f.Processors, err = otelcol.MakeFactoryMap[processor.Factory](attrtometrics.NewFactory()); err != nil {
		return f, err
	}
	f.Connectors, err = otelcol.MakeFactoryMap[connector.Factory](attrtometrics.NewConnectorFactory())
	return f, err
}

// onStart is a component that only calls a function when it starts.
type onStart func()

func (f onStart) Start(context.Context, component.Host) error { f(); return nil }
func (onStart) Shutdown(context.Context) error                { return nil }

// TestCollectorWithoutConnector checks that a processor without its connector fails both the start and the validation,
// with an error that says what to configure.
func TestCollectorWithoutConnector(t *testing.T) {
	const config = `
receivers: {in: {}}
processors:
  attrtometrics/people:
    metrics: [{name: people, attribute: bbox.count}]
exporters: {nop: {}}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [in], processors: [attrtometrics/people], exporters: [nop]}
`
	for name, try := range map[string]func() error{
		"start": func() error {
			_, err := runCollector(config, 1)
			return err
		},
		"validate": func() error { return validate(t, config) },
	} {
		t.Run(name, func(t *testing.T) {
			err := try()
			require.ErrorContains(t, err,
				`processor "attrtometrics/people" needs a connector "attrtometrics/people" to send its metrics`)
			require.ErrorContains(t, err, "exporters: [attrtometrics/people, ...]")
		})
	}
}

// TestValidateAcceptsConnectors checks that a validation, which starts nothing, finds the existing connectors.
func TestValidateAcceptsConnectors(t *testing.T) {
	for name, config := range pipelines {
		t.Run(name, func(t *testing.T) { require.NoError(t, validate(t, config)) })
	}
}

func validate(t *testing.T, config string) error {
	c, err := newCollector(config, nil, &consumertest.MetricsSink{})
	require.NoError(t, err)
	return c.DryRun(t.Context())
}
