// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"fmt"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/metadata"
)

var tasks = [...]struct {
	engine driver.Engine
	task   metadata.AttributeHwGpuTask
}{
	{driver.EngineGeneral, metadata.AttributeHwGpuTaskGeneral},
	{driver.EngineEncoder, metadata.AttributeHwGpuTaskEncoder},
	{driver.EngineDecoder, metadata.AttributeHwGpuTaskDecoder},
	{driver.EngineJPEG, metadata.AttributeHwGpuTaskJpeg},
	{driver.EngineOFA, metadata.AttributeHwGpuTaskOfa},
}

func (g *gpu) utilization(now time.Time) {
	on := &g.scraper.config.Builder.Metrics
	if on.HwGpuUtilization.Enabled {
		for _, t := range tasks {
			if ratio, ok := g.busy(t.engine, now); ok {
				g.builder.RecordHwGpuUtilizationDataPoint(g.ts, ratio, g.uuid, g.name, t.task, g.options...)
			}
		}
	}
	if on.NvmlGpuMemoryBandwidthUtilization.Enabled {
		if ratio, ok := g.busy(driver.EngineMemory, now); ok {
			g.builder.RecordNvmlGpuMemoryBandwidthUtilizationDataPoint(g.ts, ratio, g.uuid, g.name, g.options...)
		}
	}
}

// busy is the fraction of time in which the engine was busy since the last scrape, 0..1.
func (g *gpu) busy(engine driver.Engine, now time.Time) (float64, bool) {
	if g.lost != nil {
		return 0, false
	}
	if g.seen[engine].IsZero() {
		g.seen[engine] = now.Add(-g.scraper.config.Controller.CollectionInterval)
	}
	g.mean = mean{since: g.seen[engine], latest: g.seen[engine]}
	err := g.device.UtilizationSamples(engine, g.seen[engine], g.addMean)
	if err == nil && g.mean.n > 0 {
		g.seen[engine] = g.mean.latest
		return percent(g.mean.sum / g.mean.n), true
	}
	if err != nil && driver.CodeOf(err).Void() {
		return 0, g.ok("utilization", err)
	}
	latest, err := g.device.Utilization(engine) // no samples kept, or none yet
	if !g.ok("utilization", err) {
		return 0, false
	}
	return percent(float64(latest)), true
}

// mean of the samples that are newer than since.
type mean struct {
	since, latest time.Time
	sum, n        float64
}

func (m *mean) add(at time.Time, percent uint32) {
	if !at.After(m.since) {
		return
	}
	m.sum += float64(percent)
	m.n++
	if at.After(m.latest) {
		m.latest = at
	}
}

// percent turns 0..100 into 0..1. Drivers have been seen to report more than 100.
func percent(value float64) float64 { return min(value/100, 1) }

func (g *gpu) memory() {
	on := &g.scraper.config.Builder.Metrics
	if g.lost != nil || !on.HwGpuMemoryUsage.Enabled && !on.HwGpuMemoryLimit.Enabled && !on.HwGpuMemoryUtilization.Enabled {
		return
	}
	m, err := g.device.Memory()
	if !g.ok("memory", err) {
		return
	}
	record := func(state metadata.AttributeNvmlMemoryState, size uint64) {
		g.builder.RecordHwGpuMemoryUsageDataPoint(g.ts, int64(size), g.uuid, g.name, state, g.options...)
		if m.Total > 0 {
			g.builder.RecordHwGpuMemoryUtilizationDataPoint(g.ts, float64(size)/float64(m.Total), g.uuid, g.name, state, g.options...)
		}
	}
	record(metadata.AttributeNvmlMemoryStateUsed, m.Used)
	record(metadata.AttributeNvmlMemoryStateFree, m.Free)
	if m.HasReserved {
		record(metadata.AttributeNvmlMemoryStateReserved, m.Reserved)
	}
	g.builder.RecordHwGpuMemoryLimitDataPoint(g.ts, int64(m.Total), g.uuid, g.name, g.options...)
}

