// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// stopCause returns why a job has to end.
func stopCause(job *Job) (cause error) {
	job.OnStop(func(err error) { cause = err })
	return cause
}

// one returns the overview of the only file.
func (r *rig) one() Overview {
	r.t.Helper()
	all := r.w.Overview()
	require.Len(r.t, all, 1)
	return all[0]
}

func TestPauseWaiting(t *testing.T) {
	r := newRig(t)
	path := r.drop("walk.mkv", "a video")
	r.settle()
	require.NoError(t, r.w.Pause(path))
	require.ErrorIs(t, r.w.Pause(path), ErrRefused)
	assert.Equal(t, PhasePaused, r.one().Phase)
	r.idle()
	r.restart()
	r.idle()
	assert.Equal(t, PhasePaused, r.one().Phase, "a restart forgets nothing")
	require.NoError(t, r.w.Resume(path))
	require.ErrorIs(t, r.w.Resume(path), ErrRefused)
	r.finish(path)
	require.ErrorIs(t, r.w.Pause(path), ErrRefused)
	assert.Equal(t, PhaseDone, r.one().Phase)
}

func TestPauseWorking(t *testing.T) {
	r := newRig(t)
	path, job := r.begin("walk.mkv")
	require.NoError(t, r.w.Pause(path))
	require.ErrorIs(t, stopCause(job), ErrPaused)
	job.Suspend()
	assert.Equal(t, PhasePaused, r.one().Phase)
	r.idle()
	r.restart()
	r.idle()
	assert.FileExists(t, job.Temp)
	require.NoError(t, r.w.Resume(path))
	again := r.take()
	assert.True(t, again.Resumable())
	require.NoError(t, stopCause(again))
	assert.Equal(t, 1, again.Attempt)
	r.complete(again)
}

func TestPauseEndsWithChange(t *testing.T) {
	r := newRig(t)
	path := r.drop("walk.mkv", "a video")
	r.settle()
	require.NoError(t, r.w.Pause(path))
	require.NoError(t, r.w.Stop(t.Context()))
	r.drop("walk.mkv", "another video")
	r.start()
	r.finish(path)
}

func TestCancel(t *testing.T) {
	for name, begin := range map[string]func(*testing.T, *rig) string{
		"settling": func(_ *testing.T, r *rig) string {
			path := r.drop("walk.mkv", "a video")
			r.w.poll()
			return path
		},
		"waiting": func(_ *testing.T, r *rig) string {
			path := r.drop("walk.mkv", "a video")
			r.settle()
			return path
		},
		"paused with segments": func(t *testing.T, r *rig) string {
			path, job := r.begin("walk.mkv")
			require.NoError(t, r.w.Pause(path))
			job.Suspend()
			return path
		},
		"working": func(_ *testing.T, r *rig) string {
			path, _ := r.begin("walk.mkv")
			return path
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(r *rig) { r.opts.QuarantineDirectory = r.out + "-quarantine" })
			path := begin(t, r)
			jobs, _ := r.w.active.list()
			require.NoError(t, r.w.Cancel(path))
			for _, job := range jobs {
				require.ErrorIs(t, stopCause(job), ErrCanceled)
				require.NoError(t, job.Cancel())
			}
			check := func() {
				r.idle()
				r.dispose()
				o := r.one()
				assert.Equal(t, PhaseFailed, o.Phase)
				assert.Equal(t, ReasonCanceled, o.Reason)
				assert.Empty(t, tree(t, r.out))
				assert.FileExists(t, path, "it is in no quarantine")
			}
			check()
			r.restart()
			check()
			require.ErrorIs(t, r.w.Cancel(path), ErrRefused)
			require.NoError(t, r.w.Retry(path))
			r.finish(path)
		})
	}
}

