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

// state is the one state of a GPU whose point is 1; empty if the GPU has none.
func state(metrics pmetric.Metrics, uuid string) string {
	for _, s := range []string{"ok", "degraded", "predicted_failure", "failed"} {
		if dp, ok := point(metrics, "hw.status", "hw.id", uuid, "hw.state", s); ok && dp.IntValue() == 1 {
			return s
		}
	}
	return ""
}

func TestMissingDriverIsSaidOnceAndLookedForAgain(t *testing.T) {
	b := newBench(t, defaultConfig(), drivertest.New(0, testTime))
	b.lib.OpenErr = fmt.Errorf("%w: libnvidia-ml.so.1: cannot open shared object file", driver.LibraryNotFound)
	const scrapes = 60
	for range scrapes {
		assert.Zero(t, b.mustScrape(t).DataPointCount())
		b.pass(10 * time.Second)
	}
	require.Equal(t, 1, b.logs.Len(), "one line for one cause: %v", b.logs.All())
	line := b.logs.All()[0]
	assert.Equal(t, zapcore.InfoLevel, line.Level)
	assert.Contains(t, line.ContextMap()["error"], "libnvidia-ml.so.1")
	assert.Equal(t, componentstatus.StatusNone, b.status.last(), "a computer without GPU is in order")
	// 5, 10, 20 and 40 seconds, then a minute: 13 attempts in ten minutes, each at the scrape after.
	assert.InDelta(t, 13, b.lib.Calls("Open"), 1)

	b.lib.Change(func() { b.lib.OpenErr = nil })
	b.pass(retryLongest)
	assert.Equal(t, "ok", state(b.mustScrape(t), b.lib.GPUs[0].ID), "the driver arrived")
	assert.Equal(t, componentstatus.StatusNone, b.status.last())
	assert.Equal(t, 1, b.logs.FilterMessage("reading NVIDIA GPUs").Len())
}

func TestBuildWithoutGPUSupportSaysSoOnce(t *testing.T) {
	b := newBench(t, defaultConfig())
	b.lib.OpenErr = driver.PlatformUnsupported
	for range 5 {
		assert.Zero(t, b.mustScrape(t).DataPointCount())
		b.pass(time.Hour)
	}
	require.Equal(t, 1, b.logs.Len())
	assert.Contains(t, b.logs.All()[0].ContextMap()["error"], "takes Linux and cgo")
	assert.Equal(t, 1, b.lib.Calls("Open"), "there is nothing to wait for")
}

func TestDriverGoesAndComesBack(t *testing.T) {
	b := newBench(t, defaultConfig(), drivertest.New(0, testTime))
	gpu := b.lib.GPUs[0]
	require.Equal(t, "ok", state(b.mustScrape(t), gpu.ID))

	b.lib.Change(func() {
		gpu.Errs = map[string]error{"*": driver.Uninitialized}
		b.lib.OpenErr = driver.VersionMismatch
	})
	for range 10 {
		b.pass(10 * time.Second)
		assert.Equal(t, "failed", state(b.mustScrape(t), gpu.ID), "a GPU that was there and is gone has failed")
	}
	assert.Equal(t, componentstatus.StatusRecoverableError, b.status.last())
	assert.Equal(t, 1, b.logs.FilterMessageSnippet("no GPU metrics").Len())
	assert.Contains(t, b.logs.FilterMessageSnippet("no GPU metrics").All()[0].ContextMap()["error"], "restart the collector")

	b.lib.Change(func() { gpu.Errs, b.lib.OpenErr = nil, nil })
	b.pass(retryLongest)
	assert.Equal(t, "ok", state(b.mustScrape(t), gpu.ID))
	assert.Equal(t, componentstatus.StatusOK, b.status.last())
}

