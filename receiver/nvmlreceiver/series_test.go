// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver/drivertest"
)

// TestGoneSeriesEndOnce checks that a series that is gone gets one point without a value and then no more. Until a
// backend receives that point, it serves the last value, such as the power of a GPU that no longer responds.
func TestGoneSeriesEndOnce(t *testing.T) {
	const power, memory, process = "hw.power", "hw.gpu.memory.usage", "nvml.process.memory.usage"
	for name, test := range map[string]struct {
		vanish func(h *harness, gpu *drivertest.GPU)
		metric string
		of     []string // attributes of the series that ends
		others int      // series of the metric that continue
	}{
		"lost GPU": {func(_ *harness, gpu *drivertest.GPU) {
			gpu.Errs = map[string]error{"*": driver.GPULost}
		}, power, []string{"hw.id", "GPU-00000000-0000-0000-0000-000000000000"}, 1},
		"hung GPU": {func(h *harness, gpu *drivertest.GPU) {
			gpu.Hang = map[string]chan struct{}{"Power": h.release}
		}, power, []string{"hw.id", "GPU-00000000-0000-0000-0000-000000000000"}, 1},
		"hung driver": {func(h *harness, _ *drivertest.GPU) {
			h.lib.Hang = h.release
		}, power, nil, 0},
		"lost driver": {func(h *harness, gpu *drivertest.GPU) {
			for _, g := range h.lib.GPUs {
				g.Errs = map[string]error{"*": driver.Uninitialized}
			}
			h.lib.OpenErr = driver.VersionMismatch
		}, power, nil, 0},
		"metric that cannot be read": {func(_ *harness, gpu *drivertest.GPU) {
			gpu.Errs = map[string]error{"Power": driver.Unknown}
		}, power, []string{"hw.id", "GPU-00000000-0000-0000-0000-000000000000"}, 1},
		"destroyed MIG instance": {func(_ *harness, gpu *drivertest.GPU) {
			gpu.Instances = gpu.Instances[1:]
		}, memory, []string{"hw.id", "MIG-00000000-0000-0000-0000-000000000000"}, 4},
		"MIG switched off": {func(_ *harness, gpu *drivertest.GPU) {
			gpu.MIG = false
		}, memory, []string{"hw.parent", "GPU-00000000-0000-0000-0000-000000000000"}, 2},
		"ended process": {func(_ *harness, gpu *drivertest.GPU) {
			gpu.Procs = nil
		}, process, []string{"process.pid", "4000"}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			config := loadConfig(t, everything)
			h := newHarness(t, config, migGPU()[0], drivertest.NewGPU(1, testTime))
			before := points(h.mustScrape(t), test.metric, test.of...)
			require.NotEmpty(t, before)

			config.Controller.Timeout = 50 * time.Millisecond
			h.lib.Change(func() { test.vanish(h, h.lib.GPUs[0]) })
			h.advance(10 * time.Second)
			metrics := h.mustScrape(t)
			ends := points(metrics, test.metric, test.of...)
			require.Len(t, ends, len(before), "one for each series")
			for _, dp := range ends {
				assert.True(t, dp.Flags().NoRecordedValue())
				assert.Zero(t, dp.DoubleValue())
				assert.Equal(t, before[0].StartTimestamp(), dp.StartTimestamp())
				assert.True(t, dp.Timestamp().AsTime().After(testTime))
			}
			assert.Len(t, points(metrics, test.metric), len(before)+test.others, "the others go on")
			h.advance(10 * time.Second)
			assert.Empty(t, points(h.mustScrape(t), test.metric, test.of...), "once")
		})
	}
}

// TestChangedResourceEndsOldSeriesFirst upgrades the driver. Prometheus, which ignores the driver version, considers
// the old series and the new one the same, so the end of the old one must not follow the value of the new one.
func TestChangedResourceEndsOldSeriesFirst(t *testing.T) {
	h := newHarness(t, defaultConfig(), drivertest.NewGPU(0, testTime))
	h.mustScrape(t)
	h.lib.Change(func() {
		h.lib.Version = "580.1"
		h.lib.GPUs[0].Errs = map[string]error{"MIGEnabled": driver.Uninitialized} // the last call of a scrape
	})
	h.advance(10 * time.Second)
	h.mustScrape(t)
	h.lib.Change(func() { h.lib.GPUs[0].Errs = nil })
	h.advance(10 * time.Second)
	metrics := h.mustScrape(t)
	var versions []string
	for _, rm := range metrics.ResourceMetrics().All() {
		version, _ := rm.Resource().Attributes().Get("hw.driver_version")
		versions = append(versions, version.Str())
	}
	assert.Equal(t, []string{"570.86.15", "580.1"}, versions)
	dps := points(metrics, "hw.power")
	require.Len(t, dps, 2)
	assert.True(t, dps[0].Flags().NoRecordedValue())
	assert.False(t, dps[1].Flags().NoRecordedValue())
	assert.Equal(t, pcommon.NewTimestampFromTime(h.now()), dps[1].Timestamp())
	assert.Less(t, dps[0].Timestamp(), dps[1].Timestamp())
}

func TestXIDsOfUnreadableGPU(t *testing.T) {
	h := newHarness(t, defaultConfig(), drivertest.NewGPU(0, testTime))
	h.mustScrape(t)
	h.xids.add(gpuEvent{gpu: detectedGPU{uuid: h.lib.GPUs[0].ID}, Event: driver.Event{Kind: driver.EventXID, Data: 79}})
	h.lib.Change(func() {
		h.lib.GPUs[0].Errs = map[string]error{"*": driver.GPULost}
		h.lib.OpenErr = driver.Unknown
	})
	for range 3 {
		h.advance(10 * time.Second)
		dp, ok := point(h.mustScrape(t), "hw.errors", "error.type", "xid")
		require.True(t, ok, "the GPU fell off the bus, which is what the XID says")
		assert.Equal(t, int64(1), dp.IntValue())
	}
}
