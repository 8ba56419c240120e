// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
)

const x264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p"

func splitArgs(args string) []string { return strings.Fields(args) }

func TestStates(t *testing.T) {
	r := newRig(t)
	job := r.drop("walk.mp4")
	v := r.video("walk.mp4")
	assert.Equal(t, consoleapi.StateWorking, v.State)
	span := r.emitter.VideoStarted(t.Context(), telemetry.Video{Key: job.Path, Duration: 4 * time.Second})
	span.Frame(&record.Frame{People: 3, PTS: 0})
	span.Frame(&record.Frame{Index: 1, People: 2, PTS: time.Second})
	v = r.video("walk.mp4")
	assert.Equal(t, 2, v.Frames)
	assert.InDelta(t, 0.5, v.Progress, 1e-9)
	assert.Equal(t, 3, v.PeopleMax)
	span.Interrupted()
	require.NoError(t, job.Fail("damaged", errors.New("cannot decode "+job.Path+" nor /var/lib/other/file.bin")))
	v = r.video("walk.mp4")
	assert.Equal(t, consoleapi.StateFailed, v.State)
	require.NotNil(t, v.Failure)
	assert.Equal(t, "cannot decode walk.mp4 nor file.bin", v.Failure.Message, "it names no path")
	assert.Contains(t, v.Failure.Advice, "on_damaged: salvage")
	assert.False(t, v.Failure.WillRetry)

	v, err := r.Control(t.Context(), operator, v.ID, consoleapi.ActionRetry)
	require.NoError(t, err)
	assert.Equal(t, consoleapi.StateWaiting, v.State)
	job = r.next()
	require.NoError(t, job.Retry("io_error", errors.New("a disk"), false))
	v = r.video("walk.mp4")
	assert.Equal(t, consoleapi.StateWaiting, v.State)
	assert.True(t, v.Failure.WillRetry)
	v, err = r.Control(t.Context(), operator, v.ID, consoleapi.ActionPause)
	require.NoError(t, err)
	assert.Equal(t, consoleapi.StatePaused, v.State)
	_, err = r.Control(t.Context(), operator, v.ID, consoleapi.ActionPause)
	require.ErrorIs(t, err, consoleapi.ErrConflict)
	v, err = r.Control(t.Context(), operator, v.ID, consoleapi.ActionCancel)
	require.NoError(t, err)
	assert.Equal(t, consoleapi.StateCanceled, v.State)
	assert.Equal(t, []string{audit.Retried, audit.Paused, audit.Canceled}, actions(t, r, v.ID))
}

// actions returns the actions that the audit lists for a video.
func actions(t *testing.T, r *rig, id consoleapi.VideoID) (all []string) {
	t.Helper()
	require.NoError(t, r.Audit(t.Context(), id, func(line []byte) error {
		for _, action := range []string{audit.ReviewStarted, audit.Approved, audit.Rejected, audit.Reopened, audit.Retried,
			audit.Paused, audit.Canceled} {
			if bytes.Contains(line, []byte(`"action":"`+action+`"`)) {
				all = append(all, action)
			}
		}
		return nil
	}))
	return all
}

