// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package consoleapi

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// ErrForbidden means that the actor may not do that.
var ErrForbidden = errors.New("forbidden")

// Editing corrects masks and renders outputs with the corrections. Operations follow the receiver's edits.schema.json,
// without id, by, role, and at. Errors that wrap ErrInvalid list everything that is wrong, one problem per line.
type Editing interface {
	// Edits returns the corrections of a video.
	Edits(ctx context.Context, id VideoID) (Edits, error)
	// CheckEdits returns what a JSON array of operations would result in, without changing anything.
	CheckEdits(ctx context.Context, actor Actor, id VideoID, operations json.RawMessage) (EditsCheck, error)
	// AppendEdits durably adds a JSON array of operations: all of them or none. It returns ErrPrecondition if the edits do
	// not match the ETag, ErrInvalid, ErrForbidden, or ErrConflict if the state of the video does not allow them, such as
	// when they need a source that no longer exists.
	AppendEdits(ctx context.Context, actor Actor, id VideoID, etag string, operations json.RawMessage) (Edits, error)
	// EditedFrames returns the frames in the half-open range from..to as they would be rendered.
	EditedFrames(ctx context.Context, id VideoID, from, to int) (Frames, error)
	// Renders returns the latest rendering, unless it has succeeded, and the revisions.
	Renders(ctx context.Context, id VideoID) (Renders, error)
	// Render starts rendering the edits with this ETag into the next revision.
	Render(ctx context.Context, actor Actor, id VideoID, etag string) (Renders, error)
	// CancelRender cancels the rendering that Render started.
	CancelRender(ctx context.Context, actor Actor, id VideoID) (Renders, error)
}

// Edits are the corrections of a video.
type Edits struct {
	ETag string `json:"etag"`
	// Frames is the number of frames of the video, Latest the latest revision, and Rendered the number of operations that
	// it includes.
	Frames   int    `json:"frames"`
	Latest   string `json:"latest"`
	Rendered int    `json:"rendered"`
	// Pending means that rendering would change something.
	Pending bool `json:"pending"`
	// Live are the operations that are not reverted. Unconfirmed are those that a second person must confirm.
	Live        []int `json:"live"`
	Unconfirmed []int `json:"unconfirmed"`
	// Uncover reports whether masks can be removed or moved, and Adjust whether they can be adjusted. Limits are the
	// reasons why not.
	Uncover bool     `json:"uncover"`
	Adjust  bool     `json:"adjust"`
	Limits  []string `json:"limits"`
	Reasons []string `json:"reasons"`
	// Operations follow edits.schema.json.
	Operations json.RawMessage `json:"operations"`
}

// EditsCheck is what operations would result in.
type EditsCheck struct {
	Valid  bool     `json:"valid"`
	Errors []string `json:"errors"`
	// Uncovered are frames, not necessarily all, in which operations without a reason uncover something.
	Uncovered []UncoveredFrame `json:"uncovered"`
	// NeedsReason means that a reason is missing. NeedsPermission is the permission that the actor lacks.
	// NeedsSecondPerson means that someone else must confirm the operations.
	NeedsReason       bool       `json:"needs_reason"`
	NeedsPermission   Permission `json:"needs_permission,omitempty"`
	NeedsSecondPerson bool       `json:"needs_second_person"`
}

// UncoveredFrame is what would be uncovered in a frame. Box encloses it, in pixels.
type UncoveredFrame struct {
	Frame  int    `json:"frame"`
	Pixels int    `json:"pixels"`
	Box    [4]int `json:"box"`
}

// Renders are the latest rendering, unless it has succeeded, and the revisions.
type Renders struct {
	Render    *RenderState `json:"render,omitempty"`
	Revisions []Revision   `json:"revisions"`
}

// RenderState is the state and progress of a rendering.
type RenderState struct {
	State      string    `json:"state"`
	By         string    `json:"by"`
	At         time.Time `json:"at"`
	Operations int       `json:"operations"`
	Frames     int       `json:"frames"`
	Total      int       `json:"frames_total,omitempty"`
	Message    string    `json:"message,omitempty"`
}

// Active reports whether the rendering is waiting or running.
func (s *RenderState) Active() bool { return s.State == RenderWaiting || s.State == RenderRunning }

// The states of a rendering. A rendering that has succeeded has none.
const (
	RenderWaiting  = "waiting"
	RenderRunning  = "running"
	RenderFailed   = "failed"
	RenderCanceled = "canceled"
)
