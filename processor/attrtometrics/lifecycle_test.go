// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package attrtometrics

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/connector/connectortest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/metadata"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/metadatatest"
)

const countPeople = `
metrics:
  - name: detected_people_count
    span_name: person_detection
    attribute: bbox.count
    dimensions: [anonymizer.video.name]
`

// collector holds what the service passes to all components of a collector.
type collector struct {
	telemetry component.TelemetrySettings
}

func newCollector() *collector {
	return &collector{telemetry: componenttest.NewNopTelemetrySettings()}
}

func (c *collector) connector(t testing.TB, id, config string, next consumer.Metrics) connector.Traces {
	cfg, err := parseConfig(t, config)
	require.NoError(t, err)
	set := connectortest.NewNopSettings(metadata.Type)
	set.ID = component.MustNewIDWithName("attrtometrics", id)
	set.TelemetrySettings = c.telemetry
	out, err := NewConnectorFactory().CreateTracesToMetrics(t.Context(), set, cfg, next)
	require.NoError(t, err)
	return out
}

func (c *collector) processor(t testing.TB, id, config string, next consumer.Traces) processor.Traces {
	p, err := c.createProcessor(t, id, config, next)
	require.NoError(t, err)
	return p
}

func (c *collector) createProcessor(
	t testing.TB, id, config string, next consumer.Traces,
) (processor.Traces, error) {
	cfg, err := parseConfig(t, config)
	require.NoError(t, err)
	set := processortest.NewNopSettings(metadata.Type)
	set.ID = component.MustNewIDWithName("attrtometrics", id)
	set.TelemetrySettings = c.telemetry
	return NewFactory().CreateTraces(t.Context(), set, cfg, next)
}

func people(video string, count any) ptrace.Traces {
	td := ptrace.NewTraces()
	span := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	span.SetName("person_detection")
	span.SetEndTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	span.Attributes().PutStr("anonymizer.video.name", video)
	if err := span.Attributes().PutEmpty("bbox.count").FromRaw(count); err != nil {
		panic(err)
	}
	return td
}

// points returns the values of all number points sent, by metric and video.
func points(sink *consumertest.MetricsSink) map[string][]float64 {
	found := map[string][]float64{}
	for _, md := range sink.AllMetrics() {
		for _, rm := range md.ResourceMetrics().All() {
			for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
				var dps pmetric.NumberDataPointSlice
				switch m.Type() {
				case pmetric.MetricTypeGauge:
					dps = m.Gauge().DataPoints()
				case pmetric.MetricTypeSum:
					dps = m.Sum().DataPoints()
				default:
					continue
				}
				for _, dp := range dps.All() {
					value := dp.DoubleValue()
					if dp.ValueType() == pmetric.NumberDataPointValueTypeInt {
						value = float64(dp.IntValue())
					}
					key := m.Name()
					if video, ok := dp.Attributes().Get("anonymizer.video.name"); ok {
						key += " " + video.Str()
					}
					found[key] = append(found[key], value)
				}
			}
		}
	}
	return found
}

func TestProcessorForwardsSpans(t *testing.T) {
	ctx := t.Context()
	c := newCollector()
	metrics, spans := &consumertest.MetricsSink{}, &consumertest.TracesSink{}
	out := c.connector(t, "", "{}", metrics)
	in := c.processor(t, "", countPeople, spans)
	require.False(t, in.Capabilities().MutatesData)
	require.False(t, out.Capabilities().MutatesData)
	require.NoError(t, out.Start(ctx, componenttest.NewNopHost()))
	require.NoError(t, in.Start(ctx, componenttest.NewNopHost()))

	td := people("a.mp4", 3)
	td.MarkReadOnly() // modifying it panics
	require.NoError(t, in.ConsumeTraces(ctx, td))
	require.NoError(t, out.ConsumeTraces(ctx, td)) // the connector as an exporter of the pipeline, which ignores the spans
	require.Equal(t, []ptrace.Traces{td}, spans.AllTraces(), "the same data, not a copy")
	require.Empty(t, metrics.AllMetrics())

	require.NoError(t, in.Shutdown(ctx))
	require.Equal(t, map[string][]float64{"detected_people_count a.mp4": {3}}, points(metrics))
	require.NoError(t, out.Shutdown(ctx))
}