func TestReviewAndApprove(t *testing.T) {
	r := newRig(t)
	id := r.make("walk.mp4", x264)
	moments := r.looked(id).Moments
	require.Len(t, moments, 1, "the head in every frame, with its lowest score")
	assert.Equal(t, "m1", moments[0].ID)
	v := r.video("walk.mp4")
	assert.Equal(t, consoleapi.StateToReview, v.State)
	assert.Empty(t, v.Warnings)
	assert.Equal(t, 25, v.Frames)

	frames, err := r.Frames(t.Context(), id, 3, 5)
	require.NoError(t, err)
	require.Len(t, frames.Frames, 2)
	assert.Equal(t, 3, frames.Frames[0].Frame)
	assert.InDelta(t, 0.12, frames.Frames[0].Time, 1e-9)
	assert.Equal(t, consoleapi.Outline{Shape: "ellipse", X: 120, Y: 70, RX: 20.01, RY: 20.01},
		frames.Frames[0].Masks[0].Outline)
	timeline, err := r.Timeline(t.Context(), id, 5)
	require.NoError(t, err)
	assert.Equal(t, []int{0, 5, 10, 15, 20}, timeline.FirstFrame)
	assert.Equal(t, []int{1, 1, 1, 1, 1}, timeline.People)
	assert.InDelta(t, 0.5, timeline.Score[0], 1e-3)

	watched, err := r.AddWatched(t.Context(), ann, id, consoleapi.WatchedInput{Ranges: [][2]int{{0, 10}},
		Moments: []string{"m1"}})
	require.NoError(t, err)
	assert.InDelta(t, 0.4, watched.Share, 1e-9)
	watched, err = r.AddWatched(t.Context(), operator, id, consoleapi.WatchedInput{Ranges: [][2]int{{20, 99}, {5, 15}}})
	require.NoError(t, err)
	assert.Equal(t, [][2]int{{0, 15}, {20, 25}}, watched.Ranges)
	_, err = r.AddWatched(t.Context(), ann, id, consoleapi.WatchedInput{Moments: []string{"m2"}})
	require.ErrorIs(t, err, consoleapi.ErrInvalid)
	assert.Equal(t, consoleapi.StateInReview, r.video("walk.mp4").State)

	_, err = r.Decide(t.Context(), ann, id, consoleapi.DecisionInput{Decision: consoleapi.Approved, SHA256: "other"})
	require.ErrorIs(t, err, consoleapi.ErrPrecondition)
	_, err = r.Decide(t.Context(), ann, id, consoleapi.DecisionInput{Decision: consoleapi.Rejected})
	require.ErrorIs(t, err, consoleapi.ErrInvalid, "without a note")
	v, err = r.Decide(t.Context(), ann, id, consoleapi.DecisionInput{Decision: consoleapi.Approved,
		SHA256: v.Revisions[0].SHA256})
	require.NoError(t, err)
	assert.Equal(t, consoleapi.StateApproved, v.State)
	assert.Equal(t, "Ann", v.Review.Decision.By)
	output := filepath.Join(r.out, "anonymized_walk.mp4")
	assert.FileExists(t, audit.ApprovalPath(output))

	r.restart()
	v = r.video("walk.mp4")
	assert.Equal(t, consoleapi.StateApproved, v.State, "a restart forgets nothing")
	assert.Equal(t, 1, v.Review.MomentsSeen)
	moments = r.looked(id).Moments
	assert.Equal(t, "Ann", moments[0].SeenBy)
	verification, err := r.VerifyAudit(t.Context(), true)
	require.NoError(t, err)
	assert.Equal(t, consoleapi.Verification{OK: true, Entries: 2, Files: 2}, verification)

	v, err = r.Decide(t.Context(), ann, id, consoleapi.DecisionInput{Decision: consoleapi.Reopened})
	require.NoError(t, err)
	assert.Equal(t, consoleapi.StateInReview, v.State)
	assert.NoFileExists(t, audit.ApprovalPath(output))
	_, err = r.Decide(t.Context(), ann, id, consoleapi.DecisionInput{Decision: consoleapi.Reopened})
	require.ErrorIs(t, err, consoleapi.ErrConflict)
	v, err = r.Decide(t.Context(), ann, id, consoleapi.DecisionInput{Decision: consoleapi.Rejected, Note: "a head shows"})
	require.NoError(t, err)
	assert.Equal(t, consoleapi.StateRejected, v.State)
	assert.Equal(t, []string{audit.ReviewStarted, audit.Approved, audit.Reopened, audit.Rejected}, actions(t, r, id.Video))
}

// TestFormats validates an audit and an approval against their schemas.
func TestFormats(t *testing.T) {
	r := newRig(t)
	id := r.make("walk.mp4", x264)
	r.looked(id)
	_, err := r.AddWatched(t.Context(), ann, id, consoleapi.WatchedInput{Ranges: [][2]int{{0, 5}},
		Moments: []string{"m1"}})
	require.NoError(t, err)
	_, err = r.Decide(t.Context(), ann, id, consoleapi.DecisionInput{Decision: consoleapi.Approved, Note: "fine"})
	require.NoError(t, err)
	_, err = r.Upload(t.Context(), operator, "run.mp4", strings.NewReader("a video"))
	require.NoError(t, err)
	r.next().Abandon()
	lines := 0
	require.NoError(t, r.Audit(t.Context(), "", func(line []byte) error {
		lines++
		return validate(t, "../../audit.schema.json", line)
	}))
	assert.Equal(t, 3, lines)
	text, err := os.ReadFile(audit.ApprovalPath(filepath.Join(r.out, "anonymized_walk.mp4")))
	require.NoError(t, err)
	require.NoError(t, validate(t, "../../approval.schema.json", text))
}

