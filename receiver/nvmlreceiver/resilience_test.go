// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap/zapcore"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver/drivertest"
)

// state returns the state of a GPU whose point is 1, or "" if there is none.
func state(metrics pmetric.Metrics, uuid string) string {
	for _, s := range []string{"ok", "degraded", "predicted_failure", "failed"} {
		if dp, ok := point(metrics, "hw.status", "hw.id", uuid, "hw.state", s); ok && dp.IntValue() == 1 {
			return s
		}
	}
	return ""
}

func TestMissingDriverLoggedOnceAndRetried(t *testing.T) {
	h := newHarness(t, defaultConfig(), drivertest.NewGPU(0, testTime))
	h.lib.OpenErr = fmt.Errorf("%w: libnvidia-ml.so.1: cannot open shared object file", driver.LibraryNotFound)
	const scrapes = 60
	for range scrapes {
		assert.Zero(t, h.mustScrape(t).DataPointCount())
		h.advance(10 * time.Second)
	}
	require.Equal(t, 1, h.logs.Len(), "one log line per cause: %v", h.logs.All())
	line := h.logs.All()[0]
	assert.Equal(t, zapcore.InfoLevel, line.Level)
	assert.Contains(t, line.ContextMap()["error"], "libnvidia-ml.so.1")
	assert.Equal(t, componentstatus.StatusNone, h.status.last(), "a computer without a GPU is healthy")
	// After 5, 10, 20, and 40 seconds, then every minute: 13 attempts in ten minutes, each at the following scrape.
	assert.InDelta(t, 13, h.lib.Calls("Open"), 1)

	h.lib.Change(func() { h.lib.OpenErr = nil })
	h.advance(maxRetryWait)
	assert.Equal(t, "ok", state(h.mustScrape(t), h.lib.GPUs[0].ID), "the driver was installed")
	assert.Equal(t, componentstatus.StatusNone, h.status.last())
	assert.Equal(t, 1, h.logs.FilterMessage("reading NVIDIA GPUs").Len())
}

func TestUnsupportedPlatformLoggedOnce(t *testing.T) {
	h := newHarness(t, defaultConfig())
	h.lib.OpenErr = driver.PlatformUnsupported
	for range 5 {
		assert.Zero(t, h.mustScrape(t).DataPointCount())
		h.advance(time.Hour)
	}
	require.Equal(t, 1, h.logs.Len())
	assert.Contains(t, h.logs.All()[0].ContextMap()["error"], "requires Linux and cgo")
	assert.Equal(t, 1, h.lib.Calls("Open"), "it makes no second attempt")
}

func TestDriverLossAndRecovery(t *testing.T) {
	h := newHarness(t, defaultConfig(), drivertest.NewGPU(0, testTime))
	gpu := h.lib.GPUs[0]
	require.Equal(t, "ok", state(h.mustScrape(t), gpu.ID))

	h.lib.Change(func() {
		gpu.Errs = map[string]error{"*": driver.Uninitialized}
		h.lib.OpenErr = driver.VersionMismatch
	})
	for range 10 {
		h.advance(10 * time.Second)
		assert.Equal(t, "failed", state(h.mustScrape(t), gpu.ID), "a GPU that disappears has failed")
	}
	assert.Equal(t, componentstatus.StatusRecoverableError, h.status.last())
	assert.Equal(t, 1, h.logs.FilterMessageSnippet("no GPU metrics").Len())
	line := h.logs.FilterMessageSnippet("no GPU metrics").All()[0]
	assert.Contains(t, line.ContextMap()["error"], "restart the collector")

	h.lib.Change(func() { gpu.Errs, h.lib.OpenErr = nil, nil })
	h.advance(maxRetryWait)
	assert.Equal(t, "ok", state(h.mustScrape(t), gpu.ID))
	assert.Equal(t, componentstatus.StatusOK, h.status.last())
}

