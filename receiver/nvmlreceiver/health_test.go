// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/collector/scraper/scrapererror"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver/drivertest"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/metadata"
)

// TestMissingMetricsCounted checks how many metrics a scrape reports as missing. The count becomes
// otelcol_scraper_errored_metric_points.
func TestMissingMetricsCounted(t *testing.T) {
	const all = -1 // all metrics of the first GPU
	for name, test := range map[string]struct {
		before, after func(h *harness)
		want          int
	}{
		"none": {want: 0},
		"unsupported": {after: func(h *harness) {
			h.lib.GPUs[0].Errs = map[string]error{"Energy": driver.NotSupported}
		}, want: 0},
		"two calls": {after: func(h *harness) {
			h.lib.GPUs[0].Errs = map[string]error{"Energy": driver.NoPermission, "Power": driver.Unknown}
		}, want: 2},
		"a call on a MIG instance": {after: func(h *harness) {
			h.lib.GPUs[0].Instances[1].Errs = map[string]error{"Memory": driver.Unknown}
		}, want: 1},
		"lost MIG instance": {after: func(h *harness) {
			h.lib.GPUs[0].Instances[1].Errs = map[string]error{"Memory": driver.GPUNotFound}
		}, want: 1},
		"lost": {after: func(h *harness) {
			h.lib.GPUs[0].Errs = map[string]error{"*": driver.GPULost}
		}, want: all},
		"hung": {after: func(h *harness) {
			h.lib.GPUs[0].Hang = map[string]chan struct{}{"Power": h.release}
		}, want: all},
		"no driver":       {before: func(h *harness) { h.lib.OpenErr = driver.LibraryNotFound }, want: 0},
		"upgraded driver": {before: func(h *harness) { h.lib.OpenErr = driver.VersionMismatch }, want: 1},
		"a GPU that never responded": {before: func(h *harness) {
			h.lib.GPUs[0].Errs = map[string]error{"UUID": driver.GPULost}
		}, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			config := defaultConfig()
			h := newHarness(t, config, migGPU()[0], drivertest.NewGPU(1, testTime))
			if test.before != nil {
				h.lib.Change(func() { test.before(h) })
			}
			h.mustScrape(t)
			if test.want == all {
				test.want = h.gpus[0].metricCount
				require.Greater(t, test.want, 30)
			}
			config.Controller.Timeout = 50 * time.Millisecond
			if test.after != nil {
				h.lib.Change(func() { test.after(h) })
			}
			_, err := h.scrape(t.Context())
			var partial scrapererror.PartialScrapeError
			if errors.As(err, &partial); test.want == 0 {
				require.NoError(t, err)
			}
			assert.Equal(t, test.want, partial.Failed)
		})
	}
}

// TestSelfTelemetryTellsReceiversApart runs two receivers in one collector, one of which has a failing GPU.
func TestSelfTelemetryTellsReceiversApart(t *testing.T) {
	telemetry := componenttest.NewTelemetry()
	defer func() { require.NoError(t, telemetry.Shutdown(t.Context())) }()
	core, logged := observer.New(zap.InfoLevel)
	for _, name := range []string{"failing", "healthy"} {
		gpu := drivertest.NewGPU(0, time.Now())
		if name == "failing" {
			gpu.Errs = map[string]error{"Energy": driver.NoPermission}
		}
		p := newPair(t, fastConfig(), gpu)
		p.settings.ID = component.NewIDWithName(metadata.Type, name)
		p.settings.TelemetrySettings = telemetry.NewTelemetrySettings()
		p.settings.Logger = zap.New(core)
		p.create(t, fastConfig())
		p.start(t)
		require.Eventually(t, func() bool { return p.lib.Calls("Register") > 0 }, 10*time.Second, time.Millisecond)
		p.lib.Emit(driver.Event{Device: gpu, Kind: driver.EventXID, Data: 79})
		require.Eventually(t, func() bool {
			return len(p.points.AllMetrics()) > 2 && p.records.LogRecordCount() == 1
		}, 10*time.Second, time.Millisecond)
	}
	for metric, want := range map[string]map[string]bool{ // whether the metric is above zero
		"otelcol_scraper_scraped_metric_points":   {"nvml/failing": true, "nvml/healthy": true},
		"otelcol_scraper_errored_metric_points":   {"nvml/failing": true, "nvml/healthy": false},
		"otelcol_receiver_accepted_metric_points": {"nvml/failing": true, "nvml/healthy": true},
		"otelcol_receiver_accepted_log_records":   {"nvml/failing": true, "nvml/healthy": true},
	} {
		m, err := telemetry.GetMetric(metric)
		require.NoError(t, err)
		got := map[string]bool{}
		for _, dp := range m.Data.(metricdata.Sum[int64]).DataPoints {
			id, ok := dp.Attributes.Value("receiver")
			require.True(t, ok, metric)
			got[id.AsString()] = dp.Value > 0
		}
		assert.Equal(t, want, got, metric)
	}
	assert.Equal(t, 1, logged.FilterLevelExact(zap.WarnLevel).Len(), "one line per cause, not per scrape")
	assert.Zero(t, logged.FilterLevelExact(zap.ErrorLevel).Len())
}