// validate validates JSON against a schema, and the examples in the schema.
func validate(t *testing.T, path string, text []byte) error {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile(path)
	require.NoError(t, err)
	for _, example := range schema.Examples {
		require.NoError(t, schema.Validate(example))
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	return schema.Validate(value)
}

func TestSwappedOutputShows(t *testing.T) {
	for name, swap := range map[string]func(t *testing.T, output string){
		"of the same size": func(t *testing.T, output string) {
			text, err := os.ReadFile(output)
			require.NoError(t, err)
			text[len(text)/2] ^= 1
			require.NoError(t, os.WriteFile(output, text, 0o600))
		},
		"with the same time": func(t *testing.T, output string) {
			info, err := os.Stat(output)
			require.NoError(t, err)
			text, err := os.ReadFile(output)
			require.NoError(t, err)
			text[0] ^= 1
			require.NoError(t, os.WriteFile(output, text, 0o600))
			require.NoError(t, os.Chtimes(output, info.ModTime(), info.ModTime()))
		},
		"gone": func(t *testing.T, output string) { require.NoError(t, os.Remove(output)) },
		"a link": func(t *testing.T, output string) {
			require.NoError(t, os.Rename(output, output+"~"))
			require.NoError(t, os.Symlink(output+"~", output))
		},
		"the report": func(t *testing.T, output string) {
			text, err := os.ReadFile(report.Path(output))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(report.Path(output), bytes.Replace(text, []byte("0.5"), []byte("0.6"), 1), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			id := r.make("walk.mp4", x264)
			r.looked(id)
			_, err := r.Decide(t.Context(), ann, id, consoleapi.DecisionInput{Decision: consoleapi.Approved})
			require.NoError(t, err)
			output := filepath.Join(r.out, "anonymized_walk.mp4")
			swap(t, output)
			v := r.video("walk.mp4")
			assert.Equal(t, consoleapi.StateInReview, v.State)
			assert.Contains(t, v.Warnings, consoleapi.WarningApprovalVoid)
			verification, err := r.VerifyAudit(t.Context(), true)
			require.NoError(t, err)
			if name != "a link" { // a link to the same content is valid
				assert.False(t, verification.OK)
				assert.NotEmpty(t, verification.Changed)
			}
			if name == "the report" {
				return
			}
			assert.True(t, len(v.Warnings) > 1, "%v", v.Warnings)
			_, err = r.Decide(t.Context(), ann, id, consoleapi.DecisionInput{Decision: consoleapi.Approved})
			require.ErrorIs(t, err, consoleapi.ErrChanged)
			want := map[bool]error{true: consoleapi.ErrNotFound, false: consoleapi.ErrChanged}[name == "gone"]
			for _, kind := range []consoleapi.Kind{consoleapi.KindOutput, consoleapi.KindPlayable} {
				_, err = r.Open(t.Context(), id, kind)
				require.ErrorIs(t, err, want, "what may show faces is not shown")
			}
			_, err = r.Still(t.Context(), id, 0, 0)
			require.ErrorIs(t, err, want)
			_, err = r.PrepareProxy(t.Context(), id)
			require.ErrorIs(t, err, want)
		})
	}
}

// TestTouchedOutputStaysApproved restores an output from a backup: other times, the same content.
func TestTouchedOutputStaysApproved(t *testing.T) {
	r := newRig(t)
	id := r.make("walk.mp4", x264)
	r.looked(id)
	_, err := r.Decide(t.Context(), ann, id, consoleapi.DecisionInput{Decision: consoleapi.Approved})
	require.NoError(t, err)
	require.NoError(t, os.Chtimes(filepath.Join(r.out, "anonymized_walk.mp4"), time.Now(), time.Unix(1, 0)))
	require.Eventually(t, func() bool { return r.video("walk.mp4").State == consoleapi.StateApproved }, 10*time.Second,
		10*time.Millisecond)
}

func TestSecondLook(t *testing.T) {
	for name, test := range map[string]struct {
		found []mask.Head
		want  int // uncovered moments
		all   int // including the mask's, unless it is in the same place
	}{
		"under the mask":      {[]mask.Head{{X: 121, Y: 72, RX: 18, RY: 18, Score: 0.9}}, 0, 1},
		"half under the mask": {[]mask.Head{{X: 140, Y: 70, RX: 20, RY: 20, Score: 0.9}}, 1, 1},
		"beside the mask":     {[]mask.Head{{X: 220, Y: 70, RX: 20, RY: 24, Score: 0.81}}, 1, 2},
		"two people": {[]mask.Head{{X: 220, Y: 70, RX: 20, RY: 24, Score: 0.3},
			{X: 280, Y: 70, RX: 20, RY: 24, Score: 0.9}}, 2, 3},
		"nobody": {nil, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.found = test.found
			id := r.make("walk.mp4", x264)
			m := r.looked(id)
			assert.Equal(t, test.want, m.SecondLook.Found)
			require.Len(t, m.Moments, test.all)
			counted := slices.DeleteFunc(slices.Clone(m.Moments), func(m consoleapi.Moment) bool { return m.AlsoWeak })
			assert.Len(t, counted, max(1, test.want), "the mask is a guess for no time")
			assert.Equal(t, len(counted), r.video("walk.mp4").Review.Moments, "in the list of videos")
			if test.want == 0 {
				return
			}
			assert.Equal(t, consoleapi.Uncovered, m.Moments[0].Reason)
			assert.Equal(t, "u1", m.Moments[0].ID)
			last, duration := 10, 0.4 // both samples are one moment
			if test.all == test.want {
				last, duration = 24, 0.96 // with the mask
			}
			assert.Equal(t, []int{0, last}, []int{m.Moments[0].FirstFrame, m.Moments[0].LastFrame})
			assert.InDelta(t, duration, m.Moments[0].Duration, 1e-9)
			assert.Greater(t, m.Moments[0].Score, 0.8, "the surest comes first")
			assert.Contains(t, r.video("walk.mp4").Warnings, consoleapi.WarningUncovered)
			_, err := r.Decide(t.Context(), ann, id, consoleapi.DecisionInput{Decision: consoleapi.Approved})
			require.ErrorIs(t, err, consoleapi.ErrInvalid, "it needs a note")
			_, err = r.Decide(t.Context(), ann, id, consoleapi.DecisionInput{Decision: consoleapi.Approved, Note: "a poster"})
			require.NoError(t, err)
		})
	}
}

