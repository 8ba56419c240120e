// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver/drivertest"
)

func TestProfileName(t *testing.T) {
	for want, profile := range map[string]driver.MIGProfile{
		"1g.5gb":     {GPUSlices: 1, ComputeSlices: 1, MemoryMiB: 4864},
		"7g.80gb":    {GPUSlices: 7, ComputeSlices: 7, MemoryMiB: 81050},
		"1c.2g.20gb": {GPUSlices: 2, ComputeSlices: 1, MemoryMiB: 19968},
	} {
		assert.Equal(t, want, profileName(profile))
	}
}

func TestMIGToggledWhileRunning(t *testing.T) {
	h := newHarness(t, defaultConfig(), drivertest.NewGPU(0, testTime))
	gpu := h.lib.GPUs[0]
	instance := &drivertest.GPU{
		ID: "MIG-1", Mem: driver.Memory{Total: 1 << 30},
		Profile: driver.MIGProfile{GPUInstance: 1, GPUSlices: 1, MemoryMiB: 1024},
	}
	seen := func() bool {
		_, ok := point(h.mustScrape(t), "hw.gpu.memory.limit", "hw.id", "MIG-1", "hw.parent", gpu.ID)
		return ok
	}
	assert.False(t, seen())
	h.lib.Change(func() { gpu.MIG, gpu.Instances = true, []*drivertest.GPU{instance} })
	assert.True(t, seen())
	h.lib.Change(func() { gpu.Instances = nil })
	assert.False(t, seen())
	h.lib.Change(func() { gpu.Instances = []*drivertest.GPU{instance} })
	assert.True(t, seen())
	h.lib.Change(func() { gpu.MIG = false })
	assert.False(t, seen())
}
