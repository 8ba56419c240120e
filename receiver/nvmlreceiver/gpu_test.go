// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver/drivertest"
)

func TestUtilizationMeanSinceLastScrape(t *testing.T) {
	h := newHarness(t, defaultConfig(), drivertest.NewGPU(0, testTime))
	gpu := h.lib.GPUs[0]
	value := func() float64 {
		dp, ok := point(h.mustScrape(t), "hw.gpu.utilization", "hw.gpu.task", "general")
		require.True(t, ok)
		return dp.DoubleValue()
	}
	assert.InDelta(t, 0.45, value(), 1e-9,
		"the mean of 40 and 50; the sample from an hour ago is older than the interval")
	h.lib.Change(func() {
		gpu.Samples[driver.EngineGeneral] = append(gpu.Samples[driver.EngineGeneral],
			drivertest.Sample{At: testTime.Add(time.Second), Percent: 80},
			drivertest.Sample{At: testTime.Add(2 * time.Second), Percent: 100})
	})
	h.advance(10 * time.Second)
	assert.InDelta(t, 0.9, value(), 1e-9)
	h.lib.Change(func() { gpu.Latest[driver.EngineGeneral] = 250 })
	h.advance(10 * time.Second)
	assert.InDelta(t, 1, value(), 1e-9, "without a new sample, the latest value, capped at 1")
}

func TestNVLinkCountersSummedOverLinks(t *testing.T) {
	h := newHarness(t, defaultConfig(), drivertest.NewGPU(0, testTime))
	h.lib.GPUs[0].FieldValues = map[uint64]uint64{driver.FieldNVLinkCount: 3}
	for link, bytes := range map[uint64]uint64{0: 100, 2: 23} { // link 1 is down
		h.lib.GPUs[0].FieldValues[driver.FieldNVLinkTxBytes<<32|link] = bytes
		h.lib.GPUs[0].FieldValues[driver.FieldNVLinkRxBytes<<32|link] = 2 * bytes
	}
	metrics := h.mustScrape(t)
	for direction, bytes := range map[string]int64{"transmit": 123, "receive": 246} {
		dp, ok := point(metrics, "hw.gpu.io", "nvml.link", "nvlink", "network.io.direction", direction)
		require.True(t, ok)
		assert.Equal(t, bytes, dp.IntValue())
	}
}

func TestDriverCallsPerScrape(t *testing.T) {
	h := newHarness(t, loadConfig(t, "testdata/one_gpu_everything/config.yaml"), drivertest.NewGPU(0, testTime))
	const scrapes = 5
	for range scrapes {
		h.mustScrape(t)
	}
	for _, once := range []string{"Power", "Memory", "Energy", "Fields", "RemappedRows", "ThrottleReasons"} {
		assert.Equal(t, scrapes, h.lib.Calls(once), once)
	}
	for _, cached := range []string{"UUID", "Name", "Serial", "PCIAddress", "Device", "Open"} {
		assert.Equal(t, 1, h.lib.Calls(cached), cached)
	}
}

func TestDisabledMetricsMakeNoDriverCalls(t *testing.T) {
	config := defaultConfig()
	metrics := &config.Builder.Metrics
	for _, enabled := range []*bool{
		&metrics.HwPower.Enabled, &metrics.HwEnergy.Enabled, &metrics.NvmlGpuPowerLimit.Enabled,
		&metrics.HwGpuUtilization.Enabled, &metrics.NvmlGpuMemoryBandwidthUtilization.Enabled, &metrics.HwGpuIo.Enabled,
		&metrics.NvmlGpuThrottleTime.Enabled, &metrics.HwTemperature.Enabled,
	} {
		*enabled = false
	}
	h := newHarness(t, config, drivertest.NewGPU(0, testTime))
	h.mustScrape(t)
	for _, call := range []string{
		"Power", "PowerLimit", "Energy", "UtilizationSamples", "Utilization", "Fields", "Temperature", "Processes",
		"ProcessUtilization", "BAR1", "PCIeThroughput", "PCIeLink", "MaxClock", "PerformanceState", "FanRPM",
	} {
		assert.Zero(t, h.lib.Calls(call), call)
	}
	assert.Equal(t, 1, h.lib.Calls("Memory"))
}
