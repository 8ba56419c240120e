// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && cgo

package nvmlreceiver

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver/drivertest/shim"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/metadata"
)

// These tests run the whole path, from the receiver through go-nvml and the dynamic linker into a C library.

func buildShim(t *testing.T, macros ...string) func(dir string) {
	return func(dir string) { shim.Build(t, filepath.Join(dir, shim.Name), macros...) }
}

func TestShimEndToEnd(t *testing.T) {
	shim.Run(t, buildShim(t), func(t *testing.T, _ string) {
		shim.Control(t, "mig")
		config := loadConfig(t, "testdata/one_gpu_everything/config.yaml")
		config.Controller.InitialDelay = 0
		config.Controller.CollectionInterval = 20 * time.Millisecond
		factory := NewFactory()
		settings := receivertest.NewNopSettings(metadata.Type)
		var points consumertest.MetricsSink
		var records consumertest.LogsSink
		metrics, err := factory.CreateMetrics(context.Background(), settings, config, &points)
		require.NoError(t, err)
		logs, err := factory.CreateLogs(context.Background(), settings, config, &records)
		require.NoError(t, err)
		require.NoError(t, metrics.Start(context.Background(), &statusHost{}))
		require.NoError(t, logs.Start(context.Background(), &statusHost{}))

		require.Eventually(t, func() bool {
			return lastOf(&points).DataPointCount() > 100
		}, 30*time.Second, 5*time.Millisecond)
		assertShimPoints(t, lastOf(&points))

		shim.Control(t, "xid=79")
		require.Eventually(t, func() bool { return records.LogRecordCount() == 1 }, 30*time.Second, 5*time.Millisecond)
		record := records.AllLogs()[0].ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
		assert.Equal(t, "GPU 1: XID 79: GPU has fallen off the bus", record.Body().Str())
		require.Eventually(t, func() bool {
			dp, ok := point(lastOf(&points), "nvml.gpu.xid.errors", "hw.id", "GPU-1", "nvml.xid.code", "79")
			return ok && dp.IntValue() == 1
		}, 30*time.Second, 5*time.Millisecond)

		start := time.Now()
		require.NoError(t, metrics.Shutdown(context.Background()))
		require.NoError(t, logs.Shutdown(context.Background()))
		assert.Less(t, time.Since(start), eventWait/2, "shutdown does not wait for an event")
		shim.Control(t, "xid=80") // wakes the watcher, so that it exits before goleak checks
	})
}

// assertShimPoints checks a sample of the points that result from the values in shim.c.
func assertShimPoints(t *testing.T, metrics pmetric.Metrics) {
	t.Helper()
	for _, want := range []struct {
		name       string
		attributes []string
		value      float64
	}{
		{"hw.gpu.utilization", []string{"hw.id", "GPU-1", "hw.gpu.task", "general"}, 0.2},
		{"hw.gpu.utilization", []string{"hw.id", "GPU-1", "hw.gpu.task", "jpeg"}, 0.63},
		{"nvml.gpu.memory.bandwidth.utilization", []string{"hw.id", "GPU-0"}, 0.3},
		{"hw.power", []string{"hw.id", "GPU-1"}, 100.001},
		{"hw.energy", []string{"hw.id", "GPU-1"}, 7},
		{"nvml.gpu.throttle.time", []string{"hw.id", "GPU-0", "nvml.throttle.reason", "power"}, 74e-6},
	} {
		dp, ok := point(metrics, want.name, want.attributes...)
		require.True(t, ok, want.name)
		assert.InDelta(t, want.value, dp.DoubleValue(), 1e-9, want.name)
	}
	for _, want := range []struct {
		name       string
		attributes []string
		value      int64
	}{
		{"hw.gpu.memory.usage", []string{"hw.id", "GPU-1"}, 300},
		{"nvml.gpu.memory.reserved", []string{"hw.id", "GPU-1"}, 50},
		{"hw.gpu.memory.limit", []string{"hw.id", "MIG-2", "hw.parent", "GPU-0", "hw.name", "GPU 0 MIG 9.0"}, 1000},
		{"hw.temperature", []string{"hw.id", "GPU-1", "hw.sensor_location", "memory"}, 66},
		{"hw.gpu.io", []string{"hw.id", "GPU-0", "nvml.link", "nvlink", "network.io.direction", "receive"},
			139_000 * 1024},
		{"hw.status", []string{"hw.id", "GPU-0", "hw.state", "degraded"}, 1}, // a row remapping is pending
		{"nvml.process.memory.usage", []string{"hw.id", "GPU-1", "process.pid", "4000"}, 1 << 20},
		{"hw.fan.speed", []string{"hw.id", "GPU-1"}, 1234},
	} {
		dp, ok := point(metrics, want.name, want.attributes...)
		require.True(t, ok, want.name)
		assert.Equal(t, want.value, dp.IntValue(), want.name)
	}
}

