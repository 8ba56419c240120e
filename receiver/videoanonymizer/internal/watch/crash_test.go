// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCrash ends the collector at each stage of a job.
func TestCrash(t *testing.T) {
	tests := map[string]struct {
		before  func(t *testing.T, job *Job)
		done    bool // without another attempt
		attempt int
		kept    int      // temporary files that the next attempt finds
		left    []string // in the output folder, before the next attempt, beside them
	}{
		"claimed":   {before: func(*testing.T, *Job) {}, attempt: 2},
		"half made": {before: func(t *testing.T, job *Job) { write(t, job.Temp, "half") }, attempt: 2, kept: 1},
		"half made, source gone on": {attempt: 1, before: func(t *testing.T, job *Job) {
			write(t, job.Temp, "half")
			write(t, job.Path, "a longer video")
		}},
		"half made, more files": {attempt: 2, kept: 3, before: func(t *testing.T, job *Job) {
			write(t, job.Temp, "half")
			write(t, job.Temp+".log", "log")
			write(t, strings.TrimSuffix(job.Temp, ".mkv")+"/segment-0001.mkv", "segment")
		}},
		"about to publish": {done: true, before: func(t *testing.T, job *Job) {
			write(t, job.Temp, "masked")
			intend(t, job)
		}},
		"about to publish, temp damaged": {attempt: 2, before: func(t *testing.T, job *Job) {
			write(t, job.Temp, "masked")
			intend(t, job)
			write(t, job.Temp, "mas")
		}},
		"about to publish, source changed": {attempt: 1, before: func(t *testing.T, job *Job) {
			write(t, job.Temp, "masked")
			intend(t, job)
			write(t, job.Path, "a longer video")
		}},
		"about to publish, name taken": {attempt: 2, left: []string{"walk_anonymized.mkv"}, before: func(t *testing.T, job *Job) {
			write(t, job.Temp, "masked")
			intend(t, job)
			write(t, job.Output, "somebody else's")
		}},
		"published": {done: true, before: func(t *testing.T, job *Job) {
			write(t, job.Temp, "masked")
			require.NoError(t, job.Publish())
		}},
		"done": {done: true, before: func(t *testing.T, job *Job) {
			write(t, job.Temp, "masked")
			require.NoError(t, job.Publish())
			require.NoError(t, job.Done())
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			path := r.drop("walk.mkv", "a video")
			job := r.take()
			test.before(t, job)
			r.crash()
			r.start()
			if test.done {
				assert.Equal(t, "masked", read(t, job.Output))
				assert.Len(t, tree(t, r.out), 1)
			} else {
				left := slices.DeleteFunc(tree(t, r.out), func(name string) bool {
					return test.kept > 0 && strings.HasPrefix(name, strings.TrimSuffix(filepath.Base(job.Temp), ".mkv"))
				})
				assert.Len(t, tree(t, r.out), test.kept+len(test.left))
				assert.ElementsMatch(t, test.left, left)
				again := r.take()
				assert.Equal(t, test.attempt, again.Attempt)
				if test.kept > 0 {
					assert.True(t, again.Resumable())
					assert.Equal(t, job.Temp, again.Temp)
					require.NoError(t, again.Restart())
					assert.False(t, again.Resumable())
				}
				assert.Len(t, tree(t, r.out), len(test.left))
				r.complete(again)
			}
			r.idle()
			assert.FileExists(t, path)
		})
	}
}

// TestSuspend gives a video back with what was made of it, which is gone once nobody can go on with it.
func TestSuspend(t *testing.T) {
	r := newRig(t)
	path, job := r.begin("walk.mkv")
	job.Suspend()
	r.restart()
	again := r.take()
	assert.True(t, again.Resumable())
	assert.Equal(t, job.Temp, again.Temp)
	assert.Equal(t, 1, again.Attempt, "it does not count")
	again.Suspend()
	require.NoError(t, os.Remove(path))
	r.restart()
	assert.Empty(t, tree(t, r.out))
	r.idle()

	r.drop("walk.mkv", "another video")
	job = r.take()
	write(t, job.Temp, "half")
	require.NoError(t, job.Retry("stalled", nil, false))
	assert.Empty(t, tree(t, r.out), "a failure keeps nothing")
}

