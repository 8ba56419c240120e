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

// readThrottleReasons records and returns the mask of active reasons, which state also needs. It returns 0 if the mask
// cannot be read.
func (g *gpu) readThrottleReasons() uint64 {
	if g.lost != nil || !g.metrics.NvmlGpuThrottleActive.Enabled && !g.metrics.HwStatus.Enabled {
		return 0
	}
	mask, err := g.device.ThrottleReasons()
	if !g.ok("throttle reasons", err) {
		return 0
	}
	for _, r := range throttleReasons {
		g.builder.RecordNvmlGpuThrottleActiveDataPoint(g.timestamp, boolToInt(mask&r.bit != 0), g.uuid, g.name,
			r.name, g.options...)
	}
	return mask
}

func boolToInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// readErrors records the error counts. It returns the remapped rows, which state also needs, or the zero value if they
// cannot be read.
func (g *gpu) readErrors() driver.RemappedRows {
	if g.metrics.HwErrors.Enabled {
		g.readECCErrors(metadata.AttributeErrorTypeCorrected, false)
		g.readECCErrors(metadata.AttributeErrorTypeUncorrected, true)
		if g.lost == nil {
			if n, err := g.device.PCIeReplays(); g.ok("PCIe replays", err) {
				g.recordErrors(metadata.AttributeErrorTypePcieReplay, n)
			}
		}
	}
	recordXIDs(g.builder, g, g.timestamp)
	if g.lost != nil || !g.metrics.HwErrors.Enabled && !g.metrics.HwStatus.Enabled {
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

func (g *gpu) readECCErrors(kind metadata.AttributeErrorType, uncorrected bool) {
	if g.lost != nil {
		return
	}
	if n, err := g.device.ECCErrors(uncorrected); g.ok("ECC errors", err) {
		g.recordErrors(kind, n)
	}
}

// recordXIDs records the XIDs of g. It works even for a GPU that cannot be read, because the receiver itself counts
// XIDs.
func recordXIDs(builder *metadata.MetricsBuilder, g *gpu, timestamp pcommon.Timestamp) {
	var total uint64
	for code, n := range g.scraper.xids.of(g.uuid) {
		total += n
		builder.RecordNvmlGpuXidErrorsDataPoint(timestamp, int64(n), g.uuid, g.name, int64(code), g.options...)
	}
	if g.scraper.session.watches(g.uuid) {
		builder.RecordHwErrorsDataPoint(timestamp, int64(total), g.uuid, g.name, metadata.AttributeHwTypeGpu,
			metadata.AttributeErrorTypeXid, g.options...)
	}
}

func (g *gpu) recordErrors(kind metadata.AttributeErrorType, n uint64) {
	g.trackReset("errors", int(kind), float64(n))
	g.builder.RecordHwErrorsDataPoint(g.timestamp, int64(n), g.uuid, g.name, metadata.AttributeHwTypeGpu, kind,
		g.options...)
}

const hardwareThrottling = driver.ThrottleHWSlowdown | driver.ThrottleHWThermal | driver.ThrottleHWPowerBrake

// state rates the health of the GPU from the results of the scrape.
func (g *gpu) state(throttleReasons uint64, rows driver.RemappedRows) metadata.AttributeHwState {
	switch {
	case g.lost != nil:
		return metadata.AttributeHwStateFailed
	case rows.Failed:
		return metadata.AttributeHwStatePredictedFailure
	case rows.Pending, throttleReasons&hardwareThrottling != 0:
		return metadata.AttributeHwStateDegraded
	}
	return metadata.AttributeHwStateOk
}

// recordStatus records one point per state: 1 for the current state, 0 for the others.
func recordStatus(
	builder *metadata.MetricsBuilder, g *gpu, timestamp pcommon.Timestamp, current metadata.AttributeHwState,
) {
	for state := metadata.AttributeHwStateOk; state <= metadata.AttributeHwStateFailed; state++ {
		builder.RecordHwStatusDataPoint(timestamp, boolToInt(state == current), g.uuid, g.name,
			metadata.AttributeHwTypeGpu, state, g.options...)
	}
}
