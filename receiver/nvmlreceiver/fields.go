// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/metadata"
)

// maxNVLinks is the maximum number of NVLinks that the receiver reads per GPU, whatever number the driver reports.
const maxNVLinks = 64

var throttleTimeReasons = map[uint32]metadata.AttributeThrottleTimeReason{
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

// selectFields lists the fields that the enabled metrics need.
func (g *gpu) selectFields() {
	if g.metrics.HwGpuIo.Enabled {
		g.fields = append(g.fields,
			driver.Field{ID: driver.FieldPCIeTxBytes},
			driver.Field{ID: driver.FieldPCIeRxBytes},
			driver.Field{ID: driver.FieldNVLinkTxKiB, Scope: driver.ScopeAllLinks},
			driver.Field{ID: driver.FieldNVLinkRxKiB, Scope: driver.ScopeAllLinks})
	}
	if g.metrics.NvmlGpuThrottleTime.Enabled {
		for id := range throttleTimeReasons {
			g.fields = append(g.fields, driver.Field{ID: id})
		}
	}
	if g.metrics.HwTemperature.Enabled {
		g.fields = append(g.fields, driver.Field{ID: driver.FieldMemoryTemperature})
	}
}

// readFields reads, in one call, every value that the driver identifies by field number.
func (g *gpu) readFields() {
	if len(g.fields) == 0 || g.lost != nil || !g.ok("fields", g.device.Fields(g.fields)) {
		return
	}
	nvlinkTotals := true
	for _, f := range g.fields {
		if driver.CodeOf(f.Err).Unavailable() && (f.ID == driver.FieldNVLinkTxKiB || f.ID == driver.FieldNVLinkRxKiB) {
			nvlinkTotals = false
		}
		if !g.ok("fields", f.Err) {
			continue
		}
		switch f.ID {
		case driver.FieldMemoryTemperature:
			g.recordTemperature(metadata.AttributeHwSensorLocationMemory, int64(f.Value))
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
			g.trackReset("throttle time", int(f.ID), seconds)
			g.builder.RecordNvmlGpuThrottleTimeDataPoint(g.timestamp, seconds, g.uuid, g.name,
				throttleTimeReasons[f.ID], g.options...)
		}
	}
	if !nvlinkTotals {
		g.readNVLinks()
	}
}

// readNVLinks sums the counters of all NVLinks, for GPUs that count each link separately.
func (g *gpu) readNVLinks() {
	if g.nvlinks == nil {
		count := [1]driver.Field{{ID: driver.FieldNVLinkCount}}
		if g.lost != nil || g.device.Fields(count[:]) != nil || count[0].Err != nil {
			return
		}
		g.nvlinks = []driver.Field{}
		for link := range uint32(min(count[0].Value, maxNVLinks)) {
			g.nvlinks = append(g.nvlinks,
				driver.Field{ID: driver.FieldNVLinkTxBytes, Scope: link},
				driver.Field{ID: driver.FieldNVLinkRxBytes, Scope: link})
		}
	}
	if len(g.nvlinks) == 0 || !g.ok("NVLink", g.device.Fields(g.nvlinks)) {
		return
	}
	var total [len(ioDirections)]uint64
	found := false
	for _, f := range g.nvlinks {
		if f.Err != nil {
			continue // the link is down
		}
		found = true
		if f.ID == driver.FieldNVLinkTxBytes {
			total[driver.Transmit] += f.Value
		} else {
			total[driver.Receive] += f.Value
		}
	}
	if found {
		g.recordIO(metadata.AttributeNvmlLinkNvlink, driver.Transmit, total[driver.Transmit])
		g.recordIO(metadata.AttributeNvmlLinkNvlink, driver.Receive, total[driver.Receive])
	}
}

func (g *gpu) recordIO(link metadata.AttributeNvmlLink, direction driver.Direction, bytes uint64) {
	bytes = min(bytes, math.MaxInt64)
	g.trackReset("io", int(link)<<1|int(direction), float64(bytes))
	g.builder.RecordHwGpuIoDataPoint(g.timestamp, int64(bytes), g.uuid, g.name, link, ioDirections[direction],
		g.options...)
}
