// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package consoleapi is what the console (extension/anonymizerconsole) and a receiver that shows its work there know of
// each other, so that neither imports the other. The types in types.go are the schemas of the console's openapi.yaml.
package consoleapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"go.opentelemetry.io/collector/component"
)

// Console is implemented by the extension. A receiver finds it in the host's extensions, by the ID that its
// configuration names.
type Console interface {
	// Attach shows a workspace until detach is called, which waits for the requests in progress, or until its context
	// ends.
	Attach(id component.ID, workspace Workspace) (detach func(context.Context) error, err error)
}

// GPUConsole is implemented by the extension, too: it shows how busy GPUs are.
type GPUConsole interface {
	// AttachGPUs has read called for what is shown, until detach is called. read returns at once.
	AttachGPUs(id component.ID, read func() []GPU) (detach func())
}

// ShareConsole is implemented by the extension, too: it shows the machines that share the work on videos.
type ShareConsole interface {
	// AttachMachines has read called for what is shown, until detach is called. read returns at once.
	AttachMachines(id component.ID, read func() Share) (detach func())
}

// Find returns the console that the key console of a component names, such as a Console, or nil if it names none.
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

// Errors of a Workspace, which the console turns into statuses of HTTP. The text of an error that wraps one of them is
// for the person who reads the page: it names no path.
var (
	// ErrNotFound: there is no such video, revision, frame or file.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the video is not in a state in which that can be done.
	ErrConflict = errors.New("conflict")
	// ErrChanged: the files are not what was published.
	ErrChanged = errors.New("the output is not what was published")
	// ErrPrecondition: the files are not those that the request names.
	ErrPrecondition = errors.New("precondition failed")
	// ErrInvalid: the request lacks something, or has a value that makes no sense.
	ErrInvalid = errors.New("unprocessable")
	// ErrNotReady: it is being made; try again later.
	ErrNotReady = errors.New("not ready")
)

// Workspace is implemented by the receiver. Its methods are safe for concurrent use. IDs that it does not know are
// ErrNotFound.
type Workspace interface {
	Work
	Review
	Editing
	Controls
}

// Work is what there is to watch.
type Work interface {
	// Videos returns the videos in no particular order: all, or only those that are worked on, without their reviews.
	Videos(ctx context.Context, working bool) ([]Video, error)
	// Video returns one video.
	Video(ctx context.Context, id VideoID) (Video, error)
	// Changed is signaled when any video may have changed in more than its progress.
	Changed() <-chan struct{}
	// Status returns what is done now, and History what was done in the last minutes.
	Status() StatusNow
	History() History
	// FrameTraces returns the frames whose spans are known, the latest first, of one video or, with "", of all.
	FrameTraces(video VideoID, limit int) []FrameTraceHead
	FrameTrace(trace string) (FrameTrace, error)
	// Redact returns a text as the collector's log may have it: without names of videos, where those are hidden. People
	// who have signed in see names.
	Redact(text string) string
}

// Review is what a person needs to judge a video.
type Review interface {
	Revision(ctx context.Context, id RevisionID) (RevisionDetails, error)
	// Open opens a file of a revision: by ID, following no links.
	Open(ctx context.Context, id RevisionID, kind Kind) (Content, error)
	// PrepareProxy begins to make what browsers can play, where that is needed.
	PrepareProxy(ctx context.Context, id RevisionID) (Playback, error)
	// Still returns a JPEG of a frame of the output, at most width pixels wide; 0 does not scale.
	Still(ctx context.Context, id RevisionID, frame, width int) ([]byte, error)
	Moments(ctx context.Context, id RevisionID) (Moments, error)
	Timeline(ctx context.Context, id RevisionID, buckets int) (Timeline, error)
	// Frames returns the frames from..to, half-open.
	Frames(ctx context.Context, id RevisionID, from, to int) (Frames, error)
	Watched(ctx context.Context, id RevisionID) (Watched, error)
	AddWatched(ctx context.Context, actor Actor, id RevisionID, add WatchedInput) (Watched, error)
	Decide(ctx context.Context, actor Actor, id RevisionID, decision DecisionInput) (Video, error)
	// Audit calls use for each entry, as the line of JSON that is in the file and without the line's end, the oldest
	// first: of one video or, with "", of all.
	Audit(ctx context.Context, video VideoID, use func(line []byte) error) error
	// VerifyAudit verifies the chain of the audit and, with files, the outputs that were decided on.
	VerifyAudit(ctx context.Context, files bool) (Verification, error)
}

// Controls change what is worked on.
type Controls interface {
	Control(ctx context.Context, actor Actor, id VideoID, action Action) (Video, error)
	// Upload puts a file into the watched folder, under name or a name like it. name has no folders.
	Upload(ctx context.Context, actor Actor, name string, from io.Reader) (Upload, error)
}

// Actor is who does something: the authenticated identity.
type Actor struct {
	Name string
	Role Role
}

// VideoID identifies a source; it does not tell its path.
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
	// KindPlayable is the output or, where browsers cannot play that, its proxy.
	KindPlayable Kind = "playable"
	KindReport   Kind = "report"
	KindSheet    Kind = "sheet"
)

// Content is an open file.
type Content struct {
	io.ReadSeekCloser
	// Name is the file's, without its folder.
	Name string
	// Type is its media type.
	Type    string
	ModTime time.Time
}
