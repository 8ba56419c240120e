// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"

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

// TestMemoryUsageIsUsedMemory checks that usage and utilization have the meaning of the semantic conventions: a sum or
// a maximum over their points must not count free or reserved memory.
func TestMemoryUsageIsUsedMemory(t *testing.T) {
	h := newHarness(t, loadConfig(t, everything), drivertest.NewGPU(0, testTime))
	metrics := h.mustScrape(t)
	const gib = 1 << 30
	for name, want := range map[string]int64{
		"hw.gpu.memory.limit": 80 * gib, "hw.gpu.memory.usage": 10 * gib,
		"nvml.gpu.memory.free": 69 * gib, "nvml.gpu.memory.reserved": gib,
		"nvml.gpu.bar1.limit": 128 * gib, "nvml.gpu.bar1.usage": gib,
	} {
		dps := points(metrics, name)
		require.Len(t, dps, 1, name)
		assert.Equal(t, want, dps[0].IntValue(), name)
	}
	utilization := points(metrics, "hw.gpu.memory.utilization")
	require.Len(t, utilization, 1)
	assert.InDelta(t, 10.0/80, utilization[0].DoubleValue(), 1e-9)
}

// TestUnitOneMeansRatio checks that only fractions have the unit 1, because the Prometheus exporter appends _ratio to
// the names of gauges with that unit.
func TestUnitOneMeansRatio(t *testing.T) {
	h := newHarness(t, loadConfig(t, everything), drivertest.NewGPU(0, testTime))
	gauges := 0
	for _, rm := range h.mustScrape(t).ResourceMetrics().All() {
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			if m.Type() != pmetric.MetricTypeGauge {
				continue
			}
			gauges++
			isRatio := strings.HasSuffix(m.Name(), "utilization") || strings.HasSuffix(m.Name(), "_ratio")
			assert.Equal(t, isRatio, m.Unit() == "1", "%s has the unit %s", m.Name(), m.Unit())
		}
	}
	assert.Greater(t, gauges, 10)
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