func TestLostGPUDoesNotTakeTheOthersAlong(t *testing.T) {
	b := newBench(t, defaultConfig(), drivertest.New(0, testTime), drivertest.New(1, testTime))
	lost, well := b.lib.GPUs[0], b.lib.GPUs[1]
	b.mustScrape(t)
	b.lib.Change(func() { lost.Errs = map[string]error{"*": driver.GPULost} })
	for range 60 {
		b.pass(10 * time.Second)
		metrics := b.mustScrape(t)
		assert.Equal(t, "failed", state(metrics, lost.ID))
		assert.Equal(t, "ok", state(metrics, well.ID))
	}
	assert.Equal(t, 1, b.logs.FilterMessageSnippet("cannot be read").Len())
	assert.Equal(t, componentstatus.StatusRecoverableError, b.status.last())
	assert.Greater(t, b.lib.Opens(), 2, "the driver is opened anew, since a reset GPU has a new handle")
	assert.Less(t, b.lib.Opens(), 10, "but not at every scrape")
	assert.LessOrEqual(t, b.logs.Len(), 4, "%v", b.logs.All())

	b.lib.Change(func() { lost.Errs = nil })
	b.pass(reopenLongest)
	b.mustScrape(t) // the last on the old handles
	assert.Equal(t, "ok", state(b.mustScrape(t), lost.ID))
	assert.Equal(t, componentstatus.StatusOK, b.status.last())
}

func TestHangingGPUCostsOneGoroutineAndNoOtherGPU(t *testing.T) {
	config := defaultConfig()
	config.Controller.Timeout = 20 * time.Millisecond
	b := newBench(t, config, drivertest.New(0, testTime), drivertest.New(1, testTime))
	hung, well := b.lib.GPUs[0], b.lib.GPUs[1]
	release := make(chan struct{})
	b.lib.Change(func() { hung.Hang = map[string]chan struct{}{"Power": release} })

	b.mustScrape(t)
	before := runtime.NumGoroutine()
	for range 10 {
		metrics := b.mustScrape(t)
		assert.Equal(t, "failed", state(metrics, hung.ID))
		assert.Equal(t, "ok", state(metrics, well.ID))
	}
	assert.Eventually(t, func() bool { return runtime.NumGoroutine() < before+5 }, 5*time.Second, time.Millisecond, "no pile of goroutines")
	assert.Equal(t, 3, b.lib.Calls("Power")-9, "the hanging call is made once, that of the other GPU at every scrape")
	assert.Equal(t, 1, b.logs.FilterMessageSnippet("cannot be read").Len())

	b.lib.Change(func() { hung.Hang = nil })
	close(release)
	require.Eventually(t, func() bool { return state(b.mustScrape(t), hung.ID) == "ok" }, 5*time.Second, time.Millisecond)
	metrics := b.mustScrape(t)
	dp, ok := point(metrics, "hw.power", "hw.id", hung.ID)
	require.True(t, ok)
	assert.InDelta(t, 345.678, dp.DoubleValue(), 1e-9)
}

func TestHangingOpenEndsWithTheTimeout(t *testing.T) {
	config := defaultConfig()
	config.Controller.Timeout = 10 * time.Millisecond
	b := newBench(t, config, drivertest.New(0, testTime))
	release := make(chan struct{})
	b.lib.Hang = release
	for range 3 {
		assert.Zero(t, b.mustScrape(t).DataPointCount())
	}
	assert.Equal(t, 1, b.logs.Len())
	b.lib.Change(func() { b.lib.Hang = nil })
	close(release)
	require.Eventually(t, func() bool { return state(b.mustScrape(t), b.lib.GPUs[0].ID) == "ok" }, 5*time.Second, time.Millisecond)
	assert.Equal(t, 1, b.lib.Calls("Open"), "one attempt, however many scrapes wait for it")
}

