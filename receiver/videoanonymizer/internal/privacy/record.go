// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package privacy

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// RecordSchema identifies the format of a record of processing.
const RecordSchema = "otelcol-anonymizer/record/v1"

// Records lists how all videos were processed, for those who have to account for it.
type Records struct {
	Schema  string    `json:"schema"`
	Created time.Time `json:"created"`
	Videos  []Record  `json:"videos"`
	// Erased is the number of erasures in the audit log.
	Erased int `json:"erasures"`
	// AuditProblem is the reason why no decisions are listed, if the audit log was changed.
	AuditProblem string `json:"audit_problem,omitempty"`
}

// Record describes how one video was processed. Fields that do not apply are empty.
type Record struct {
	// Source is the name of the file, Output the path relative to the output directory.
	Source       string `json:"source"`
	SourceSHA256 string `json:"source_sha256,omitempty"`
	Output       string `json:"output,omitempty"`
	OutputSHA256 string `json:"output_sha256,omitempty"`
	// Outcome is anonymized or failed, Reason the reason for a failure.
	Outcome string `json:"outcome"`
	Reason  string `json:"reason,omitempty"`
	// Processed is the time of the outcome.
	Processed time.Time `json:"processed"`
	Program   string    `json:"program,omitempty"`
	// Models are model names with the first digits of their SHA-256.
	Models []string `json:"models,omitempty"`
	Recall string   `json:"recall,omitempty"`
	Mask   string   `json:"mask,omitempty"`
	// Duration is in seconds.
	Duration    float64 `json:"duration_s,omitempty"`
	Frames      int     `json:"frames,omitempty"`
	PeopleMax   int     `json:"people_max,omitempty"`
	NobodyFound bool    `json:"nobody_found,omitempty"`
	Corrections int     `json:"corrections,omitempty"`
	// Review is approved, rejected, none or changed. The latter means that the decision was on an output other than the
	// one in the report.
	Review   string    `json:"review"`
	Reviewer string    `json:"reviewer,omitempty"`
	Reviewed time.Time `json:"reviewed,omitzero"`
	// Watched is the fraction of the frames that the reviewer watched.
	Watched float64 `json:"watched,omitempty"`
	Note    string  `json:"note,omitempty"`
}

// Values of Record.Outcome, and those of Record.Review that are not decisions.
const (
	Anonymized = "anonymized"
	Failed     = "failed"
	NoReview   = "none"
	Changed    = "changed"
)

// ReadRecords lists the videos processed since a time, according to journal, reports and audit log, oldest first. It
// changes nothing, and may be called while a collector runs.
func ReadRecords(places Places, since time.Time) (*Records, error) {
	ledger, err := watch.ReadLedger(places.State)
	if err != nil {
		return nil, err
	}
	known := ledger.Known()
	outputs, err := inventory(places.Outputs, known)
	if err != nil {
		return nil, err
	}
	all := &Records{Schema: RecordSchema, Created: time.Now().UTC().Truncate(time.Second), Videos: []Record{}}
	directory := filepath.Join(places.State, audit.DirectoryName)
	decided, err := audit.Decisions(directory)
	var bad *audit.ErrBad
	if errors.As(err, &bad) {
		all.AuditProblem = err.Error()
	} else if err != nil {
		return nil, err
	}
	if all.Erased, err = audit.Erasures(directory); err != nil && bad == nil {
		return nil, err
	}
	add := func(r Record) {
		if !r.Processed.Before(since) {
			all.Videos = append(all.Videos, r)
		}
	}
	for _, o := range outputs {
		if r, ok := recordOf(places.Outputs, o); ok {
			r.decide(decided[r.Output], all.AuditProblem != "")
			add(r)
		}
	}
	for _, k := range known {
		if k.Phase == watch.PhaseFailed {
			add(Record{Source: filepath.Base(k.Path), Outcome: Failed, Reason: k.Reason, Processed: k.Updated.UTC(),
				Review: NoReview})
		}
	}
	slices.SortStableFunc(all.Videos, func(a, b Record) int {
		return cmp.Or(a.Processed.Compare(b.Processed), strings.Compare(a.Output, b.Output),
			strings.Compare(a.Source, b.Source))
	})
	return all, nil
}

// recordOf describes an output. ok is false if neither the report nor the journal says when it was produced.
func recordOf(directory string, o output) (r Record, ok bool) {
	r = Record{Output: relative(directory, o.path), Outcome: Anonymized, Review: NoReview}
	for _, k := range o.sources {
		r.Source, r.Processed = filepath.Base(k.Path), k.Updated.UTC()
	}
	if o.report == nil {
		return r, len(o.sources) > 0
	}
	p := o.report
	r.Source, r.SourceSHA256, r.OutputSHA256 = p.Source.Name, p.Source.SHA256, p.Output.SHA256
	r.Processed = p.Created.UTC()
	r.Program = strings.TrimSpace(p.Program.Name + " " + p.Program.Version)
	for _, m := range p.Models {
		r.Models = append(r.Models, modelText(m))
	}
	s := p.Settings
	r.Recall, r.Mask = s.Recall, strings.Join(append([]string{s.Method, s.Shape, s.Fill}, s.Also...), ", ")
	r.Duration, r.Frames, r.PeopleMax = p.Summary.Duration, p.Summary.Frames, p.Summary.PeopleMax
	r.NobodyFound = p.Summary.NobodyFound
	if p.Revision != nil {
		r.Corrections = p.Revision.Operations
	}
	return r, true
}

// digestLength is the number of digits of a SHA-256 that distinguish models.
const digestLength = 12

func modelText(m report.Model) string {
	return fmt.Sprintf("%s (%s, %s)", m.Name, m.Key, m.SHA256[:min(digestLength, len(m.SHA256))])
}

// decide adds the decision on an output. If bad, decisions do not count.
func (r *Record) decide(e audit.Entry, bad bool) {
	if bad || e.Action == "" {
		return
	}
	r.Review, r.Reviewer, r.Reviewed, r.Watched, r.Note = e.Action, e.Actor, e.Time.UTC(), e.Watched, e.Note
	if r.OutputSHA256 != "" && e.OutputSHA256 != r.OutputSHA256 {
		r.Review = Changed
	}
}
