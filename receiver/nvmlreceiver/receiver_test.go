// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver/drivertest"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/metadata"
)

// pair is the metrics receiver and the logs receiver of one configuration, created the way the collector does.
type pair struct {
	lib      *drivertest.Library
	settings receiver.Settings
	logged   *observer.ObservedLogs
	metrics  receiver.Metrics
	logs     receiver.Logs
	points   consumertest.MetricsSink
	records  consumertest.LogsSink
	libs     int // number of libraries created
}

func newPair(t *testing.T, config *Config, gpus ...*drivertest.GPU) *pair {
	t.Helper()
	p := &pair{lib: drivertest.NewLibrary(gpus...), settings: receivertest.NewNopSettings(metadata.Type)}
	core, logged := observer.New(zap.InfoLevel)
	p.settings.Logger, p.logged = zap.New(core), logged
	p.create(t, config)
	return p
}

// create creates the receivers with the current settings.
func (p *pair) create(t *testing.T, config *Config) {
	t.Helper()
	factory := newFactory(func(string) driver.Library { p.libs++; return p.lib })
	var err error
	p.metrics, err = factory.CreateMetrics(context.Background(), p.settings, config, &p.points)
	require.NoError(t, err)
	p.logs, err = factory.CreateLogs(context.Background(), p.settings, config, &p.records)
	require.NoError(t, err)
}

// lastOf returns the latest metrics, or empty metrics if there are none.
func lastOf(sink *consumertest.MetricsSink) pmetric.Metrics {
	all := sink.AllMetrics()
	if len(all) == 0 {
		return pmetric.NewMetrics()
	}
	return all[len(all)-1]
}

func fastConfig() *Config {
	config := defaultConfig()
	config.Controller.InitialDelay = 0
	config.Controller.CollectionInterval = 5 * time.Millisecond
	return config
}

func (p *pair) start(t *testing.T) {
	t.Helper()
	require.NoError(t, p.metrics.Start(context.Background(), &statusHost{}))
	require.NoError(t, p.logs.Start(context.Background(), &statusHost{}))
	t.Cleanup(func() {
		// The watcher is waiting for an event; each event wakes it, so that it exits before goleak checks.
		p.lib.Emit(driver.Event{})
		require.NoError(t, p.metrics.Shutdown(context.Background()))
		require.NoError(t, p.logs.Shutdown(context.Background()))
		p.lib.Emit(driver.Event{})
		require.Eventually(t, func() bool { return !p.lib.IsOpen() }, 10*time.Second, time.Millisecond)
	})
}

func TestReceiversShareSession(t *testing.T) {
	p := newPair(t, fastConfig(), drivertest.NewGPU(0, time.Now()))
	p.start(t)
	require.Eventually(t, func() bool { return len(p.points.AllMetrics()) > 2 }, 10*time.Second, time.Millisecond)
	assert.Equal(t, 1, p.libs)
	assert.Equal(t, 1, p.lib.Opens())
	assert.Equal(t, 1, p.logged.FilterMessage("reading NVIDIA GPUs").Len())
}

