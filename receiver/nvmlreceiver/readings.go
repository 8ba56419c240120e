// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"fmt"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/metadata"
)

var engineTasks = [...]struct {
	engine driver.Engine
	task   metadata.AttributeHwGpuTask
}{
	{driver.EngineGeneral, metadata.AttributeHwGpuTaskGeneral},
	{driver.EngineEncoder, metadata.AttributeHwGpuTaskEncoder},
	{driver.EngineDecoder, metadata.AttributeHwGpuTaskDecoder},
	{driver.EngineJPEG, metadata.AttributeHwGpuTaskJpeg},
	{driver.EngineOFA, metadata.AttributeHwGpuTaskOfa},
}

func (g *gpu) readUtilization(now time.Time) {
	if g.metrics.HwGpuUtilization.Enabled {
		for _, t := range engineTasks {
			if ratio, ok := g.utilization(t.engine, now); ok {
				g.builder.RecordHwGpuUtilizationDataPoint(g.timestamp, ratio, g.uuid, g.name, t.task, g.options...)
			}
		}
	}
	if g.metrics.NvmlGpuMemoryBandwidthUtilization.Enabled {
		if ratio, ok := g.utilization(driver.EngineMemory, now); ok {
			g.builder.RecordNvmlGpuMemoryBandwidthUtilizationDataPoint(g.timestamp, ratio, g.uuid, g.name, g.options...)
		}
	}
}

// utilization returns the fraction of time (0..1) that the engine was busy since the last scrape. It returns false if
// the driver reports none.
func (g *gpu) utilization(engine driver.Engine, now time.Time) (float64, bool) {
	if g.lost != nil {
		return 0, false
	}
	if g.lastSample[engine].IsZero() {
		g.lastSample[engine] = now.Add(-g.scraper.config.Controller.CollectionInterval)
	}
	g.mean = sampleMean{since: g.lastSample[engine], latest: g.lastSample[engine]}
	err := g.device.UtilizationSamples(engine, g.lastSample[engine], g.addSample)
	if err == nil && g.mean.n > 0 {
		g.lastSample[engine] = g.mean.latest
		return percentToRatio(g.mean.sum / g.mean.n), true
	}
	if err != nil && driver.CodeOf(err).NeedsReopen() {
		return 0, g.ok("utilization", err)
	}
	latest, err := g.device.Utilization(engine) // the driver keeps no samples, or has no new ones
	if !g.ok("utilization", err) {
		return 0, false
	}
	return percentToRatio(float64(latest)), true
}

// sampleMean averages the samples taken after since.
type sampleMean struct {
	since, latest time.Time
	sum, n        float64
}

func (m *sampleMean) add(at time.Time, percent uint32) {
	if !at.After(m.since) {
		return
	}
	m.sum += float64(percent)
	m.n++
	if at.After(m.latest) {
		m.latest = at
	}
}

// percentToRatio converts 0..100 to 0..1. It caps the result, since some drivers report more than 100.
func percentToRatio(percent float64) float64 { return min(percent/100, 1) }

func (g *gpu) readMemory() {
	enabled := g.metrics.HwGpuMemoryUsage.Enabled || g.metrics.HwGpuMemoryLimit.Enabled ||
		g.metrics.HwGpuMemoryUtilization.Enabled || g.metrics.NvmlGpuMemoryFree.Enabled ||
		g.metrics.NvmlGpuMemoryReserved.Enabled
	if g.lost != nil || !enabled {
		return
	}
	m, err := g.device.Memory()
	if !g.ok("memory", err) {
		return
	}
	g.builder.RecordHwGpuMemoryLimitDataPoint(g.timestamp, int64(m.Total), g.uuid, g.name, g.options...)
	g.builder.RecordHwGpuMemoryUsageDataPoint(g.timestamp, int64(m.Used), g.uuid, g.name, g.options...)
	if m.Total > 0 {
		ratio := float64(m.Used) / float64(m.Total)
		g.builder.RecordHwGpuMemoryUtilizationDataPoint(g.timestamp, ratio, g.uuid, g.name, g.options...)
	}
	g.builder.RecordNvmlGpuMemoryFreeDataPoint(g.timestamp, int64(m.Free), g.uuid, g.name, g.options...)
	if m.HasReserved {
		g.builder.RecordNvmlGpuMemoryReservedDataPoint(g.timestamp, int64(m.Reserved), g.uuid, g.name, g.options...)
	}
}