// TestFailureBeforeTheWork keeps what an earlier attempt made, as long as the file is tried again.
func TestFailureBeforeTheWork(t *testing.T) {
	r := newRig(t)
	_, job := r.begin("walk.mkv")
	job.Suspend()
	for attempt := range r.opts.Retry.MaxAttempts {
		again := r.take()
		require.Equal(t, attempt+1, again.Attempt)
		require.True(t, again.Resumable())
		require.NoError(t, again.Retry("unreadable", nil, true))
		r.pass(time.Hour)
	}
	assert.Empty(t, tree(t, r.out), "it was given up")
	r.idle()
}

// TestProgress counts attempts from the furthest that any came: work that fails at one place does not begin anew for
// ever.
func TestProgress(t *testing.T) {
	r := newRig(t)
	r.drop("walk.mkv", "a video")
	for _, tt := range []struct {
		frames  int64
		attempt int // after it
	}{{100, 1}, {100, 2}, {101, 1}, {99, 2}, {101, 3}} {
		job := r.take()
		require.NoError(t, job.RecordProgress(1))
		require.NoError(t, job.RecordProgress(tt.frames))
		require.Equal(t, tt.attempt, job.Attempt, "%d frames", tt.frames)
		require.NoError(t, job.Retry("tool", nil, false))
		r.pass(time.Hour)
	}
	r.idle()
}

// TestCrashLoopEndsThatMakesProgress: a crash at one place of a file ends, too, although work was made safe before it
// each time.
func TestCrashLoopEndsThatMakesProgress(t *testing.T) {
	r := newRig(t)
	r.drop("poison.mkv", "a")
	for range r.opts.Retry.MaxAttempts {
		require.NoError(t, r.take().RecordProgress(500))
		r.crash()
		r.start()
	}
	r.idle()
}

// TestPostpone has a file wait for a minute, which is no attempt.
func TestPostpone(t *testing.T) {
	r := newRig(t)
	_, job := r.begin("walk.mkv")
	job.Postpone()
	r.pass(postponement - time.Millisecond)
	assert.Nil(t, r.try())
	r.pass(time.Millisecond)
	again := r.try()
	require.NotNil(t, again)
	assert.Equal(t, 1, again.Attempt)
	assert.True(t, again.Resumable())
}

// TestKeptWhileTheDiskIsAway keeps what was made of a video whose whole folder is missing at a start, and no other.
func TestKeptWhileTheDiskIsAway(t *testing.T) {
	r := newRig(t)
	path, job := r.begin("disk/walk.mkv")
	job.Suspend()
	away := filepath.Join(filepath.Dir(r.in), "away")
	require.NoError(t, os.Rename(filepath.Dir(path), away))
	r.restart()
	assert.FileExists(t, job.Temp)
	require.NoError(t, os.Rename(away, filepath.Dir(path)))
	r.restart()
	again := r.take()
	assert.True(t, again.Resumable())
	again.Suspend()
	require.NoError(t, os.Remove(path))
	r.restart()
	assert.NoFileExists(t, job.Temp)
}

// TestKeptElsewhere removes what was made for an output in a folder that is no longer the one.
func TestKeptElsewhere(t *testing.T) {
	state := t.TempDir()
	r := newRig(t, func(r *rig) { r.opts.StateDirectory = state })
	_, job := r.begin("walk.mkv")
	job.Suspend()
	r.opts.OutputDirectory = r.out + "-new"
	r.restart()
	again := r.take()
	assert.False(t, again.Resumable())
	assert.NoFileExists(t, job.Temp)
}

// intend does what Publish does before the rename.
func intend(t *testing.T, job *Job) {
	t.Helper()
	require.NoError(t, job.recordIntent(nil))
}