// TestProcessorWithoutConnector checks that creation fails, so that the collector's validate command also detects it.
func TestProcessorWithoutConnector(t *testing.T) {
	c, other := newCollector(), newCollector()
	for name, prepare := range map[string]func(t *testing.T){
		"no connector":        func(*testing.T) {},
		"different ID":        func(t *testing.T) { startOutlet(t, c, "other") },
		"different collector": func(t *testing.T) { startOutlet(t, other, "x") },
		"shut down": func(t *testing.T) {
			out := c.connector(t, "x", "{}", consumertest.NewNop())
			require.NoError(t, out.Start(t.Context(), componenttest.NewNopHost()))
			require.NoError(t, out.Shutdown(t.Context()))
		},
		"shut down before it was started": func(t *testing.T) {
			require.NoError(t, c.connector(t, "x", "{}", consumertest.NewNop()).Shutdown(t.Context()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			prepare(t)
			_, err := c.createProcessor(t, "x", countPeople, consumertest.NewNop())
			require.ErrorContains(t, err,
				`processor "attrtometrics/x" needs a connector "attrtometrics/x" to send its metrics`)
			require.ErrorContains(t, err, "exporters: [attrtometrics/x, ...]")
		})
	}
}

// TestProcessorStartedBeforeConnector covers what can happen if the connector is not an exporter of the processor's
// pipeline.
func TestProcessorStartedBeforeConnector(t *testing.T) {
	c := newCollector()
	out := c.connector(t, "", "{}", consumertest.NewNop())
	in := c.processor(t, "", countPeople, consumertest.NewNop())
	err := in.Start(t.Context(), componenttest.NewNopHost())
	require.ErrorIs(t, err, errOutletNotRunning)
	require.ErrorContains(t, err, "list it as an exporter of the processor's own traces pipeline")
	require.NoError(t, in.Shutdown(t.Context()))
	require.NoError(t, out.Shutdown(t.Context()))
}

// TestConnectorWithMetricsOfProcessor checks that a processor and a connector with the same ID may not write the same
// series.
func TestConnectorWithMetricsOfProcessor(t *testing.T) {
	c := newCollector()
	out := c.connector(t, "x", "metrics: [{name: own, attribute: n}, {name: a.b, attribute: n}]", consumertest.NewNop())
	t.Cleanup(func() { require.NoError(t, out.Shutdown(context.Background())) })
	_, err := c.createProcessor(t, "x", "metrics: [{name: own, attribute: n}, {name: c, attribute: n}, "+
		"{name: a_b, attribute: n}]", consumertest.NewNop())
	require.EqualError(t, err, `processors::attrtometrics/x::metrics[0].name: `+
		`"own" is also the name of connectors::attrtometrics/x::metrics[0]: choose another
processors::attrtometrics/x::metrics[2].name: `+
		`"a_b" and "a.b" of connectors::attrtometrics/x::metrics[1] are both a_b in Prometheus: choose another`)
}

// TestInternalTelemetryOfComponents checks that the internal telemetry does not merge two components with the same
// metric, or a processor and its connector, into one series.
func TestInternalTelemetryOfComponents(t *testing.T) {
	ctx, tel := t.Context(), componenttest.NewTelemetry()
	c := &collector{telemetry: tel.NewTelemetrySettings()}
	a := c.connector(t, "a", countPeople, consumertest.NewNop())
	b := c.connector(t, "b", countPeople, consumertest.NewNop())
	out := c.connector(t, "c", "metrics: [{name: own, attribute: bbox.count}]", consumertest.NewNop())
	in := c.processor(t, "c", countPeople, consumertest.NewNop())
	want := []metricdata.DataPoint[int64]{}
	for i, each := range []struct {
		component interface {
			component.Component
			consumer.Traces
		}
		key, id, metric string
	}{
		{a, "connector", "attrtometrics/a", "detected_people_count"},
		{b, "connector", "attrtometrics/b", "detected_people_count"},
		{out, "connector", "attrtometrics/c", "own"},
		{in, "processor", "attrtometrics/c", "detected_people_count"},
	} {
		require.NoError(t, each.component.Start(ctx, componenttest.NewNopHost()))
		for range i + 1 {
			require.NoError(t, each.component.ConsumeTraces(ctx, people("v", 1)))
		}
		want = append(want, metricdata.DataPoint[int64]{
			Attributes: attribute.NewSet(attribute.String(each.key, each.id), attribute.String("metric", each.metric)),
			Value:      int64(i + 1),
		})
	}
	for _, each := range []component.Component{in, out, b, a} {
		require.NoError(t, each.Shutdown(ctx))
	}
	metadatatest.AssertEqualAttrtometricsValues(t, tel, want, metricdatatest.IgnoreTimestamp())
	require.NoError(t, tel.Shutdown(context.Background()))
}

func startOutlet(t *testing.T, c *collector, id string) {
	out := c.connector(t, id, "{}", consumertest.NewNop())
	require.NoError(t, out.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, out.Shutdown(context.Background())) })
}

