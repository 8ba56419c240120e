// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package notify sends notifications of what happens to videos, to webhooks and commands. Events are derived from the
// journal and the audit log, and wait on disk until they are delivered, so that each is delivered at least once, even
// after a crash. Notifications contain no pixels, and nothing waits for their delivery.
package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"strings"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// Schema identifies the format of a notification, see notification.schema.json.
const Schema = "otelcol-anonymizer/notification/v1"

// Event is a notification. Fields that do not apply are empty.
type Event struct {
	Schema string `json:"schema"`
	// ID stays the same if the same event is sent again.
	ID       string    `json:"id"`
	Event    string    `json:"event"`
	Time     time.Time `json:"time"`
	Receiver string    `json:"receiver"`
	// Video is the console's ID. Source and Output are names, SourcePath and OutputPath absolute paths. If names are
	// hidden, these four are pseudonyms.
	Video      string `json:"video,omitempty"`
	Source     string `json:"source,omitempty"`
	SourcePath string `json:"source_path,omitempty"`
	Output     string `json:"output,omitempty"`
	OutputPath string `json:"output_path,omitempty"`
	// OutputSHA256 identifies the output that the reviewer decided on.
	OutputSHA256 string `json:"output_sha256,omitempty"`
	// Reason and Error are why the video failed.
	Reason string `json:"reason,omitempty"`
	Error  string `json:"error,omitempty"`
	// By is the reviewer who decided, and Note what they wrote.
	By   string `json:"by,omitempty"`
	Note string `json:"note,omitempty"`
}

// identify returns the event with its ID, which is derived from what the event is about.
func (e Event) identify(of ...string) Event {
	sum := sha256.Sum256([]byte(e.Event + "\x00" + strings.Join(of, "\x00")))
	e.ID = hex.EncodeToString(sum[:12])
	return e
}

// outcomes returns the events for a source that is done or failed.
func (n *Notifier) outcomes(k *watch.Known) (events []Event) {
	e := Event{Schema: Schema, Time: k.Updated.UTC(), Receiver: n.Receiver, Video: n.VideoID(k.Path),
		Source: n.hide(filepath.Base(k.Path), k.Path), SourcePath: n.hide(k.Path, k.Path)}
	if k.Phase == watch.PhaseFailed {
		e.Event, e.Reason, e.Error = config.EventFailed, k.Reason, n.hide(k.Error, k.Path)
		return []Event{e.identify(signature(k), k.Updated.String())}
	}
	e.Output = n.hide(k.Output.Name, k.Path, k.Output.Path)
	e.OutputPath = n.hide(k.Output.Path, k.Path, k.Output.Path)
	e.Event = config.EventDone
	events = append(events, e.identify(signature(k), k.Updated.String()))
	if n.Reviewed {
		e.Event = config.EventToReview
		events = append(events, e.identify(signature(k), k.Updated.String()))
	}
	return events
}

// signature returns a text that distinguishes the outcomes of a source.
func signature(k *watch.Known) string {
	return strings.Join([]string{k.Path, string(k.Phase), k.Output.Path, k.Output.Digest, k.Reason, k.Error}, "\x00")
}

// reviewEvents are the actions in the audit log that cause events, with their events.
var reviewEvents = map[string]string{
	audit.Approved: config.EventApproved, audit.Rejected: config.EventRejected,
	audit.Reopened: config.EventToReview, audit.RenderPublished: config.EventToReview,
}

// review returns the event for an entry of the audit log. ok is false if there is none.
func (n *Notifier) review(a *audit.Entry) (e Event, ok bool) {
	event, ok := reviewEvents[a.Action]
	if !ok || a.Remnant {
		return e, false
	}
	path := filepath.Join(n.Outputs, a.Output)
	e = Event{Schema: Schema, Event: event, Time: a.Time.UTC(), Receiver: n.Receiver, Video: a.Video,
		Source: n.hide(a.Name, a.Name), Output: n.hide(a.Output, path), OutputPath: n.hide(path, path),
		OutputSHA256: a.OutputSHA256, By: a.Actor, Note: n.hide(a.Note, a.Name, path)}
	return e.identify(a.Hash), true
}

// hide replaces the names of videos in a text, if names are hidden.
func (n *Notifier) hide(text string, paths ...string) string {
	if text == "" {
		return ""
	}
	return n.Pseudonym(text, paths...)
}

// outputOf identifies the output of a source that is done. It stays the same if the source is renamed.
func outputOf(k *watch.Known) string { return k.Output.Path + "\x00" + k.Output.Digest }