func TestGPUThatNeverRespondedIsTriedAgain(t *testing.T) {
	h := newHarness(t, defaultConfig(), drivertest.NewGPU(0, testTime), drivertest.NewGPU(1, testTime))
	h.lib.GPUs[1].Errs = map[string]error{"UUID": driver.ResetRequired}
	assert.Empty(t, state(h.mustScrape(t), h.lib.GPUs[1].ID))
	assert.Equal(t, componentstatus.StatusRecoverableError, h.status.last())
	h.lib.Change(func() { h.lib.GPUs[1].Errs = nil })
	h.advance(maxReopenWait)
	metrics := h.mustScrape(t)
	assert.Equal(t, "ok", state(metrics, h.lib.GPUs[1].ID))
	assert.Equal(t, "ok", state(metrics, h.lib.GPUs[0].ID))
	assert.Equal(t, componentstatus.StatusOK, h.status.last())
}

// TestXIDsCountedOnlyIfWatched checks that a GPU without events reports no XID count, rather than 0.
func TestXIDsCountedOnlyIfWatched(t *testing.T) {
	with, without := drivertest.NewGPU(0, time.Now()), drivertest.NewGPU(1, time.Now())
	without.Errs = map[string]error{"Register": driver.NotSupported}
	p := newPair(t, fastConfig(), with, without)
	p.start(t)
	require.Eventually(t, func() bool { return p.lib.Calls("Register") > 1 }, 10*time.Second, time.Millisecond)
	p.points.Reset()
	require.Eventually(t, func() bool { return len(p.points.AllMetrics()) > 1 }, 10*time.Second, time.Millisecond)
	metrics := lastOf(&p.points)
	_, ok := point(metrics, "hw.errors", "hw.id", with.ID, "error.type", "xid")
	assert.True(t, ok)
	_, ok = point(metrics, "hw.errors", "hw.id", without.ID, "error.type", "xid")
	assert.False(t, ok)
}

// TestEventFaultShownAsStatus checks that the receiver does not look healthy while it misses events.
func TestEventFaultShownAsStatus(t *testing.T) {
	lib := drivertest.NewLibrary(drivertest.NewGPU(0, time.Now()))
	factory := newFactory(func(string) driver.Library { return lib })
	settings := receivertest.NewNopSettings(metadata.Type)
	logs, err := factory.CreateLogs(t.Context(), settings, defaultConfig(), consumertest.NewNop())
	require.NoError(t, err)
	session := logs.(*logsReceiver).session
	host := &statusHost{}
	m := &member{session: session, config: defaultConfig(), forget: func() {}, host: host, started: true}
	session.members = []*member{m} // like start, but without the watcher
	defer m.shutdown()
	gen, err := session.acquire(t.Context())
	require.NoError(t, err)
	lib.WaitErr = driver.Unknown
	session.watchGeneration(gen)
	assert.Equal(t, componentstatus.StatusRecoverableError, host.last())

	lib.Change(func() { lib.WaitErr = nil })
	lib.Emit(driver.Event{Kind: driver.EventXID})
	done := make(chan struct{})
	go func() { session.watchGeneration(gen); close(done) }()
	require.Eventually(t, func() bool { return host.last() == componentstatus.StatusOK }, 10*time.Second,
		time.Millisecond)
	session.requestReopen(gen)
	lib.Emit(driver.Event{}) // wakes the watcher
	<-done
	session.release(gen)
}

// TestLossNotifiedOnce checks that waiting again for events on a lost GPU does not repeat the event, and that an
// unloaded driver is not mistaken for a GPU that fell off the bus.
func TestLossNotifiedOnce(t *testing.T) {
	for code, want := range map[driver.Code]int{
		driver.GPULost: 1, driver.ResetRequired: 1, driver.Uninitialized: 0, driver.VersionMismatch: 0,
	} {
		t.Run(code.Error(), func(t *testing.T) {
			h := newHarness(t, defaultConfig(), drivertest.NewGPU(0, testTime))
			var lost int
			h.session.onEvent = append(h.session.onEvent, func(event gpuEvent) {
				assert.True(t, event.lost)
				lost++
			})
			gen, err := h.session.acquire(t.Context())
			require.NoError(t, err)
			defer h.session.release(gen)
			h.session.reopen.fail(h.now()) // not due yet
			h.lib.Change(func() { h.lib.WaitErr = code })
			for range 3 {
				h.session.watchGeneration(gen)
			}
			assert.Equal(t, want, lost)
		})
	}
}