func TestProcessorWithoutMetrics(t *testing.T) {
	_, err := NewFactory().CreateTraces(
		t.Context(), processortest.NewNopSettings(metadata.Type), createDefaultConfig(), consumertest.NewNop())
	require.ErrorContains(t, err, "metrics: is empty: configure at least one metric")
}

// TestLastFlushAtShutdown checks that the last values always arrive if components stop in the same order as in the
// service.
func TestLastFlushAtShutdown(t *testing.T) {
	for i := range 300 {
		ctx := t.Context()
		c := newCollector()
		sink := &consumertest.MetricsSink{}
		out := c.connector(t, "", "{}", sink)
		own := c.connector(t, "own", countPeople, sink)
		in := c.processor(t, "", fmt.Sprintf("flush_interval: %dms%s", 10+i%3, countPeople), consumertest.NewNop())
		for _, each := range []component.Component{out, own, in} {
			require.NoError(t, each.Start(ctx, componenttest.NewNopHost()))
		}
		require.NoError(t, in.ConsumeTraces(ctx, people("processor", i)))
		require.NoError(t, own.ConsumeTraces(ctx, people("connector", i)))
		for _, each := range []component.Component{in, own, out} {
			require.NoError(t, each.Shutdown(ctx))
		}
		require.Equal(t, map[string][]float64{
			"detected_people_count processor": {float64(i)}, "detected_people_count connector": {float64(i)},
		}, points(sink))
	}
	require.Empty(t, outlets.byKey)
}

// TestCollectorsAndIDsAreIsolated runs several collectors at the same time, each with several IDs and several pipelines
// per ID, using both the processor and the connector.
func TestCollectorsAndIDsAreIsolated(t *testing.T) {
	const rounds, perPipeline = 5, 200
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			ctx := context.Background()
			for range rounds {
				c := newCollector()
				for _, id := range []string{"one", "two"} {
					sink := &consumertest.MetricsSink{}
					const sum = `
flush_interval: 10ms
metrics: [{name: sum, type: sum, temporality: delta, attribute: bbox.count}]
`
					out := c.connector(t, id, strings.Replace(sum, "name: sum", "name: connector_sum", 1), sink)
					if !noError(t, out.Start(ctx, componenttest.NewNopHost())) {
						return
					}
					weight := n*10 + len(id)
					pipelines := []processor.Traces{
						c.processor(t, id, sum, consumertest.NewNop()),
						c.processor(t, id, sum, consumertest.NewNop()),
					}
					for _, in := range pipelines {
						if !noError(t, in.Start(ctx, componenttest.NewNopHost())) {
							return
						}
						for range perPipeline {
							noError(t, in.ConsumeTraces(ctx, people("v", weight)))
						}
					}
					noError(t, out.ConsumeTraces(ctx, people("v", weight)))
					for _, in := range pipelines {
						noError(t, in.Shutdown(ctx))
					}
					noError(t, out.Shutdown(ctx))
					total := 0.0
					for _, values := range points(sink) {
						for _, v := range values {
							total += v
						}
					}
					if want := float64(weight * (2*perPipeline + 1)); total != want {
						t.Errorf("collector %d, %s: got %v, want %v", n, id, total, want)
					}
				}
			}
		})
	}
	wg.Wait()
}