func TestShutdownDoesNotWaitForAHangingCall(t *testing.T) {
	config := defaultConfig()
	config.Controller.Timeout = time.Millisecond
	b := newBench(t, config, drivertest.New(0, testTime))
	release := make(chan struct{})
	b.lib.GPUs[0].Hang = map[string]chan struct{}{"Power": release}
	b.mustScrape(t)
	begin := time.Now()
	b.member.shutdown()
	assert.Less(t, time.Since(begin), shutdownGrace, "not even the grace is spent")
	assert.True(t, b.lib.IsOpen(), "the library is not closed under a call")
	close(release)
	require.Eventually(t, func() bool { return !b.lib.IsOpen() }, 5*time.Second, time.Millisecond)
}

func TestFaultOfOneMetricIsSaidOnce(t *testing.T) {
	b := newBench(t, defaultConfig(), drivertest.New(0, testTime))
	b.lib.GPUs[0].Errs = map[string]error{"ECCErrors": driver.NoPermission, "Energy": driver.NotSupported}
	for range 5 {
		metrics := b.mustScrape(t)
		_, ok := point(metrics, "hw.errors", "error.type", "corrected")
		assert.False(t, ok)
		_, ok = point(metrics, "hw.energy")
		assert.False(t, ok)
		assert.Equal(t, "ok", state(metrics, b.lib.GPUs[0].ID))
		b.pass(10 * time.Second)
	}
	require.Equal(t, 1, b.logs.FilterLevelExact(zapcore.WarnLevel).Len(), "the refused one once, the unsupported one never")
	assert.Equal(t, "ECC errors", b.logs.FilterLevelExact(zapcore.WarnLevel).All()[0].ContextMap()["what"])
}

func TestCounterResetMovesTheStart(t *testing.T) {
	b := newBench(t, defaultConfig(), drivertest.New(0, testTime), drivertest.New(1, testTime))
	b.mustScrape(t)
	b.pass(10 * time.Second)
	b.lib.Change(func() { b.lib.GPUs[0].Millijoules = 5000 })
	metrics := b.mustScrape(t)
	dp, _ := point(metrics, "hw.energy", "hw.id", b.lib.GPUs[0].ID)
	assert.Equal(t, pcommon.NewTimestampFromTime(b.now()), dp.StartTimestamp())
	assert.InDelta(t, 5.0, dp.DoubleValue(), 1e-9)
	dp, _ = point(metrics, "hw.energy", "hw.id", b.lib.GPUs[1].ID)
	assert.Equal(t, pcommon.NewTimestampFromTime(testTime), dp.StartTimestamp())
}

func TestUtilizationIsTheMeanSinceTheLastScrape(t *testing.T) {
	b := newBench(t, defaultConfig(), drivertest.New(0, testTime))
	gpu := b.lib.GPUs[0]
	value := func() float64 {
		dp, ok := point(b.mustScrape(t), "hw.gpu.utilization", "hw.gpu.task", "general")
		require.True(t, ok)
		return dp.DoubleValue()
	}
	assert.InDelta(t, 0.45, value(), 1e-9, "of 40 and 50; the sample of an hour ago is older than the interval")
	b.lib.Change(func() {
		gpu.Samples[driver.EngineGeneral] = append(gpu.Samples[driver.EngineGeneral],
			drivertest.Sample{At: testTime.Add(time.Second), Percent: 80}, drivertest.Sample{At: testTime.Add(2 * time.Second), Percent: 100})
	})
	b.pass(10 * time.Second)
	assert.InDelta(t, 0.9, value(), 1e-9)
	b.lib.Change(func() { gpu.Latest[driver.EngineGeneral] = 250 })
	b.pass(10 * time.Second)
	assert.InDelta(t, 1, value(), 1e-9, "no new sample: the latest value, and never above 1")
}