// TestFullDisk fills the journal's disk before a claim, and before an outcome is recorded.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	require.NoError(t, err)
	defer full.Close()
	r := newRig(t)
	path := r.drop("walk.mkv", "a video")
	good := r.w.journal.file
	r.w.journal.file = full
	r.idle()
	assert.Empty(t, r.w.active.jobs)
	assert.Empty(t, r.w.names.reserved)
	r.w.journal.file = good
	r.pass(r.opts.Retry.InitialInterval)
	job := r.try()
	require.NotNil(t, job)
	assert.Equal(t, 1, job.Attempt)
	write(t, job.Temp, "masked")
	r.w.journal.file = full
	require.ErrorIs(t, job.Publish(), syscall.ENOSPC)
	assert.NoFileExists(t, job.Output, "nothing is published that is not recorded")
	r.w.journal.file = good
	require.NoError(t, job.Publish())
	r.w.journal.file = full
	require.ErrorIs(t, job.Done(), syscall.ENOSPC)
	r.idle()
	r.w.journal.file = good
	r.crash()
	r.start()
	r.idle()
	assert.FileExists(t, path)
	assert.Equal(t, []string{"walk_anonymized.mkv"}, tree(t, r.out))
}

func TestCrashLoopEnds(t *testing.T) {
	r := newRig(t)
	r.drop("poison.mkv", "a")
	for attempt := range r.opts.Retry.MaxAttempts {
		assert.Equal(t, attempt+1, r.take().Attempt)
		r.crash()
		r.start()
	}
	r.idle()
	entry, ok := r.w.journal.source(filepath.Join(r.in, "poison.mkv"))
	require.True(t, ok)
	assert.Equal(t, stateFailed, entry.State)
	assert.Equal(t, ReasonCrash, entry.Reason)
	r.restart()
	r.idle()
}

// TestSuspectsRunOneAtATime keeps a file that kills the collector from taking down the same others again.
func TestSuspectsRunOneAtATime(t *testing.T) {
	r := newRig(t)
	r.drop("a.mkv", "a")
	r.drop("b.mkv", "b")
	r.settle()
	require.NotNil(t, r.try())
	require.NotNil(t, r.try())
	r.crash()
	r.start()
	r.drop("fresh.mkv", "c")
	first := r.take()
	second := r.try()
	require.NotNil(t, second)
	assert.Equal(t, "fresh.mkv", string(second.entry.Rel))
	assert.Nil(t, r.try(), "the other suspect waits")
	r.complete(first)
	third := r.try()
	require.NotNil(t, third)
	assert.Equal(t, 2, third.Attempt)
}

func TestOnSuccess(t *testing.T) {
	elsewhere := quickDir(t)
	tests := map[string]struct {
		onSuccess OnSuccess
		moveTo    string
		prepare   func(t *testing.T, r *rig)
		before    func(t *testing.T, path string) // Done
		left      []string                        // in the watched folder
		moved     map[string]string
	}{
		"keep":   {onSuccess: OnSuccessKeep, left: []string{"a/walk.mkv"}},
		"delete": {onSuccess: OnSuccessDelete, left: nil},
		"delete, replaced": {onSuccess: OnSuccessDelete, left: []string{"a/walk.mkv"}, before: func(t *testing.T, path string) {
			write(t, path+".part", "another video")
			require.NoError(t, os.Rename(path+".part", path))
		}},
		"delete, vanished": {onSuccess: OnSuccessDelete, before: func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) }},
		"move":             {onSuccess: OnSuccessMove, moved: map[string]string{"a/walk.mkv": "a video"}},
		"move, name taken": {
			onSuccess: OnSuccessMove, prepare: func(t *testing.T, r *rig) { write(t, r.opts.MoveTo+"/a/walk.mkv", "an older one") },
			moved: map[string]string{"a/walk.mkv": "an older one", "a/walk-2.mkv": "a video"},
		},
		"move, replaced":              {onSuccess: OnSuccessMove, left: []string{"a/walk.mkv"}, before: func(t *testing.T, path string) { write(t, path, "another video") }},
		"move within":                 {onSuccess: OnSuccessMove, moveTo: "inside", left: []string{"inside/a/walk.mkv"}, moved: map[string]string{"a/walk.mkv": "a video"}},
		"move to another file system": {onSuccess: OnSuccessMove, moveTo: elsewhere + "/done", moved: map[string]string{"a/walk.mkv": "a video"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(r *rig) {
				r.opts.OnSuccess = test.onSuccess
				r.opts.MoveTo = r.in + "-done"
				if filepath.IsAbs(test.moveTo) {
					r.opts.MoveTo = test.moveTo
				} else if test.moveTo != "" {
					r.opts.MoveTo = filepath.Join(r.in, test.moveTo)
				}
			})
			if test.prepare != nil {
				test.prepare(t, r)
			}
			path := r.drop("a/walk.mkv", "a video")
			job := r.take()
			write(t, job.Temp, "masked")
			require.NoError(t, job.Publish())
			if test.before != nil {
				test.before(t, path)
			}
			require.NoError(t, job.Done())
			assert.Equal(t, test.left, tree(t, r.in))
			for name, text := range test.moved {
				assert.Equal(t, text, read(t, filepath.Join(r.opts.MoveTo, name)))
			}
			assert.Equal(t, "masked", read(t, job.Output))
			if name == "delete, replaced" || name == "move, replaced" {
				r.finish(path) // it is another video
			}
			r.idle()
			r.restart()
			r.idle()
		})
	}
}

