// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
)

// BenchmarkFrame measures the telemetry of a frame with three people. Every third frame is analyzed, as by default, and
// all three signals are consumed. %core@100fps is the CPU time of the whole process, including garbage collection and
// delivery, in percent of a core at 100 frames/s. It must stay below 1. sdk is the reference: the same spans, created
// with the OpenTelemetry SDK and its batch processor, without an exporter.
func BenchmarkFrame(b *testing.B) {
	records := []*record.Frame{frameRecord(time.Now(), 0, 3, true), frameRecord(time.Now(), 1, 3, false),
		frameRecord(time.Now(), 2, 3, false)}
	for _, bb := range []struct {
		name    string
		mutates bool
	}{{"pdata", false}, {"pdata_copied_for_mutating_consumer", true}} {
		b.Run(bb.name, func(b *testing.B) {
			opts := testOptions()
			opts.BatchSize = 1024
			traces, err := consumer.NewTraces(func(context.Context, ptrace.Traces) error { return nil },
				consumer.WithCapabilities(consumer.Capabilities{MutatesData: bb.mutates}))
			require.NoError(b, err)
			e, err := NewEmitter(testSettings(), opts, Consumers{traces, consumertest.NewNop(), consumertest.NewNop()})
			require.NoError(b, err)
			s := e.VideoStarted(b.Context(), testVideo)
			b.ReportAllocs()
			start := cpuTime()
			for i := 0; b.Loop(); i++ {
				s.Frame(records[i%3])
			}
			reportShare(b, start)
			s.Finished(Result{})
			require.NoError(b, e.Shutdown(context.WithoutCancel(b.Context())))
		})
	}
	b.Run("sdk", func(b *testing.B) {
		provider := sdk.NewTracerProvider(sdk.WithBatcher(nowhere{}, sdk.WithMaxExportBatchSize(1024),
			sdk.WithMaxQueueSize(8192), sdk.WithBlocking()))
		tracer := provider.Tracer("benchmark")
		b.ReportAllocs()
		start := cpuTime()
		for i := 0; b.Loop(); i++ {
			frameBySDK(b.Context(), tracer, records[i%3])
		}
		reportShare(b, start)
		require.NoError(b, provider.Shutdown(context.WithoutCancel(b.Context())))
	})
}

func reportShare(b *testing.B, start time.Duration) {
	perFrame := (cpuTime() - start).Seconds() / float64(b.N)
	b.ReportMetric(perFrame*100*100, "%core@100fps")
}

// cpuTime returns the CPU time that the process has used so far.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

type nowhere struct{}

func (nowhere) ExportSpans(context.Context, []sdk.ReadOnlySpan) error { return nil }
func (nowhere) Shutdown(context.Context) error                        { return nil }

// frameBySDK creates the spans of a frame like a program that uses the SDK.
func frameBySDK(ctx context.Context, tracer trace.Tracer, rec *record.Frame) {
	span := func(ctx context.Context, name string, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
		return tracer.Start(ctx, name, trace.WithTimestamp(rec.Start), trace.WithAttributes(attrs...))
	}
	leaf := func(ctx context.Context, name string, attrs ...attribute.KeyValue) {
		_, s := span(ctx, name, attrs...)
		s.End(trace.WithTimestamp(rec.End))
	}
	model := func(ctx context.Context, name string, attrs ...attribute.KeyValue) {
		ctx, s := span(ctx, name, attrs...)
		leaf(ctx, spanPreprocess, attribute.Float64(attrBusyTime, 0.001))
		leaf(ctx, spanInference, attribute.Float64(attrBusyTime, 0.001), attribute.String(attrModelName, "m"),
			attribute.Int(attrBatches, 1))
		leaf(ctx, spanPostprocess, attribute.Float64(attrBusyTime, 0.001))
		s.End(trace.WithTimestamp(rec.End))
	}
	ctx, root := span(ctx, spanFrame, attribute.String(attrVideoName, testVideo.Name),
		attribute.Int(attrFrameIndex, rec.Index),
		attribute.Float64(attrFramePTS, rec.PTS.Seconds()), attribute.Int(attrBBoxCount, rec.People),
		attribute.Bool(attrCarried, !rec.Analyzed), attribute.Int(attrMaskCount, rec.Masks), attribute.Int(attrMaskPose,
			rec.Masks))
	root.AddLink(trace.Link{SpanContext: root.SpanContext()})
	leaf(ctx, record.StageDecode)
	if rec.Analyzed {
		model(ctx, record.StageDetection, attribute.Int(attrBBoxCount, rec.Detected), attribute.Bool(attrCarried, false),
			attribute.String(attrModelName, "m"), attribute.Int(attrBatches, 1))
		model(ctx, record.StagePose, attribute.Int(attrPosePeople, rec.PosedPeople), attribute.String(attrModelName, "m"),
			attribute.Int(attrBatches, 1))
	} else {
		leaf(ctx, record.StageDetection, attribute.Int(attrBBoxCount, rec.People), attribute.Bool(attrCarried, true))
	}
	leaf(ctx, record.StageTracking)
	leaf(ctx, record.StageVisualization)
	leaf(ctx, record.StageEncode)
	root.End(trace.WithTimestamp(rec.End))
}