func TestShimHangingCall(t *testing.T) {
	shim.Run(t, buildShim(t), func(t *testing.T, _ string) {
		config := defaultConfig()
		h := newHarnessOn(t, config, driver.New(""))
		require.Equal(t, "degraded", state(h.mustScrape(t), "GPU-0"))

		config.Controller.Timeout = 300 * time.Millisecond
		shim.Control(t, "hang=nvmlDeviceGetPowerUsage")
		for range 3 {
			metrics := h.mustScrape(t)
			assert.Equal(t, "failed", state(metrics, "GPU-0"))
			assert.Equal(t, "failed", state(metrics, "GPU-1"))
		}
		assert.Equal(t, 2, h.logs.FilterMessageSnippet("cannot read").Len(), "once per GPU")
		shim.Control(t, "")
		config.Controller.Timeout = 5 * time.Second
		require.Eventually(t, func() bool {
			return state(h.mustScrape(t), "GPU-1") == "degraded"
		}, 30*time.Second, 10*time.Millisecond)
	})
}

func TestShimLostGPU(t *testing.T) {
	shim.Run(t, buildShim(t), func(t *testing.T, _ string) {
		h := newHarnessOn(t, defaultConfig(), driver.New(""))
		h.mustScrape(t)
		shim.Control(t, "lost=1")
		for range 10 {
			h.advance(10 * time.Second)
			metrics := h.mustScrape(t)
			assert.Equal(t, "failed", state(metrics, "GPU-1"))
			assert.Equal(t, "degraded", state(metrics, "GPU-0"))
		}
		shim.Control(t, "")
		require.Eventually(t, func() bool {
			h.advance(maxReopenWait)
			return state(h.mustScrape(t), "GPU-1") == "degraded"
		}, 30*time.Second, time.Millisecond)
	})
}

func TestShimDriverArrivesLate(t *testing.T) {
	shim.Run(t, func(string) {}, func(t *testing.T, dir string) {
		h := newHarnessOn(t, defaultConfig(), driver.New(""))
		assert.Zero(t, h.mustScrape(t).DataPointCount())
		buildShim(t)(dir)
		shim.Control(t, "init=9") // the library is installed, but the kernel module is not loaded
		h.advance(maxRetryWait)
		assert.Zero(t, h.mustScrape(t).DataPointCount())
		shim.Control(t, "")
		h.advance(maxRetryWait)
		assert.Equal(t, "degraded", state(h.mustScrape(t), "GPU-1"))
		assert.Equal(t, 3, h.logs.Len(), "one log line for each of the three states: %v", h.logs.All())
	})
}

func TestShimOldDriver(t *testing.T) {
	shim.Run(t, buildShim(t, "OLD_DRIVER"), func(t *testing.T, _ string) {
		h := newHarnessOn(t, loadConfig(t, "testdata/one_gpu_everything/config.yaml"), driver.New(""))
		for range 2 {
			metrics := h.mustScrape(t)
			dp, ok := point(metrics, "hw.gpu.utilization", "hw.id", "GPU-1", "hw.gpu.task", "general")
			require.True(t, ok)
			assert.InDelta(t, 0.11, dp.DoubleValue(), 1e-9)
			assert.Equal(t, "ok", state(metrics, "GPU-1"))
		}
		assert.Equal(t, 1, h.logs.Len(), "a function that an old driver lacks is not a fault: %v", h.logs.All())
	})
}
