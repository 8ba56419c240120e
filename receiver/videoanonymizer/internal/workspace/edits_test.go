// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/edits"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

var (
	bob    = consoleapi.Actor{Name: "Bob", Role: consoleapi.RoleReview}
	editor = consoleapi.Actor{Name: "Eve", Role: consoleapi.RoleEdit}
)

// anonymize creates a real video of 25 frames and its output, in segments of ten frames, with a head in track 1.
func (r *rig) anonymize(name string) consoleapi.VideoID {
	r.t.Helper()
	source := filepath.Join(r.in, name)
	makeVideo(r.t, filepath.Join(r.in, ".part-"+name), x264)
	require.NoError(r.t, os.Rename(filepath.Join(r.in, ".part-"+name), source))
	job := r.next()
	ctx := r.t.Context()
	info, err := r.opts.Tools.Probe(ctx, source, media.DefaultLimits())
	require.NoError(r.t, err)
	plan, err := media.NewPlan(info, media.WriteOptions{Container: "mp4", Preset: "ultrafast"})
	require.NoError(r.t, err)
	reader, err := r.opts.Tools.Open(ctx, plan.Info(), media.ReadOptions{})
	require.NoError(r.t, err)
	defer reader.Close()
	writer, err := r.opts.Tools.Create(ctx, job.Temp, plan, nil)
	require.NoError(r.t, err)
	recorder, err := report.NewRecorder(job.TempFor(".frames.json"))
	require.NoError(r.t, err)
	defer recorder.Close()
	painter := mask.NewPainter(mask.Options{})
	for i := 0; ; i++ {
		frame, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(r.t, err)
		if i > 0 && i%10 == 0 {
			_, err = writer.Seal()
			require.NoError(r.t, err)
		}
		heads := []mask.Head{{X: 120, Y: 70, RX: 20, RY: 20, Score: .5, Origin: mask.OriginPose, Track: 1}}
		require.NoError(r.t, painter.Paint(frame, mask.Masks{Heads: heads}))
		require.NoError(r.t, writer.Write(frame))
		require.NoError(r.t, recorder.Add(&record.Frame{Index: i, PTS: frame.Time, Analyzed: true, Look: record.LookQuick,
			LookCause: record.CauseSchedule, People: 1, Heads: heads}))
		frame.Release()
	}
	require.NoError(r.t, writer.Finish(ctx))
	output, err := report.Identify(ctx, job.Temp)
	require.NoError(r.t, err)
	output.Name = filepath.Base(job.Output)
	sourceFile, err := report.Identify(ctx, source)
	require.NoError(r.t, err)
	require.NoError(r.t, recorder.Write(job.TempFor(".report.json"), report.About{Output: output, Source: sourceFile,
		Settings: report.Settings{LookAhead: 1, Tiles: 1, Shape: "ellipse", Scale: 1, Fill: "solid", Color: "#000000",
			Regions: []report.Region{}},
		Models: []report.Model{}, Segments: writer.Segments(),
		Encoding: &report.Encoding{Container: "mp4", Codec: "h264", Preset: "ultrafast", Encoder: "software",
			Audio: "drop"}}))
	require.NoError(r.t, job.Publish(watch.Companion{Temp: job.TempFor(".report.json"), Path: report.Path(job.Output)}))
	require.NoError(r.t, job.Done())
	r.Worked(job.Path)
	return r.video(name).ID
}

const (
	add = `{"type":"add","shape":"ellipse","keyframes":[{"frame":12,"time_s":0.48,"x":220,"y":100,"rx":20,"ry":20},` +
		`{"frame":15,"time_s":0.6,"outside":true}]}`
	remove = `{"type":"remove","track":1,"from":0,"to":25,"reason":"picture"}`
	move   = `{"type":"adjust","track":1,"from":0,"to":5,"dx":10}`
)

// edit appends operations to the current edits.
func (r *rig) edit(actor consoleapi.Actor, id consoleapi.VideoID, operations ...string) (consoleapi.Edits, error) {
	r.t.Helper()
	e, err := r.Edits(r.t.Context(), id)
	require.NoError(r.t, err)
	return r.AppendEdits(r.t.Context(), actor, id, e.ETag, json.RawMessage("["+strings.Join(operations, ",")+"]"))
}

// renderAll renders the edits, and waits until they are published.
func (r *rig) renderAll(id consoleapi.VideoID) consoleapi.Renders {
	r.t.Helper()
	e, err := r.Edits(r.t.Context(), id)
	require.NoError(r.t, err)
	_, err = r.Render(r.t.Context(), ann, id, e.ETag)
	require.NoError(r.t, err)
	return r.renderedAll(id)
}

