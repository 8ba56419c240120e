// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"

	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
)

// counters are the receiver's part of the collector's internal metrics. As in upstream's helpers, each has the
// receiver's ID as an attribute and starts at zero, so that a rate includes the first increment.
type counters struct {
	builder  *metadata.TelemetryBuilder
	receiver metric.MeasurementOption
	reasons  map[metadata.AttributeDropReason]metric.MeasurementOption
	signals  map[metadata.AttributeSignal]metric.MeasurementOption
}

func newCounters(set receiver.Settings) (*counters, error) {
	builder, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	id := attribute.String("receiver", set.ID.String())
	c := &counters{
		builder:  builder,
		receiver: metric.WithAttributeSet(attribute.NewSet(id)),
		reasons:  map[metadata.AttributeDropReason]metric.MeasurementOption{},
		signals:  map[metadata.AttributeSignal]metric.MeasurementOption{},
	}
	for _, reason := range metadata.MapAttributeDropReason {
		c.reasons[reason] = metric.WithAttributeSet(attribute.NewSet(id, attribute.String("reason", reason.String())))
		c.spansDropped(0, reason)
		c.logRecordsDropped(0, reason)
	}
	for _, signal := range metadata.MapAttributeSignal {
		c.signals[signal] = metric.WithAttributeSet(attribute.NewSet(id, attribute.String("otel_signal", signal.String())))
		c.batchesRetried(0, signal)
	}
	c.available(true)
	for _, counter := range []metric.Int64Counter{
		builder.ReceiverVideoanonymizerFrames, builder.ReceiverVideoanonymizerFramesMaskedWhole,
		builder.ReceiverVideoanonymizerInferenceFailures, builder.ReceiverVideoanonymizerVideosFailed,
		builder.ReceiverVideoanonymizerAttemptsUnavailable, builder.ReceiverVideoanonymizerRemoteRequestsFailed,
	} {
		c.add(counter, 0)
	}
	return c, nil
}

func (c *counters) add(counter metric.Int64Counter, n int64) {
	counter.Add(context.Background(), n, c.receiver)
}

// available records whether the models are usable.
func (c *counters) available(yes bool) {
	value := int64(0)
	if yes {
		value = 1
	}
	c.builder.ReceiverVideoanonymizerRemoteAvailable.Record(context.Background(), value, c.receiver)
}

func (c *counters) spansDropped(n int, reason metadata.AttributeDropReason) {
	c.builder.ReceiverVideoanonymizerSpansDropped.Add(context.Background(), int64(n), c.reasons[reason])
}

func (c *counters) logRecordsDropped(n int, reason metadata.AttributeDropReason) {
	c.builder.ReceiverVideoanonymizerLogRecordsDropped.Add(context.Background(), int64(n), c.reasons[reason])
}

func (c *counters) batchesRetried(n int, signal metadata.AttributeSignal) {
	c.builder.ReceiverVideoanonymizerBatchesRetried.Add(context.Background(), int64(n), c.signals[signal])
}