func TestLostGPUDoesNotAffectOthers(t *testing.T) {
	h := newHarness(t, defaultConfig(), drivertest.NewGPU(0, testTime), drivertest.NewGPU(1, testTime))
	lost, healthy := h.lib.GPUs[0], h.lib.GPUs[1]
	h.mustScrape(t)
	h.lib.Change(func() { lost.Errs = map[string]error{"*": driver.GPULost} })
	for range 60 {
		h.advance(10 * time.Second)
		metrics := h.mustScrape(t)
		assert.Equal(t, "failed", state(metrics, lost.ID))
		assert.Equal(t, "ok", state(metrics, healthy.ID))
	}
	assert.Equal(t, 1, h.logs.FilterMessageSnippet("cannot read").Len())
	assert.Equal(t, componentstatus.StatusRecoverableError, h.status.last())
	assert.Greater(t, h.lib.Opens(), 2, "the driver is reopened, since a reset GPU has a new handle")
	assert.Less(t, h.lib.Opens(), 10, "but not at every scrape")
	assert.LessOrEqual(t, h.logs.Len(), 4, "%v", h.logs.All())

	h.lib.Change(func() { lost.Errs = nil })
	h.advance(maxReopenWait)
	h.mustScrape(t) // the last one with the old handles
	assert.Equal(t, "ok", state(h.mustScrape(t), lost.ID))
	assert.Equal(t, componentstatus.StatusOK, h.status.last())
}

// TestFaultsOfManyGPUsAreAllLogged has more GPUs than the number of entries with the same message that the collector's
// log sampling lets through.
func TestFaultsOfManyGPUsAreAllLogged(t *testing.T) {
	const gpus = 16
	for name, fault := range map[string]struct {
		errs map[string]error
		line string
	}{
		"a metric": {map[string]error{"Temperature": driver.Unknown}, "cannot read GPU metric"},
		"lost":     {map[string]error{"*": driver.GPULost}, "cannot read GPU"},
		"at start": {map[string]error{"UUID": driver.Unknown}, "skipping a GPU"},
	} {
		t.Run(name, func(t *testing.T) {
			var healthy []*drivertest.GPU
			for i := range gpus {
				healthy = append(healthy, drivertest.NewGPU(i, testTime))
			}
			h := newHarness(t, defaultConfig(), healthy...)
			if name != "at start" {
				h.mustScrape(t)
			}
			h.lib.Change(func() {
				for _, gpu := range h.lib.GPUs {
					gpu.Errs = fault.errs
				}
			})
			_, _ = h.scrape(t.Context())
			assert.Equal(t, gpus, h.logs.FilterMessageSnippet(fault.line).Len(), "%v", h.logs.All())
		})
	}
}

func TestHangingGPUUsesOneGoroutine(t *testing.T) {
	config := defaultConfig()
	config.Controller.Timeout = 20 * time.Millisecond
	h := newHarness(t, config, drivertest.NewGPU(0, testTime), drivertest.NewGPU(1, testTime))
	hung, healthy := h.lib.GPUs[0], h.lib.GPUs[1]
	release := make(chan struct{})
	h.lib.Change(func() { hung.Hang = map[string]chan struct{}{"Power": release} })

	h.mustScrape(t)
	before := runtime.NumGoroutine()
	for range 10 {
		metrics := h.mustScrape(t)
		assert.Equal(t, "failed", state(metrics, hung.ID))
		assert.Equal(t, "ok", state(metrics, healthy.ID))
	}
	assert.Eventually(t, func() bool { return runtime.NumGoroutine() < before+5 }, 5*time.Second, time.Millisecond,
		"goroutines do not accumulate")
	assert.Equal(t, 3, h.lib.Calls("Power")-9, "the hanging call is made once, the other GPU's at every scrape")
	assert.Equal(t, 1, h.logs.FilterMessageSnippet("cannot read").Len())

	h.lib.Change(func() { hung.Hang = nil })
	close(release)
	require.Eventually(t, func() bool {
		return state(h.mustScrape(t), hung.ID) == "ok"
	}, 5*time.Second, time.Millisecond)
	metrics := h.mustScrape(t)
	dp, ok := point(metrics, "hw.power", "hw.id", hung.ID)
	require.True(t, ok)
	assert.InDelta(t, 345.678, dp.DoubleValue(), 1e-9)
}

func TestHangingOpenTimesOut(t *testing.T) {
	config := defaultConfig()
	config.Controller.Timeout = 10 * time.Millisecond
	h := newHarness(t, config, drivertest.NewGPU(0, testTime))
	release := make(chan struct{})
	h.lib.Hang = release
	for range 3 {
		assert.Zero(t, h.mustScrape(t).DataPointCount())
	}
	assert.Equal(t, 1, h.logs.Len())
	h.lib.Change(func() { h.lib.Hang = nil })
	close(release)
	require.Eventually(t, func() bool {
		return state(h.mustScrape(t), h.lib.GPUs[0].ID) == "ok"
	}, 5*time.Second, time.Millisecond)
	assert.Equal(t, 1, h.lib.Calls("Open"), "one attempt, no matter how many scrapes wait for it")
}

