// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"context"
	"fmt"
	"sync"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/metadata"
)

// eventLogs turns GPU events into log records.
type eventLogs struct {
	next    consumer.Logs
	logger  *zap.Logger
	obs     *receiverhelper.ObsReport
	config  *Config
	builder *metadata.LogsBuilder

	mu      sync.Mutex // held during delivery, so that no record is delivered after shutdown
	stopped bool
	cancel  context.CancelFunc
	ctx     context.Context
}

func newEventLogs(
	config *Config, settings receiver.Settings, session *session, next consumer.Logs,
) (*eventLogs, error) {
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{
		ReceiverID: settings.ID, ReceiverCreateSettings: settings,
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &eventLogs{
		next: next, logger: settings.Logger, obs: obs, config: config, ctx: ctx, cancel: cancel,
		builder: metadata.NewLogsBuilder(metadata.LogsBuilderConfig{
			Events: config.Events, ResourceAttributes: config.Builder.ResourceAttributes,
		}, settings),
	}
	session.onEvent = append(session.onEvent, l.consume)
	return l, nil
}

func (l *eventLogs) shutdown() {
	l.cancel()
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
}

// consume delivers the record of an event. If the next consumer refuses the record, consume logs the error and drops
// the record.
func (l *eventLogs) consume(event gpuEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return
	}
	logs := l.record(event)
	if logs.LogRecordCount() == 0 {
		return
	}
	ctx := l.obs.StartLogsOp(l.ctx)
	err := l.next.ConsumeLogs(ctx, logs)
	l.obs.EndLogsOp(ctx, metadata.Type.String(), logs.LogRecordCount(), err)
	if err != nil {
		l.logger.Error("the pipeline refused a GPU event", zap.String("gpu", event.gpu.name), zap.Error(err))
	}
}

// record returns the log record of an event, or empty logs if its kind is unknown or disabled.
func (l *eventLogs) record(event gpuEvent) plog.Logs {
	timestamp := pcommon.NewTimestampFromTime(event.at)
	severity, body := l.recordEvent(timestamp, event)
	logs := l.builder.Emit(metadata.WithLogsResource(resourceOf(l.config, event.gen, event.gpu)))
	if logs.LogRecordCount() == 0 {
		return logs
	}
	if event.gpu.name != "" {
		body = event.gpu.name + ": " + body
	}
	record := logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
	record.SetObservedTimestamp(timestamp)
	record.SetSeverityNumber(severity)
	record.SetSeverityText(severity.String())
	record.Body().SetStr(body)
	return logs
}

// recordEvent records the event with the builder and returns its severity and body, which the builder cannot set.
func (l *eventLogs) recordEvent(timestamp pcommon.Timestamp, event gpuEvent) (plog.SeverityNumber, string) {
	ctx, id, name := context.Background(), event.gpu.uuid, event.gpu.name
	switch {
	case event.lost:
		l.builder.RecordNvmlGpuLostEvent(ctx, timestamp, id, name)
		return plog.SeverityNumberFatal, "GPU lost: it fell off the bus or needs a reset"
	case event.Kind&driver.EventXID != 0:
		return l.recordXID(timestamp, event)
	case event.Kind&driver.EventECCUncorrected != 0:
		l.builder.RecordNvmlGpuEccUncorrectedEvent(ctx, timestamp, id, name)
		return plog.SeverityNumberError, "uncorrected ECC error"
	case event.Kind&driver.EventECCCorrectedStorm != 0:
		l.builder.RecordNvmlGpuEccCorrectedStormEvent(ctx, timestamp, id, name)
		return plog.SeverityNumberWarn, "storm of corrected ECC errors"
	case event.Kind&driver.EventRetired != 0:
		l.builder.RecordNvmlGpuMemoryRetiredEvent(ctx, timestamp, id, name)
		return plog.SeverityNumberWarn, "GPU memory retired"
	case event.Kind&driver.EventRetirementFailed != 0:
		l.builder.RecordNvmlGpuMemoryRetirementFailedEvent(ctx, timestamp, id, name)
		return plog.SeverityNumberError, "GPU memory could not be retired"
	case event.Kind&driver.EventPoison != 0:
		l.builder.RecordNvmlGpuMemoryPoisonEvent(ctx, timestamp, id, name)
		return plog.SeverityNumberError, "poisoned data consumed, error contained"
	case event.Kind&driver.EventPoisonFatal != 0:
		l.builder.RecordNvmlGpuMemoryPoisonFatalEvent(ctx, timestamp, id, name)
		return plog.SeverityNumberFatal, "poisoned data consumed, error not contained"
	case event.Kind&driver.EventUnavailable != 0:
		l.builder.RecordNvmlGpuUnavailableEvent(ctx, timestamp, id, name)
		return plog.SeverityNumberFatal, "GPU unavailable"
	case event.Kind&driver.EventRecoveryAction != 0:
		action := recoveryAction(event.Data)
		l.builder.RecordNvmlGpuRecoveryActionEvent(ctx, timestamp, id, name, action)
		return plog.SeverityNumberWarn, "GPU recovery action: " + action.String()
	case event.Kind&driver.EventMIGChanged != 0:
		l.builder.RecordNvmlGpuMigChangedEvent(ctx, timestamp, id, name)
		return plog.SeverityNumberInfo, "MIG instances changed"
	}
	return plog.SeverityNumberUnspecified, ""
}

func (l *eventLogs) recordXID(timestamp pcommon.Timestamp, event gpuEvent) (plog.SeverityNumber, string) {
	code, text := event.Data, xidText[event.Data]
	l.builder.RecordNvmlGpuXidEvent(context.Background(), timestamp, event.gpu.uuid, event.gpu.name, int64(code), text,
		migAttributes(event)...)
	severity := plog.SeverityNumberError
	if applicationXIDs[code] {
		severity = plog.SeverityNumberWarn
	}
	if text == "" {
		return severity, fmt.Sprintf("XID %d", code)
	}
	return severity, fmt.Sprintf("XID %d: %s", code, text)
}

func migAttributes(event gpuEvent) []metadata.EventAttributeOption {
	var options []metadata.EventAttributeOption
	if event.GPUInstance != driver.NoInstance {
		options = append(options, metadata.WithNvmlMigGpuInstanceIDEventAttribute(int64(event.GPUInstance)))
	}
	if event.ComputeInstance != driver.NoInstance {
		options = append(options, metadata.WithNvmlMigComputeInstanceIDEventAttribute(int64(event.ComputeInstance)))
	}
	return options
}

// recoveryAction maps nvmlDeviceGpuRecoveryAction_t (see nvml.h), which counts from 0.
func recoveryAction(data uint64) metadata.AttributeNvmlRecoveryAction {
	if data >= uint64(metadata.AttributeNvmlRecoveryActionUnknown-metadata.AttributeNvmlRecoveryActionNone) {
		return metadata.AttributeNvmlRecoveryActionUnknown
	}
	return metadata.AttributeNvmlRecoveryActionNone + metadata.AttributeNvmlRecoveryAction(data)
}