// TestSameContentAfterMove drops what was done and moved away by us once more: under its old name it is done, under
// another it is another video.
func TestSameContentAfterMove(t *testing.T) {
	r := newRig(t, func(r *rig) { r.opts.OnSuccess, r.opts.MoveTo = OnSuccessMove, r.in+"-done" })
	at := time.Unix(1_700_000_000, 0)
	path := r.drop("walk.mkv", "a video")
	require.NoError(t, os.Chtimes(path, at, at))
	r.finish(path)
	path = r.drop("run.mkv", "a video")
	require.NoError(t, os.Chtimes(path, at, at))
	r.finish(path)
	path = r.drop("walk.mkv", "a video")
	require.NoError(t, os.Chtimes(path, at, at))
	r.idle()
}

// TestRemoveRaces replaces a file while it is removed: what came last stays.
func TestRemoveRaces(t *testing.T) {
	dir := quickDir(t)
	path := dir + "/walk.mkv"
	for range 2000 {
		write(t, path, "a video")
		write(t, dir+"/new", "another video")
		meant, _, err := lstat(path)
		require.NoError(t, err)
		start, replaced := make(chan struct{}), make(chan error)
		go func() {
			<-start
			replaced <- os.Rename(dir+"/new", path)
		}()
		close(start)
		if err := remove(path, meant); err != nil {
			require.ErrorIs(t, err, errOtherFile)
		}
		require.NoError(t, <-replaced)
		require.Equal(t, "another video", read(t, path))
	}
}

// TestOnSuccessAfterCrash goes on where the collector died between recording the outcome and acting on it.
func TestOnSuccessAfterCrash(t *testing.T) {
	for _, stage := range []string{"recorded", "set aside", "deleted", "replaced"} {
		t.Run(stage, func(t *testing.T) {
			r := newRig(t, func(r *rig) { r.opts.OnSuccess = OnSuccessDelete })
			path := r.drop("walk.mkv", "a video")
			job := r.take()
			write(t, job.Temp, "masked")
			require.NoError(t, job.Publish())
			entry := job.entry
			entry.State, entry.Action, entry.Temp = stateDone, actionDelete, ""
			require.NoError(t, r.w.journal.put(entry))
			switch stage {
			case "set aside":
				require.NoError(t, takeAside(path, asidePath(path, entry.Stamp), entry.Stamp))
			case "deleted":
				require.NoError(t, os.Remove(path))
			case "replaced":
				require.NoError(t, takeAside(path, asidePath(path, entry.Stamp), entry.Stamp))
				write(t, path, "another video")
			}
			r.crash()
			r.start()
			if stage == "replaced" {
				assert.Equal(t, []string{"walk.mkv"}, tree(t, r.in))
				r.finish(path)
			}
			assert.Empty(t, tree(t, r.in))
			r.idle()
		})
	}
}

