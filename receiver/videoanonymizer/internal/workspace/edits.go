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
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/edits"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/render"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// editing serializes changes of edits: concurrent changes to the edits of one video would overwrite each other.
type editing struct{ mu sync.Mutex }

// edited is a video with its edits.
type edited struct {
	workspace *Workspace
	overview  watch.Overview
	outputs   []watch.Output // the first is the pipeline's
	facts     facts          // from the report on the first output
	document  *edits.Document
	rendered  int // number of operations in the latest output
	shown     int // the same, including a rendering in progress
}

// editsOf returns the edits of a video. Their file need not exist.
func (w *Workspace) editsOf(id consoleapi.VideoID) (*edited, error) {
	o, err := w.find(id)
	if err != nil {
		return nil, err
	}
	if o.Phase != watch.PhaseDone {
		return nil, fmt.Errorf("%w: the video has no output yet", consoleapi.ErrConflict)
	}
	if watch.IsPicture(o.Output.Path) {
		return nil, errPicture()
	}
	v := &edited{workspace: w, overview: o, outputs: w.revisions(&o.Output),
		facts: w.reports.factsOf(report.Path(o.Output.Path))}
	if !v.facts.ok {
		return nil, fmt.Errorf("%w: masks can be corrected only with a report: set report::enabled and process the video "+
			"again", consoleapi.ErrConflict)
	}
	v.rendered = w.rendered(v.latest())
	v.shown = max(v.rendered, w.renders.operations(id))
	fresh, err := v.fresh()
	if err != nil {
		return nil, err
	}
	text, err := durable.ReadFile(edits.Path(o.Output.Path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		v.document = fresh
		return v, nil
	case err != nil:
		return nil, err
	}
	if v.document, err = edits.Parse(text); err != nil {
		return nil, fmt.Errorf("%w: the file of corrections cannot be read: put back an earlier one: %w",
			consoleapi.ErrConflict, err)
	}
	if v.document.BasedOn != fresh.BasedOn || v.document.Source != fresh.Source {
		return nil, fmt.Errorf("%w: the file of corrections belongs to another output: move it away", consoleapi.ErrConflict)
	}
	if v.rendered > len(v.document.Operations) {
		return nil, fmt.Errorf("%w: the file of corrections lacks operations that were rendered: put back a later one",
			consoleapi.ErrConflict)
	}
	return v, nil
}

// latest returns the latest output.
func (v *edited) latest() *watch.Output { return &v.outputs[len(v.outputs)-1] }

// settings returns the settings in the report on the first output.
func (v *edited) settings() (*report.Settings, error) {
	index, file, err := v.workspace.reports.indexOf(report.Path(v.overview.Output.Path))
	if err != nil {
		return nil, err
	}
	_ = file.Close()
	return &index.header.Settings, nil
}

// fresh returns edits without operations.
func (v *edited) fresh() (*edits.Document, error) {
	sum, err := v.workspace.hashes.of(v.workspace.work, report.Path(v.overview.Output.Path))
	if err != nil {
		return nil, fmt.Errorf("%w: the report cannot be read", consoleapi.ErrChanged)
	}
	return &edits.Document{Schema: edits.Schema,
		Source:     edits.Source{SHA256: v.facts.source.SHA256, Size: v.facts.source.Size, Frames: v.facts.frames},
		BasedOn:    edits.Base{Revision: render.ID(1), OutputSHA256: v.facts.sha256, ReportSHA256: sum},
		Operations: []edits.Operation{}}, nil
}

// sourceIsThere reports whether there is a file of the source's size at its path, or where sources are moved to. Its
// content is checked when it is rendered.
func (v *edited) sourceIsThere() bool {
	st, err := durable.StampAt(v.workspace.opts.Watcher.SourceOf(v.overview.Path))
	return err == nil && st.Size == v.facts.source.Size
}

// limits reports whether masks can be adjusted and uncovered, and why not.
func (v *edited) limits() (adjust, uncover bool, why []string) {
	why = []string{}
	if !v.facts.exact {
		return false, false, append(why, "the report is from an older version, which does not say exactly where masks are: "+
			"masks can only be added, and everything is encoded again")
	}
	if !v.sourceIsThere() {
		return true, false, append(why, "the source no longer exists: nothing can be uncovered")
	}
	return true, true, why
}

// Edits returns the corrections of a video.
func (w *Workspace) Edits(_ context.Context, id consoleapi.VideoID) (consoleapi.Edits, error) {
	v, err := w.editsOf(id)
	if err != nil {
		return consoleapi.Edits{}, err
	}
	return v.describe()
}

func (v *edited) describe() (consoleapi.Edits, error) {
	operations, err := json.Marshal(v.document.Operations)
	if err != nil {
		return consoleapi.Edits{}, err
	}
	e := consoleapi.Edits{ETag: v.document.ETag(), Frames: v.facts.frames, Latest: render.ID(len(v.outputs)),
		Rendered: v.rendered, Pending: v.pending(), Live: []int{}, Unconfirmed: v.unconfirmed(), Reasons: edits.Reasons,
		Operations: operations}
	e.Adjust, e.Uncover, e.Limits = v.limits()
	live := v.document.Live()
	for i := range v.document.Operations {
		if live.Has(i + 1) {
			e.Live = append(e.Live, i+1)
		}
	}
	return e, nil
}

// unconfirmed returns the live operations that have a reason, are not rendered, and still need to be confirmed by a
// second person.
func (v *edited) unconfirmed() []int {
	open := []int{}
	if !v.workspace.opts.TwoPeople {
		return open
	}
	live := v.document.Live()
	confirmed := map[int]bool{}
	for i := range v.document.Operations {
		if o := &v.document.Operations[i]; o.Type == edits.Confirm && live.Has(o.ID) {
			confirmed[o.Of] = true
		}
	}
	for i := v.rendered; i < len(v.document.Operations); i++ {
		if o := &v.document.Operations[i]; o.Reason != "" && live.Has(o.ID) && !confirmed[o.ID] {
			open = append(open, o.ID)
		}
	}
	return open
}

// parseOperations parses the operations of a request, and sets who made them and when.
func parseOperations(text json.RawMessage, actor consoleapi.Actor) ([]edits.Operation, error) {
	var operations []edits.Operation
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&operations); err != nil {
		return nil, fmt.Errorf("%w: operations: %w", consoleapi.ErrInvalid, err)
	}
	if len(operations) == 0 {
		return nil, fmt.Errorf("%w: operations: there are none", consoleapi.ErrInvalid)
	}
	now := time.Now().UTC()
	for i := range operations {
		o := &operations[i]
		if o.ID != 0 || o.By != "" || o.Role != "" || !o.At.IsZero() {
			return nil, fmt.Errorf("%w: operations[%d]: id, by, role and at are set by the server: leave them out",
				consoleapi.ErrInvalid, i)
		}
		o.By, o.Role, o.At = actor.Name, string(actor.Role), now
	}
	return operations, nil
}

