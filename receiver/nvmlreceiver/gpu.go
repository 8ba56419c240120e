// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/metadata"
)

// gpu reads one GPU, or one MIG instance, into metrics. It lives as long as the receiver, through every opening of the driver.
// A scrape runs on its lane, and everything but the identity belongs to the scrape.
type gpu struct {
	scraper  *scraper
	uuid     string
	name     string
	resource pcommon.Resource
	options  []metadata.MetricAttributeOption // hw.parent of a MIG instance
	lane     lane

	device    driver.Device
	found     foundGPU
	builder   *metadata.MetricsBuilder
	instances map[string]*gpu // MIG instances by UUID

	ts       pcommon.Timestamp
	out      pmetric.Metrics // what the scrape gave
	lost     error           // why the GPU cannot be read any more, nil if it can
	fields   []driver.Field
	links    []driver.Field // NVLink counters link by link, for GPUs that have no sum
	seen     [driver.EngineOFA + 1]time.Time
	last     map[counter]float64
	mean     mean
	addMean  func(time.Time, uint32)          // mean.add, bound once
	emission []metadata.ResourceMetricsOption // the resource and the start of the cumulative points

	fans        []string // "fan0" and so on
	migDevices  []driver.Device
	processes   []driver.Process
	samples     []driver.ProcessSample
	usage       []processUsage
	seenProcess time.Time
}

// counter is a cumulative value of one GPU.
type counter struct {
	what string
	kind int
}

func newGPU(s *scraper, found foundGPU, device driver.Device, uuid, name string, resource pcommon.Resource) *gpu {
	g := &gpu{
		scraper: s, found: found, device: device, uuid: uuid, name: name, resource: resource, instances: map[string]*gpu{},
		builder: metadata.NewMetricsBuilder(s.config.Builder, s.settings), last: map[counter]float64{},
	}
	g.addMean = g.mean.add
	g.startAt(s.start)
	on := &s.config.Builder.Metrics
	if on.HwGpuIo.Enabled {
		g.want(driver.FieldPCIeTxBytes, driver.FieldPCIeRxBytes, driver.FieldNVLinkTxKiB, driver.FieldNVLinkRxKiB)
	}
	if on.NvmlGpuThrottleTime.Enabled {
		for field := range throttleTimes {
			g.want(field)
		}
	}
	if on.HwTemperature.Enabled {
		g.want(driver.FieldMemoryTemperature)
	}
	return g
}

// scrape reads the whole GPU. What it cannot read it leaves out; when the GPU turns out to be lost it reads no further.
func (g *gpu) scrape(now time.Time) {
	g.begin(now)
	g.utilization(now)
	g.memory()
	g.bar1()
	g.temperature()
	g.power()
	g.fan()
	g.clocks()
	g.pcie()
	reasons := g.throttleReasons()
	rows := g.errors()
	g.readFields()
	g.readProcesses(now)
	g.scrapeInstances(now)
	g.status(reasons, rows)
	g.emit()
}

// startAt sets the start of the cumulative points: when the receiver started, or when a counter was last reset.
func (g *gpu) startAt(start pcommon.Timestamp) {
	g.emission = []metadata.ResourceMetricsOption{metadata.WithResource(g.resource), metadata.WithStartTimeOverride(start)}
}

func (g *gpu) begin(now time.Time) {
	g.ts, g.lost = pcommon.NewTimestampFromTime(now), nil
}

func (g *gpu) emit() {
	g.out = g.builder.Emit(g.emission...)
	for _, instance := range g.instances {
		if instance.out.ResourceMetrics().Len() > 0 {
			instance.out.ResourceMetrics().MoveAndAppendTo(g.out.ResourceMetrics())
		}
	}
}

// ok says whether a call gave a value. A fault is logged once for each GPU, call and cause.
func (g *gpu) ok(call string, err error) bool {
	if err == nil {
		return true
	}
	switch code := driver.CodeOf(err); {
	case code.Void():
		g.lost = err
	case code.Unavailable():
	default:
		g.scraper.session.once.say(problem{gpu: g.uuid, what: call, code: code}, func() {
			g.scraper.settings.Logger.Warn("a GPU metric cannot be read", zap.String("gpu", g.name),
				zap.String("hw.id", g.uuid), zap.String("what", call), zap.Error(err))
		})
	}
	return false
}

// count takes note of a cumulative value. If it went down the driver began to count anew, and so do the metrics of this GPU.
func (g *gpu) count(what string, kind int, value float64) {
	key := counter{what, kind}
	if value < g.last[key] {
		g.startAt(g.ts)
	}
	g.last[key] = value
}