func TestFiles(t *testing.T) {
	r := newRig(t)
	id := r.make("walk.mp4", x264)
	output, err := os.ReadFile(filepath.Join(r.out, "anonymized_walk.mp4"))
	require.NoError(t, err)
	for _, kind := range []consoleapi.Kind{consoleapi.KindOutput, consoleapi.KindPlayable} {
		content, err := r.Open(t.Context(), id, kind)
		require.NoError(t, err)
		got, err := io.ReadAll(content)
		require.NoError(t, err)
		require.NoError(t, content.Close())
		assert.Equal(t, output, got)
		assert.Equal(t, "video/mp4", content.Type)
	}
	for kind, prefix := range map[consoleapi.Kind]string{consoleapi.KindReport: "{", consoleapi.KindSheet: "\xff\xd8"} {
		content, err := r.Open(t.Context(), id, kind)
		require.NoError(t, err)
		got, err := io.ReadAll(content)
		require.NoError(t, err)
		require.NoError(t, content.Close())
		assert.True(t, strings.HasPrefix(string(got), prefix))
	}
	for _, wrong := range []consoleapi.RevisionID{
		{Video: id.Video, Revision: "r2"}, {Video: "../..", Revision: "r1"}, {},
	} {
		_, err := r.Open(t.Context(), wrong, consoleapi.KindOutput)
		require.ErrorIs(t, err, consoleapi.ErrNotFound)
	}
}

func TestStills(t *testing.T) {
	r := newRig(t)
	id := r.make("walk.mp4", x264)
	picture, err := r.Still(t.Context(), id, 7, 0)
	require.NoError(t, err)
	decoded, err := jpeg.Decode(bytes.NewReader(picture))
	require.NoError(t, err)
	assert.Equal(t, 320, decoded.Bounds().Dx())
	start := time.Now()
	_, err = r.Still(t.Context(), id, 9, 0)
	require.NoError(t, err)
	assert.Less(t, time.Since(start), 20*time.Millisecond, "it was decoded with the other one")
	small, err := r.Still(t.Context(), id, 24, 80)
	require.NoError(t, err)
	decoded, err = jpeg.Decode(bytes.NewReader(small))
	require.NoError(t, err)
	assert.Equal(t, 45, decoded.Bounds().Dy())
	_, err = r.Still(t.Context(), id, 25, 0)
	require.ErrorIs(t, err, consoleapi.ErrNotFound)
	assert.LessOrEqual(t, r.stills.bytes, stillBytes)
}

func TestProxy(t *testing.T) {
	r := newRig(t)
	id := r.make("walk.mkv", "-c:v ffv1")
	d, err := r.Revision(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, consoleapi.PlaybackNeeded, d.Playback.State)
	assert.Equal(t, 320, d.Width)
	_, err = r.Open(t.Context(), id, consoleapi.KindPlayable)
	require.ErrorIs(t, err, consoleapi.ErrNotReady)
	_, err = r.PrepareProxy(t.Context(), id)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		p, err := r.PrepareProxy(t.Context(), id)
		return err == nil && p.State == consoleapi.PlaybackReady
	}, 20*time.Second, 10*time.Millisecond)
	content, err := r.Open(t.Context(), id, consoleapi.KindPlayable)
	require.NoError(t, err)
	assert.Equal(t, "video/mp4", content.Type)
	require.NoError(t, content.Close())
}

