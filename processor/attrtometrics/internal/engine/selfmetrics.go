// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package engine // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/engine"

import (
	"context"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
)

// tally is what a flush found for one definition.
type tally struct {
	accepted, overflowed, expired, series int64

	rejected [reasons]int64
	example  [reasons]error
}

func (t *tally) add(table *stripeTable) {
	t.accepted += table.accepted
	t.overflowed += table.overflowed
	for reason, n := range table.rejected {
		t.rejected[reason] += n
		if t.example[reason] == nil {
			t.example[reason] = table.example[reason]
		}
	}
}

// selfMetrics are the attributes of the self-telemetry of one definition.
type selfMetrics struct {
	all      metric.MeasurementOption
	byReason [reasons]metric.MeasurementOption
}

func newSelfMetrics(name string) selfMetrics {
	m := selfMetrics{all: attributes(attribute.String("metric", name))}
	for reason := accepted + 1; reason < reasons; reason++ {
		m.byReason[reason] = attributes(attribute.String("metric", name), attribute.String("reason", reason.String()))
	}
	return m
}

func attributes(kv ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(kv...))
}

func (e *Engine) report(ctx context.Context, counts []tally) {
	for i := range counts {
		c, self := &counts[i], &e.metrics[i]
		e.builder.AttrtometricsSeries.Record(ctx, c.series, self.all)
		add(ctx, e.builder.AttrtometricsValues, c.accepted, self.all)
		add(ctx, e.builder.AttrtometricsValuesOverflowed, c.overflowed, self.all)
		add(ctx, e.builder.AttrtometricsSeriesExpired, c.expired, self.all)
		for reason, n := range c.rejected {
			add(ctx, e.builder.AttrtometricsValuesRejected, n, self.byReason[reason])
			if err := c.example[reason]; err != nil && e.errorMode == ottl.IgnoreError {
				e.warn("values were not used", i, Reason(reason), n, err)
			}
		}
		if c.overflowed > 0 {
			e.warn("series_limit is reached: values go to the overflow series", i, accepted, c.overflowed, nil)
		}
	}
}

func add(ctx context.Context, counter metric.Int64Counter, n int64, attributes metric.MeasurementOption) {
	if n > 0 {
		counter.Add(ctx, n, attributes)
	}
}

// complaint is what is not logged again for a while.
type complaint struct {
	message    string
	definition int
	reason     Reason
}

type logState struct {
	at    time.Time // when it was last logged
	count int64     // what came since, unlogged
}

// warn logs at once, and then at most once in logInterval with the number of values since.
func (e *Engine) warn(message string, definition int, reason Reason, n int64, first error) {
	key := complaint{message: message, definition: definition, reason: reason}
	state := e.logged[key]
	if state == nil {
		state = &logState{}
		e.logged[key] = state
	}
	state.count += n
	now := e.now()
	if !state.at.IsZero() && now.Sub(state.at) < logInterval {
		return
	}
	fields := []zap.Field{zap.Int64("count", state.count)}
	if definition >= 0 {
		fields = append(fields, zap.String("metric", e.definitions[definition].Name))
	}
	if first != nil {
		fields = append(fields, zap.NamedError("first", first))
	}
	e.logger.Warn(message, fields...)
	*state = logState{at: now}
}