// TestCancelWhileStopping cancels a video whose job was stopped for another reason and has not ended yet, or is about
// to be tried again.
func TestCancelWhileStopping(t *testing.T) {
	for name, c := range map[string]struct {
		before func(*rig, string) error
		end    func(*Job) error
	}{
		"paused, keeps segments": {
			before: func(r *rig, path string) error { return r.w.Pause(path) },
			end:    func(j *Job) error { j.Suspend(); return nil },
		},
		"held": {
			before: func(r *rig, _ string) error { r.w.Hold("at night", true); return nil },
			end:    func(j *Job) error { j.Abandon(); return nil },
		},
		"failed": {
			before: func(*rig, string) error { return nil },
			end:    func(j *Job) error { return j.Retry("io", errors.New("the disk failed"), true) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			path, job := r.begin("walk.mkv")
			require.NoError(t, c.before(r, path))
			require.NoError(t, r.w.Cancel(path))
			require.ErrorIs(t, r.w.Pause(path), ErrRefused, "the cancellation stands")
			require.NoError(t, c.end(job))
			r.w.Hold("", true)
			check := func() {
				r.idle()
				o := r.one()
				assert.Equal(t, PhaseFailed, o.Phase)
				assert.Equal(t, ReasonCanceled, o.Reason)
				assert.Empty(t, tree(t, r.out))
				assert.FileExists(t, path)
			}
			check()
			r.restart()
			check()
			require.NoError(t, r.w.Retry(path))
			r.finish(path)
		})
	}
}

// TestControlWhileClaiming cancels, pauses or holds a video while it is claimed, if the claim then produces no job.
func TestControlWhileClaiming(t *testing.T) {
	for name, act := range map[string]struct {
		act    func(r *rig, path string) error
		phase  Phase
		reason string
		again  func(r *rig, path string) error
	}{
		"canceled": {func(r *rig, path string) error { return r.w.Cancel(path) }, PhaseFailed, ReasonCanceled,
			func(r *rig, path string) error { return r.w.Retry(path) }},
		"paused": {func(r *rig, path string) error { return r.w.Pause(path) }, PhasePaused, "",
			func(r *rig, path string) error { return r.w.Resume(path) }},
		"held": {func(r *rig, _ string) error {
			r.w.Hold("at night", true)
			r.w.Hold("", true)
			return nil
		}, PhaseWaiting, "", func(*rig, string) error { return nil }},
	} {
		for why, fails := range map[string]func(t *testing.T, r *rig, path string) (mend func()){
			"no output folder": func(t *testing.T, r *rig, _ string) func() {
				folder := filepath.Join(r.out, "ward")
				write(t, folder, "in the way")
				return func() { require.NoError(t, os.Remove(folder)) }
			},
			"written to": func(t *testing.T, _ *rig, path string) func() {
				writer, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
				require.NoError(t, err)
				return func() { require.NoError(t, writer.Close()) }
			},
		} {
			t.Run(name+", "+why, func(t *testing.T) {
				r := newRig(t)
				path := r.drop("ward/walk.mkv", "a video")
				r.settle()
				f, _, err := r.w.queue.tryNext()
				require.NoError(t, err)
				require.NotNil(t, f)
				mend := fails(t, r, path)
				require.NoError(t, act.act(r, path))
				require.Nil(t, r.w.claim(f))
				mend()
				assert.Equal(t, act.phase, r.one().Phase)
				if act.phase != PhaseWaiting {
					r.idle()
					r.restart()
					r.idle()
				}
				assert.Equal(t, act.phase, r.one().Phase)
				assert.Equal(t, act.reason, r.one().Reason)
				require.NoError(t, act.again(r, path))
				r.dispose()
				job := r.take()
				require.NoError(t, stopCause(job))
				r.complete(job)
			})
		}
	}
}

