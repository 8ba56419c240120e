// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"fmt"
	"math"
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

func (g *gpu) want(fields ...uint32) {
	for _, id := range fields {
		scope := uint32(0)
		if id == driver.FieldNVLinkTxKiB || id == driver.FieldNVLinkRxKiB {
			scope = driver.ScopeAllLinks
		}
		g.fields = append(g.fields, driver.Field{ID: id, Scope: scope})
	}
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

var throttleReasons = [...]struct {
	bit  uint64
	name metadata.AttributeNvmlThrottleReason
}{
	{driver.ThrottleGPUIdle, metadata.AttributeNvmlThrottleReasonGpuIdle},
	{driver.ThrottleClocksSetting, metadata.AttributeNvmlThrottleReasonClocksSetting},
	{driver.ThrottleSWPowerCap, metadata.AttributeNvmlThrottleReasonSwPowerCap},
	{driver.ThrottleHWSlowdown, metadata.AttributeNvmlThrottleReasonHwSlowdown},
	{driver.ThrottleSyncBoost, metadata.AttributeNvmlThrottleReasonSyncBoost},
	{driver.ThrottleSWThermal, metadata.AttributeNvmlThrottleReasonSwThermal},
	{driver.ThrottleHWThermal, metadata.AttributeNvmlThrottleReasonHwThermal},
	{driver.ThrottleHWPowerBrake, metadata.AttributeNvmlThrottleReasonHwPowerBrake},
	{driver.ThrottleDisplayClock, metadata.AttributeNvmlThrottleReasonDisplayClockSetting},
}

// throttleReasons gives the mask for the status.
func (g *gpu) throttleReasons() uint64 {
	on := &g.scraper.config.Builder.Metrics
	if g.lost != nil || !on.NvmlGpuThrottleActive.Enabled && !on.HwStatus.Enabled {
		return 0
	}
	mask, err := g.device.ThrottleReasons()
	if !g.ok("throttle reasons", err) {
		return 0
	}
	for _, r := range throttleReasons {
		g.builder.RecordNvmlGpuThrottleActiveDataPoint(g.ts, zeroOrOne(mask&r.bit != 0), g.uuid, g.name, r.name, g.options...)
	}
	return mask
}

func zeroOrOne(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// errors gives the remapped rows for the status.
func (g *gpu) errors() driver.RemappedRows {
	on := &g.scraper.config.Builder.Metrics
	if on.HwErrors.Enabled {
		for _, uncorrected := range []bool{false, true} {
			if g.lost != nil {
				break
			}
			if n, err := g.device.ECCErrors(uncorrected); g.ok("ECC errors", err) {
				kind := metadata.AttributeErrorTypeCorrected
				if uncorrected {
					kind = metadata.AttributeErrorTypeUncorrected
				}
				g.recordErrors(kind, n)
			}
		}
		if g.lost == nil {
			if n, err := g.device.PCIeReplays(); g.ok("PCIe replays", err) {
				g.recordErrors(metadata.AttributeErrorTypePcieReplay, n)
			}
		}
	}
	if on.HwErrors.Enabled || on.NvmlGpuXidErrors.Enabled {
		var total uint64
		for code, n := range g.scraper.xids.of(g.uuid) {
			total += n
			g.builder.RecordNvmlGpuXidErrorsDataPoint(g.ts, int64(n), g.uuid, g.name, int64(code), g.options...)
		}
		if g.scraper.xids.counting.Load() {
			g.recordErrors(metadata.AttributeErrorTypeXid, total)
		}
	}
	if g.lost != nil || !on.HwErrors.Enabled && !on.HwStatus.Enabled {
		return driver.RemappedRows{}
	}
	rows, err := g.device.RemappedRows()
	if !g.ok("remapped rows", err) {
		return driver.RemappedRows{}
	}
	g.recordErrors(metadata.AttributeErrorTypeRowRemapCorrected, rows.Corrected)
	g.recordErrors(metadata.AttributeErrorTypeRowRemapUncorrected, rows.Uncorrected)
	return rows
}

func (g *gpu) recordErrors(kind metadata.AttributeErrorType, n uint64) {
	g.count("errors", int(kind), float64(n))
	g.builder.RecordHwErrorsDataPoint(g.ts, int64(n), g.uuid, g.name, metadata.AttributeHwTypeGpu, kind, g.options...)
}

var throttleTimes = map[uint32]metadata.AttributeThrottleTimeReason{
	driver.FieldThrottlePower:          metadata.AttributeThrottleTimeReasonPower,
	driver.FieldThrottleThermal:        metadata.AttributeThrottleTimeReasonThermal,
	driver.FieldThrottleSyncBoost:      metadata.AttributeThrottleTimeReasonSyncBoost,
	driver.FieldThrottleBoardLimit:     metadata.AttributeThrottleTimeReasonBoardLimit,
	driver.FieldThrottleLowUtilization: metadata.AttributeThrottleTimeReasonLowUtilization,
	driver.FieldThrottleReliability:    metadata.AttributeThrottleTimeReasonReliability,
	driver.FieldThrottleSWThermal:      metadata.AttributeThrottleTimeReasonSwThermal,
	driver.FieldThrottleHWThermal:      metadata.AttributeThrottleTimeReasonHwThermal,
	driver.FieldThrottleHWPowerBrake:   metadata.AttributeThrottleTimeReasonHwPowerBrake,
}

// readFields reads everything that the driver gives by field number, in one call.
func (g *gpu) readFields() {
	if len(g.fields) == 0 || g.lost != nil || !g.ok("fields", g.device.Fields(g.fields)) {
		return
	}
	linkSums := true
	for _, f := range g.fields {
		if driver.CodeOf(f.Err).Unavailable() && (f.ID == driver.FieldNVLinkTxKiB || f.ID == driver.FieldNVLinkRxKiB) {
			linkSums = false
		}
		if !g.ok("fields", f.Err) {
			continue
		}
		switch f.ID {
		case driver.FieldMemoryTemperature:
			g.builder.RecordHwTemperatureDataPoint(g.ts, int64(f.Value), g.uuid, g.name, metadata.AttributeHwSensorLocationMemory, g.options...)
		case driver.FieldPCIeTxBytes:
			g.recordIO(metadata.AttributeNvmlLinkPcie, driver.Transmit, f.Value)
		case driver.FieldPCIeRxBytes:
			g.recordIO(metadata.AttributeNvmlLinkPcie, driver.Receive, f.Value)
		case driver.FieldNVLinkTxKiB:
			g.recordIO(metadata.AttributeNvmlLinkNvlink, driver.Transmit, f.Value*1024)
		case driver.FieldNVLinkRxKiB:
			g.recordIO(metadata.AttributeNvmlLinkNvlink, driver.Receive, f.Value*1024)
		default:
			seconds := float64(f.Value) / 1e9
			g.count("throttle time", int(f.ID), seconds)
			g.builder.RecordNvmlGpuThrottleTimeDataPoint(g.ts, seconds, g.uuid, g.name, throttleTimes[f.ID], g.options...)
		}
	}
	if !linkSums {
		g.readLinks()
	}
}

// readLinks adds up the NVLink counters of GPUs that count link by link only.
func (g *gpu) readLinks() {
	if g.links == nil {
		count := [1]driver.Field{{ID: driver.FieldNVLinkCount}}
		if g.lost != nil || g.device.Fields(count[:]) != nil || count[0].Err != nil {
			return
		}
		g.links = []driver.Field{}
		for link := range uint32(min(count[0].Value, 64)) {
			g.links = append(g.links, driver.Field{ID: driver.FieldNVLinkTxBytes, Scope: link}, driver.Field{ID: driver.FieldNVLinkRxBytes, Scope: link})
		}
	}
	if len(g.links) == 0 || !g.ok("NVLink", g.device.Fields(g.links)) {
		return
	}
	var sum [len(directions)]uint64
	found := false
	for _, f := range g.links {
		if f.Err != nil {
			continue // a link that is down
		}
		found = true
		if f.ID == driver.FieldNVLinkTxBytes {
			sum[driver.Transmit] += f.Value
		} else {
			sum[driver.Receive] += f.Value
		}
	}
	if found {
		g.recordIO(metadata.AttributeNvmlLinkNvlink, driver.Transmit, sum[driver.Transmit])
		g.recordIO(metadata.AttributeNvmlLinkNvlink, driver.Receive, sum[driver.Receive])
	}
}

func (g *gpu) recordIO(link metadata.AttributeNvmlLink, direction driver.Direction, bytes uint64) {
	bytes = min(bytes, math.MaxInt64)
	g.count("io", int(link)<<1|int(direction), float64(bytes))
	g.builder.RecordHwGpuIoDataPoint(g.ts, int64(bytes), g.uuid, g.name, link, directions[direction], g.options...)
}

const throttledByHardware = driver.ThrottleHWSlowdown | driver.ThrottleHWThermal | driver.ThrottleHWPowerBrake

func (g *gpu) status(reasons uint64, rows driver.RemappedRows) {
	state := metadata.AttributeHwStateOk
	switch {
	case g.lost != nil:
		state = metadata.AttributeHwStateFailed
	case rows.Failed:
		state = metadata.AttributeHwStatePredictedFailure
	case rows.Pending, reasons&throttledByHardware != 0:
		state = metadata.AttributeHwStateDegraded
	}
	recordStatus(g.builder, g, g.ts, state)
}

// recordStatus records one point for each state.
func recordStatus(builder *metadata.MetricsBuilder, g *gpu, ts pcommon.Timestamp, state metadata.AttributeHwState) {
	for s := metadata.AttributeHwStateOk; s <= metadata.AttributeHwStateFailed; s++ {
		builder.RecordHwStatusDataPoint(ts, zeroOrOne(s == state), g.uuid, g.name, metadata.AttributeHwTypeGpu, s, g.options...)
	}
}
