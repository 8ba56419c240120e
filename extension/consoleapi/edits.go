// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package consoleapi

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// ErrForbidden says that whoever asks may not do that.
var ErrForbidden = errors.New("forbidden")

// Editing corrects masks, and renders outputs with the corrections. Operations are as edits.schema.json of the receiver
// says, without id, by, role and at. Errors that wrap ErrInvalid say everything that is wrong, a line each.
type Editing interface {
	// Edits returns the corrections of a video.
	Edits(ctx context.Context, id VideoID) (Edits, error)
	// CheckEdits says what would come of operations, a JSON array, and changes nothing.
	CheckEdits(ctx context.Context, actor Actor, id VideoID, operations json.RawMessage) (EditsCheck, error)
	// AppendEdits adds operations, a JSON array: all or none, durably. It fails with ErrPrecondition if the edits are not
	// those of the ETag, ErrInvalid, ErrForbidden, or ErrConflict if that cannot be done without the source.
	AppendEdits(ctx context.Context, actor Actor, id VideoID, etag string, operations json.RawMessage) (Edits, error)
	// EditedFrames returns the frames from..to, half-open, as they would be rendered.
	EditedFrames(ctx context.Context, id VideoID, from, to int) (Frames, error)
	// Renders returns what is rendered, and what was.
	Renders(ctx context.Context, id VideoID) (Renders, error)
	// Render has the edits of the ETag rendered into the next revision.
	Render(ctx context.Context, actor Actor, id VideoID, etag string) (Renders, error)
	// CancelRender ends what Render began.
	CancelRender(ctx context.Context, actor Actor, id VideoID) (Renders, error)
}

// Edits are the corrections of a video.
type Edits struct {
	ETag string `json:"etag"`
	// Frames is the number of frames of the video, Latest the latest revision, and Rendered how many operations it has.
	Frames   int    `json:"frames"`
	Latest   string `json:"latest"`
	Rendered int    `json:"rendered"`
	// Pending means that rendering would change something.
	Pending bool `json:"pending"`
	// Live are the operations that are not reverted, Unconfirmed those that a second person has to confirm.
	Live        []int `json:"live"`
	Unconfirmed []int `json:"unconfirmed"`
	// Uncover and Adjust tell whether masks can be taken away or moved, and adjusted; Limits say why not.
	Uncover bool     `json:"uncover"`
	Adjust  bool     `json:"adjust"`
	Limits  []string `json:"limits"`
	Reasons []string `json:"reasons"`
	// Operations are as edits.schema.json says.
	Operations json.RawMessage `json:"operations"`
}

// EditsCheck is what would come of operations.
type EditsCheck struct {
	Valid  bool     `json:"valid"`
	Errors []string `json:"errors"`
	// Uncovered are frames, not necessarily all, in which operations without a reason uncover something.
	Uncovered []UncoveredFrame `json:"uncovered"`
	// NeedsReason means that a reason is missing, NeedsPermission what whoever asks lacks, and NeedsSecondPerson that
	// somebody else has to confirm it.
	NeedsReason       bool       `json:"needs_reason"`
	NeedsPermission   Permission `json:"needs_permission,omitempty"`
	NeedsSecondPerson bool       `json:"needs_second_person"`
}

// UncoveredFrame is what would be uncovered in a frame. Box is around it, in pixels.
type UncoveredFrame struct {
	Frame  int    `json:"frame"`
	Pixels int    `json:"pixels"`
	Box    [4]int `json:"box"`
}

// Renders are the rendering in progress, or the latest that failed, and the revisions.
type Renders struct {
	Render    *RenderState `json:"render,omitempty"`
	Revisions []Revision   `json:"revisions"`
}

// RenderState is how far a rendering is.
type RenderState struct {
	State      string    `json:"state"`
	By         string    `json:"by"`
	At         time.Time `json:"at"`
	Operations int       `json:"operations"`
	Frames     int       `json:"frames"`
	Total      int       `json:"frames_total,omitempty"`
	Message    string    `json:"message,omitempty"`
}

// Active reports whether the rendering waits or runs.
func (s *RenderState) Active() bool { return s.State == RenderWaiting || s.State == RenderRunning }

// The states of a rendering. There is none after it has succeeded.
const (
	RenderWaiting  = "waiting"
	RenderRunning  = "running"
	RenderFailed   = "failed"
	RenderCanceled = "canceled"
)
