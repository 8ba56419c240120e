// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"os"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// Outcome is what became of a file.
type Outcome string

// The outcomes.
const (
	// Done: there is a new output.
	Done Outcome = "done"
	// AlreadyDone: an earlier run made the output.
	AlreadyDone Outcome = "already_done"
	// Failed: there is no output, see Reason.
	Failed Outcome = "failed"
	// Skipped: it was not tried, see Reason.
	Skipped Outcome = "skipped"
	// Interrupted: it was begun or waited when the run was ended.
	Interrupted Outcome = "interrupted"
	// Planned: a run would anonymize it.
	Planned Outcome = "planned"
)

// Reasons of Skipped. Those of Failed are the receiver's.
const (
	// ReasonKind: its extension is never a video's or a picture's.
	ReasonKind = "other_kind"
	// ReasonIncomplete: it is still being written, copied or downloaded.
	ReasonIncomplete = "incomplete"
	// ReasonIgnored: it is no source of ours, or gone.
	ReasonIgnored = "ignored"
)

func reasonOf(f watch.Listed) string {
	if f.OtherKind {
		return ReasonKind
	}
	return ReasonIncomplete
}

// Result is what became of a file, or would. As JSON it is described by run.schema.json.
type Result struct {
	// Profile is the name of the profile that includes the source. Source, Output, Report and ContactSheet are absolute
	// paths; the latter empty if there is no such file.
	Source       string  `json:"source"`
	Outcome      Outcome `json:"outcome"`
	Profile      string  `json:"profile,omitempty"`
	Output       string  `json:"output,omitempty"`
	Report       string  `json:"report,omitempty"`
	ContactSheet string  `json:"contact_sheet,omitempty"`
	// Reason is a stable word, Error says more.
	Reason string `json:"reason,omitempty"`
	Error  string `json:"error,omitempty"`
	// Of the output, if it has a report.
	Frames      int  `json:"frames,omitempty"`
	MaskedWhole int  `json:"frames_masked_whole,omitempty"`
	PeopleMax   int  `json:"people_max,omitempty"`
	Masks       int  `json:"masks,omitempty"`
	NobodyFound bool `json:"nobody_found,omitempty"`
	// Seconds is how long it took in this run, or would.
	Seconds float64 `json:"seconds,omitempty"`
	// Video is what a dry run read of the file.
	Video *Video `json:"video,omitempty"`
}

// Missing reports whether a file that may be a video has no output.
func (r Result) Missing() bool {
	return r.Outcome == Failed || r.Outcome == Interrupted || r.Outcome == Skipped && r.Reason == ReasonIncomplete
}

// describe adds what is known of an output.
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
