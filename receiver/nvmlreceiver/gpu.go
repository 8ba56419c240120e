// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"fmt"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/metadata"
)

// gpu records the metrics of one GPU or MIG instance. It lives as long as the receiver, across reopenings of the
// driver. A scrape runs on the GPU's lane; while it runs, it owns every field except those that identify the GPU.
type gpu struct {
	scraper  *scraper
	metrics  *metadata.MetricsConfig
	uuid     string
	name     string
	resource pcommon.Resource
	options  []metadata.MetricAttributeOption // hw.parent on a MIG instance
	lane     lane

	device    driver.Device
	builder   *metadata.MetricsBuilder
	instances map[string]*gpu // MIG instances by UUID

	timestamp     pcommon.Timestamp
	start         pcommon.Timestamp // start time of cumulative points
	result        pmetric.Metrics   // of the latest scrape
	metricCount   int               // of the latest scrape that did not lose the GPU; not used on the lane
	lost          error             // why the GPU can no longer be read; nil while it can
	failed        []error           // errors of failed calls to the GPU and its instances
	fields        []driver.Field
	nvlinks       []driver.Field // counters of each NVLink, for GPUs without totals
	lastSample    [driver.EngineOFA + 1]time.Time
	lastValues    map[counter]float64
	mean          sampleMean
	addSample     func(time.Time, uint32)          // mean.add, bound once to save an allocation per call
	resultOptions []metadata.ResourceMetricsOption // the resource, and the start time of cumulative points

	fanNames          []string // "fan0", "fan1", ...
	migDevices        []driver.Device
	processes         []driver.Process
	processSamples    []driver.ProcessSample
	processUsages     []processUsage
	lastProcessSample time.Time
}

// counter identifies a cumulative value of one GPU.
type counter struct {
	name string
	kind int
}

func newGPU(s *scraper, device driver.Device, uuid, name string, resource pcommon.Resource) *gpu {
	g := &gpu{
		scraper: s, metrics: &s.config.Builder.Metrics,
		device: device, uuid: uuid, name: name, resource: resource,
		builder:   metadata.NewMetricsBuilder(s.config.Builder, s.settings),
		instances: map[string]*gpu{}, lastValues: map[counter]float64{},
	}
	g.addSample = g.mean.add
	g.setStart(s.start)
	g.selectFields()
	return g
}

// scrape reads the whole GPU. It omits what it cannot read, and stops reading once the GPU turns out to be lost.
func (g *gpu) scrape(now time.Time) {
	g.begin(now)
	g.readUtilization(now)
	g.readMemory()
	g.readBAR1()
	g.readTemperature()
	g.readPower()
	g.readFans()
	g.readClocks()
	g.readPCIe()
	reasons := g.readThrottleReasons()
	rows := g.readErrors()
	g.readFields()
	g.readProcesses(now)
	g.scrapeInstances(now)
	recordStatus(g.builder, g, g.timestamp, g.state(reasons, rows))
	g.emit()
}

// adopt switches to a device of a new generation of the driver, whose version may differ.
func (g *gpu) adopt(detected detectedGPU, resource pcommon.Resource) {
	g.device, g.name, g.resource = detected.device, detected.name, resource
	g.nvlinks = nil
	clear(g.instances)
	g.setStart(g.start)
}

// setStart sets the start time of cumulative points: when the receiver started, or when a counter was last reset.
func (g *gpu) setStart(start pcommon.Timestamp) {
	g.start = start
	g.resultOptions = []metadata.ResourceMetricsOption{
		metadata.WithResource(g.resource), metadata.WithStartTimeOverride(start),
	}
}

func (g *gpu) begin(now time.Time) {
	g.timestamp, g.lost, g.failed = pcommon.NewTimestampFromTime(now), nil, g.failed[:0]
}

func (g *gpu) emit() {
	g.result = g.builder.Emit(g.resultOptions...)
	for _, instance := range g.instances {
		if instance.result.ResourceMetrics().Len() > 0 {
			instance.result.ResourceMetrics().MoveAndAppendTo(g.result.ResourceMetrics())
		}
	}
}

// ok reports whether a driver call returned a value. It logs a failure once per GPU, call, and cause.
func (g *gpu) ok(call string, err error) bool {
	if err == nil {
		return true
	}
	switch code := driver.CodeOf(err); {
	case code.NeedsReopen():
		g.lost = err
	case code.Unavailable():
	default:
		g.failed = append(g.failed, fmt.Errorf("%s of %s: %w", call, g.uuid, err))
		g.scraper.session.logged.do(problem{gpu: g.uuid, what: call, code: code}, func() {
			g.scraper.settings.Logger.Warn(fmt.Sprintf("cannot read GPU metric %s of %s", call, g.uuid),
				zap.String("gpu", g.name), zap.String("hw.id", g.uuid), zap.String("what", call), zap.Error(err))
		})
	}
	return false
}

// trackReset moves the start time of all cumulative points of the GPU when value, a counter, decreases, which means
// that the driver restarted its counters.
func (g *gpu) trackReset(name string, kind int, value float64) {
	key := counter{name, kind}
	if value < g.lastValues[key] {
		g.setStart(g.timestamp)
	}
	g.lastValues[key] = value
}