// frames calls use for the frames in [from, to) of the report on the first output.
func (v *edited) frames(from, to int, use func(*record.Frame) error) error {
	index, file, err := v.workspace.reports.indexOf(report.Path(v.overview.Output.Path))
	if err != nil {
		return err
	}
	defer file.Close()
	var failed error
	err = index.lines(file, max(0, from), to, func(line []byte) bool {
		rec, err := report.ParseFrame(line)
		if err == nil {
			err = use(rec)
		}
		failed = err
		return err == nil
	})
	return errors.Join(failed, err)
}

// errFound stops reading frames once a search has succeeded.
var errFound = errors.New("found")

// video returns the properties of the video that operations are validated against.
func (v *edited) video() (edits.Video, error) {
	index, file, err := v.workspace.reports.indexOf(report.Path(v.overview.Output.Path))
	if err != nil {
		return edits.Video{}, err
	}
	defer file.Close()
	times, err := index.times(file)
	if err != nil {
		return edits.Video{}, err
	}
	tracks := func(track, from, to int) (bool, error) {
		err := v.frames(from, to, func(rec *record.Frame) error {
			for shown := range edits.Tracks(rec) {
				if shown == track {
					return errFound
				}
			}
			return nil
		})
		if errors.Is(err, errFound) {
			return true, nil
		}
		return false, err
	}
	return edits.Video{Frames: v.facts.frames, Times: times, Tracks: tracks}, nil
}

// maxUncovered is the maximum number of frames that a check lists.
const maxUncovered = 50

// uncovered returns frames in which the latest operations uncover something without a reason.
func (v *edited) uncovered(ctx context.Context, document *edits.Document) ([]edits.Uncovered, error) {
	info, err := v.workspace.proxies.probe(ctx, v.overview.Output.Path)
	if err != nil {
		return nil, fmt.Errorf("%w: the output cannot be read", consoleapi.ErrConflict)
	}
	settings, err := v.settings()
	if err != nil {
		return nil, err
	}
	painter, err := edits.NewPainter(settings)
	if err != nil {
		return nil, err
	}
	canvas := edits.Canvas{Width: info.Width, Height: info.Height, Painter: painter,
		Frames: func(from, to int, use func(*record.Frame) error) error {
			return v.frames(from, to, func(rec *record.Frame) error { return errors.Join(ctx.Err(), use(rec)) })
		}}
	return canvas.Uncovered(document, len(v.document.Operations), v.shown, maxUncovered)
}