func TestMIGIsToggledWhileRunning(t *testing.T) {
	b := newBench(t, defaultConfig(), drivertest.New(0, testTime))
	gpu := b.lib.GPUs[0]
	instance := &drivertest.GPU{ID: "MIG-1", Mem: driver.Memory{Total: 1 << 30}, Profile: driver.MIGProfile{GPUInstance: 1, GPUSlices: 1, MemoryMiB: 1024}}
	seen := func() bool {
		_, ok := point(b.mustScrape(t), "hw.gpu.memory.limit", "hw.id", "MIG-1", "hw.parent", gpu.ID)
		return ok
	}
	assert.False(t, seen())
	b.lib.Change(func() { gpu.MIG, gpu.Instances = true, []*drivertest.GPU{instance} })
	assert.True(t, seen())
	b.lib.Change(func() { gpu.Instances = nil })
	assert.False(t, seen())
	b.lib.Change(func() { gpu.Instances = []*drivertest.GPU{instance} })
	assert.True(t, seen())
	b.lib.Change(func() { gpu.MIG = false })
	assert.False(t, seen())
}

func TestNVLinkIsAddedUpLinkByLinkWhereTheDriverHasNoSum(t *testing.T) {
	b := newBench(t, defaultConfig(), drivertest.New(0, testTime))
	b.lib.GPUs[0].FieldValues = map[uint64]uint64{driver.FieldNVLinkCount: 3}
	for link, bytes := range map[uint64]uint64{0: 100, 2: 23} { // link 1 is down
		b.lib.GPUs[0].FieldValues[driver.FieldNVLinkTxBytes<<32|link] = bytes
		b.lib.GPUs[0].FieldValues[driver.FieldNVLinkRxBytes<<32|link] = 2 * bytes
	}
	metrics := b.mustScrape(t)
	for direction, bytes := range map[string]int64{"transmit": 123, "receive": 246} {
		dp, ok := point(metrics, "hw.gpu.io", "nvml.link", "nvlink", "network.io.direction", direction)
		require.True(t, ok)
		assert.Equal(t, bytes, dp.IntValue())
	}
}

func TestDriverCallsAreNoMoreThanScrapes(t *testing.T) {
	b := newBench(t, loadConfig(t, "testdata/one_gpu_everything/config.yaml"), drivertest.New(0, testTime))
	const scrapes = 5
	for range scrapes {
		b.mustScrape(t)
	}
	for _, once := range []string{"Power", "Memory", "Energy", "Fields", "RemappedRows", "ThrottleReasons"} {
		assert.Equal(t, scrapes, b.lib.Calls(once), once)
	}
	for _, cached := range []string{"UUID", "Name", "Serial", "PCIAddress", "Device", "Open"} {
		assert.Equal(t, 1, b.lib.Calls(cached), cached)
	}
}

func TestDisabledMetricsCostNoCall(t *testing.T) {
	config := defaultConfig()
	metrics := &config.Builder.Metrics
	for _, enabled := range []*bool{&metrics.HwPower.Enabled, &metrics.HwEnergy.Enabled, &metrics.NvmlGpuPowerLimit.Enabled, &metrics.HwGpuUtilization.Enabled,
		&metrics.NvmlGpuMemoryBandwidthUtilization.Enabled, &metrics.HwGpuIo.Enabled, &metrics.NvmlGpuThrottleTime.Enabled, &metrics.HwTemperature.Enabled} {
		*enabled = false
	}
	b := newBench(t, config, drivertest.New(0, testTime))
	b.mustScrape(t)
	for _, call := range []string{"Power", "PowerLimit", "Energy", "UtilizationSamples", "Utilization", "Fields", "Temperature", "Processes",
		"ProcessUtilization", "BAR1", "PCIeThroughput", "PCIeLink", "MaxClock", "PerformanceState", "FanRPM"} {
		assert.Zero(t, b.lib.Calls(call), call)
	}
	assert.Equal(t, 1, b.lib.Calls("Memory"))
}

func TestContextEndsTheScrape(t *testing.T) {
	b := newBench(t, defaultConfig(), drivertest.New(0, testTime))
	b.mustScrape(t)
	release := make(chan struct{})
	defer close(release)
	b.lib.Change(func() { b.lib.Hang = release })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	metrics, err := b.scrape(ctx)
	require.NoError(t, err)
	assert.Equal(t, "failed", state(metrics, b.lib.GPUs[0].ID))
}
