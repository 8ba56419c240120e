// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package consoleapi

import "time"

// Role is what an identity may do. Each role includes the roles before it.
type Role string

// The roles.
const (
	RoleView     Role = "view"     // watch videos
	RoleEdit     Role = "edit"     // also mark as watched, and add masks
	RoleReview   Role = "review"   // also approve, reject, and remove masks
	RoleOperator Role = "operator" // also retry, pause, cancel, prioritize, and upload
)

// Roles are all roles; each includes the roles before it.
var Roles = []Role{RoleView, RoleEdit, RoleReview, RoleOperator}

// Permission is a permission that a request needs.
type Permission string

// The permissions.
const (
	PermissionView    Permission = "view"
	PermissionReview  Permission = "review"
	PermissionEdit    Permission = "edit"
	PermissionApprove Permission = "approve"
	PermissionOperate Permission = "operate"
)

// Permissions returns what a role may do, or nil for an unknown role.
func (r Role) Permissions() []Permission {
	switch r {
	case RoleView:
		return []Permission{PermissionView}
	case RoleEdit:
		return []Permission{PermissionView, PermissionReview, PermissionEdit}
	case RoleReview:
		return []Permission{PermissionView, PermissionReview, PermissionEdit, PermissionApprove}
	case RoleOperator:
		return []Permission{PermissionView, PermissionReview, PermissionEdit, PermissionApprove, PermissionOperate}
	}
	return nil
}

// State is the state of a video between the watched folder and approval.
type State string

// The states.
const (
	StateWaiting  State = "waiting"
	StateWorking  State = "working"
	StatePaused   State = "paused"
	StateFailed   State = "failed"
	StateCanceled State = "canceled"
	StateToReview State = "to_review"
	StateInReview State = "in_review"
	StateApproved State = "approved"
	StateRejected State = "rejected"
)

// Done reports whether there is an output.
func (s State) Done() bool {
	return s == StateToReview || s == StateInReview || s == StateApproved || s == StateRejected
}

// Warning is something that users should know about a video.
type Warning string

// The warnings.
const (
	WarningNobodyFound    Warning = "nobody_found"
	WarningMaskedWhole    Warning = "masked_whole"
	WarningSalvaged       Warning = "salvaged"
	WarningSecondPass     Warning = "second_pass"
	WarningOutputChanged  Warning = "output_changed"
	WarningOutputMissing  Warning = "output_missing"
	WarningNoReport       Warning = "no_report"
	WarningUncovered      Warning = "uncovered"
	WarningReversibleMask Warning = "reversible_mask"
	WarningApprovalVoid   Warning = "approval_void"
)

// Action is an operation on a video.
type Action string

// The actions.
const (
	ActionRetry  Action = "retry"
	ActionPause  Action = "pause"
	ActionResume Action = "resume"
	ActionCancel Action = "cancel"
	ActionFirst  Action = "first"
)

// Video is a source and the results of its processing. Times are in seconds.
type Video struct {
	ID          VideoID    `json:"id"`
	Name        string     `json:"name"`
	Receiver    string     `json:"receiver"`
	State       State      `json:"state"`
	Frames      int        `json:"frames"`
	FramesTotal int        `json:"frames_total,omitempty"`
	Progress    float64    `json:"progress"`
	FramesPerS  float64    `json:"frames_per_s,omitempty"`
	ETA         *float64   `json:"eta_s,omitempty"`
	Position    int        `json:"position,omitempty"`
	WaitingFor  string     `json:"waiting_for,omitempty"`
	Attempt     int        `json:"attempt,omitempty"`
	Size        int64      `json:"size,omitempty"`
	Duration    float64    `json:"duration_s,omitempty"`
	PeopleMax   int        `json:"people_max,omitempty"`
	Masks       int        `json:"masks,omitempty"`
	Updated     time.Time  `json:"updated"`
	Failure     *Failure   `json:"failure,omitempty"`
	Warnings    []Warning  `json:"warnings"`
	Review      *Summary   `json:"review,omitempty"`
	Revisions   []Revision `json:"revisions,omitempty"`
	// Render is the latest rendering, unless it has succeeded.
	Render *RenderState `json:"render,omitempty"`
}

// Failure is why a video failed and what to do about it.
type Failure struct {
	Reason    string `json:"reason"`
	Message   string `json:"message"`
	Advice    string `json:"advice"`
	Attempts  int    `json:"attempts,omitempty"`
	WillRetry bool   `json:"will_retry"`
}

// Summary is the progress of the review of a revision.
type Summary struct {
	Moments     int       `json:"moments"`
	MomentsSeen int       `json:"moments_seen"`
	Watched     float64   `json:"watched"`
	Decision    *Decision `json:"decision,omitempty"`
}

// Decision is a reviewer's decision about a revision.
type Decision struct {
	Decision string    `json:"decision"`
	By       string    `json:"by"`
	At       time.Time `json:"at"`
	Note     string    `json:"note,omitempty"`
	Valid    bool      `json:"valid"`
}

