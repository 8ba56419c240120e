// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
)

// shown holds the GPUs of the latest scrape for a console to show.
type shown struct {
	lasts time.Duration // how long a scrape stays valid

	mu   sync.Mutex
	gpus []consoleapi.GPU
	at   time.Time
}

// attach shows the GPUs in the console with this ID until detach is called. If id is nil, it does nothing.
func (s *shown) attach(host component.Host, id *component.ID, receiver component.ID) (detach func(), err error) {
	console, err := consoleapi.Find[consoleapi.GPUConsole](host, id)
	if err != nil || console == nil {
		return func() {}, err
	}
	return console.AttachGPUs(receiver, s.read), nil
}

func (s *shown) read() []consoleapi.GPU {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.at) > s.lasts {
		return nil
	}
	return s.gpus
}

// update stores the GPUs of a scrape. Disabled metrics are not shown.
func (s *shown) update(metrics pmetric.Metrics) {
	var gpus []consoleapi.GPU
	for _, resource := range metrics.ResourceMetrics().All() {
		if gpu, ok := gpuOf(resource); ok {
			gpus = append(gpus, gpu)
		}
	}
	slices.SortFunc(gpus, func(a, b consoleapi.GPU) int { return a.Index - b.Index })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gpus, s.at = gpus, time.Now()
}

// gpuOf extracts the metrics of one GPU. ok is false if there are none.
func gpuOf(resource pmetric.ResourceMetrics) (gpu consoleapi.GPU, ok bool) {
	if model, there := resource.Resource().Attributes().Get("hw.model"); there {
		gpu.Name = model.Str()
	}
	if index, there := resource.Resource().Attributes().Get("nvml.gpu.index"); there {
		gpu.Index = int(index.Int())
	}
	for _, scope := range resource.ScopeMetrics().All() {
		for _, metric := range scope.Metrics().All() {
			value, there := firstOf(metric)
			if !there {
				continue
			}
			switch metric.Name() {
			case "hw.gpu.utilization":
				gpu.Utilization, ok = value, true
			case "hw.gpu.memory.usage":
				gpu.MemoryUsed, ok = int64(value), true
			case "hw.gpu.memory.limit":
				gpu.MemoryTotal, ok = int64(value), true
			case "hw.temperature":
				gpu.Temperature, ok = value, true
			case "hw.power":
				gpu.Power, ok = value, true
			}
		}
	}
	return gpu, ok
}

// firstOf returns the value of the first data point that is not of a MIG instance. In a metric with one data point per
// engine, it returns that of the general engine.
func firstOf(metric pmetric.Metric) (float64, bool) {
	var points pmetric.NumberDataPointSlice
	switch metric.Type() {
	case pmetric.MetricTypeGauge:
		points = metric.Gauge().DataPoints()
	case pmetric.MetricTypeSum:
		points = metric.Sum().DataPoints()
	default:
		return 0, false
	}
	for _, p := range points.All() {
		task, engine := p.Attributes().Get("hw.gpu.task")
		if _, instance := p.Attributes().Get("hw.parent"); instance || engine && task.Str() != "general" ||
			p.Flags().NoRecordedValue() {
			continue
		}
		if p.ValueType() == pmetric.NumberDataPointValueTypeInt {
			return float64(p.IntValue()), true
		}
		return p.DoubleValue(), true
	}
	return 0, false
}