func (r *rig) renderedAll(id consoleapi.VideoID) (renders consoleapi.Renders) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		var err error
		renders, err = r.Renders(r.t.Context(), id)
		require.NoError(r.t, err)
		return renders.Render == nil || renders.Render.State == consoleapi.RenderFailed
	}, 30*time.Second, 10*time.Millisecond)
	require.Nil(r.t, renders.Render, "%v", renders.Render)
	return renders
}

func TestCorrectAndRender(t *testing.T) {
	r := newRig(t)
	id := r.anonymize("walk.mp4")
	first := consoleapi.RevisionID{Video: id, Revision: "r1"}
	r.looked(first)
	_, err := r.Decide(t.Context(), ann, first, consoleapi.DecisionInput{Decision: consoleapi.Approved})
	require.NoError(t, err)
	output := filepath.Join(r.out, "anonymized_walk.mp4")
	before, err := os.ReadFile(output)
	require.NoError(t, err)

	e, err := r.edit(editor, id, add)
	require.NoError(t, err)
	assert.True(t, e.Pending)
	assert.Equal(t, []int{1}, e.Live)
	assert.Equal(t, consoleapi.StateInReview, r.video("walk.mp4").State, "an edit after the approval voids it")
	assert.NoFileExists(t, audit.ApprovalPath(output))
	_, err = r.Decide(t.Context(), ann, first, consoleapi.DecisionInput{Decision: consoleapi.Approved})
	require.ErrorIs(t, err, consoleapi.ErrConflict, "there are corrections that are not rendered")

	frames, err := r.EditedFrames(t.Context(), id, 11, 13)
	require.NoError(t, err)
	assert.Len(t, frames.Frames[0].Masks, 1)
	require.Len(t, frames.Frames[1].Masks, 2)
	assert.Equal(t, consoleapi.Outline{Shape: "ellipse", X: 220, Y: 100, RX: 20, RY: 20},
		frames.Frames[1].Masks[1].Outline)

	renders := r.renderAll(id)
	require.Len(t, renders.Revisions, 2)
	assert.Equal(t, "anonymized_walk.r2.mp4", renders.Revisions[1].Name)
	v := r.video("walk.mp4")
	require.Len(t, v.Revisions, 2)
	assert.Equal(t, consoleapi.StateToReview, v.State, "nobody has looked at it yet")
	assert.Empty(t, v.Warnings)
	second := consoleapi.RevisionID{Video: id, Revision: "r2"}
	got, err := r.Frames(t.Context(), second, 12, 13)
	require.NoError(t, err)
	require.Len(t, got.Frames[0].Masks, 2)
	assert.Equal(t, "added", got.Frames[0].Masks[1].Origin)
	content, err := r.Open(t.Context(), second, consoleapi.KindOutput)
	require.NoError(t, err)
	require.NoError(t, content.Close())
	_, err = r.Still(t.Context(), second, 12, 0)
	require.NoError(t, err)
	r.looked(second)
	_, err = r.Decide(t.Context(), ann, first, consoleapi.DecisionInput{Decision: consoleapi.Approved})
	require.ErrorIs(t, err, consoleapi.ErrConflict, "r2 has what r1 lacks")
	v, err = r.Decide(t.Context(), ann, second, consoleapi.DecisionInput{Decision: consoleapi.Approved})
	require.NoError(t, err)
	assert.Equal(t, consoleapi.StateApproved, v.State)
	approved, err := os.ReadFile(audit.ApprovalPath(filepath.Join(r.out, "anonymized_walk.r2.mp4")))
	require.NoError(t, err)
	require.NoError(t, validate(t, "../../approval.schema.json", approved))
	assert.Contains(t, string(approved), "anonymized_walk.r2.mp4.edits.json")

	r.restart()
	assert.Equal(t, consoleapi.StateApproved, r.video("walk.mp4").State)
	e, err = r.Edits(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, 1, e.Rendered)
	assert.False(t, e.Pending)
	after, err := os.ReadFile(output)
	require.NoError(t, err)
	assert.Equal(t, before, after, "outputs are never replaced")
	var all []string
	require.NoError(t, r.Audit(t.Context(), id, func(line []byte) error {
		require.NoError(t, validate(t, "../../audit.schema.json", line))
		var entry audit.Entry
		require.NoError(t, json.Unmarshal(line, &entry))
		all = append(all, entry.Revision+" "+entry.Action)
		return nil
	}))
	assert.Equal(t, []string{"r1 approved", "r1 reopened", "r1 edited", "r1 render_started", "r2 render_published",
		"r2 approved"}, all)
	verification, err := r.VerifyAudit(t.Context(), true)
	require.NoError(t, err)
	assert.True(t, verification.OK, "%v", verification)
	text, err := os.ReadFile(edits.Path(output))
	require.NoError(t, err)
	require.NoError(t, validate(t, "../../edits.schema.json", text))
	text, err = os.ReadFile(report.Path(filepath.Join(r.out, "anonymized_walk.r2.mp4")))
	require.NoError(t, err)
	require.NoError(t, validate(t, "../../report.schema.json", text))
}

