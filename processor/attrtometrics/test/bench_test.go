// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/connector/signaltometricsconnector"
	"github.com/open-telemetry/opentelemetry-collector-contrib/connector/spanmetricsconnector"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/connector/connectortest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics"
)

const spansPerBatch = 1000

// connectors turn the same spans into one gauge per video, except spanmetrics, which has no gauges and uses its
// histogram of durations. A flush interval of a minute keeps flushes out of the results; BenchmarkFlush measures
// flushes.
var connectors = []struct {
	name    string
	factory connector.Factory
	config  string
}{
	{"attrtometrics", attrtometrics.NewConnectorFactory(), `
flush_interval: 1m
metrics:
  - name: detected_people_count
    span_name: person_detection
    attribute: bbox.count
    dimensions: [anonymizer.video.name]
`},
	{"attrtometrics_condition", attrtometrics.NewConnectorFactory(), `
flush_interval: 1m
metrics:
  - name: detected_people_count
    conditions: ['span.name == "person_detection"']
    attribute: bbox.count
    dimensions: [anonymizer.video.name]
`},
	{"signaltometrics", signaltometricsconnector.NewFactory(), `
spans:
  - name: detected_people_count
    attributes: [{key: anonymizer.video.name}]
    gauge: {value: 'attributes["bbox.count"]'}
`},
	{"signaltometrics_condition", signaltometricsconnector.NewFactory(), `
spans:
  - name: detected_people_count
    conditions: ['span.name == "person_detection"']
    attributes: [{key: anonymizer.video.name}]
    gauge: {value: 'attributes["bbox.count"]'}
`},
	{"spanmetrics", spanmetricsconnector.NewFactory(), `
metrics_flush_interval: 1m
dimensions: [{name: anonymizer.video.name}]
`},
}

// BenchmarkSpan consumes batches of 1000 spans from 8 and 16 videos. One operation is one span.
func BenchmarkSpan(b *testing.B) {
	for _, series := range []int{8, 16} {
		td := batch(series)
		for _, c := range connectors {
			b.Run(fmt.Sprintf("%s/series=%d", c.name, series), func(b *testing.B) {
				consume := start(b, c.factory, c.config)
				b.ReportAllocs()
				defer reportCPU(b)()
				for n := 0; n < b.N; n += spansPerBatch {
					consume(td)
				}
			})
		}
	}
}

// BenchmarkWalk reads from each span only what the gauge needs, which is a lower bound for any connector.
func BenchmarkWalk(b *testing.B) {
	td := batch(16)
	read := 0
	for n := 0; n < b.N; n += spansPerBatch {
		spans := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans()
		for i := range spans.Len() {
			span := spans.At(i)
			count, _ := span.Attributes().Get("bbox.count")
			video, _ := span.Attributes().Get("anonymizer.video.name")
			if span.Name() == "person_detection" && span.EndTimestamp() > 0 &&
				count.Int() >= 0 && video.Str()[0] == 'c' {
				read++
			}
		}
	}
	require.GreaterOrEqual(b, read, b.N)
}

// BenchmarkParallel is BenchmarkSpan with several goroutines, and also with small batches, where locks matter more. The
// CPU time per span must not grow with the number of goroutines, which would mean contention: compare -cpu 1,2,4,8.
func BenchmarkParallel(b *testing.B) {
	for _, spans := range []int{10, spansPerBatch} {
		b.Run(fmt.Sprintf("spans=%d", spans), func(b *testing.B) {
			consume := start(b, connectors[0].factory, connectors[0].config)
			b.ReportAllocs()
			defer reportCPU(b)()
			b.RunParallel(func(pb *testing.PB) {
				td := batchOf(spans, 16)
				for n := 0; pb.Next(); n++ {
					if n%spans == 0 {
						consume(td)
					}
				}
			})
		})
	}
}

// reportCPU reports the CPU time per operation, including garbage collection. Other programs on the machine affect it
// less than elapsed time.
func reportCPU(b *testing.B) func() {
	cpu := func() time.Duration {
		var usage unix.Rusage
		require.NoError(b, unix.Getrusage(unix.RUSAGE_SELF, &usage))
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	before := cpu()
	return func() { b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op") }
}

// start returns a function that sends a batch to a started connector.
func start(b *testing.B, factory connector.Factory, config string) func(ptrace.Traces) {
	provider := yamlprovider.NewFactory().Create(confmap.ProviderSettings{})
	retrieved, err := provider.Retrieve(b.Context(), "yaml:"+config, nil)
	require.NoError(b, err)
	conf, err := retrieved.AsConf()
	require.NoError(b, err)
	cfg := factory.CreateDefaultConfig()
	require.NoError(b, conf.Unmarshal(cfg))
	require.NoError(b, confmap.Validate(cfg))
	next, err := consumer.NewMetrics(consumertest.NewNop().ConsumeMetrics)
	require.NoError(b, err)
	c, err := factory.CreateTracesToMetrics(b.Context(), connectortest.NewNopSettings(factory.Type()), cfg, next)
	require.NoError(b, err)
	require.NoError(b, c.Start(b.Context(), componenttest.NewNopHost()))
	b.Cleanup(func() { require.NoError(b, c.Shutdown(context.Background())) })
	ctx := b.Context()
	return func(td ptrace.Traces) {
		if err := c.ConsumeTraces(ctx, td); err != nil {
			b.Error(err)
		}
	}
}

func batch(series int) ptrace.Traces { return batchOf(spansPerBatch, series) }

// batchOf resembles the detection spans of the video receiver.
func batchOf(spans, series int) ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "otelcol-anonymizer")
	rs.Resource().Attributes().PutStr("host.name", "camera-server")
	ss := rs.ScopeSpans().AppendEmpty()
	end := time.Now().Add(-time.Minute)
	for i := range spans {
		span := ss.Spans().AppendEmpty()
		span.SetName("person_detection")
		span.SetKind(ptrace.SpanKindInternal)
		span.SetTraceID(pcommon.TraceID{1, byte(i >> 8), byte(i)})
		span.SetSpanID(pcommon.SpanID{2, byte(i >> 8), byte(i)})
		spanEnd := end.Add(time.Duration(i) * time.Millisecond)
		span.SetStartTimestamp(pcommon.NewTimestampFromTime(spanEnd.Add(-30 * time.Millisecond)))
		span.SetEndTimestamp(pcommon.NewTimestampFromTime(spanEnd))
		span.Attributes().PutStr("anonymizer.video.name", fmt.Sprintf("camera-%02d.mp4", i%series))
		span.Attributes().PutInt("anonymizer.frame.index", int64(i))
		span.Attributes().PutInt("bbox.count", int64(i%7))
	}
	return td
}
