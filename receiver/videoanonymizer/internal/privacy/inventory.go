// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package privacy keeps no more about videos than is needed: it removes outputs and what is known of them by their age
// (Keeper), erases all that is known of one video (Erase), and lists what was done by which means, for those who have
// to account for it (Records). It never touches a source.
package privacy

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/anonymize"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/edits"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/render"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// output is an output of the pipeline, or a revision of it.
type output struct {
	path string
	// report is nil if there is none that can be read.
	report *report.Report
	// sources are what the journal says of what it was made of: none, or several if that was renamed.
	sources []watch.Known
}

// inventory returns the outputs that the journal or reports below the output directory know, ordered by path.
func inventory(directory string, known []watch.Known) ([]output, error) {
	found := map[string]*output{}
	add := func(path string) *output {
		if found[path] == nil {
			found[path] = &output{path: path}
			if r, err := report.Read(report.Path(path)); err == nil {
				found[path].report = r
			}
		}
		return found[path]
	}
	for _, k := range known {
		if k.Phase == watch.PhaseDone {
			for _, path := range revisionsOf(k.Output.Path) {
				o := add(path)
				o.sources = append(o.sources, k)
			}
		}
		for _, path := range k.Previous {
			o := add(path)
			o.sources = append(o.sources, k)
		}
	}
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry.IsDir() && path != directory && strings.HasPrefix(entry.Name(), ".") {
			return filepath.SkipDir
		}
		if of, ok := strings.CutSuffix(path, report.Path("")); ok && entry.Type().IsRegular() {
			if o := add(of); o.report == nil && len(o.sources) == 0 {
				delete(found, of) // no report of ours
			}
		}
		return nil
	})
	var all []output
	for _, o := range found {
		all = append(all, *o)
	}
	slices.SortFunc(all, func(a, b output) int { return strings.Compare(a.path, b.path) })
	return all, err
}

// revisionsOf returns the path of an output and those of its revisions, which name it in their reports.
func revisionsOf(path string) []string {
	all := []string{path}
	first, err := report.Read(report.Path(path))
	if err != nil {
		return all
	}
	for n := 2; ; n++ {
		revision := render.Path(path, n)
		r, err := report.Read(report.Path(revision))
		if err != nil || r.Revision == nil || r.Revision.First != first.Output.SHA256 {
			return all
		}
		all = append(all, revision)
	}
}

// companionsOf are the files that may be beside an output.
func companionsOf(path string) []string {
	return []string{anonymize.PreviewPath(path), report.SheetPath(path), edits.Path(path), audit.ApprovalPath(path),
		watch.MarkOf(path), report.Path(path)}
}

// there returns those of the files that exist.
func there(paths []string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(path string) bool {
		info, err := os.Lstat(path)
		return err != nil || !info.Mode().IsRegular()
	})
}

// relative is the path of an output below the directory, as the audit has it.
func relative(directory, path string) string {
	rel, err := filepath.Rel(directory, path)
	if err != nil || !filepath.IsLocal(rel) {
		return filepath.Base(path)
	}
	return rel
}