func TestWhatUncovers(t *testing.T) {
	r := newRig(t)
	id := r.anonymize("walk.mp4")
	for name, test := range map[string]struct {
		actor consoleapi.Actor
		text  string
		want  error
	}{
		"removal without a reason":  {ann, strings.Replace(remove, `,"reason":"picture"`, "", 1), consoleapi.ErrInvalid},
		"a move that uncovers":      {ann, move, consoleapi.ErrInvalid},
		"removal without the role":  {editor, remove, consoleapi.ErrForbidden},
		"a track that is not there": {ann, strings.Replace(remove, `"track":1`, `"track":7`, 1), consoleapi.ErrInvalid},
		"time of another frame":     {ann, strings.Replace(add, "0.48", "0.52", 1), consoleapi.ErrInvalid},
		"somebody else's name": {ann, strings.Replace(remove, `"track"`, `"by":"Bob","track"`, 1),
			consoleapi.ErrInvalid},
		"what is no operation": {ann, `{"pixels":1}`, consoleapi.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.edit(test.actor, id, test.text)
			require.ErrorIs(t, err, test.want)
			e, err := r.Edits(t.Context(), id)
			require.NoError(t, err)
			assert.JSONEq(t, "[]", string(e.Operations), "all or none")
		})
	}
	check, err := r.CheckEdits(t.Context(), editor, id, json.RawMessage("["+move+"]"))
	require.NoError(t, err)
	assert.False(t, check.Valid)
	assert.True(t, check.NeedsReason)
	require.Len(t, check.Uncovered, 5)
	assert.Equal(t, 99, check.Uncovered[0].Box[0], "masks are rounded outward")
	check, err = r.CheckEdits(t.Context(), editor, id, json.RawMessage("["+add+","+remove+"]"))
	require.NoError(t, err)
	assert.Equal(t, consoleapi.PermissionApprove, check.NeedsPermission)
	check, err = r.CheckEdits(t.Context(), ann, id, json.RawMessage("["+add+","+remove+"]"))
	require.NoError(t, err)
	assert.True(t, check.Valid)
	_, err = r.edit(ann, id, remove)
	require.NoError(t, err)
	frames, err := r.EditedFrames(t.Context(), id, 0, 2000)
	require.NoError(t, err)
	assert.Len(t, frames.Frames, frames.Total, "there are no frames beyond the end")
	for _, f := range frames.Frames {
		assert.Empty(t, f.Masks)
	}
	require.Len(t, r.renderAll(id).Revisions, 2)
}

func TestTwoTabs(t *testing.T) {
	r := newRig(t)
	id := r.anonymize("walk.mp4")
	e, err := r.Edits(t.Context(), id)
	require.NoError(t, err)
	results := make(chan error, 8)
	for range cap(results) {
		go func() {
			_, err := r.AppendEdits(t.Context(), ann, id, e.ETag, json.RawMessage("["+add+"]"))
			results <- err
		}()
	}
	won := 0
	for range cap(results) {
		if err := <-results; err != nil {
			require.ErrorIs(t, err, consoleapi.ErrPrecondition)
		} else {
			won++
		}
	}
	assert.Equal(t, 1, won)
	now, err := r.Edits(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, []int{1}, now.Live)
}

func TestTwoPeople(t *testing.T) {
	r := newRig(t)
	r.opts.TwoPeople = true
	id := r.anonymize("walk.mp4")
	e, err := r.edit(ann, id, remove)
	require.NoError(t, err)
	assert.Equal(t, []int{1}, e.Unconfirmed)
	_, err = r.Render(t.Context(), ann, id, e.ETag)
	require.ErrorIs(t, err, consoleapi.ErrConflict)
	_, err = r.edit(ann, id, `{"type":"confirm","of":1}`)
	require.ErrorIs(t, err, consoleapi.ErrInvalid, "the second person cannot be the first")
	_, err = r.edit(editor, id, `{"type":"confirm","of":1}`)
	require.ErrorIs(t, err, consoleapi.ErrForbidden)
	e, err = r.edit(bob, id, `{"type":"confirm","of":1}`)
	require.NoError(t, err)
	assert.Empty(t, e.Unconfirmed)
	r.renderAll(id)
}

