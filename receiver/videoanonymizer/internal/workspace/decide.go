// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/edits"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// Watched returns what reviewers have watched.
func (w *Workspace) Watched(_ context.Context, id consoleapi.RevisionID) (consoleapi.Watched, error) {
	o, err := w.output(id)
	if err != nil {
		return consoleapi.Watched{}, err
	}
	r := w.reviews.get(&o.Output)
	return w.watched(&o.Output, &r), nil
}

func (w *Workspace) watched(o *watch.Output, r *review) consoleapi.Watched {
	watched := consoleapi.Watched{Ranges: r.Ranges, Moments: []string{},
		Share: r.share(w.reports.factsOf(report.Path(o.Path)).frames)}
	if watched.Ranges == nil {
		watched.Ranges = [][2]int{}
	}
	for id := range r.Seen {
		watched.Moments = append(watched.Moments, id)
	}
	return watched
}

// AddWatched adds what a reviewer has watched. The first call begins the review, which the audit records.
func (w *Workspace) AddWatched(_ context.Context, actor consoleapi.Actor, id consoleapi.RevisionID,
	add consoleapi.WatchedInput) (consoleapi.Watched, error) {
	o, err := w.output(id)
	if err != nil {
		return consoleapi.Watched{}, err
	}
	before := w.reviews.get(&o.Output)
	known := map[string]bool{}
	for _, m := range w.sightings(&o.Output, &before) { // the second look may just have joined a moment to others
		known[m.ID] = true
	}
	for _, m := range add.Moments {
		if !known[m] {
			return consoleapi.Watched{}, fmt.Errorf("%w: there is no moment %q", consoleapi.ErrInvalid, m)
		}
	}
	for _, x := range add.Ranges {
		if x[0] < 0 || x[1] < x[0] {
			return consoleapi.Watched{}, fmt.Errorf("%w: %v is not a range of frames", consoleapi.ErrInvalid, x)
		}
	}
	frames := w.reports.factsOf(report.Path(o.Output.Path)).frames
	began := false
	r, err := w.reviews.change(&o.Output, func(r *review) error {
		if began = r.Started.IsZero(); began {
			r.Started = time.Now().UTC()
		}
		r.watch(add.Ranges, frames)
		for _, m := range add.Moments {
			r.see(m, actor.Name)
		}
		return nil
	})
	if err != nil {
		return consoleapi.Watched{}, err
	}
	if began {
		_, err = w.record(w.auditEntry(actor, audit.ReviewStarted, id, &o))
	}
	w.Notify()
	return w.watched(&o.Output, &r), err
}

func (r *review) see(moment, name string) {
	if r.Seen == nil {
		r.Seen = map[string]string{}
	}
	if r.Seen[moment] == "" {
		r.Seen[moment] = name
	}
}

func (w *Workspace) auditEntry(actor consoleapi.Actor, action string, id consoleapi.RevisionID,
	o *watch.Overview) audit.Entry {
	v := w.describe(id.Video, *o, nil)
	e := audit.Entry{Actor: actor.Name, Role: string(actor.Role), Action: action, Video: string(id.Video), Name: v.Name,
		Revision: id.Revision, Output: o.Output.Name}
	if v.Review != nil {
		e.Moments, e.MomentsSeen, e.Watched = v.Review.Moments, v.Review.MomentsSeen, v.Review.Watched
	}
	return e
}