func TestQuarantine(t *testing.T) {
	r := newRig(t, func(r *rig) { r.opts.QuarantineDirectory = r.in + "/failed" })
	path := r.drop("a/walk.mkv", "no video")
	job := r.take()
	require.NoError(t, job.Retry("not_video", os.ErrInvalid, false))
	assert.FileExists(t, path, "it is tried again")
	r.pass(10 * time.Second)
	require.NoError(t, r.try().Fail("not_video", os.ErrInvalid))
	assert.Equal(t, []string{"failed/a/walk.mkv", "failed/a/walk.mkv.reason.json"}, tree(t, r.in))
	reason := read(t, r.in+"/failed/a/walk.mkv.reason.json")
	for _, part := range []string{`"source": "` + path, `"reason": "not_video"`, `"error": "invalid argument"`, `"attempts": 2`, `"size": 8`} {
		assert.Contains(t, reason, part)
	}
	assert.NotContains(t, reason, `"failed": "0001`)
	r.idle()
	require.NoError(t, os.Rename(r.in+"/failed/a/walk.mkv", path))
	assert.Equal(t, path, r.take().Path, "a person put it back")
}

// TestReasonsAreNeverOverwritten has the name of a reason taken: by a person's file, and by the same reason, written
// before a crash.
func TestReasonsAreNeverOverwritten(t *testing.T) {
	r := newRig(t, func(r *rig) { r.opts.QuarantineDirectory = r.in + "/failed" })
	write(t, r.in+"/failed/walk.mkv"+reasonSuffix, "my notes")
	r.drop("walk.mkv", "no video")
	require.NoError(t, r.take().Fail("not_video", os.ErrInvalid))
	assert.Equal(t, []string{"failed/walk-2.mkv", "failed/walk-2.mkv.reason.json", "failed/walk.mkv.reason.json"}, tree(t, r.in))
	assert.Equal(t, "my notes", read(t, r.in+"/failed/walk.mkv"+reasonSuffix))

	path := r.drop("run.mkv", "no video either")
	job := r.take()
	job.entry.State, job.entry.Reason, job.entry.Action = stateFailed, "not_video", actionQuarantine
	require.NoError(t, r.w.journal.put(job.entry))
	recorded, _ := r.w.journal.source(path)
	require.NoError(t, writeReason(r.in+"/failed/run.mkv", recorded))
	assert.FileExists(t, path)
	r.crash()
	r.start()
	r.idle()
	assert.Equal(t, []string{"failed/run.mkv", "failed/run.mkv.reason.json", "failed/walk-2.mkv", "failed/walk-2.mkv.reason.json",
		"failed/walk.mkv.reason.json"}, tree(t, r.in))
}

const victimEnv = "WATCH_TEST_VICTIM"

// beVictim is a collector that takes a video, writes half of it, and waits to be killed.
func beVictim() {
	root := os.Getenv(victimEnv)
	opts := testOptions(root+"/in", root+"/out")
	opts.Config.PollInterval, opts.Config.StableFor = 10*time.Millisecond, 0
	w, err := New(opts)
	if err == nil {
		err = w.Start()
	}
	var job *Job
	if err == nil {
		job, err = w.Next(context.Background())
	}
	if err == nil {
		err = os.WriteFile(job.Temp, []byte("half"), 0o644)
	}
	if err != nil {
		println(err.Error())
		os.Exit(1)
	}
	println(job.Temp)
	select {}
}

// TestKill kills a real process, and finds that it held the folder for itself and no longer than it lived.
func TestKill(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.w.Stop(t.Context()))
	path := r.drop("walk.mkv", "a video")
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), victimEnv+"="+filepath.Dir(r.in))
	output, err := victim.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, victim.Start())
	temp, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	temp = strings.TrimSpace(temp)
	assert.FileExists(t, temp)
	w, err := New(r.opts)
	require.NoError(t, err)
	assert.ErrorContains(t, w.open(), "in use by process")
	require.NoError(t, victim.Process.Kill())
	_ = victim.Wait()

	r.start()
	job := r.take()
	assert.Equal(t, path, job.Path)
	assert.Equal(t, temp, job.Temp)
	assert.True(t, job.Resumable(), "the half that was made")
	assert.Equal(t, 2, job.Attempt)
	require.NoError(t, job.RecordProgress(1))
	assert.Equal(t, 1, job.Attempt)
	require.NoError(t, job.Restart())
	assert.NoFileExists(t, temp)
	r.complete(job)
	r.idle()
}