// TestPipelinesShareOneStream checks that the processors of several pipelines write one total instead of alternating
// between their own totals, and that the last processor to stop flushes it, whether or not another was ever started.
func TestPipelinesShareOneStream(t *testing.T) {
	ctx := t.Context()
	const sum = `
flush_interval: 1m
metrics: [{name: sum, type: sum, attribute: bbox.count}]
`
	c := newCollector()
	sink := &consumertest.MetricsSink{}
	out := c.connector(t, "", "{}", sink)
	a, b := c.processor(t, "", sum, consumertest.NewNop()), c.processor(t, "", sum, consumertest.NewNop())
	notStarted := c.processor(t, "", sum, consumertest.NewNop())
	for _, each := range []component.Component{out, a, b} {
		require.NoError(t, each.Start(ctx, componenttest.NewNopHost()))
	}
	require.NoError(t, a.ConsumeTraces(ctx, people("v", 3)))
	require.NoError(t, notStarted.Shutdown(ctx))
	require.NoError(t, a.Shutdown(ctx))
	require.Empty(t, sink.AllMetrics(), "the other pipeline still runs")
	require.NoError(t, b.ConsumeTraces(ctx, people("v", 10)))
	require.NoError(t, b.Shutdown(ctx))
	require.NoError(t, out.Shutdown(ctx))
	require.Equal(t, map[string][]float64{"sum": {13}}, points(sink))
}

func noError(t *testing.T, err error) bool {
	if err != nil {
		t.Error(err)
	}
	return err == nil
}

func TestConnectorStartedTwice(t *testing.T) {
	c := newCollector()
	startOutlet(t, c, "x")
	again := c.connector(t, "x", "{}", consumertest.NewNop())
	require.ErrorContains(t, again.Start(t.Context(), componenttest.NewNopHost()),
		`connector "attrtometrics/x" is already started`)
	require.NoError(t, again.Shutdown(t.Context()))
	require.Len(t, outlets.byKey, 1, "the first connector is unaffected")
}

// TestConnectorStoppedBeforeProcessor covers what can happen if the connector is not an exporter of the processor's
// pipeline.
func TestConnectorStoppedBeforeProcessor(t *testing.T) {
	ctx := t.Context()
	c := newCollector()
	out := c.connector(t, "", "{}", consumertest.NewNop())
	in := c.processor(t, "", countPeople, consumertest.NewNop())
	require.NoError(t, out.Start(ctx, componenttest.NewNopHost()))
	require.NoError(t, in.Start(ctx, componenttest.NewNopHost()))
	require.NoError(t, in.ConsumeTraces(ctx, people("a", 1)))
	require.NoError(t, out.Shutdown(ctx))
	require.ErrorIs(t, in.Shutdown(ctx), errOutletNotRunning)
}

func TestIdleConnectorWarning(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	c := newCollector()
	c.telemetry.Logger = zap.New(core)
	out := c.connector(t, "", "{}", consumertest.NewNop())
	require.NoError(t, out.Start(t.Context(), componenttest.NewNopHost()))
	for range 3 {
		require.NoError(t, out.ConsumeTraces(t.Context(), people("a", 1)))
	}
	require.NoError(t, out.Shutdown(t.Context()))
	require.Equal(t, 1, logs.FilterMessageSnippet("the connector ignores its spans").Len())
}

func TestScrapeIntervalWarning(t *testing.T) {
	for expiration, warnings := range map[string]int{"10s": 1, "15s": 0, "0s": 0} {
		core, logs := observer.New(zap.WarnLevel)
		c := newCollector()
		c.telemetry.Logger = zap.New(core)
		out := c.connector(t, "", "{flush_interval: 1s, scrape_interval: 15s, expiration: "+expiration+
			", metrics: [{name: a, attribute: b}]}", consumertest.NewNop())
		require.NoError(t, out.Shutdown(t.Context()))
		logged := logs.FilterMessageSnippet("expiration is shorter than scrape_interval")
		require.Equal(t, warnings, logged.Len(), expiration)
	}
}