// The decisions.
const (
	Approved = "approved"
	Rejected = "rejected"
	Reopened = "reopened"
)

// Revision is an output.
type Revision struct {
	ID           string    `json:"id"`
	Name         string    `json:"name"`
	Created      time.Time `json:"created"`
	Size         int64     `json:"size"`
	SHA256       string    `json:"sha256"`
	ReportSHA256 string    `json:"report_sha256,omitempty"`
}

// RevisionDetails is an output and its review.
type RevisionDetails struct {
	Revision
	Frames     int        `json:"frames"`
	Duration   float64    `json:"duration_s"`
	Width      int        `json:"width,omitempty"`
	Height     int        `json:"height,omitempty"`
	Begin      float64    `json:"begin_s,omitempty"`
	MaskShape  string     `json:"mask_shape,omitempty"`
	MaskMethod string     `json:"mask_method,omitempty"`
	MaskFill   string     `json:"mask_fill,omitempty"`
	Recall     string     `json:"recall,omitempty"`
	HasReport  bool       `json:"has_report"`
	HasSheet   bool       `json:"has_sheet"`
	Playback   Playback   `json:"playback"`
	SecondLook SecondLook `json:"second_look"`
	Warnings   []Warning  `json:"warnings"`
	Review     Summary    `json:"review"`
}

// Playback is what browsers can play.
type Playback struct {
	State    string  `json:"state"`
	Type     string  `json:"type,omitempty"`
	Progress float64 `json:"progress,omitempty"`
	Message  string  `json:"message,omitempty"`
}

// The states of Playback.
const (
	PlaybackDirect      = "direct"
	PlaybackNeeded      = "needed"
	PlaybackPreparing   = "preparing"
	PlaybackReady       = "ready"
	PlaybackUnavailable = "unavailable"
)

// SecondLook is the state of the second look at an output.
type SecondLook struct {
	State  string `json:"state"`
	Frames int    `json:"frames,omitempty"`
	Found  int    `json:"found,omitempty"`
}

// The states of SecondLook.
const (
	LookOff     = "off"
	LookWaiting = "waiting"
	LookRunning = "running"
	LookDone    = "done"
	LookFailed  = "failed"
)

// Moments are the moments of an output that a reviewer should look at.
type Moments struct {
	Moments    []Moment   `json:"moments"`
	SecondLook SecondLook `json:"second_look"`
}

// Uncovered is the reason of a moment that the second look found.
const Uncovered = "uncovered"

// Moment is a run of frames that a reviewer should look at.
type Moment struct {
	ID         string  `json:"id"`
	Reason     string  `json:"reason"`
	At         string  `json:"at"`
	Frame      int     `json:"frame"`
	Time       float64 `json:"time_s"`
	FirstFrame int     `json:"first_frame"`
	LastFrame  int     `json:"last_frame"`
	Duration   float64 `json:"duration_s"`
	Score      float64 `json:"score"`
	Box        *[4]int `json:"box,omitempty"`
	Seen       bool    `json:"seen"`
	SeenBy     string  `json:"seen_by,omitempty"`
	// AlsoWeak means that other moments matter more: a review is complete without this one and does not count it.
	AlsoWeak bool `json:"also_weak,omitempty"`
	// Sightings are the sightings that were joined into the moment, in order of their first frames, if there are several.
	Sightings []Sighting `json:"sightings,omitempty"`
}

// Sighting is a part of a moment.
type Sighting struct {
	Reason     string  `json:"reason"`
	Frame      int     `json:"frame"`
	FirstFrame int     `json:"first_frame"`
	LastFrame  int     `json:"last_frame"`
	Box        *[4]int `json:"box,omitempty"`
}

// Timeline divides a whole video into equal parts, with one value for each part.
type Timeline struct {
	Frames     int       `json:"frames"`
	Duration   float64   `json:"duration_s"`
	FirstFrame []int     `json:"first_frame"`
	Time       []float64 `json:"time_s"`
	People     []int     `json:"people"`
	Masks      []int     `json:"masks"`
	Score      []float64 `json:"score"`
	Whole      []bool    `json:"whole"`
}

// Frames is the known data of consecutive frames.
type Frames struct {
	Total  int     `json:"total"`
	From   int     `json:"from"`
	Frames []Frame `json:"frames"`
}

// Frame is the known data of a frame.
type Frame struct {
	Frame       int     `json:"frame"`
	Time        float64 `json:"time_s"`
	Judged      bool    `json:"judged"`
	Look        string  `json:"look,omitempty"`
	LookCause   string  `json:"look_cause,omitempty"`
	MaskedWhole bool    `json:"masked_whole,omitempty"`
	Error       string  `json:"error,omitempty"`
	People      int     `json:"people"`
	Masks       []Mask  `json:"masks"`
}

// Mask is a mask in a frame. Box is left, top, right, and bottom in pixels.
type Mask struct {
	Box     [4]int  `json:"box"`
	Outline Outline `json:"outline"`
	Origin  string  `json:"origin"`
	Score   float64 `json:"score"`
	Track   *int    `json:"track,omitempty"`
}