func (g *gpu) bar1() {
	on := &g.scraper.config.Builder.Metrics
	if g.lost != nil || !on.NvmlGpuBar1Usage.Enabled && !on.NvmlGpuBar1Limit.Enabled {
		return
	}
	if m, err := g.device.BAR1(); g.ok("BAR1", err) {
		g.builder.RecordNvmlGpuBar1UsageDataPoint(g.ts, int64(m.Used), g.uuid, g.name, metadata.AttributeBar1StateUsed, g.options...)
		g.builder.RecordNvmlGpuBar1UsageDataPoint(g.ts, int64(m.Free), g.uuid, g.name, metadata.AttributeBar1StateFree, g.options...)
		g.builder.RecordNvmlGpuBar1LimitDataPoint(g.ts, int64(m.Total), g.uuid, g.name, g.options...)
	}
}

var temperatureLimits = [...]struct {
	limit    driver.TemperatureLimit
	location metadata.AttributeHwSensorLocation
	kind     metadata.AttributeTemperatureLimitType
}{
	{driver.LimitSlowdown, metadata.AttributeHwSensorLocationGpu, metadata.AttributeTemperatureLimitTypeThrottled},
	{driver.LimitShutdown, metadata.AttributeHwSensorLocationGpu, metadata.AttributeTemperatureLimitTypeCritical},
	{driver.LimitGPUMax, metadata.AttributeHwSensorLocationGpu, metadata.AttributeTemperatureLimitTypeMax},
	{driver.LimitMemoryMax, metadata.AttributeHwSensorLocationMemory, metadata.AttributeTemperatureLimitTypeMax},
}

func (g *gpu) temperature() {
	on := &g.scraper.config.Builder.Metrics
	if on.HwTemperature.Enabled && g.lost == nil {
		if celsius, err := g.device.Temperature(); g.ok("temperature", err) {
			g.builder.RecordHwTemperatureDataPoint(g.ts, int64(celsius), g.uuid, g.name, metadata.AttributeHwSensorLocationGpu, g.options...)
		}
	}
	if !on.HwTemperatureLimit.Enabled {
		return
	}
	for _, l := range temperatureLimits {
		if g.lost != nil {
			return
		}
		if celsius, err := g.device.TemperatureLimit(l.limit); g.ok("temperature limit", err) {
			g.builder.RecordHwTemperatureLimitDataPoint(g.ts, int64(celsius), g.uuid, g.name, l.location, l.kind, g.options...)
		}
	}
}

var powerLimits = [...]struct {
	limit driver.PowerLimit
	kind  metadata.AttributePowerLimitType
}{
	{driver.PowerEnforced, metadata.AttributePowerLimitTypeEnforced},
	{driver.PowerDefault, metadata.AttributePowerLimitTypeDefault},
	{driver.PowerMin, metadata.AttributePowerLimitTypeMin},
	{driver.PowerMax, metadata.AttributePowerLimitTypeMax},
}

func (g *gpu) power() {
	on := &g.scraper.config.Builder.Metrics
	if on.HwPower.Enabled && g.lost == nil {
		if milliwatts, err := g.device.Power(); g.ok("power", err) {
			g.builder.RecordHwPowerDataPoint(g.ts, float64(milliwatts)/1e3, g.uuid, g.name, metadata.AttributeHwTypeGpu, g.options...)
		}
	}
	if on.HwEnergy.Enabled && g.lost == nil {
		if millijoules, err := g.device.Energy(); g.ok("energy", err) {
			joules := float64(millijoules) / 1e3
			g.count("energy", 0, joules)
			g.builder.RecordHwEnergyDataPoint(g.ts, joules, g.uuid, g.name, metadata.AttributeHwTypeGpu, g.options...)
		}
	}
	if !on.NvmlGpuPowerLimit.Enabled {
		return
	}
	for _, l := range powerLimits {
		if g.lost != nil {
			return
		}
		if milliwatts, err := g.device.PowerLimit(l.limit); g.ok("power limit", err) {
			g.builder.RecordNvmlGpuPowerLimitDataPoint(g.ts, float64(milliwatts)/1e3, g.uuid, g.name, l.kind, g.options...)
		}
	}
}