func TestRetryOnDemand(t *testing.T) {
	r := newRig(t)
	path := r.drop("walk.mkv", "a video")
	require.NoError(t, r.take().Fail("not_video", errors.New("no")))
	r.idle()
	require.NoError(t, r.w.Retry(path))
	again := r.take()
	assert.Equal(t, 1, again.Attempt)
	require.ErrorIs(t, r.w.Retry(path), ErrRefused, "it is worked on")
	require.NoError(t, again.Retry("io_error", errors.New("a disk"), false))
	o := r.one()
	assert.Equal(t, PhaseWaiting, o.Phase)
	assert.Equal(t, "io_error", o.Reason)
	assert.False(t, o.Due.IsZero())
	require.NoError(t, r.w.Retry(path), "does not wait for its turn")
	r.complete(r.try())
	require.ErrorIs(t, r.w.Retry(path), ErrRefused, "it is done")
	require.ErrorIs(t, r.w.Retry(path+"?"), fs.ErrNotExist)
}

func TestFirst(t *testing.T) {
	r := newRig(t, func(r *rig) { r.opts.Workers = 1 })
	for _, name := range []string{"a.mkv", "b.mkv", "urgent.mkv"} {
		r.drop(name, name)
		r.settle()
	}
	r.settle()
	long := r.try()
	assert.Equal(t, "a.mkv", filepath.Base(long.Path))
	require.ErrorIs(t, r.w.First(long.Path), ErrRefused)
	require.NoError(t, r.w.First(filepath.Join(r.in, "urgent.mkv")))
	require.ErrorIs(t, stopCause(long), ErrPreempted)
	long.Suspend()
	var order []string
	for job := r.try(); job != nil; job = r.try() {
		order = append(order, filepath.Base(job.Path))
		r.complete(job)
	}
	assert.Equal(t, []string{"urgent.mkv", "a.mkv", "b.mkv"}, order, "what was interrupted goes on before others")
}

// TestFirstAfterRestart checks that a restart preserves which videos were put first, and in which order, whether they
// were waiting or in progress.
func TestFirstAfterRestart(t *testing.T) {
	r := newRig(t, func(r *rig) { r.opts.Workers = 1 })
	for _, name := range []string{"a.mkv", "b.mkv", "c.mkv", "d.mkv"} {
		r.drop(name, name)
		r.settle()
	}
	r.settle()
	for _, name := range []string{"c.mkv", "d.mkv"} {
		require.NoError(t, r.w.First(filepath.Join(r.in, name)))
	}
	r.restart()
	r.settle()
	job := r.try()
	assert.Equal(t, "d.mkv", filepath.Base(job.Path))
	job.Suspend()
	r.restart()
	r.settle()
	require.NoError(t, r.w.First(filepath.Join(r.in, "b.mkv")), "newer than what the restart left")
	var order []string
	for job := r.try(); job != nil; job = r.try() {
		order = append(order, filepath.Base(job.Path))
		r.complete(job)
	}
	assert.Equal(t, []string{"b.mkv", "d.mkv", "c.mkv", "a.mkv"}, order)
}

func TestFirstWithFreeWorker(t *testing.T) {
	r := newRig(t, func(r *rig) { r.opts.Workers = 2 })
	path, job := r.begin("long.mkv")
	r.drop("urgent.mkv", "b")
	r.settle()
	require.NoError(t, r.w.First(filepath.Join(r.in, "urgent.mkv")))
	require.NoError(t, stopCause(job))
	require.NotNil(t, r.try())
	require.NoError(t, r.w.Pause(path))
}

func TestOverview(t *testing.T) {
	r := newRig(t)
	r.drop("done.mkv", "a")
	r.complete(r.take())
	r.drop("failed.mkv", "b")
	require.NoError(t, r.take().Fail("damaged", errors.New("broken")))
	r.drop("working.mkv", "c")
	working := r.take()
	r.drop("second.mkv", "e")
	require.NoError(t, os.Chtimes(filepath.Join(r.in, "second.mkv"), time.Time{}, r.clock.Add(time.Hour)))
	r.drop("first.mkv", "d")
	r.settle()
	r.drop("new.mkv", "f")
	r.drop("notes.txt", "g")
	r.w.poll()
	got := map[string]Overview{}
	for _, o := range r.w.Overview() {
		got[filepath.Base(o.Path)] = o
	}
	require.Len(t, got, 6)
	assert.Equal(t, PhaseDone, got["done.mkv"].Phase)
	assert.Equal(t, "done_anonymized.mkv", got["done.mkv"].Output.Name)
	assert.Equal(t, PhaseFailed, got["failed.mkv"].Phase)
	assert.Equal(t, "damaged", got["failed.mkv"].Reason)
	assert.Equal(t, PhaseWorking, got["working.mkv"].Phase)
	assert.Equal(t, 1, got["working.mkv"].Attempt)
	assert.Equal(t, 1, got["first.mkv"].Position)
	assert.Equal(t, 2, got["second.mkv"].Position)
	assert.Equal(t, string(heldChanging), got["new.mkv"].Held)
	working.Abandon()
}

