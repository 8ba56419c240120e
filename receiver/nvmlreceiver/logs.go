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

// eventLogs turns events of the GPUs into log records.
type eventLogs struct {
	session *session
	next    consumer.Logs
	logger  *zap.Logger
	obs     *receiverhelper.ObsReport
	config  *Config
	builder *metadata.LogsBuilder

	mu      sync.Mutex // held while a record is on its way, so that none is after the shutdown
	stopped bool
	cancel  context.CancelFunc
	ctx     context.Context
}

func newEventLogs(config *Config, settings receiver.Settings, session *session, next consumer.Logs) (*eventLogs, error) {
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: settings.ID, ReceiverCreateSettings: settings})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &eventLogs{
		session: session, next: next, logger: settings.Logger, obs: obs, config: config, ctx: ctx, cancel: cancel,
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

// consume hands an event on. A record that is refused is lost; the refusal is logged.
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
		l.logger.Error("a GPU event was refused", zap.String("gpu", event.gpu.name), zap.Error(err))
	}
}

// record makes the log record of an event; empty if its kind is unknown or disabled.
func (l *eventLogs) record(event gpuEvent) plog.Logs {
	ctx, ts, id, name := context.Background(), pcommon.NewTimestampFromTime(event.at), event.gpu.uuid, event.gpu.name
	severity, body := plog.SeverityNumberError, ""
	switch {
	case event.lost:
		severity, body = plog.SeverityNumberFatal, "GPU lost: it fell off the bus or must be reset"
		l.builder.RecordNvmlGpuLostEvent(ctx, ts, id, name)
	case event.Kind&driver.EventXID != 0:
		text := xidText[event.Data]
		if xidOfApplication[event.Data] {
			severity = plog.SeverityNumberWarn
		}
		if body = fmt.Sprintf("XID %d", event.Data); text != "" {
			body += ": " + text
		}
		l.builder.RecordNvmlGpuXidEvent(ctx, ts, id, name, int64(event.Data), text, instanceOf(event)...)
	case event.Kind&driver.EventECCUncorrected != 0:
		body = "ECC error that could not be corrected"
		l.builder.RecordNvmlGpuEccUncorrectedEvent(ctx, ts, id, name)
	case event.Kind&driver.EventECCCorrectedStorm != 0:
		severity, body = plog.SeverityNumberWarn, "storm of corrected ECC errors"
		l.builder.RecordNvmlGpuEccCorrectedStormEvent(ctx, ts, id, name)
	case event.Kind&driver.EventRetired != 0:
		severity, body = plog.SeverityNumberWarn, "GPU memory taken out of use"
		l.builder.RecordNvmlGpuMemoryRetiredEvent(ctx, ts, id, name)
	case event.Kind&driver.EventRetirementFailed != 0:
		body = "GPU memory could not be taken out of use"
		l.builder.RecordNvmlGpuMemoryRetirementFailedEvent(ctx, ts, id, name)
	case event.Kind&driver.EventPoison != 0:
		body = "poisoned data used, contained"
		l.builder.RecordNvmlGpuMemoryPoisonEvent(ctx, ts, id, name)
	case event.Kind&driver.EventPoisonFatal != 0:
		severity, body = plog.SeverityNumberFatal, "poisoned data used, not contained"
		l.builder.RecordNvmlGpuMemoryPoisonFatalEvent(ctx, ts, id, name)
	case event.Kind&driver.EventUnavailable != 0:
		severity, body = plog.SeverityNumberFatal, "GPU unavailable"
		l.builder.RecordNvmlGpuUnavailableEvent(ctx, ts, id, name)
	case event.Kind&driver.EventRecoveryAction != 0:
		action := recoveryAction(event.Data)
		severity, body = plog.SeverityNumberWarn, "GPU recovery action: "+action.String()
		l.builder.RecordNvmlGpuRecoveryActionEvent(ctx, ts, id, name, action)
	case event.Kind&driver.EventMIGChanged != 0:
		severity, body = plog.SeverityNumberInfo, "MIG instances changed"
		l.builder.RecordNvmlGpuMigChangedEvent(ctx, ts, id, name)
	}
	resource := pcommon.NewResource()
	if event.gpu.uuid != "" {
		resource = resourceOf(l.config, event.gen, event.gpu)
	}
	logs := l.builder.Emit(metadata.WithLogsResource(resource))
	if logs.LogRecordCount() > 0 {
		record := logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
		record.SetObservedTimestamp(ts)
		record.SetSeverityNumber(severity)
		record.SetSeverityText(severity.String())
		if name != "" {
			body = name + ": " + body
		}
		record.Body().SetStr(body)
	}
	return logs
}

func instanceOf(event gpuEvent) []metadata.EventAttributeOption {
	var options []metadata.EventAttributeOption
	if event.GPUInstance != driver.NoInstance {
		options = append(options, metadata.WithNvmlMigGpuInstanceIDEventAttribute(int64(event.GPUInstance)))
	}
	if event.ComputeInstance != driver.NoInstance {
		options = append(options, metadata.WithNvmlMigComputeInstanceIDEventAttribute(int64(event.ComputeInstance)))
	}
	return options
}

// recoveryAction maps nvmlDeviceGpuRecoveryAction_t, which counts from 0.
func recoveryAction(data uint64) metadata.AttributeNvmlRecoveryAction {
	if data >= uint64(metadata.AttributeNvmlRecoveryActionUnknown-metadata.AttributeNvmlRecoveryActionNone) {
		return metadata.AttributeNvmlRecoveryActionUnknown
	}
	return metadata.AttributeNvmlRecoveryActionNone + metadata.AttributeNvmlRecoveryAction(data)
}
