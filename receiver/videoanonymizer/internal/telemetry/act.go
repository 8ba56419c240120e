// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// Event name and attributes of actions in the console. spans.md describes each.
const (
	eventAction     = "anonymizer.console.action"
	attrUserName    = "user.name"
	attrUserRoles   = "user.roles"
	attrVideoID     = "anonymizer.video.id"
	attrOutputHash  = "anonymizer.output.sha256"
	attrAuditNumber = "anonymizer.audit.entry"
	attrAuditHash   = "anonymizer.audit.hash"
)

// Act is an action of a user in the console, as recorded in the audit log.
type Act struct {
	Action, Actor, Role string
	// VideoID is the ID of the video in the console, Output the SHA-256 of the output that was decided on. They are empty
	// if they do not apply.
	VideoID, Output string
	// Entry and Hash identify the entry in the audit log.
	Entry int
	Hash  string
	At    time.Time
}

// Acted reports an action of a user.
func (e *Emitter) Acted(ctx context.Context, act Act) {
	if e.logs == nil {
		return
	}
	e.logs.add(ctx, func(logs plog.Logs) int {
		record := logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().AppendEmpty()
		record.SetTimestamp(pcommon.NewTimestampFromTime(act.At))
		record.SetObservedTimestamp(pcommon.NewTimestampFromTime(act.At))
		record.SetEventName(eventAction)
		record.SetSeverityNumber(plog.SeverityNumberInfo)
		record.SetSeverityText(plog.SeverityNumberInfo.String())
		record.Body().SetStr(act.Actor + ": " + act.Action)
		attrs := record.Attributes()
		attrs.PutStr(eventAction, act.Action)
		attrs.PutStr(attrUserName, act.Actor)
		attrs.PutEmptySlice(attrUserRoles).AppendEmpty().SetStr(act.Role)
		putKnown(attrs, attrVideoID, act.VideoID)
		putKnown(attrs, attrOutputHash, act.Output)
		attrs.PutInt(attrAuditNumber, int64(act.Entry))
		attrs.PutStr(attrAuditHash, act.Hash)
		return 1
	})
}