// checked is the result of checking operations.
type checked struct {
	document   *edits.Document // with the operations
	invalid    error
	uncovered  []edits.Uncovered
	needs      consoleapi.Permission // permission that the actor lacks
	impossible error                 // since the source is missing, or the report is old
	second     bool                  // a second person has to confirm it
}

func (v *edited) check(ctx context.Context, actor consoleapi.Actor, operations []edits.Operation) (*checked, error) {
	c := &checked{document: v.document.With(operations...)}
	video, err := v.video()
	if err != nil {
		return nil, err
	}
	if c.invalid = c.document.Validate(len(v.document.Operations), video); c.invalid != nil {
		return c, nil
	}
	for _, o := range operations {
		if (o.Reason != "" || o.Type == edits.Confirm) &&
			!slices.Contains(actor.Role.Permissions(), consoleapi.PermissionApprove) {
			c.needs = consoleapi.PermissionApprove
		}
		c.second = c.second || v.workspace.opts.TwoPeople && o.Reason != ""
	}
	c.impossible = v.possible(c.document)
	c.uncovered, err = v.uncovered(ctx, c.document)
	return c, err
}

// possible returns an error if the document cannot be rendered.
func (v *edited) possible(document *edits.Document) error {
	adjust, uncover, why := v.limits()
	if uncover || document.CoversOnly(v.rendered, adjust) == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", consoleapi.ErrConflict, strings.Join(why, "; "))
}

// CheckEdits returns what appending operations would do.
func (w *Workspace) CheckEdits(ctx context.Context, actor consoleapi.Actor, id consoleapi.VideoID,
	text json.RawMessage) (consoleapi.EditsCheck, error) {
	v, err := w.editsOf(id)
	if err != nil {
		return consoleapi.EditsCheck{}, err
	}
	operations, err := parseOperations(text, actor)
	if err != nil {
		return consoleapi.EditsCheck{}, err
	}
	c, err := v.check(ctx, actor, operations)
	if err != nil {
		return consoleapi.EditsCheck{}, err
	}
	answer := consoleapi.EditsCheck{Errors: []string{}, Uncovered: []consoleapi.UncoveredFrame{},
		NeedsReason: len(c.uncovered) > 0, NeedsPermission: c.needs, NeedsSecondPerson: c.second}
	if c.invalid != nil {
		answer.Errors = strings.Split(c.invalid.Error(), "\n")
	}
	if c.impossible != nil {
		answer.Errors = append(answer.Errors, strings.TrimPrefix(c.impossible.Error(), consoleapi.ErrConflict.Error()+": "))
	}
	for _, u := range c.uncovered {
		answer.Uncovered = append(answer.Uncovered, consoleapi.UncoveredFrame{Frame: u.Frame, Pixels: u.Pixels,
			Box: [4]int{u.Box.Min.X, u.Box.Min.Y, u.Box.Max.X, u.Box.Max.Y}})
	}
	answer.Valid = len(answer.Errors) == 0 && !answer.NeedsReason && answer.NeedsPermission == ""
	return answer, nil
}

// AppendEdits appends operations. They are on disk before it returns.
func (w *Workspace) AppendEdits(ctx context.Context, actor consoleapi.Actor, id consoleapi.VideoID, etag string,
	text json.RawMessage) (consoleapi.Edits, error) {
	w.editing.mu.Lock()
	defer w.editing.mu.Unlock()
	v, err := w.editsOf(id)
	if err != nil {
		return consoleapi.Edits{}, err
	}
	if etag != v.document.ETag() {
		return consoleapi.Edits{}, fmt.Errorf("%w: somebody else has made corrections: load them, and try again",
			consoleapi.ErrPrecondition)
	}
	operations, err := parseOperations(text, actor)
	if err != nil {
		return consoleapi.Edits{}, err
	}
	c, err := v.check(ctx, actor, operations)
	if err == nil {
		err = c.refuse()
	}
	if err != nil {
		return consoleapi.Edits{}, err
	}
	if err := w.voidApproval(actor, id, v); err != nil {
		return consoleapi.Edits{}, err
	}
	encoded, err := c.document.Encode()
	if err == nil {
		err = durable.ReplaceFile(edits.Path(v.overview.Output.Path), encoded, w.opts.FileMode)
	}
	if err != nil {
		return consoleapi.Edits{}, fmt.Errorf("the corrections cannot be saved: %w", err)
	}
	v.document = c.document
	_, err = w.record(audit.Entry{Actor: actor.Name, Role: string(actor.Role), Action: audit.Edited, Video: string(id),
		Name: w.nameOf(id, v), Revision: render.ID(len(v.outputs)), Output: v.latest().Name,
		Note: noteOf(c.document, len(operations))})
	w.Notify()
	if err != nil {
		return consoleapi.Edits{}, err
	}
	return v.describe()
}