func TestWithoutSource(t *testing.T) {
	r := newRig(t)
	id := r.anonymize("walk.mp4")
	require.NoError(t, os.Remove(filepath.Join(r.in, "walk.mp4")))
	e, err := r.Edits(t.Context(), id)
	require.NoError(t, err)
	assert.False(t, e.Uncover)
	assert.NotEmpty(t, e.Limits)
	_, err = r.edit(ann, id, remove)
	require.ErrorIs(t, err, consoleapi.ErrConflict)
	_, err = r.edit(ann, id, add)
	require.NoError(t, err)
	assert.Len(t, r.renderAll(id).Revisions, 2)
}

// TestRenderGoesOn restarts while a rendering waits or runs, and checks that it continues afterward.
func TestRenderGoesOn(t *testing.T) {
	r := newRig(t)
	id := r.anonymize("walk.mp4")
	e, err := r.edit(ann, id, add)
	require.NoError(t, err)
	_, err = r.Render(t.Context(), ann, id, e.ETag)
	require.NoError(t, err)
	_, err = r.Render(t.Context(), ann, id, e.ETag)
	if err != nil {
		require.ErrorIs(t, err, consoleapi.ErrConflict)
	}
	r.restart()
	assert.Len(t, r.renderedAll(id).Revisions, 2)
}

func TestCancelRender(t *testing.T) {
	r := newRig(t)
	id := r.anonymize("walk.mp4")
	_, err := r.CancelRender(t.Context(), ann, id)
	require.ErrorIs(t, err, consoleapi.ErrConflict)
	e, err := r.edit(ann, id, add)
	require.NoError(t, err)
	_, err = r.Render(t.Context(), ann, id, e.ETag)
	require.NoError(t, err)
	if _, err = r.CancelRender(t.Context(), ann, id); err != nil {
		require.ErrorIs(t, err, consoleapi.ErrConflict, "it was faster")
		return
	}
	require.Eventually(t, func() bool { return !r.renders.pending(id) }, 10*time.Second, time.Millisecond)
	renders, err := r.Renders(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, consoleapi.RenderCanceled, renders.Render.State)
	assert.Len(t, renders.Revisions, 1)
	assert.Len(t, r.renderAll(id).Revisions, 2, "it can be rendered afterwards")
}

func TestApprovedDirectory(t *testing.T) {
	r := newRig(t)
	r.opts.ApprovedDirectory = filepath.Join(r.out, "..", "approved")
	id := r.anonymize("walk.mp4")
	first := consoleapi.RevisionID{Video: id, Revision: "r1"}
	r.looked(first)
	shared := filepath.Join(r.opts.ApprovedDirectory, "anonymized_walk.mp4")
	approve := func() error {
		_, err := r.Decide(t.Context(), ann, first, consoleapi.DecisionInput{Decision: consoleapi.Approved})
		return err
	}
	require.NoError(t, approve())
	got, err := os.ReadFile(shared)
	require.NoError(t, err)
	want, err := os.ReadFile(filepath.Join(r.out, "anonymized_walk.mp4"))
	require.NoError(t, err)
	assert.Equal(t, want, got)
	_, err = r.Decide(t.Context(), ann, first, consoleapi.DecisionInput{Decision: consoleapi.Reopened})
	require.NoError(t, err)
	assert.NoFileExists(t, shared)
	require.NoError(t, approve())
	_, err = r.edit(ann, id, add)
	require.NoError(t, err)
	assert.NoFileExists(t, shared, "a correction voids the approval")
	_, err = r.edit(ann, id, `{"type":"revert","of":1}`)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(shared, []byte("of somebody else"), 0o600))
	require.ErrorIs(t, approve(), consoleapi.ErrConflict)
	got, err = os.ReadFile(shared)
	require.NoError(t, err)
	assert.Equal(t, "of somebody else", string(got))
}

// TestThousandOperations appends a thousand operations, and undoes all of them.
func TestThousandOperations(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	r := newRig(t)
	id := r.anonymize("walk.mp4")
	start := time.Now()
	for i := range 1000 {
		_, err := r.edit(ann, id, strings.Replace(add, "220", fmt.Sprint(200+i%50), 1))
		require.NoError(t, err)
	}
	t.Logf("a thousand appends took %s", time.Since(start))
	_, err := r.edit(ann, id, add)
	require.NoError(t, err)
	var undo []string
	for i := 1001; i >= 1; i-- {
		undo = append(undo, fmt.Sprintf(`{"type":"revert","of":%d}`, i))
	}
	e, err := r.edit(ann, id, undo...)
	require.NoError(t, err)
	assert.False(t, e.Pending)
	r.restart()
	e, err = r.Edits(t.Context(), id)
	require.NoError(t, err)
	assert.Len(t, e.Live, 1001, "the reverts")
}
