// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package telemetry converts records of frames and videos into spans, log records and metrics, and forwards them to the
// collector's pipelines. Telemetry never makes a video fail: a pipeline that refuses data holds frames back, but only
// for a limited time.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
)

// Options configure the telemetry.
type Options struct {
	// ServiceName is the resource attribute service.name.
	ServiceName string
	// ResourceAttributes are added to the resource of all signals and override the attributes that are set by default.
	ResourceAttributes map[string]any
	// SpanAttributes are added to the root span of each frame and video.
	SpanAttributes map[string]any
	// BatchSize is the number of spans forwarded at once. BatchInterval is the maximum time that a span waits for its
	// batch to fill.
	BatchSize     int
	BatchInterval time.Duration
	// MaxWait is the maximum time that a pipeline that refuses data may hold a frame back.
	MaxWait time.Duration
	// MetricsInterval is the interval between two sets of metrics.
	MetricsInterval time.Duration
	// Metrics enables and disables individual metrics.
	Metrics metadata.MetricsConfig
	// Pseudonym, if not nil, replaces in a text everything that identifies the files at the paths.
	Pseudonym func(text string, paths ...string) string
	// QueueLength is called for each set of metrics and returns the number of videos waiting to be processed. If it is
	// nil, the number reported is 0.
	QueueLength func() int
	// TraceRatio is the fraction of frames, 0 to 1, whose traces continue in inference servers.
	TraceRatio float64
	// Recent keeps recent figures and frames for the console. It may be nil.
	Recent *Recent

	_ struct{}
}

// Consumers are the pipelines to forward to, nil for signals without one.
type Consumers struct {
	Traces  consumer.Traces
	Logs    consumer.Logs
	Metrics consumer.Metrics
}

// Emitter reports on all videos of a receiver. Its methods are safe for concurrent use.
type Emitter struct {
	resource       pcommon.Resource
	scopeVersion   string
	spanAttributes pcommon.Map
	pseudonym      func(text string, paths ...string) string
	traces         *delivery[ptrace.Traces]
	logs           *delivery[plog.Logs]
	metrics        *collection
	self           *counters
	recent         *Recent // may be nil
	traceRatio     float64

	mu       sync.Mutex // never held together with the lock of a delivery
	totals   totals
	active   map[*VideoSpan]struct{}
	ended    []videoMetrics // since the last set of metrics
	reported []videoMetrics // were final in the last set: their series end with the next

	now    func() time.Time
	newIDs func() ids

	once        sync.Once
	shutdownErr error
}

// NewEmitter starts delivery to the consumers. The caller must call Shutdown.
func NewEmitter(set receiver.Settings, opts Options, next Consumers) (*Emitter, error) {
	self, err := newCounters(set)
	if err != nil {
		return nil, err
	}
	report, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{
		ReceiverID: set.ID, Transport: "file", LongLivedCtx: true, ReceiverCreateSettings: set,
	})
	if err != nil {
		return nil, err
	}
	e := &Emitter{
		scopeVersion:   set.BuildInfo.Version,
		spanAttributes: pcommon.NewMap(),
		pseudonym:      opts.Pseudonym,
		self:           self,
		recent:         opts.Recent,
		traceRatio:     opts.TraceRatio,
		active:         map[*VideoSpan]struct{}{},
		now:            time.Now,
		newIDs:         newIDs,
	}
	if e.resource, err = newResource(set, opts); err != nil {
		return nil, err
	}
	if err := e.spanAttributes.FromRaw(opts.SpanAttributes); err != nil {
		return nil, fmt.Errorf("span attributes: %w", err)
	}
	if next.Traces != nil {
		e.traces = e.deliverTraces(set, opts, next.Traces, report)
		e.traces.start()
	}
	if next.Logs != nil {
		e.logs = e.deliverLogs(set, opts, next.Logs, report)
		e.logs.start()
	}
	if next.Metrics != nil {
		e.metrics = newCollection(e, set, opts, next.Metrics, report)
		e.metrics.start()
	}
	return e, nil
}

func newResource(set receiver.Settings, opts Options) (pcommon.Resource, error) {
	builder := metadata.NewResourceBuilder(metadata.DefaultResourceAttributesConfig())
	builder.SetServiceName(opts.ServiceName)
	builder.SetServiceVersion(set.BuildInfo.Version)
	if set.ID.Name() != "" {
		builder.SetServiceInstanceID(set.ID.String())
	}
	if host, err := os.Hostname(); err == nil {
		builder.SetHostName(host)
	}
	resource := builder.Emit()
	added := pcommon.NewMap()
	if err := added.FromRaw(opts.ResourceAttributes); err != nil {
		return resource, fmt.Errorf("resource attributes: %w", err)
	}
	for name, value := range added.All() {
		value.CopyTo(resource.Attributes().PutEmpty(name))
	}
	return resource, nil
}