func (w *Workspace) nameOf(id consoleapi.VideoID, v *edited) string {
	return w.describe(id, v.overview, nil).Name
}

// refuse returns why the operations are not accepted, or nil if they are.
func (c *checked) refuse() error {
	switch {
	case c.invalid != nil:
		return fmt.Errorf("%w: %w", consoleapi.ErrInvalid, c.invalid)
	case c.needs != "":
		return fmt.Errorf("%w: uncovering something needs the permission %s, which your role does not have",
			consoleapi.ErrForbidden, c.needs)
	case c.impossible != nil:
		return c.impossible
	case len(c.uncovered) > 0:
		u := c.uncovered[0]
		return fmt.Errorf("%w: this uncovers %d pixels in frame %d, and maybe more in others: give a reason, one of %s",
			consoleapi.ErrInvalid, u.Pixels, u.Frame, strings.Join(edits.Reasons, ", "))
	}
	return nil
}

// noteOf describes the last n operations for the audit.
func noteOf(d *edits.Document, n int) string {
	var parts []string
	for _, o := range d.Operations[len(d.Operations)-n:] {
		part := fmt.Sprintf("%d: %s", o.ID, o.Type)
		if o.Of > 0 {
			part += fmt.Sprintf(" of %d", o.Of)
		}
		if o.Track > 0 {
			part += fmt.Sprintf(" track %d", o.Track)
		}
		if o.Reason != "" {
			part += ", " + o.Reason
		}
		if o.Note != "" {
			part += ", " + o.Note
		}
		parts = append(parts, part)
	}
	const most = 8000
	note := strings.Join(parts, "; ")
	return strings.ToValidUTF8(note[:min(len(note), most)], "")
}

// voidApproval reopens the decision on the latest revision, since corrections will change what was decided on.
func (w *Workspace) voidApproval(actor consoleapi.Actor, id consoleapi.VideoID, v *edited) error {
	latest := v.latest()
	if err := w.unshare(latest); err != nil {
		return err
	}
	if r := w.reviews.get(latest); r.Decision == nil {
		return nil
	}
	o := v.overview
	o.Output = *latest
	entry := w.auditEntry(actor, audit.Reopened, consoleapi.RevisionID{Video: id, Revision: render.ID(len(v.outputs))}, &o)
	entry.Note = "masks were corrected after the decision"
	_, err := w.reviews.change(latest, func(r *review) error {
		if _, err := w.record(entry); err != nil {
			return err
		}
		r.Decision = nil
		return w.writeApproval(latest, nil, nil)
	})
	return err
}

// EditedFrames returns frames as they would be rendered.
func (w *Workspace) EditedFrames(_ context.Context, id consoleapi.VideoID, from, to int) (consoleapi.Frames, error) {
	v, err := w.editsOf(id)
	if err != nil {
		return consoleapi.Frames{}, err
	}
	settings, err := v.settings()
	if err != nil {
		return consoleapi.Frames{}, err
	}
	live := v.document.Live()
	frames := consoleapi.Frames{Total: v.facts.frames, From: from, Frames: []consoleapi.Frame{}}
	err = v.frames(from, to, func(rec *record.Frame) error {
		frames.Frames = append(frames.Frames, editedFrame(rec, live.Apply(rec), settings))
		return nil
	})
	return frames, err
}

func editedFrame(rec *record.Frame, m edits.Masks, s *report.Settings) consoleapi.Frame {
	f := consoleapi.Frame{Frame: rec.Index, Time: rec.PTS.Seconds(), Judged: rec.Analyzed, Look: string(rec.Look),
		LookCause: string(rec.LookCause), MaskedWhole: m.Whole, Error: rec.Reason, People: rec.People,
		Masks: []consoleapi.Mask{}}
	for _, h := range slices.Concat(m.Heads, m.Added) {
		b := h.Bounds()
		f.Masks = append(f.Masks, consoleapi.Mask{
			Box: [4]int{int(b.X0), int(b.Y0), int(b.X1), int(b.Y1)}, Origin: string(h.Origin), Score: float64(h.Score),
			Track: known(h.Track), Outline: outline([5]float64{float64(h.X), float64(h.Y), float64(h.RX), float64(h.RY),
				float64(h.Angle)}, h.Box, h.Origin, s),
		})
	}
	return f
}
