// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver/drivertest"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/metadata"
)

// TestEventRecords checks the name, severity, and body of every kind of event, and that each can be disabled.
func TestEventRecords(t *testing.T) {
	gpu := detectedGPU{uuid: "GPU-1", name: "GPU 0", model: "H100"}
	onGPU := func(kind driver.EventKind, data uint64) gpuEvent {
		return gpuEvent{gpu: gpu, Event: driver.Event{Kind: kind, Data: data}}
	}
	for _, test := range []struct {
		event    gpuEvent
		name     string
		severity plog.SeverityNumber
		body     string
	}{
		{gpuEvent{lost: true}, "nvml.gpu.lost", plog.SeverityNumberFatal,
			"GPU lost: it fell off the bus or needs a reset"},
		{onGPU(driver.EventXID, 4711), "nvml.gpu.xid",
			plog.SeverityNumberError, "GPU 0: XID 4711"},
		{onGPU(driver.EventECCUncorrected, 0), "nvml.gpu.ecc.uncorrected",
			plog.SeverityNumberError, "GPU 0: uncorrected ECC error"},
		{onGPU(driver.EventECCCorrectedStorm, 0), "nvml.gpu.ecc.corrected_storm",
			plog.SeverityNumberWarn, "GPU 0: storm of corrected ECC errors"},
		{onGPU(driver.EventRetired, 0), "nvml.gpu.memory.retired",
			plog.SeverityNumberWarn, "GPU 0: GPU memory retired"},
		{onGPU(driver.EventRetirementFailed, 0), "nvml.gpu.memory.retirement_failed",
			plog.SeverityNumberError, "GPU 0: GPU memory could not be retired"},
		{onGPU(driver.EventPoison, 0), "nvml.gpu.memory.poison",
			plog.SeverityNumberError, "GPU 0: poisoned data consumed, error contained"},
		{onGPU(driver.EventPoisonFatal, 0), "nvml.gpu.memory.poison_fatal",
			plog.SeverityNumberFatal, "GPU 0: poisoned data consumed, error not contained"},
		{onGPU(driver.EventUnavailable, 0), "nvml.gpu.unavailable",
			plog.SeverityNumberFatal, "GPU 0: GPU unavailable"},
		{onGPU(driver.EventRecoveryAction, 2), "nvml.gpu.recovery_action",
			plog.SeverityNumberWarn, "GPU 0: GPU recovery action: node_reboot"},
		{onGPU(driver.EventRecoveryAction, 99), "nvml.gpu.recovery_action",
			plog.SeverityNumberWarn, "GPU 0: GPU recovery action: unknown"},
		{onGPU(driver.EventMIGChanged, 0), "nvml.gpu.mig_changed",
			plog.SeverityNumberInfo, "GPU 0: MIG instances changed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.event.gen, test.event.at = &generation{driverVersion: "570", hostName: "gpu-host"}, testTime
			records := func(config *Config) plog.Logs {
				session := newSession(drivertest.NewLibrary(), zap.NewNop())
				settings := receivertest.NewNopSettings(metadata.Type)
				logs, err := newEventLogs(config, settings, session, consumertest.NewNop())
				require.NoError(t, err)
				return logs.record(test.event)
			}
			logs := records(defaultConfig())
			require.Equal(t, 1, logs.LogRecordCount())
			record := logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
			assert.Equal(t, test.name, record.EventName())
			assert.Equal(t, test.severity, record.SeverityNumber())
			assert.Equal(t, test.body, record.Body().Str())
			assert.Equal(t, testTime, record.Timestamp().AsTime())
			resource := logs.ResourceLogs().At(0).Resource().Attributes().AsRaw()
			assert.Equal(t, "gpu-host", resource["host.name"], "also if the driver does not say which GPU it was")
			assert.Equal(t, "570", resource["hw.driver_version"])
			_, hasIndex := resource["nvml.gpu.index"]
			assert.Equal(t, test.event.gpu.uuid != "", hasIndex)

			none := defaultConfig()
			none.Events = metadata.EventsConfig{}
			assert.Zero(t, records(none).LogRecordCount())
		})
	}
}

func TestRefusedRecordLogged(t *testing.T) {
	session := newSession(drivertest.NewLibrary(), zap.NewNop())
	settings := receivertest.NewNopSettings(metadata.Type)
	core, logged := observer.New(zap.InfoLevel)
	settings.Logger = zap.New(core)
	logs, err := newEventLogs(defaultConfig(), settings, session, consumertest.NewErr(errors.New("queue is full")))
	require.NoError(t, err)
	logs.consume(gpuEvent{gen: &generation{}, lost: true, at: testTime})
	require.Equal(t, 1, logged.Len())
	assert.Contains(t, logged.All()[0].ContextMap()["error"], "queue is full")
}