func (e *Emitter) deliverTraces(set receiver.Settings, opts Options, next consumer.Traces,
	report *receiverhelper.ObsReport) *delivery[ptrace.Traces] {
	d := &delivery[ptrace.Traces]{
		batchSize: opts.BatchSize, linger: opts.BatchInterval, maxWait: opts.MaxWait, logger: set.Logger,
		signal: signal[ptrace.Traces]{
			name: metadata.AttributeSignalTraces,
			fresh: func() ptrace.Traces {
				traces := ptrace.NewTraces()
				resource := traces.ResourceSpans().AppendEmpty()
				resource.SetSchemaUrl(semconv.SchemaURL)
				e.resource.CopyTo(resource.Resource())
				scope := resource.ScopeSpans().AppendEmpty()
				e.setScope(scope.Scope())
				scope.Spans().EnsureCapacity(opts.BatchSize + spansPerFrame)
				return traces
			},
			consume: func(ctx context.Context, traces ptrace.Traces) error {
				n := traces.SpanCount()
				op := report.StartTracesOp(ctx)
				err := next.ConsumeTraces(op, traces)
				report.EndTracesOp(op, "pdata", n, err)
				return err
			},
			remainder: func(err error) (ptrace.Traces, bool) {
				var partial consumererror.Traces
				if errors.As(err, &partial) {
					return partial.Data(), true
				}
				return ptrace.Traces{}, false
			},
			count:   ptrace.Traces.SpanCount,
			dropped: e.self.spansDropped,
			retried: func() { e.self.batchesRetried(1, metadata.AttributeSignalTraces) },
		},
	}
	if next.Capabilities().MutatesData {
		d.clone = func(traces ptrace.Traces) ptrace.Traces {
			clone := ptrace.NewTraces()
			traces.CopyTo(clone)
			return clone
		}
	}
	return d
}

func (e *Emitter) deliverLogs(set receiver.Settings, opts Options, next consumer.Logs,
	report *receiverhelper.ObsReport) *delivery[plog.Logs] {
	d := &delivery[plog.Logs]{
		batchSize: opts.BatchSize, linger: opts.BatchInterval, maxWait: opts.MaxWait, logger: set.Logger,
		signal: signal[plog.Logs]{
			name: metadata.AttributeSignalLogs,
			fresh: func() plog.Logs {
				logs := plog.NewLogs()
				resource := logs.ResourceLogs().AppendEmpty()
				resource.SetSchemaUrl(semconv.SchemaURL)
				e.resource.CopyTo(resource.Resource())
				e.setScope(resource.ScopeLogs().AppendEmpty().Scope())
				return logs
			},
			consume: func(ctx context.Context, logs plog.Logs) error {
				n := logs.LogRecordCount()
				op := report.StartLogsOp(ctx)
				err := next.ConsumeLogs(op, logs)
				report.EndLogsOp(op, "pdata", n, err)
				return err
			},
			remainder: func(err error) (plog.Logs, bool) {
				var partial consumererror.Logs
				if errors.As(err, &partial) {
					return partial.Data(), true
				}
				return plog.Logs{}, false
			},
			count:   plog.Logs.LogRecordCount,
			dropped: e.self.logRecordsDropped,
			retried: func() { e.self.batchesRetried(1, metadata.AttributeSignalLogs) },
		},
	}
	if next.Capabilities().MutatesData {
		d.clone = func(logs plog.Logs) plog.Logs {
			clone := plog.NewLogs()
			logs.CopyTo(clone)
			return clone
		}
	}
	return d
}

func (e *Emitter) setScope(scope pcommon.InstrumentationScope) {
	scope.SetName(metadata.ScopeName)
	scope.SetVersion(e.scopeVersion)
}

// Shutdown forwards everything that was reported. If a pipeline refuses data, it waits a few seconds at most, or until
// the context ends, and then drops and counts the rest. All videos must have ended. It may be called more than once.
func (e *Emitter) Shutdown(ctx context.Context) error {
	e.once.Do(func() {
		var wait sync.WaitGroup
		var tracesErr, logsErr, metricsErr error
		if e.traces != nil {
			wait.Go(func() { tracesErr = ended(e.traces.shutdown(ctx), "traces") })
		}
		if e.logs != nil {
			wait.Go(func() { logsErr = ended(e.logs.shutdown(ctx), "logs") })
		}
		if e.metrics != nil {
			wait.Go(func() { metricsErr = ended(e.metrics.shutdown(ctx), "metrics") })
		}
		wait.Wait()
		e.self.builder.Shutdown()
		e.shutdownErr = errors.Join(tracesErr, logsErr, metricsErr)
	})
	return e.shutdownErr
}

func ended(ok bool, signal string) error {
	if ok {
		return nil
	}
	return fmt.Errorf("a %s pipeline did not return from its last batch in time: it is left running", signal)
}
