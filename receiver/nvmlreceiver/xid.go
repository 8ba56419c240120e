// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"maps"
	"sync"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
)

// xidText briefly describes XIDs, based on NVIDIA's XID catalog (docs.nvidia.com/deploy/xid-errors). It omits codes
// that mean nothing to an operator.
var xidText = map[uint64]string{
	13:  "graphics engine exception, mostly a fault of the application",
	31:  "GPU memory page fault, mostly an illegal address in the application",
	32:  "invalid or corrupted push buffer stream",
	38:  "driver firmware error",
	43:  "GPU stopped processing, the application's channel was reset",
	44:  "graphics engine fault during context switch",
	45:  "preemptive cleanup, the application was ended or hit an earlier error",
	46:  "GPU stopped processing",
	48:  "double bit ECC error, not correctable",
	56:  "display engine error",
	57:  "error programming the video memory interface",
	61:  "internal microcontroller breakpoint or warning",
	62:  "internal microcontroller halt",
	63:  "memory page retired or row remapped",
	64:  "memory page retirement or row remapping failed",
	65:  "video processor exception",
	68:  "video decoder exception",
	69:  "graphics engine class error",
	74:  "NVLink error",
	79:  "GPU has fallen off the bus",
	92:  "high rate of single bit ECC errors",
	93:  "non fatal violation of the infoROM wear limit",
	94:  "contained ECC error, the application must be restarted",
	95:  "uncontained ECC error, the GPU must be reset",
	109: "context switch timeout",
	110: "security fault",
	119: "GPU system processor (GSP) timed out",
	120: "GPU system processor (GSP) error",
	121: "C2C link error",
	122: "SPI read failed",
	123: "SPI write failed",
	125: "infoROM access failed",
	136: "NVLink training failed",
	137: "NVLink access fault",
	140: "unrecovered ECC error",
	143: "GPU initialization failed",
	144: "NVLink 5 error",
	145: "NVLink 5 error",
	146: "NVLink 5 error",
	147: "NVLink 5 error",
	148: "NVLink 5 error",
	149: "NVLink 5 error",
	150: "NVLink 5 error",
	154: "recovery action of the GPU changed",
}

// applicationXIDs are the XIDs that are usually caused by an application rather than by a faulty GPU.
var applicationXIDs = map[uint64]bool{13: true, 31: true, 43: true, 45: true, 69: true, 94: true}

// xidCounts counts XIDs since the receiver started.
type xidCounts struct {
	mu     sync.Mutex
	counts map[string]map[uint64]uint64 // by UUID, then by code
}

func (x *xidCounts) add(event gpuEvent) {
	if event.lost || event.Kind&driver.EventXID == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.counts == nil {
		x.counts = map[string]map[uint64]uint64{}
	}
	if x.counts[event.gpu.uuid] == nil {
		x.counts[event.gpu.uuid] = map[uint64]uint64{}
	}
	x.counts[event.gpu.uuid][event.Data]++
}

// of returns the counts of one GPU by code.
func (x *xidCounts) of(uuid string) map[uint64]uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return maps.Clone(x.counts[uuid])
}
