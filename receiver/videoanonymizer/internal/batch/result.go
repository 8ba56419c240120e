// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"os"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// Outcome is what happened to a file.
type Outcome string

// The outcomes.
const (
	// Done means that there is a new output.
	Done Outcome = "done"
	// AlreadyDone means that an earlier run made the output.
	AlreadyDone Outcome = "already_done"
	// Failed means that there is no output, see Reason.
	Failed Outcome = "failed"
	// Skipped means that the file was not tried, see Reason.
	Skipped Outcome = "skipped"
	// Interrupted means that the file was in progress or waiting when the run ended.
	Interrupted Outcome = "interrupted"
	// Planned means that a run would anonymize the file.
	Planned Outcome = "planned"
)

// The reasons of Skipped. Those of Failed are the receiver's.
const (
	// ReasonKind means that the extension is never that of a video or a picture.
	ReasonKind = "other_kind"
	// ReasonIncomplete means that the file is still being written, copied or downloaded.
	ReasonIncomplete = "incomplete"
	// ReasonIgnored means that the file is not a source for us, or no longer exists.
	ReasonIgnored = "ignored"
)

func reasonOf(f watch.Listed) string {
	if f.OtherKind {
		return ReasonKind
	}
	return ReasonIncomplete
}

// Result is what happened to a file, or would happen. Its JSON is described by run.schema.json.
type Result struct {
	// Profile is the name of the profile that includes the source. Source, Output, Report and ContactSheet are absolute
	// paths. The latter three are empty if there is no such file.
	Source       string  `json:"source"`
	Outcome      Outcome `json:"outcome"`
	Profile      string  `json:"profile,omitempty"`
	Output       string  `json:"output,omitempty"`
	Report       string  `json:"report,omitempty"`
	ContactSheet string  `json:"contact_sheet,omitempty"`
	// Reason is a stable word; Error has the details.
	Reason string `json:"reason,omitempty"`
	Error  string `json:"error,omitempty"`
	// These fields are from the output's report, if it has one.
	Frames      int  `json:"frames,omitempty"`
	MaskedWhole int  `json:"frames_masked_whole,omitempty"`
	PeopleMax   int  `json:"people_max,omitempty"`
	Masks       int  `json:"masks,omitempty"`
	NobodyFound bool `json:"nobody_found,omitempty"`
	// Seconds is how long the file took in this run, or would take.
	Seconds float64 `json:"seconds,omitempty"`
	// Video is what a dry run read from the file.
	Video *Video `json:"video,omitempty"`
}

// Missing reports whether a file that may be a video has no output.
func (r Result) Missing() bool {
	return r.Outcome == Failed || r.Outcome == Interrupted || r.Outcome == Skipped && r.Reason == ReasonIncomplete
}

// describe adds what is known about an output.
func (r *Result) describe(output string) {
	r.Output = output
	if path := report.SheetPath(output); exists(path) {
		r.ContactSheet = path
	}
	path := report.Path(output)
	if !exists(path) {
		return
	}
	r.Report = path
	if written, err := report.Read(path); err == nil {
		s := written.Summary
		r.Profile = written.Settings.Profile
		r.Frames, r.MaskedWhole, r.PeopleMax, r.Masks, r.NobodyFound = s.Frames, s.MaskedWhole, s.PeopleMax, s.Masks,
			s.NobodyFound
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
