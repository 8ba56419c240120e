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

// logInterval is the minimum time between two identical warnings about the same metric.
const logInterval = time.Minute

// tally holds the counts of one flush for one definition.
type tally struct {
	accepted, overflowed, expired, series int64

	setBack     int64 // series whose producer set its clock back
	rejected    [reasonCount]int64
	firstErrors [reasonCount]error
}

func (t *tally) add(table *stripeTable) {
	t.accepted += table.accepted
	t.overflowed += table.overflowed
	for reason, n := range table.rejected {
		t.rejected[reason] += n
		if t.firstErrors[reason] == nil {
			t.firstErrors[reason] = table.firstErrors[reason]
		}
	}
}

// telemetryAttributes are the attributes of the internal telemetry about one definition, built once.
type telemetryAttributes struct {
	metric   metric.MeasurementOption
	byReason [reasonCount]metric.MeasurementOption // metric and reason
}

func newTelemetryAttributes(component attribute.KeyValue, name string) telemetryAttributes {
	t := telemetryAttributes{metric: withAttributes(component, attribute.String("metric", name))}
	for reason := accepted + 1; reason < reasonCount; reason++ {
		t.byReason[reason] = withAttributes(
			component, attribute.String("metric", name), attribute.String("reason", reason.String()))
	}
	return t
}

func withAttributes(kv ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(kv...))
}

// report records the internal telemetry of a flush and logs warnings.
func (e *Engine) report(ctx context.Context, tallies []tally) {
	for i := range tallies {
		t, def, attributes := &tallies[i], e.definitions[i], &e.attributes[i]
		e.telemetry.AttrtometricsSeries.Record(ctx, t.series, attributes.metric)
		add(ctx, e.telemetry.AttrtometricsValues, t.accepted, attributes.metric)
		add(ctx, e.telemetry.AttrtometricsValuesOverflowed, t.overflowed, attributes.metric)
		add(ctx, e.telemetry.AttrtometricsSeriesExpired, t.expired, attributes.metric)
		for reason, n := range t.rejected {
			add(ctx, e.telemetry.AttrtometricsValuesRejected, n, attributes.byReason[reason])
			if err := t.firstErrors[reason]; err != nil && e.errorMode == ottl.IgnoreError {
				e.warn(warningKey{"values rejected", def, rejectReason(reason)}, n, err)
			}
		}
		if t.setBack > 0 {
			message := "the clock of a producer was set back: new values replace the last one again"
			e.warn(warningKey{message, def, accepted}, t.setBack, nil)
		}
		if t.overflowed > 0 {
			message := "series_limit reached: values go to the overflow series"
			e.warn(warningKey{message, def, accepted}, t.overflowed, nil)
		}
	}
}

// add adds n to counter. It creates no series for a counter until there is something to count.
func add(ctx context.Context, counter metric.Int64Counter, n int64, attributes metric.MeasurementOption) {
	if n > 0 {
		counter.Add(ctx, n, attributes)
	}
}

// warningKey identifies warnings that are logged at most once per logInterval.
type warningKey struct {
	message string
	def     *definition  // nil if the warning is not about a metric
	reason  rejectReason // accepted if the warning is not about rejected values
}

type warningState struct {
	loggedAt time.Time
	count    int64 // events since then
}

// warn logs a warning that represents n events, unless it was logged within logInterval. The count of the next warning
// includes the events of suppressed ones.
func (e *Engine) warn(key warningKey, n int64, firstError error) {
	state := e.warnings[key]
	if state == nil {
		state = &warningState{}
		e.warnings[key] = state
	}
	state.count += n
	now := e.now()
	if !state.loggedAt.IsZero() && now.Sub(state.loggedAt) < logInterval {
		return
	}
	message, fields := key.message, []zap.Field{zap.Int64("count", state.count)}
	if key.def != nil {
		// By default, a collector drops log entries once it has logged the same message ten times within 10 s.
		message += ": " + key.def.Name
		fields = append(fields, zap.String("metric", key.def.Name))
	}
	if firstError != nil {
		fields = append(fields, zap.NamedError("first_error", firstError))
	}
	e.logger.Warn(message, fields...)
	*state = warningState{loggedAt: now}
}
