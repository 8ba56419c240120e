// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"strings"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/render"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// describeDone describes a video that has an output.
func (w *Workspace) describeDone(v *consoleapi.Video, o watch.Overview) {
	all := w.revisions(&o.Output)
	for i := range all {
		v.Revisions = append(v.Revisions, w.revision(o, &all[i], i+1))
	}
	v.Render = w.renders.state(v.ID)
	o.Output = all[len(all)-1]
	facts, r := w.reports.factsOf(report.Path(o.Output.Path)), w.reviews.get(&o.Output)
	v.Progress, v.Frames, v.FramesTotal = 1, facts.frames, facts.frames
	v.Duration, v.PeopleMax, v.Masks = facts.duration, facts.peopleMax, facts.masks
	summary := w.summary(&o.Output, &facts, &r)
	v.Review, v.State = &summary, stateOf(&r, &summary)
	v.Warnings = w.warnings(&o.Output, &facts, &r, &summary)
}

func stateOf(r *review, s *consoleapi.Summary) consoleapi.State {
	switch {
	case s.Decision != nil && !s.Decision.Valid:
		return consoleapi.StateInReview
	case s.Decision != nil && s.Decision.Decision == consoleapi.Approved:
		return consoleapi.StateApproved
	case s.Decision != nil:
		return consoleapi.StateRejected
	case r.Started.IsZero():
		return consoleapi.StateToReview
	}
	return consoleapi.StateInReview
}

func (w *Workspace) summary(o *watch.Output, facts *facts, r *review) consoleapi.Summary {
	s := consoleapi.Summary{Watched: r.share(facts.frames)}
	s.Moments, s.MomentsSeen = w.count(o, r)
	if r.Decision != nil {
		d := r.Decision.Decision
		d.Valid = w.holds(o, r.Decision)
		s.Decision = &d
	}
	return s
}

// holds reports whether the output and the report are those that were decided on. A file that was touched since is
// hashed in the background; until that is done, it does not count as the same.
func (w *Workspace) holds(o *watch.Output, d *decision) bool {
	same := func(path string, then durable.Stamp, sum string) bool {
		st, err := durable.StampAt(path)
		if err != nil || st.Size != then.Size {
			return false
		}
		if st == then {
			return true
		}
		now, known := w.hashes.lookUp(path)
		if !known {
			w.hashes.want(path)
		}
		return known && now == sum
	}
	return same(o.Path, d.OutputStamp, d.OutputSHA256) &&
		(d.ReportSHA256 == "" || same(report.Path(o.Path), d.ReportStamp, d.ReportSHA256))
}

func (w *Workspace) warnings(o *watch.Output, facts *facts, r *review,
	s *consoleapi.Summary) []consoleapi.Warning {
	warnings := []consoleapi.Warning{}
	switch err := w.reports.intact(o); {
	case errors.Is(err, fs.ErrNotExist):
		warnings = append(warnings, consoleapi.WarningOutputMissing)
	case err != nil:
		warnings = append(warnings, consoleapi.WarningOutputChanged)
	default:
		if sum, known := w.hashes.lookUp(o.Path); known && facts.ok && sum != facts.sha256 {
			warnings = append(warnings, consoleapi.WarningOutputChanged)
		}
	}
	if s.Decision != nil && !s.Decision.Valid {
		warnings = append(warnings, consoleapi.WarningApprovalVoid)
	}
	if len(r.Look.Found) > 0 {
		warnings = append(warnings, consoleapi.WarningUncovered)
	}
	if !facts.ok {
		return append(warnings, consoleapi.WarningNoReport)
	}
	return append(warnings, facts.warnings...)
}

// Revision returns an output and its review. The output is hashed in the background, so that a replaced file is
// noticed.
func (w *Workspace) Revision(ctx context.Context, id consoleapi.RevisionID) (consoleapi.RevisionDetails, error) {
	o, err := w.output(id)
	if err != nil {
		return consoleapi.RevisionDetails{}, err
	}
	facts, r := w.reports.factsOf(report.Path(o.Output.Path)), w.reviews.get(&o.Output)
	if _, known := w.hashes.lookUp(o.Output.Path); !known {
		w.hashes.want(o.Output.Path)
	}
	summary := w.summary(&o.Output, &facts, &r)
	_, sheetErr := durable.StampAt(report.SheetPath(o.Output.Path))
	d := consoleapi.RevisionDetails{
		Revision: w.revision(o, &o.Output, render.Number(id.Revision)), Frames: facts.frames,
		Duration: facts.duration, HasReport: facts.ok,
		HasSheet: sheetErr == nil, Review: summary, Warnings: w.warnings(&o.Output, &facts, &r, &summary),
		SecondLook: w.looks.state(&o.Output, &r), Playback: w.proxies.playback(ctx, o.Output.Path),
	}
	if info, err := w.proxies.probe(ctx, o.Output.Path); err == nil {
		d.Width, d.Height = info.Width, info.Height
	}
	if index, file, err := w.reports.indexOf(report.Path(o.Output.Path)); err == nil {
		_ = file.Close()
		s := &index.header.Settings
		d.MaskShape, d.MaskMethod, d.MaskFill, d.Recall = s.Shape, s.Method, s.Fill, s.Recall
	}
	return d, nil
}