// Outline is the outline of a mask in pixels.
type Outline struct {
	Shape string  `json:"shape"`
	X     float64 `json:"x"`
	Y     float64 `json:"y"`
	RX    float64 `json:"rx"`
	RY    float64 `json:"ry"`
	Angle float64 `json:"angle"`
}

// Watched is what reviewers have looked at. Ranges are half-open, in frames.
type Watched struct {
	Ranges  [][2]int `json:"ranges"`
	Share   float64  `json:"share"`
	Moments []string `json:"moments"`
}

// WatchedInput adds to Watched.
type WatchedInput struct {
	Ranges  [][2]int `json:"ranges,omitempty"`
	Moments []string `json:"moments,omitempty"`
}

// DecisionInput is a decision about the files with these hashes, unless the hashes are empty.
type DecisionInput struct {
	Decision     string `json:"decision"`
	Note         string `json:"note,omitempty"`
	SHA256       string `json:"sha256,omitempty"`
	ReportSHA256 string `json:"report_sha256,omitempty"`
}

// Upload is a file uploaded into a watched folder.
type Upload struct {
	Name     string `json:"name"`
	Size     int64  `json:"size"`
	Receiver string `json:"receiver"`
}

// StatusNow is the current activity.
type StatusNow struct {
	Time       time.Time     `json:"time"`
	FramesPerS float64       `json:"frames_per_s"`
	People     int           `json:"people"`
	Stages     []StageTime   `json:"stages"`
	Counts     map[State]int `json:"counts"`
	GPUs       []GPU         `json:"gpus"`
	Share      *Share        `json:"share,omitempty"` // nil if no machines share the work
}

// StageTime is the mean duration of a stage in milliseconds.
type StageTime struct {
	Name string  `json:"name"`
	MS   float64 `json:"ms"`
}

// History has one value per interval, oldest first. Time is in seconds since 1970.
type History struct {
	Interval   float64              `json:"interval_s"`
	Time       []float64            `json:"time"`
	FramesPerS []float64            `json:"frames_per_s"`
	People     []int                `json:"people"`
	Stages     map[string][]float64 `json:"stages"`
}

// GPU is the state of a GPU. Memory is in bytes.
type GPU struct {
	Index       int     `json:"index"`
	Name        string  `json:"name"`
	Utilization float64 `json:"utilization"`
	MemoryUsed  int64   `json:"memory_used,omitempty"`
	MemoryTotal int64   `json:"memory_total,omitempty"`
	Temperature float64 `json:"temperature_c,omitempty"`
	Power       float64 `json:"power_w,omitempty"`
}

// Share is the activity of the machines that share the work. Videos are counts by state. These are the states of a
// share, not the states of videos in a console.
type Share struct {
	Machines []Machine      `json:"machines"`
	Videos   map[string]int `json:"videos"`
}

// Machine is a machine that takes part in a share or did until recently.
type Machine struct {
	Name string `json:"name"`
	// State is works, drains, takes_nothing, silent, or stopped.
	State string    `json:"state"`
	Since time.Time `json:"since"`
	// Silent is the time since the last sign of life, in seconds.
	Silent float64 `json:"silent_s"`
	// Problem is why the machine takes no work, if it does not.
	Problem string        `json:"problem,omitempty"`
	Doing   []MachineTask `json:"doing"`
}

// MachineTask is a task of a machine: plan, unit, join, or publish. Unit is nil for tasks that concern a whole video.
type MachineTask struct {
	Task  string    `json:"task"`
	Video string    `json:"video"`
	Unit  *int      `json:"unit,omitempty"`
	Since time.Time `json:"since"`
}

// FrameTraceHead identifies the trace of a frame.
type FrameTraceHead struct {
	Trace    string    `json:"trace"`
	Video    VideoID   `json:"video"`
	Name     string    `json:"name"`
	Frame    int       `json:"frame"`
	Start    time.Time `json:"start"`
	Duration float64   `json:"duration_ms"`
	People   int       `json:"people"`
	Failed   bool      `json:"failed,omitempty"`
}

// FrameTrace is the trace of a frame. Parents come before children.
type FrameTrace struct {
	FrameTraceHead
	Spans []Span `json:"spans"`
}

// Span is a span of a trace. Start is relative to the start of the root span, in microseconds.
type Span struct {
	Span       string         `json:"span"`
	Parent     string         `json:"parent,omitempty"`
	Name       string         `json:"name"`
	Start      float64        `json:"start_us"`
	Duration   float64        `json:"duration_us"`
	Failed     bool           `json:"failed,omitempty"`
	Attributes map[string]any `json:"attributes,omitempty"`
}

// Verification is the result of verifying the audit.
type Verification struct {
	OK       bool     `json:"ok"`
	Entries  int      `json:"entries"`
	BadEntry int      `json:"bad_entry,omitempty"`
	Problem  string   `json:"problem,omitempty"`
	Files    int      `json:"files,omitempty"`
	Changed  []string `json:"changed,omitempty"`
}