// Decide approves, rejects or reopens a revision.
func (w *Workspace) Decide(ctx context.Context, actor consoleapi.Actor, id consoleapi.RevisionID,
	input consoleapi.DecisionInput) (consoleapi.Video, error) {
	o, err := w.output(id)
	if err != nil {
		return consoleapi.Video{}, err
	}
	if err := w.checkDecision(&o.Output, &input); err != nil {
		return consoleapi.Video{}, err
	}
	if err := w.checkCorrected(id, input.Decision); err != nil {
		return consoleapi.Video{}, err
	}
	entry := w.auditEntry(actor, input.Decision, id, &o)
	entry.Note = strings.TrimSpace(input.Note)
	var decided *decision
	if input.Decision != consoleapi.Reopened {
		if decided, err = w.bind(ctx, &o.Output, &input); err != nil {
			return consoleapi.Video{}, err
		}
		entry.OutputSHA256, entry.ReportSHA256 = decided.OutputSHA256, decided.ReportSHA256
	}
	if err := w.unshare(&o.Output); err != nil {
		return consoleapi.Video{}, err
	}
	_, err = w.reviews.change(&o.Output, func(r *review) error {
		if err := checkApproval(o.Output.Path); err != nil {
			return err
		}
		if entry, err = w.record(entry); err != nil {
			return err
		}
		if decided != nil {
			decided.Decision = consoleapi.Decision{Decision: input.Decision, By: actor.Name, At: entry.Time, Note: entry.Note}
		}
		r.Decision = decided
		if r.Started.IsZero() {
			r.Started = entry.Time
		}
		return w.writeApproval(&o.Output, decided, &entry)
	})
	if err == nil && input.Decision == consoleapi.Approved {
		err = w.share(&o.Output)
	}
	w.Notify()
	if err != nil {
		return consoleapi.Video{}, err
	}
	return w.Video(ctx, id.Video)
}

// checkDecision refuses a decision that lacks something.
func (w *Workspace) checkDecision(o *watch.Output, input *consoleapi.DecisionInput) error {
	r := w.reviews.get(o)
	note := strings.TrimSpace(input.Note) != ""
	look := w.looks.state(o, &r)
	switch input.Decision {
	case consoleapi.Reopened:
		if r.Decision == nil {
			return fmt.Errorf("%w: nothing was decided", consoleapi.ErrConflict)
		}
	case consoleapi.Rejected:
		if !note {
			return fmt.Errorf("%w: a rejection needs a note that says why", consoleapi.ErrInvalid)
		}
	case consoleapi.Approved:
		waits := look.State == consoleapi.LookWaiting && w.looks.pending(*o)
		switch {
		case look.State == consoleapi.LookRunning || waits:
			return fmt.Errorf("%w: the second look is not done yet: wait for it", consoleapi.ErrConflict)
		case look.Found > 0 && !note:
			return fmt.Errorf("%w: the second look found someone: say in a note why this can be published",
				consoleapi.ErrInvalid)
		case look.State != consoleapi.LookDone && !note && !watch.IsPicture(o.Path):
			return fmt.Errorf("%w: the second look was not completed: say in a note why this can be published",
				consoleapi.ErrInvalid)
		}
	default:
		return fmt.Errorf("%w: %q is not a decision: use approved, rejected or reopened", consoleapi.ErrInvalid,
			input.Decision)
	}
	return nil
}

// bind hashes the files that a decision is about. They must be the ones that were published and that the request names.
func (w *Workspace) bind(ctx context.Context, o *watch.Output, input *consoleapi.DecisionInput) (*decision, error) {
	d := &decision{}
	var err error
	if d.OutputSHA256, err = w.hashes.of(ctx, o.Path); err != nil {
		return nil, fmt.Errorf("%w: the output cannot be read", consoleapi.ErrChanged)
	}
	if d.OutputStamp, err = durable.StampAt(o.Path); err != nil {
		return nil, fmt.Errorf("%w: the output cannot be read", consoleapi.ErrChanged)
	}
	facts := w.reports.factsOf(report.Path(o.Path))
	if o.Intact() != nil || facts.ok && facts.sha256 != d.OutputSHA256 {
		return nil, fmt.Errorf("%w: put back the file that was made, or process the source again", consoleapi.ErrChanged)
	}
	d.ReportSHA256, err = w.hashes.of(ctx, report.Path(o.Path))
	if err == nil {
		d.ReportStamp, err = durable.StampAt(report.Path(o.Path))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: the report cannot be read", consoleapi.ErrChanged)
	}
	if facts.revision != nil {
		if d.EditsSHA256, err = w.hashes.of(ctx, edits.Path(o.Path)); err != nil {
			return nil, fmt.Errorf("%w: the corrections in it cannot be read", consoleapi.ErrChanged)
		}
	}
	if input.SHA256 != "" && input.SHA256 != d.OutputSHA256 ||
		input.ReportSHA256 != "" && input.ReportSHA256 != d.ReportSHA256 {
		return nil, fmt.Errorf("%w: the files are not the ones that were reviewed: look at them again",
			consoleapi.ErrPrecondition)
	}
	return d, nil
}