// TestSlowlyMissingDriverIsHealthy has a driver that hangs before it turns out to be missing, as can happen on a slow
// disk.
func TestSlowlyMissingDriverIsHealthy(t *testing.T) {
	config := defaultConfig()
	config.Controller.Timeout = 10 * time.Millisecond
	h := newHarness(t, config)
	release := make(chan struct{})
	h.lib.Hang, h.lib.OpenErr = release, driver.LibraryNotFound
	h.mustScrape(t)
	assert.Equal(t, componentstatus.StatusRecoverableError, h.status.last())
	close(release)
	require.Eventually(t, func() bool {
		h.mustScrape(t)
		return h.status.last() == componentstatus.StatusOK
	}, 5*time.Second, time.Millisecond)
}

func TestShutdownDuringHangingCall(t *testing.T) {
	config := defaultConfig()
	config.Controller.Timeout = time.Millisecond
	h := newHarness(t, config, drivertest.NewGPU(0, testTime))
	release := make(chan struct{})
	h.lib.GPUs[0].Hang = map[string]chan struct{}{"Power": release}
	h.mustScrape(t)
	start := time.Now()
	h.member.shutdown()
	assert.Less(t, time.Since(start), shutdownGrace, "it does not even use the grace period")
	assert.True(t, h.lib.IsOpen(), "the library stays open during a call")
	close(release)
	require.Eventually(t, func() bool { return !h.lib.IsOpen() }, 5*time.Second, time.Millisecond)
}

func TestMetricFaultLoggedOnce(t *testing.T) {
	h := newHarness(t, defaultConfig(), drivertest.NewGPU(0, testTime))
	h.lib.GPUs[0].Errs = map[string]error{"ECCErrors": driver.NoPermission, "Energy": driver.NotSupported}
	for range 5 {
		metrics := h.mustScrape(t)
		_, ok := point(metrics, "hw.errors", "error.type", "corrected")
		assert.False(t, ok)
		_, ok = point(metrics, "hw.energy")
		assert.False(t, ok)
		assert.Equal(t, "ok", state(metrics, h.lib.GPUs[0].ID))
		h.advance(10 * time.Second)
	}
	warnings := h.logs.FilterLevelExact(zapcore.WarnLevel)
	require.Equal(t, 1, warnings.Len(), "the denied one once, the unsupported one never")
	assert.Equal(t, "ECC errors", warnings.All()[0].ContextMap()["what"])
}

func TestCounterResetMovesStartTimestamp(t *testing.T) {
	h := newHarness(t, defaultConfig(), drivertest.NewGPU(0, testTime), drivertest.NewGPU(1, testTime))
	h.mustScrape(t)
	h.advance(10 * time.Second)
	h.lib.Change(func() { h.lib.GPUs[0].Millijoules = 5000 })
	metrics := h.mustScrape(t)
	dp, _ := point(metrics, "hw.energy", "hw.id", h.lib.GPUs[0].ID)
	assert.Equal(t, pcommon.NewTimestampFromTime(h.now()), dp.StartTimestamp())
	assert.InDelta(t, 5.0, dp.DoubleValue(), 1e-9)
	dp, _ = point(metrics, "hw.energy", "hw.id", h.lib.GPUs[1].ID)
	assert.Equal(t, pcommon.NewTimestampFromTime(testTime), dp.StartTimestamp())
}

func TestScrapeCanceledByContext(t *testing.T) {
	h := newHarness(t, defaultConfig(), drivertest.NewGPU(0, testTime))
	h.mustScrape(t)
	release := make(chan struct{})
	defer close(release)
	h.lib.Change(func() { h.lib.Hang = release })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	metrics, err := h.scrape(ctx)
	require.ErrorIs(t, err, errStopped)
	assert.Zero(t, metrics.DataPointCount(), "a shutdown must not report a healthy GPU as failed")
	assert.Equal(t, componentstatus.StatusNone, h.status.last())
}
