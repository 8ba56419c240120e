// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// The attributes of what people do in the console. spans.md explains each.
const (
	eventAction     = "anonymizer.console.action"
	attrUserName    = "user.name"
	attrUserRoles   = "user.roles"
	attrVideoID     = "anonymizer.video.id"
	attrOutputHash  = "anonymizer.output.sha256"
	attrAuditNumber = "anonymizer.audit.entry"
	attrAuditHash   = "anonymizer.audit.hash"
)

// Act is what somebody did in the console, as the audit has it.
type Act struct {
	Action, Actor, Role string
	// VideoID is the console's, Output the SHA-256 of what was decided on; empty if they do not apply.
	VideoID, Output string
	// Entry and Hash are those of the entry in the audit.
	Entry int
	Hash  string
	At    time.Time
}

// Acted reports what somebody did.
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
