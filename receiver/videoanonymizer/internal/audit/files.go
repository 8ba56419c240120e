// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
)

// ApprovalSchema identifies the format of approvals.
const ApprovalSchema = "otelcol-anonymizer/approval/v1"

const approvalSuffix = ".approval.json"

// ApprovalPath returns the path of the approval of an output.
func ApprovalPath(output string) string { return output + approvalSuffix }

// Result is the result of a verification.
type Result struct {
	// Entries is the number of good entries before the first bad one, Bad, which is nil if all entries are good.
	Entries int
	Bad     *ErrBad
	// Files is the number of outputs and reports that were hashed.
	Files int
	// Changed lists files that differ from the audit log.
	Changed []Changed
}

// Changed is a file that differs from the audit log.
type Changed struct {
	// Name is relative to the output directory.
	Name, Problem string
}

// OK reports whether everything matches the audit log.
func (r *Result) OK() bool { return r.Bad == nil && len(r.Changed) == 0 }

func (r *Result) changed(name, format string, args ...any) {
	r.Changed = append(r.Changed, Changed{name, fmt.Sprintf(format, args...)})
}

// VerifyDirectory verifies the log in a directory and, if files is true, the outputs below another directory: approved
// and rejected outputs and their reports must have the hashes in the latest decision, and each approval beside an
// output must match an entry of the log.
func VerifyDirectory(ctx context.Context, directory, outputs string, files bool) (*Result, error) {
	file, err := durable.Open(filepath.Join(directory, FileName), os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	decided, hashes := map[string]Entry{}, map[int]string{}
	result := &Result{}
	result.Entries, err = Verify(file, func(e Entry) {
		hashes[e.Seq] = e.Hash
		decide(decided, e)
	})
	if err != nil && !errors.As(err, &result.Bad) {
		return nil, err
	}
	if !files {
		return result, nil
	}
	for _, name := range slices.Sorted(maps.Keys(decided)) {
		if err := result.verifyOutput(ctx, outputs, decided[name]); err != nil {
			return nil, err
		}
	}
	return result, result.verifyApprovals(outputs, decided, hashes)
}

// verifyOutput verifies an output on which there is a decision, and its report.
func (r *Result) verifyOutput(ctx context.Context, outputs string, e Entry) error {
	if !filepath.IsLocal(e.Output) {
		r.changed(e.Output, "entry %d names a file outside the output directory", e.Seq)
		return nil
	}
	for _, f := range [...]struct{ name, what, want string }{
		{e.Output, "the output", e.OutputSHA256}, {report.Path(e.Output), "the report", e.ReportSHA256},
	} {
		if f.want == "" {
			continue
		}
		got, err := report.Identify(ctx, filepath.Join(outputs, f.name))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, fs.ErrNotExist):
			r.changed(f.name, "%s of entry %d is missing", f.what, e.Seq)
			continue
		case err != nil:
			return err
		case got.SHA256 != f.want:
			r.changed(f.name, "%s is not the one that was %s in entry %d", f.what, e.Action, e.Seq)
		}
		r.Files++
	}
	return nil
}

// verifyApprovals finds approvals that are not in the log, for example because its end was cut off.
func (r *Result) verifyApprovals(outputs string, decided map[string]Entry, hashes map[int]string) error {
	return filepath.WalkDir(outputs, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !strings.HasSuffix(path, approvalSuffix) {
			return err
		}
		text, err := durable.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(outputs, path)
		if err != nil {
			return err
		}
		var a struct {
			Schema string `json:"schema"`
			Entry  int    `json:"audit_entry"`
			Hash   string `json:"audit_hash"`
		}
		output := strings.TrimSuffix(name, approvalSuffix)
		switch err := json.Unmarshal(text, &a); {
		case err != nil || a.Schema != ApprovalSchema: // not an approval
		case a.Hash == "" || hashes[a.Entry] != a.Hash:
			r.changed(name, "the audit has no entry %d of this approval: entries are missing, or it was forged", a.Entry)
		case decided[output].Seq != a.Entry || decided[output].Action != Approved:
			r.changed(name, "the audit says that the output is no longer approved")
		}
		return nil
	})
}
