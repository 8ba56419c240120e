// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// liveSeries remembers which series the latest scrape delivered, so that it can end those that the next one lacks.
// Otherwise, a backend would serve the last value of a lost GPU, a removed MIG instance, or an ended process for
// minutes.
type liveSeries struct {
	resources map[string]*liveResource // by resource attributes
	scrapes   uint64
	key       []byte // scratch
}

type liveResource struct {
	resource pcommon.Resource
	scope    pcommon.InstrumentationScope
	series   map[string]*oneSeries // by metric name and point attributes
}

type oneSeries struct {
	end    pmetric.Metric // with one point that has no recorded value
	latest uint64         // the latest scrape that delivered the series
}

// update records the series of the scrape at time now. It returns one point without a recorded value for each series
// that the previous scrape had and this one lacks.
//
// These points are a millisecond older than the scrape and must precede it: if only the resource of a series changed,
// such as after a driver upgrade, Prometheus considers the old and new series the same, so it must not be ended after
// its new value.
func (l *liveSeries) update(scrape pmetric.Metrics, now time.Time) pmetric.Metrics {
	l.scrapes++
	for _, rm := range scrape.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			r := l.of(rm.Resource(), sm.Scope())
			for _, m := range sm.Metrics().All() {
				for _, dp := range dataPoints(m).All() {
					l.note(r, m, dp)
				}
			}
		}
	}
	ended := pmetric.NewMetrics()
	for key, r := range l.resources {
		r.end(l.scrapes, pcommon.NewTimestampFromTime(now.Add(-time.Millisecond)), ended)
		if len(r.series) == 0 {
			delete(l.resources, key)
		}
	}
	return ended
}

func (l *liveSeries) of(resource pcommon.Resource, scope pcommon.InstrumentationScope) *liveResource {
	l.key = appendAttributes(l.key[:0], resource.Attributes())
	r := l.resources[string(l.key)]
	if r == nil {
		r = &liveResource{
			resource: pcommon.NewResource(), scope: pcommon.NewInstrumentationScope(), series: map[string]*oneSeries{},
		}
		resource.CopyTo(r.resource)
		scope.CopyTo(r.scope)
		l.resources[string(l.key)] = r
	}
	return r
}

func (l *liveSeries) note(r *liveResource, m pmetric.Metric, dp pmetric.NumberDataPoint) {
	l.key = appendAttributes(append(append(l.key[:0], m.Name()...), 0), dp.Attributes())
	s := r.series[string(l.key)]
	if s == nil {
		s = &oneSeries{end: endOf(m, dp)}
		r.series[string(l.key)] = s
	}
	s.latest = l.scrapes
	dataPoints(s.end).At(0).SetStartTimestamp(dp.StartTimestamp())
}

// appendAttributes appends attributes to key in their own order, which is always the same for one metric or resource.
func appendAttributes(key []byte, attributes pcommon.Map) []byte {
	for name, value := range attributes.All() {
		key = append(append(key, name...), 0)
		key = append(append(key, value.AsString()...), 0)
	}
	return key
}

// endOf returns a copy of m with only dp, without its value.
func endOf(m pmetric.Metric, dp pmetric.NumberDataPoint) pmetric.Metric {
	end := pmetric.NewMetric()
	end.SetName(m.Name())
	end.SetDescription(m.Description())
	end.SetUnit(m.Unit())
	if m.Type() == pmetric.MetricTypeSum {
		sum := end.SetEmptySum()
		sum.SetAggregationTemporality(m.Sum().AggregationTemporality())
		sum.SetIsMonotonic(m.Sum().IsMonotonic())
	} else {
		end.SetEmptyGauge()
	}
	endPoint := dataPoints(end).AppendEmpty()
	dp.Attributes().CopyTo(endPoint.Attributes())
	endPoint.SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
	return end
}

// end moves the end of each series that scrape lacks to out, each in a separate metric, because the Prometheus exporter
// (v0.155.0, accumulator.go) ignores the points that follow a point without a value in the same metric.
func (r *liveResource) end(scrape uint64, at pcommon.Timestamp, out pmetric.Metrics) {
	var metrics pmetric.MetricSlice
	for key, s := range r.series {
		if s.latest == scrape {
			continue
		}
		if metrics == (pmetric.MetricSlice{}) {
			rm := out.ResourceMetrics().AppendEmpty()
			r.resource.CopyTo(rm.Resource())
			sm := rm.ScopeMetrics().AppendEmpty()
			r.scope.CopyTo(sm.Scope())
			metrics = sm.Metrics()
		}
		dataPoints(s.end).At(0).SetTimestamp(at)
		s.end.MoveTo(metrics.AppendEmpty())
		delete(r.series, key)
	}
}

// dataPoints returns the points of a gauge or a sum, the only types that the receiver has.
func dataPoints(m pmetric.Metric) pmetric.NumberDataPointSlice {
	if m.Type() == pmetric.MetricTypeSum {
		return m.Sum().DataPoints()
	}
	return m.Gauge().DataPoints()
}