func TestWithoutReport(t *testing.T) {
	r := newRig(t)
	job := r.drop("walk.mp4")
	makeVideo(t, job.Temp, x264)
	require.NoError(t, job.Publish())
	require.NoError(t, job.Done())
	v := r.video("walk.mp4")
	assert.Equal(t, []consoleapi.Warning{consoleapi.WarningNoReport}, v.Warnings)
	id := consoleapi.RevisionID{Video: v.ID, Revision: "r1"}
	_, err := r.Frames(t.Context(), id, 0, 10)
	require.ErrorIs(t, err, consoleapi.ErrNotFound)
	m, err := r.Moments(t.Context(), id)
	require.NoError(t, err)
	assert.Empty(t, m.Moments)
	require.Eventually(t, func() bool {
		m, err := r.Moments(t.Context(), id)
		return err == nil && m.SecondLook.State == consoleapi.LookFailed
	}, 10*time.Second, 10*time.Millisecond)
	_, err = r.Decide(t.Context(), ann, id, consoleapi.DecisionInput{Decision: consoleapi.Approved, Note: "watched whole"})
	require.NoError(t, err)
	assert.Equal(t, consoleapi.StateApproved, r.video("walk.mp4").State)
}

func TestTraces(t *testing.T) {
	r := newRig(t)
	job := r.drop("walk.mp4")
	span := r.emitter.VideoStarted(t.Context(), telemetry.Video{Key: job.Path, Name: "walk.mp4"})
	now := time.Now()
	rec := &record.Frame{Index: 4, Start: now, End: now.Add(30 * time.Millisecond)}
	rec.Encode.Start, rec.Encode.End = now.Add(10*time.Millisecond), now.Add(30*time.Millisecond)
	span.Frame(rec)
	span.Interrupted()
	job.Abandon()
	id := r.video("walk.mp4").ID
	heads := r.FrameTraces(id, 10)
	require.Len(t, heads, 1)
	assert.Equal(t, id, heads[0].Video)
	trace, err := r.FrameTrace(heads[0].Trace)
	require.NoError(t, err)
	require.Len(t, trace.Spans, 2)
	assert.Empty(t, trace.Spans[0].Parent)
	assert.Equal(t, "encode", trace.Spans[1].Name)
	assert.InDelta(t, 10_000, trace.Spans[1].Start, 1)
	assert.InDelta(t, 20_000, trace.Spans[1].Duration, 1)
	_, err = r.FrameTrace("00")
	require.ErrorIs(t, err, consoleapi.ErrNotFound)
	assert.Empty(t, r.FrameTraces("other", 10))
}

func TestUpload(t *testing.T) {
	r := newRig(t)
	stored, err := r.Upload(t.Context(), operator, "walk.mp4", strings.NewReader("a video"))
	require.NoError(t, err)
	assert.Equal(t, consoleapi.Upload{Name: "walk.mp4", Size: 7, Receiver: "videoanonymizer"}, stored)
	_, err = r.Upload(t.Context(), operator, "../walk.mp4", strings.NewReader("a video"))
	require.ErrorIs(t, err, consoleapi.ErrInvalid)
	r.next().Abandon()
}

// TestWatchingWhileFilesCome lists the videos over and over while the watcher finds and forgets files: each side waits
// for locks that the other holds.
func TestWatchingWhileFilesCome(t *testing.T) {
	r := newRig(t)
	ended := make(chan struct{})
	var lists sync.WaitGroup
	for range 2 {
		lists.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				r.Notify()
				_, err := r.Videos(context.Background(), false)
				assert.NoError(t, err)
			}
		})
	}
	for i := range 20 {
		job := r.drop(fmt.Sprintf("%d.mp4", i))
		require.NoError(t, r.watcher.Pause(job.Path))
		job.Suspend()
		require.NoError(t, r.watcher.Cancel(job.Path))
		require.NoError(t, os.Remove(job.Path))
	}
	close(ended)
	lists.Wait()
}

func TestEndedContexts(t *testing.T) {
	r := newRig(t)
	id := r.make("walk.mp4", x264)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := r.Still(ended, id, 0, 0)
	require.Error(t, err)
	_, err = r.Videos(ended, false)
	require.ErrorIs(t, err, context.Canceled)
}
