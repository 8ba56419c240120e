// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/metadata"
)

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
