// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package privacy keeps no more information about videos than necessary: it removes outputs and information about them
// by age (Keeper), erases all information about one video (Erase), and lists how videos were processed, for those who
// have to account for it (Records). It never touches a source.
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

// output is an output of the pipeline or a revision of it.
type output struct {
	path string
	// report is nil if there is no readable report.
	report *report.Report
	// sources are the output's sources according to the journal: none, one, or several if the source was renamed.
	sources []watch.Known
}

// inventory returns the outputs known from the journal or from reports below the output directory, ordered by path.
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
				delete(found, of) // not a report of an output
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

// revisionsOf returns the path of an output and the paths of its revisions, whose reports identify the output.
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

// companionsOf returns the paths of files that may accompany an output.
func companionsOf(path string) []string {
	return []string{anonymize.PreviewPath(path), report.SheetPath(path), edits.Path(path), audit.ApprovalPath(path),
		watch.MarkOf(path), report.Path(path)}
}

// there returns the paths of regular files that exist.
func there(paths []string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(path string) bool {
		info, err := os.Lstat(path)
		return err != nil || !info.Mode().IsRegular()
	})
}

// relative returns the path of an output relative to the directory, as in the audit log.
func relative(directory, path string) string {
	rel, err := filepath.Rel(directory, path)
	if err != nil || !filepath.IsLocal(rel) {
		return filepath.Base(path)
	}
	return rel
}