// TestErrorModes checks for each mode that the valid values of a batch that also has invalid ones are aggregated.
func TestErrorModes(t *testing.T) {
	for _, mode := range []ottl.ErrorMode{ottl.IgnoreError, ottl.SilentError, ottl.PropagateError} {
		t.Run(string(mode), func(t *testing.T) {
			core, logs := observer.New(zap.WarnLevel)
			c := newCollector()
			c.telemetry.Logger = zap.New(core)
			sink := &consumertest.MetricsSink{}
			out := c.connector(t, "", "error_mode: "+string(mode)+countPeople, sink)
			require.NoError(t, out.Start(t.Context(), componenttest.NewNopHost()))

			td := people("good", 1)
			for _, bad := range []any{"many", math.NaN(), []any{}} {
				people("bad", bad).ResourceSpans().MoveAndAppendTo(td.ResourceSpans())
			}
			people("good too", 2).ResourceSpans().MoveAndAppendTo(td.ResourceSpans())
			err := out.ConsumeTraces(t.Context(), td)
			require.NoError(t, out.Shutdown(t.Context()))

			require.Equal(t, map[string][]float64{
				"detected_people_count good": {1}, "detected_people_count good too": {2},
			}, points(sink))
			if mode == ottl.PropagateError {
				require.ErrorContains(t, err, `metric "detected_people_count": span "person_detection": not_numeric`)
				require.True(t, consumererror.IsPermanent(err), "a retry would count the valid values twice")
			} else {
				require.NoError(t, err)
			}
			warnings := logs.FilterMessage("values rejected: detected_people_count")
			if mode == ottl.IgnoreError {
				require.Equal(t, 2, warnings.Len(), "one per reason")
			} else {
				require.Zero(t, warnings.Len())
			}
		})
	}
}

// TestWarningsOfManyMetricsAreAllLogged has more metrics with a rejected value and an overflow than the number of
// entries with the same message that the collector's log sampling lets through.
func TestWarningsOfManyMetricsAreAllLogged(t *testing.T) {
	const metrics = 15
	config := "series_limit: 1\nmetrics:\n"
	for i := range metrics {
		config += fmt.Sprintf("  - {name: m%d, attribute: bbox.count, dimensions: [anonymizer.video.name]}\n", i)
	}
	core, logs := observer.New(zap.WarnLevel)
	c := newCollector()
	c.telemetry.Logger = zap.New(zapcore.NewSamplerWithOptions(core, 10*time.Second, 10, 100)) // the collector's default
	out := c.connector(t, "", config, consumertest.NewNop())
	require.NoError(t, out.Start(t.Context(), componenttest.NewNopHost()))
	for video, count := range map[string]any{"a": 1, "b": 2, "c": "many"} {
		require.NoError(t, out.ConsumeTraces(t.Context(), people(video, count)))
	}
	require.NoError(t, out.Shutdown(t.Context()))
	require.Equal(t, metrics, logs.FilterMessageSnippet("values rejected").Len())
	require.Equal(t, metrics, logs.FilterMessageSnippet("series_limit reached").Len())
}

func TestNextComponentRefusesMetrics(t *testing.T) {
	refused := errors.New("no room")
	core, logs := observer.New(zap.WarnLevel)
	c := newCollector()
	c.telemetry.Logger = zap.New(core)
	out := c.connector(t, "", countPeople, consumertest.NewErr(refused))
	require.NoError(t, out.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, out.ConsumeTraces(t.Context(), people("a", 1)), "the error does not affect the spans")
	require.ErrorIs(t, out.Shutdown(t.Context()), refused)
	require.Equal(t, 1, logs.FilterMessage("the next component refused the metrics").Len())
}

// TestShutdownWhileNextComponentHangs checks that a shutdown returns when its context ends.
func TestShutdownWhileNextComponentHangs(t *testing.T) {
	entered := make(chan struct{})
	release := make(chan struct{})
	var once sync.Once
	next, err := consumer.NewMetrics(func(ctx context.Context, _ pmetric.Metrics) error {
		once.Do(func() { close(entered) })
		select {
		case <-release:
		case <-ctx.Done():
		}
		return ctx.Err()
	})
	require.NoError(t, err)
	out := newCollector().connector(t, "", "flush_interval: 10ms"+countPeople, next)
	require.NoError(t, out.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, out.ConsumeTraces(t.Context(), people("a", 1)))
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, out.Shutdown(ctx), context.Canceled)
	close(release)
}