func (g *gpu) fan() {
	on := &g.scraper.config.Builder.Metrics
	if on.HwFanSpeedRatio.Enabled && g.lost == nil {
		count, err := g.device.FanCount()
		g.ok("fans", err)
		for i := 0; i < count && g.lost == nil; i++ {
			if speed, err := g.device.FanSpeed(i); g.ok("fan speed", err) {
				g.builder.RecordHwFanSpeedRatioDataPoint(g.ts, float64(speed)/100, g.uuid, g.name, g.fanName(i), g.options...)
			}
		}
	}
	if on.HwFanSpeed.Enabled && g.lost == nil {
		if rpm, err := g.device.FanRPM(); g.ok("fan speed", err) {
			g.builder.RecordHwFanSpeedDataPoint(g.ts, int64(rpm), g.uuid, g.name, g.fanName(0), g.options...)
		}
	}
}

func (g *gpu) fanName(i int) string {
	for len(g.fans) <= i {
		g.fans = append(g.fans, fmt.Sprintf("fan%d", len(g.fans)))
	}
	return g.fans[i]
}

var clocks = [...]struct {
	clock driver.Clock
	name  metadata.AttributeNvmlClock
}{
	{driver.ClockGraphics, metadata.AttributeNvmlClockGraphics},
	{driver.ClockSM, metadata.AttributeNvmlClockSm},
	{driver.ClockMemory, metadata.AttributeNvmlClockMemory},
	{driver.ClockVideo, metadata.AttributeNvmlClockVideo},
}

func (g *gpu) clocks() {
	const perMHz = 1_000_000
	on := &g.scraper.config.Builder.Metrics
	for _, c := range clocks {
		if on.NvmlGpuClockFrequency.Enabled && g.lost == nil {
			if mhz, err := g.device.Clock(c.clock); g.ok("clock", err) {
				g.builder.RecordNvmlGpuClockFrequencyDataPoint(g.ts, int64(mhz)*perMHz, g.uuid, g.name, c.name, g.options...)
			}
		}
		if on.NvmlGpuClockLimit.Enabled && g.lost == nil {
			if mhz, err := g.device.MaxClock(c.clock); g.ok("clock limit", err) {
				g.builder.RecordNvmlGpuClockLimitDataPoint(g.ts, int64(mhz)*perMHz, g.uuid, g.name, c.name, g.options...)
			}
		}
	}
	const unknown = 32
	if on.NvmlGpuPerformanceState.Enabled && g.lost == nil {
		if state, err := g.device.PerformanceState(); g.ok("performance state", err) && state != unknown {
			g.builder.RecordNvmlGpuPerformanceStateDataPoint(g.ts, int64(state), g.uuid, g.name, g.options...)
		}
	}
}

func (g *gpu) pcie() {
	on := &g.scraper.config.Builder.Metrics
	if (on.NvmlGpuPcieLinkGeneration.Enabled || on.NvmlGpuPcieLinkWidth.Enabled) && g.lost == nil {
		if generation, width, err := g.device.PCIeLink(); g.ok("PCIe link", err) {
			g.builder.RecordNvmlGpuPcieLinkGenerationDataPoint(g.ts, int64(generation), g.uuid, g.name, g.options...)
			g.builder.RecordNvmlGpuPcieLinkWidthDataPoint(g.ts, int64(width), g.uuid, g.name, g.options...)
		}
	}
	if !on.NvmlGpuPcieThroughput.Enabled {
		return
	}
	for direction, name := range directions {
		if g.lost != nil {
			return
		}
		if rate, err := g.device.PCIeThroughput(driver.Direction(direction)); g.ok("PCIe throughput", err) {
			g.builder.RecordNvmlGpuPcieThroughputDataPoint(g.ts, int64(rate), g.uuid, g.name, name, g.options...)
		}
	}
}

var directions = [...]metadata.AttributeNetworkIoDirection{
	driver.Transmit: metadata.AttributeNetworkIoDirectionTransmit,
	driver.Receive:  metadata.AttributeNetworkIoDirectionReceive,
}