func TestOverviewAfterRename(t *testing.T) {
	r := newRig(t)
	path := r.drop("walk.mkv", "a video")
	r.finish(path)
	require.NoError(t, os.Rename(path, filepath.Join(r.in, "stroll.mkv")))
	r.idle()
	assert.Equal(t, "stroll.mkv", filepath.Base(r.one().Path))
}

// TestSourceOf finds a source where it is, even if it was moved and its name was taken at the new place.
func TestSourceOf(t *testing.T) {
	r := newRig(t, func(r *rig) { r.opts.OnSuccess, r.opts.MoveTo = OnSuccessMove, r.in+"-done" })
	first := r.drop("walk.mkv", "a video")
	assert.Equal(t, first, r.w.SourceOf(first))
	r.finish(first)
	r.dispose()
	assert.Equal(t, filepath.Join(r.in+"-done", "walk.mkv"), r.w.SourceOf(first))
	require.NoError(t, os.Remove(filepath.Join(r.in+"-done", "walk.mkv")))
	write(t, filepath.Join(r.in+"-done", "walk.mkv"), "something longer")
	second := r.drop("walk.mkv", "the second")
	r.finish(second)
	r.dispose()
	assert.Equal(t, filepath.Join(r.in+"-done", "walk-2.mkv"), r.w.SourceOf(second))
	require.NoError(t, os.Remove(filepath.Join(r.in+"-done", "walk-2.mkv")))
	assert.Empty(t, r.w.SourceOf(second))
}

func TestOutputIntact(t *testing.T) {
	r := newRig(t)
	r.finish(r.drop("walk.mkv", "a video"))
	output := r.one().Output
	require.NoError(t, output.Intact())
	text := read(t, output.Path)
	write(t, output.Path, strings.ToUpper(text))
	require.ErrorIs(t, output.Intact(), ErrChanged, "of the same size")
	require.NoError(t, os.Remove(output.Path))
	require.ErrorIs(t, output.Intact(), fs.ErrNotExist)
}

func TestReceive(t *testing.T) {
	r := newRig(t)
	for _, want := range []string{"walk.mkv", "walk-2.mkv"} {
		name, size, err := r.w.Receive("walk.mkv", strings.NewReader(want))
		require.NoError(t, err)
		assert.Equal(t, want, name)
		assert.Equal(t, int64(len(want)), size)
		assert.Equal(t, want, read(t, filepath.Join(r.in, want)))
		info, err := os.Stat(filepath.Join(r.in, want))
		require.NoError(t, err)
		assert.Equal(t, durable.Private, info.Mode(), "it shows faces")
	}
	for _, name := range []string{
		"../walk.mkv", "/walk.mkv", "a/b.mkv", ".hidden.mkv", "walk.mkv.part", "walk.txt", "..", "",
	} {
		_, _, err := r.w.Receive(name, strings.NewReader("x"))
		require.ErrorIs(t, err, ErrRefused, name)
	}
	broken := errors.New("cut off")
	_, _, err := r.w.Receive("c.mkv", iotest.ErrReader(broken))
	require.ErrorIs(t, err, broken)
	assert.ElementsMatch(t, []string{"walk.mkv", "walk-2.mkv"}, tree(t, r.in))
	r.finish(filepath.Join(r.in, "walk.mkv"))
}
