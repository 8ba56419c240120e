// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package consoleapi is the interface between the console (extension/anonymizerconsole) and the receivers that show
// their work in it, so that neither imports the other. The types in types.go are the schemas of the console's
// openapi.yaml.
package consoleapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"go.opentelemetry.io/collector/component"
)

// Console is implemented by the extension. A receiver finds it among the host's extensions by the ID in its
// configuration.
type Console interface {
	// Attach shows a workspace until detach is called. detach waits until the requests in progress end or its context
	// does.
	Attach(id component.ID, workspace Workspace) (detach func(context.Context) error, err error)
}

// GPUConsole is also implemented by the extension. It shows the utilization of GPUs.
type GPUConsole interface {
	// AttachGPUs shows what read returns until detach is called. read must return immediately.
	AttachGPUs(id component.ID, read func() []GPU) (detach func())
}

// ShareConsole is also implemented by the extension. It shows the machines that share the work on videos.
type ShareConsole interface {
	// AttachMachines shows what read returns until detach is called. read must return immediately.
	AttachMachines(id component.ID, read func() Share) (detach func())
}

// Find returns the console, such as a Console, that the console key of a component names, or nil if id is nil.
func Find[C any](host component.Host, id *component.ID) (console C, err error) {
	if id == nil {
		return console, nil
	}
	extension, ok := host.GetExtensions()[*id]
	if !ok {
		return console, fmt.Errorf("console: there is no extension %q: add it to extensions and to service::extensions, "+
			"or remove the key", id)
	}
	if console, ok = extension.(C); !ok {
		return console, fmt.Errorf("console: the extension %q is not a console: write the ID of an anonymizer_console", id)
	}
	return console, nil
}

// Errors of a Workspace, which the console maps to HTTP statuses. The text of an error that wraps one of them is shown
// on the page, so it contains no path.
var (
	// ErrNotFound: there is no such video, revision, frame or file.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the state of the video does not allow the operation.
	ErrConflict = errors.New("conflict")
	// ErrChanged: the files differ from what was published.
	ErrChanged = errors.New("the output is not what was published")
	// ErrPrecondition: the files are not the ones that the request names.
	ErrPrecondition = errors.New("precondition failed")
	// ErrInvalid: the request lacks a value or has one that makes no sense.
	ErrInvalid = errors.New("unprocessable")
	// ErrNotReady: it is still being created; try again later.
	ErrNotReady = errors.New("not ready")
)

// Workspace is implemented by the receiver. Its methods are safe for concurrent use, and return ErrNotFound for unknown
// IDs.
type Workspace interface {
	Work
	Review
	Editing
	Controls
}

// Work is the part of a Workspace that shows videos and the work on them.
type Work interface {
	// Videos returns the videos in no particular order: either all, or, if working is true, only those in progress,
	// without their reviews.
	Videos(ctx context.Context, working bool) ([]Video, error)
	// Video returns one video.
	Video(ctx context.Context, id VideoID) (Video, error)
	// Changed is signaled when any video may have changed in anything other than its progress.
	Changed() <-chan struct{}
	// Status returns the current activity, and History the activity of the last minutes.
	Status() StatusNow
	History() History
	// FrameTraces returns the frames whose spans are known, latest first, of one video, or of all videos if video is "".
	FrameTraces(video VideoID, limit int) []FrameTraceHead
	FrameTrace(trace string) (FrameTrace, error)
	// Redact returns text as it may appear in the collector's log: without the names of videos if those are hidden. Users
	// who have signed in see names.
	Redact(text string) string
}

// Review is the part of a Workspace that a reviewer needs to judge a video.
type Review interface {
	Revision(ctx context.Context, id RevisionID) (RevisionDetails, error)
	// Open opens a file of a revision by ID. It follows no links.
	Open(ctx context.Context, id RevisionID, kind Kind) (Content, error)
	// PrepareProxy starts to make a proxy that browsers can play, if one is needed.
	PrepareProxy(ctx context.Context, id RevisionID) (Playback, error)
	// Still returns a JPEG of a frame of the output, at most width pixels wide; a width of 0 does not scale.
	Still(ctx context.Context, id RevisionID, frame, width int) ([]byte, error)
	Moments(ctx context.Context, id RevisionID) (Moments, error)
	Timeline(ctx context.Context, id RevisionID, buckets int) (Timeline, error)
	// Frames returns the frames in the half-open range from..to.
	Frames(ctx context.Context, id RevisionID, from, to int) (Frames, error)
	Watched(ctx context.Context, id RevisionID) (Watched, error)
	AddWatched(ctx context.Context, actor Actor, id RevisionID, add WatchedInput) (Watched, error)
	Decide(ctx context.Context, actor Actor, id RevisionID, decision DecisionInput) (Video, error)
	// Audit calls use for each entry of the audit, oldest first, of one video, or of all videos if video is "". line is
	// the JSON line in the file without the newline.
	Audit(ctx context.Context, video VideoID, use func(line []byte) error) error
	// VerifyAudit verifies the chain of the audit and, if files is true, the outputs with a decision.
	VerifyAudit(ctx context.Context, files bool) (Verification, error)
}

// Controls is the part of a Workspace that changes which videos are processed.
type Controls interface {
	Control(ctx context.Context, actor Actor, id VideoID, action Action) (Video, error)
	// Upload puts a file into the watched folder under name or a similar name. name contains no folders.
	Upload(ctx context.Context, actor Actor, name string, from io.Reader) (Upload, error)
}

// Actor is the authenticated identity that performs an operation.
type Actor struct {
	Name string
	Role Role
}

// VideoID identifies a source without revealing its path.
type VideoID string

// RevisionID identifies an output.
type RevisionID struct {
	Video    VideoID
	Revision string
}

// Kind is a kind of file of a revision.
type Kind string

// The kinds.
const (
	KindOutput Kind = "output"
	// KindPlayable is the output, or its proxy if browsers cannot play the output.
	KindPlayable Kind = "playable"
	KindReport   Kind = "report"
	KindSheet    Kind = "sheet"
)

// Content is an open file.
type Content struct {
	io.ReadSeekCloser
	// Name is the file name without its folder.
	Name string
	// Type is the media type.
	Type    string
	ModTime time.Time
}
