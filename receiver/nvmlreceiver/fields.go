// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/metadata"
)

func (g *gpu) want(fields ...uint32) {
	for _, id := range fields {
		scope := uint32(0)
		if id == driver.FieldNVLinkTxKiB || id == driver.FieldNVLinkRxKiB {
			scope = driver.ScopeAllLinks
		}
		g.fields = append(g.fields, driver.Field{ID: id, Scope: scope})
	}
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