// approval is the content of the file next to an approved output, for those who receive it.
type approval struct {
	Schema  string       `json:"schema"`
	Output  approvedFile `json:"output"`
	Report  approvedFile `json:"report,omitzero"`
	Edits   approvedFile `json:"edits,omitzero"`
	By      string       `json:"approved_by"`
	Role    string       `json:"role"`
	At      time.Time    `json:"approved_at"`
	Note    string       `json:"note,omitempty"`
	Moments int          `json:"moments"`
	Seen    int          `json:"moments_seen"`
	Watched float64      `json:"watched"`
	// Entry and EntryHash are the number and hash of the audit entry.
	Entry     int    `json:"audit_entry"`
	EntryHash string `json:"audit_hash"`
}

type approvedFile struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

// checkApproval refuses to replace a file that is not an approval.
func checkApproval(output string) error {
	there, err := durable.ReadFile(audit.ApprovalPath(output))
	if err == nil && bytes.Contains(there, []byte(audit.ApprovalSchema)) {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: a file that is not an approval has its name: move it away", consoleapi.ErrConflict)
	}
	return nil
}

// writeApproval writes the approval next to an output, or removes it if the output is no longer approved.
func (w *Workspace) writeApproval(o *watch.Output, d *decision, e *audit.Entry) error {
	path := audit.ApprovalPath(o.Path)
	if d == nil || d.Decision.Decision != consoleapi.Approved {
		return durable.RemoveIfThere(path)
	}
	a := approval{
		Schema: audit.ApprovalSchema, Output: approvedFile{filepath.Base(o.Path), d.OutputSHA256}, By: e.Actor, Role: e.Role,
		At: e.Time, Note: e.Note, Moments: e.Moments, Seen: e.MomentsSeen, Watched: e.Watched, Entry: e.Seq,
		EntryHash: e.Hash,
	}
	if d.ReportSHA256 != "" {
		a.Report = approvedFile{filepath.Base(report.Path(o.Path)), d.ReportSHA256}
	}
	if d.EditsSHA256 != "" {
		a.Edits = approvedFile{filepath.Base(edits.Path(o.Path)), d.EditsSHA256}
	}
	text, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	return durable.ReplaceFile(path, append(text, '\n'), w.opts.FileMode)
}

// Audit calls use for each line of the audit, or only for those about a video.
func (w *Workspace) Audit(ctx context.Context, video consoleapi.VideoID, use func(line []byte) error) error {
	wanted := []byte(`"video":"` + string(video) + `"`)
	return w.audit.Lines(func(line []byte) error {
		if video == "" || bytes.Contains(line, wanted) {
			return errors.Join(ctx.Err(), use(line))
		}
		return ctx.Err()
	})
}

// VerifyAudit verifies the audit and, with files, the outputs, reports and approvals that it is about.
func (w *Workspace) VerifyAudit(ctx context.Context, files bool) (consoleapi.Verification, error) {
	result, err := audit.VerifyDirectory(ctx, w.opts.Directory, w.opts.OutputDirectory, files)
	if err != nil {
		return consoleapi.Verification{}, err
	}
	v := consoleapi.Verification{OK: result.OK(), Entries: result.Entries, Files: result.Files}
	if result.Bad != nil {
		v.BadEntry, v.Problem = result.Bad.Line, result.Bad.Problem
	}
	for _, c := range result.Changed {
		v.Changed = append(v.Changed, c.Name+": "+c.Problem)
	}
	return v, nil
}