// Open opens a file of a revision.
func (w *Workspace) Open(ctx context.Context, id consoleapi.RevisionID,
	kind consoleapi.Kind) (consoleapi.Content, error) {
	o, err := w.output(id)
	if err != nil {
		return consoleapi.Content{}, err
	}
	path, media := o.Output.Path, mediaType(o.Output.Path)
	switch kind {
	case consoleapi.KindOutput, consoleapi.KindPlayable:
		if err := w.intact(&o.Output); err != nil {
			return consoleapi.Content{}, err
		}
	}
	switch kind {
	case consoleapi.KindOutput:
	case consoleapi.KindPlayable:
		if path, media, err = w.proxies.playable(ctx, path); err != nil {
			return consoleapi.Content{}, err
		}
	case consoleapi.KindReport:
		path, media = report.Path(path), "application/json"
	case consoleapi.KindSheet:
		path, media = report.SheetPath(path), "image/jpeg"
	default:
		return consoleapi.Content{}, fmt.Errorf("%w: %q is not a kind of file", consoleapi.ErrInvalid, kind)
	}
	file, err := openFile(path)
	if err != nil {
		return consoleapi.Content{}, fmt.Errorf("%w: the file is missing, or is a link", consoleapi.ErrNotFound)
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return consoleapi.Content{}, err
	}
	return consoleapi.Content{ReadSeekCloser: file, Name: filepath.Base(o.Output.Path), Type: media,
		ModTime: info.ModTime()}, nil
}

// intact returns an error unless an output is what was published. Anything else may show faces, so its pixels are shown
// to no one.
func (w *Workspace) intact(o *watch.Output) error {
	err := w.reports.intact(o)
	if sum, known := w.hashes.lookUp(o.Path); err == nil && known {
		if facts := w.reports.factsOf(report.Path(o.Path)); facts.ok && facts.sha256 != sum {
			err = consoleapi.ErrChanged
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: the output is missing", consoleapi.ErrNotFound)
	case err != nil:
		return fmt.Errorf("%w: it is withheld, since it may show faces", consoleapi.ErrChanged)
	}
	return nil
}

// mediaType returns the media type of a video by its extension.
func mediaType(path string) string {
	types := map[string]string{".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime",
		".mkv": "video/x-matroska", ".webm": "video/webm", ".avi": "video/x-msvideo", ".ts": "video/mp2t"}
	if t := types[strings.ToLower(filepath.Ext(path))]; t != "" {
		return t
	}
	return "application/octet-stream"
}

// Timeline returns a timeline of the whole video, in at most buckets parts.
func (w *Workspace) Timeline(_ context.Context, id consoleapi.RevisionID, buckets int) (consoleapi.Timeline, error) {
	o, err := w.output(id)
	if err != nil {
		return consoleapi.Timeline{}, err
	}
	index, file, err := w.reports.indexOf(report.Path(o.Output.Path))
	if err != nil {
		return consoleapi.Timeline{}, err
	}
	_ = file.Close()
	return index.parts(buckets), nil
}

// Frames returns what the report says about the frames in [from, to).
func (w *Workspace) Frames(_ context.Context, id consoleapi.RevisionID, from, to int) (consoleapi.Frames, error) {
	o, err := w.output(id)
	if err != nil {
		return consoleapi.Frames{}, err
	}
	index, file, err := w.reports.indexOf(report.Path(o.Output.Path))
	if err != nil {
		return consoleapi.Frames{}, err
	}
	defer file.Close()
	frames := consoleapi.Frames{Total: index.header.Summary.Frames, From: from, Frames: []consoleapi.Frame{}}
	err = index.frames(file, from, to, func(f *frameLine) {
		frames.Frames = append(frames.Frames, convert(f, &index.header.Settings))
	})
	return frames, err
}

func convert(f *frameLine, s *report.Settings) consoleapi.Frame {
	converted := consoleapi.Frame{
		Frame: f.Frame, Time: f.Time, Judged: f.Judged, Look: f.Look, LookCause: f.LookCause, MaskedWhole: f.Whole,
		Error: f.Error, People: f.people(), Masks: []consoleapi.Mask{},
	}
	for i := range f.Masks {
		m := &f.Masks[i]
		box := [4]float64{float64(m.Box[0]), float64(m.Box[1]), float64(m.Box[2]), float64(m.Box[3])}
		e := [5]float64{(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, (box[2] - box[0]) / 2, (box[3] - box[1]) / 2}
		if m.Ellipse != nil {
			e = *m.Ellipse
		}
		converted.Masks = append(converted.Masks, consoleapi.Mask{
			Box: m.Box, Outline: outline(e, m.Upright, m.Origin, s), Origin: string(m.Origin), Score: m.Score,
			Track: known(m.Track),
		})
	}
	return converted
}

// known returns the number of a track, or nil if it is 0.
func known(track int) *int {
	if track == 0 {
		return nil
	}
	return &track
}

// outline returns how a mask is painted, in the shape and size of the settings. e holds the center, half axes and angle
// of its ellipse; older reports lack it, so it is then the ellipse in the box.
func outline(e [5]float64, upright bool, origin mask.Origin, s *report.Settings) consoleapi.Outline {
	o := consoleapi.Outline{Shape: "ellipse", X: e[0], Y: e[1], RX: e[2], RY: e[3], Angle: e[4]}
	if origin != mask.OriginAdded && origin != mask.OriginScreen {
		o.RX, o.RY = o.RX*s.Scale, o.RY*s.Scale
		switch mask.Shape(s.Shape) {
		case mask.Box:
			upright = true
		case mask.Circle:
			if !upright {
				o.RX = math.Max(o.RX, o.RY)
				o.RY = o.RX
			}
		}
	}
	if upright {
		b := mask.Head{RX: float32(o.RX), RY: float32(o.RY), Angle: float32(o.Angle)}.Bounds()
		o.Shape, o.RX, o.RY, o.Angle = "rectangle", float64(b.X1), float64(b.Y1), 0
	}
	return o
}
