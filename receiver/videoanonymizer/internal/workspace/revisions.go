// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"fmt"
	"path/filepath"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/render"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// revisions returns the outputs of a video: the one that the pipeline made, which comes first, and its revisions.
func (w *Workspace) revisions(first *watch.Output) []watch.Output {
	all := []watch.Output{*first}
	made := w.reports.factsOf(report.Path(first.Path))
	for n := 2; made.ok; n++ {
		path := render.Path(first.Path, n)
		facts := w.reports.factsOf(report.Path(path))
		if !facts.ok || facts.revision == nil || facts.revision.First != made.sha256 {
			break
		}
		all = append(all, watch.Output{Path: path, Name: render.Path(first.Name, n), Size: facts.size,
			Digest: facts.revision.Samples})
	}
	return all
}

// rendered returns how many operations of the edits an output contains.
func (w *Workspace) rendered(o *watch.Output) int {
	if r := w.reports.factsOf(report.Path(o.Path)).revision; r != nil {
		return r.Operations
	}
	return 0
}

// revision describes output n of a video, n counting from 1.
func (w *Workspace) revision(o watch.Overview, output *watch.Output, n int) consoleapi.Revision {
	facts := w.reports.factsOf(report.Path(output.Path))
	created := facts.created
	if created.IsZero() {
		created = o.Updated
	}
	return consoleapi.Revision{ID: render.ID(n), Name: filepath.Base(output.Path), Created: created.UTC(),
		Size: output.Size, SHA256: facts.sha256}
}

// output returns the overview of a video with the output of a revision.
func (w *Workspace) output(id consoleapi.RevisionID) (watch.Overview, error) {
	o, err := w.find(id.Video)
	if err != nil {
		return o, err
	}
	n := render.Number(id.Revision)
	if o.Phase == watch.PhaseDone && n > 0 {
		if all := w.revisions(&o.Output); n <= len(all) {
			o.Output = all[n-1]
			return o, nil
		}
	}
	return o, fmt.Errorf("%w: the video has no such revision", consoleapi.ErrNotFound)
}

// checkCorrected refuses to approve a revision if some corrections are missing from it, or if there is a later
// revision.
func (w *Workspace) checkCorrected(id consoleapi.RevisionID, decision string) error {
	if decision != consoleapi.Approved {
		return nil
	}
	v, err := w.editsOf(id.Video)
	if err != nil { // without a report there are no corrections
		return nil
	}
	latest := render.ID(len(v.outputs))
	switch {
	case latest != id.Revision:
		return fmt.Errorf("%w: %s has corrections that %s lacks: approve %s", consoleapi.ErrConflict, latest, id.Revision,
			latest)
	case w.renders.active(id.Video):
		return fmt.Errorf("%w: corrections are being rendered: wait for that to finish", consoleapi.ErrConflict)
	case v.pending():
		return fmt.Errorf("%w: some corrections are not rendered: render or undo them", consoleapi.ErrConflict)
	}
	return nil
}

// pending reports whether the latest revision lacks live operations, or contains reverted ones.
func (v *edited) pending() bool { return len(v.document.Changed(v.rendered)) > 0 }