func TestXIDRecordsAndCounts(t *testing.T) {
	config := fastConfig()
	config.Builder.Metrics.NvmlGpuXidErrors.Enabled = true
	gpu := drivertest.NewGPU(0, time.Now())
	p := newPair(t, config, gpu)
	p.start(t)
	require.Eventually(t, func() bool { return p.lib.Calls("Register") > 0 }, 10*time.Second, time.Millisecond)
	xid := driver.Event{
		Device: gpu, Kind: driver.EventXID, Data: 79,
		GPUInstance: driver.NoInstance, ComputeInstance: driver.NoInstance,
	}
	p.lib.Emit(xid)
	p.lib.Emit(xid)
	p.lib.Emit(driver.Event{Device: gpu, Kind: driver.EventXID, Data: 31, GPUInstance: 2, ComputeInstance: 0})
	require.Eventually(t, func() bool { return p.records.LogRecordCount() == 3 }, 10*time.Second, time.Millisecond)

	record := func(i int) (plog.ResourceLogs, plog.LogRecord) {
		rl := p.records.AllLogs()[i].ResourceLogs().At(0)
		return rl, rl.ScopeLogs().At(0).LogRecords().At(0)
	}
	resource, first := record(0)
	assert.Equal(t, "nvml.gpu.xid", first.EventName())
	assert.Equal(t, plog.SeverityNumberError, first.SeverityNumber())
	assert.Equal(t, "GPU 0: XID 79: GPU has fallen off the bus", first.Body().Str())
	assert.Equal(t, map[string]any{"hw.id": gpu.ID, "hw.name": "GPU 0", "nvml.xid.code": int64(79),
		"nvml.xid.description": "GPU has fallen off the bus"}, first.Attributes().AsRaw())
	assert.Equal(t, gpu.Product, resource.Resource().Attributes().AsRaw()["hw.model"])
	_, third := record(2)
	assert.Equal(t, plog.SeverityNumberWarn, third.SeverityNumber(), "caused by an application")
	assert.Equal(t, int64(2), third.Attributes().AsRaw()["nvml.mig.gpu_instance.id"])

	require.Eventually(t, func() bool {
		all := p.points.AllMetrics()
		if len(all) == 0 {
			return false
		}
		total, ok := point(all[len(all)-1], "hw.errors", "hw.id", gpu.ID, "error.type", "xid")
		byCode, ok79 := point(all[len(all)-1], "nvml.gpu.xid.errors", "hw.id", gpu.ID, "nvml.xid.code", "79")
		return ok && ok79 && total.IntValue() == 3 && byCode.IntValue() == 2
	}, 10*time.Second, time.Millisecond)
}

func TestShutdownWhileWaitingForEvent(t *testing.T) {
	config := fastConfig()
	config.Controller.CollectionInterval = time.Hour
	p := newPair(t, config, drivertest.NewGPU(0, time.Now()))
	require.NoError(t, p.logs.Start(context.Background(), &statusHost{}))
	require.Eventually(t, func() bool { return p.lib.Calls("Register") > 0 }, 10*time.Second, time.Millisecond)
	start := time.Now()
	require.NoError(t, p.logs.Shutdown(context.Background()))
	assert.Less(t, time.Since(start), eventWait/2)
	p.lib.Emit(driver.Event{Kind: driver.EventXID}) // also wakes the watcher
	require.Eventually(t, func() bool { return !p.lib.IsOpen() }, 10*time.Second, time.Millisecond,
		"the watcher closes the driver when it exits")
	assert.Zero(t, p.records.LogRecordCount(), "no record after shutdown")
}

// TestMissingLibraryPathFailsAtCreation checks that the collector's validate command, which starts nothing, detects a
// missing library.
func TestMissingLibraryPathFailsAtCreation(t *testing.T) {
	config := fastConfig()
	config.LibraryPath = "/no/such/libnvidia-ml.so.1"
	create := func() (metricsErr, logsErr error) {
		settings, factory := receivertest.NewNopSettings(metadata.Type), NewFactory()
		_, metricsErr = factory.CreateMetrics(t.Context(), settings, config, consumertest.NewNop())
		_, logsErr = factory.CreateLogs(t.Context(), settings, config, consumertest.NewNop())
		return metricsErr, logsErr
	}
	metricsErr, logsErr := create()
	require.NoError(t, metricsErr, "it starts without a driver")
	require.NoError(t, logsErr)

	config.OnMissingDriver = MissingDriverFail
	metricsErr, logsErr = create()
	for _, err := range []error{metricsErr, logsErr} {
		require.ErrorContains(t, err, "library_path: ")
		require.ErrorContains(t, err, "/no/such/libnvidia-ml.so.1")
		require.ErrorContains(t, err, "on_missing_driver: ignore")
	}
	config.LibraryPath = "libnvidia-ml.so.1" // the dynamic linker searches for it
	metricsErr, logsErr = create()
	require.NoError(t, metricsErr)
	require.NoError(t, logsErr)
}

func TestMissingDriverPolicyFail(t *testing.T) {
	config := fastConfig()
	config.OnMissingDriver = MissingDriverFail
	for name, pick := range map[string]func(*pair) component.Component{
		"metrics": func(p *pair) component.Component { return p.metrics },
		"logs":    func(p *pair) component.Component { return p.logs },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, config)
			p.lib.OpenErr = driver.LibraryNotFound
			err := pick(p).Start(context.Background(), &statusHost{})
			require.ErrorIs(t, err, driver.LibraryNotFound)
			require.ErrorContains(t, err, "on_missing_driver: ignore")
			require.NoError(t, pick(p).Shutdown(context.Background()))
		})
	}
}