func (g *gpu) readBAR1() {
	if g.lost != nil || !g.metrics.NvmlGpuBar1Usage.Enabled && !g.metrics.NvmlGpuBar1Limit.Enabled {
		return
	}
	m, err := g.device.BAR1()
	if !g.ok("BAR1", err) {
		return
	}
	g.builder.RecordNvmlGpuBar1UsageDataPoint(g.timestamp, int64(m.Used), g.uuid, g.name, g.options...)
	g.builder.RecordNvmlGpuBar1LimitDataPoint(g.timestamp, int64(m.Total), g.uuid, g.name, g.options...)
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

func (g *gpu) readTemperature() {
	if g.metrics.HwTemperature.Enabled && g.lost == nil {
		if celsius, err := g.device.Temperature(); g.ok("temperature", err) {
			g.recordTemperature(metadata.AttributeHwSensorLocationGpu, int64(celsius))
		}
	}
	if !g.metrics.HwTemperatureLimit.Enabled {
		return
	}
	for _, l := range temperatureLimits {
		if g.lost != nil {
			return
		}
		if celsius, err := g.device.TemperatureLimit(l.limit); g.ok("temperature limit", err) {
			g.builder.RecordHwTemperatureLimitDataPoint(g.timestamp, int64(celsius), g.uuid, g.name,
				l.location, l.kind, g.options...)
		}
	}
}

func (g *gpu) recordTemperature(location metadata.AttributeHwSensorLocation, celsius int64) {
	g.builder.RecordHwTemperatureDataPoint(g.timestamp, celsius, g.uuid, g.name, location, g.options...)
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

func (g *gpu) readPower() {
	if g.metrics.HwPower.Enabled && g.lost == nil {
		if milliwatts, err := g.device.Power(); g.ok("power", err) {
			g.builder.RecordHwPowerDataPoint(g.timestamp, float64(milliwatts)/1e3, g.uuid, g.name,
				metadata.AttributeHwTypeGpu, g.options...)
		}
	}
	if g.metrics.HwEnergy.Enabled && g.lost == nil {
		if millijoules, err := g.device.Energy(); g.ok("energy", err) {
			joules := float64(millijoules) / 1e3
			g.trackReset("energy", 0, joules)
			g.builder.RecordHwEnergyDataPoint(g.timestamp, joules, g.uuid, g.name,
				metadata.AttributeHwTypeGpu, g.options...)
		}
	}
	if !g.metrics.NvmlGpuPowerLimit.Enabled {
		return
	}
	for _, l := range powerLimits {
		if g.lost != nil {
			return
		}
		if milliwatts, err := g.device.PowerLimit(l.limit); g.ok("power limit", err) {
			g.builder.RecordNvmlGpuPowerLimitDataPoint(g.timestamp, float64(milliwatts)/1e3, g.uuid, g.name,
				l.kind, g.options...)
		}
	}
}

func (g *gpu) readFans() {
	if g.metrics.HwFanSpeedRatio.Enabled && g.lost == nil {
		count, err := g.device.FanCount()
		g.ok("fans", err)
		for i := 0; i < count && g.lost == nil; i++ {
			if percent, err := g.device.FanSpeed(i); g.ok("fan speed", err) {
				g.builder.RecordHwFanSpeedRatioDataPoint(g.timestamp, float64(percent)/100, g.uuid, g.name,
					g.fanName(i), g.options...)
			}
		}
	}
	if g.metrics.HwFanSpeed.Enabled && g.lost == nil {
		if rpm, err := g.device.FanRPM(); g.ok("fan speed", err) {
			g.builder.RecordHwFanSpeedDataPoint(g.timestamp, int64(rpm), g.uuid, g.name, g.fanName(0), g.options...)
		}
	}
}

func (g *gpu) fanName(i int) string {
	for len(g.fanNames) <= i {
		g.fanNames = append(g.fanNames, fmt.Sprintf("fan%d", len(g.fanNames)))
	}
	return g.fanNames[i]
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

func (g *gpu) readClocks() {
	const hertzPerMHz = 1_000_000
	for _, c := range clocks {
		if g.metrics.NvmlGpuClockFrequency.Enabled && g.lost == nil {
			if mhz, err := g.device.Clock(c.clock); g.ok("clock", err) {
				g.builder.RecordNvmlGpuClockFrequencyDataPoint(g.timestamp, int64(mhz)*hertzPerMHz, g.uuid, g.name,
					c.name, g.options...)
			}
		}
		if g.metrics.NvmlGpuClockLimit.Enabled && g.lost == nil {
			if mhz, err := g.device.MaxClock(c.clock); g.ok("clock limit", err) {
				g.builder.RecordNvmlGpuClockLimitDataPoint(g.timestamp, int64(mhz)*hertzPerMHz, g.uuid, g.name,
					c.name, g.options...)
			}
		}
	}
	if g.metrics.NvmlGpuPerformanceState.Enabled && g.lost == nil {
		state, err := g.device.PerformanceState()
		if g.ok("performance state", err) && state != driver.PerformanceStateUnknown {
			g.builder.RecordNvmlGpuPerformanceStateDataPoint(g.timestamp, int64(state), g.uuid, g.name, g.options...)
		}
	}
}

var ioDirections = [...]metadata.AttributeNetworkIoDirection{
	driver.Transmit: metadata.AttributeNetworkIoDirectionTransmit,
	driver.Receive:  metadata.AttributeNetworkIoDirectionReceive,
}

func (g *gpu) readPCIe() {
	if (g.metrics.NvmlGpuPcieLinkGeneration.Enabled || g.metrics.NvmlGpuPcieLinkWidth.Enabled) && g.lost == nil {
		if generation, width, err := g.device.PCIeLink(); g.ok("PCIe link", err) {
			g.builder.RecordNvmlGpuPcieLinkGenerationDataPoint(g.timestamp, int64(generation), g.uuid, g.name,
				g.options...)
			g.builder.RecordNvmlGpuPcieLinkWidthDataPoint(g.timestamp, int64(width), g.uuid, g.name, g.options...)
		}
	}
	if !g.metrics.NvmlGpuPcieThroughput.Enabled {
		return
	}
	for direction, name := range ioDirections {
		if g.lost != nil {
			return
		}
		if rate, err := g.device.PCIeThroughput(driver.Direction(direction)); g.ok("PCIe throughput", err) {
			g.builder.RecordNvmlGpuPcieThroughputDataPoint(g.timestamp, int64(rate), g.uuid, g.name, name, g.options...)
		}
	}
}
