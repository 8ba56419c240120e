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

// TestRecoverAfterCrash simulates that the collector dies at each stage of a job.
func TestRecoverAfterCrash(t *testing.T) {
	tests := map[string]struct {
		before  func(t *testing.T, job *Job)
		done    bool // without another attempt
		attempt int
		kept    int      // temporary files that the next attempt finds
		left    []string // other files in the output folder before the next attempt
	}{
		"claimed":      {before: func(*testing.T, *Job) {}, attempt: 2},
		"half written": {before: func(t *testing.T, job *Job) { write(t, job.Temp, "half") }, attempt: 2, kept: 1},
		"half written, source grown": {attempt: 1, before: func(t *testing.T, job *Job) {
			write(t, job.Temp, "half")
			write(t, job.Path, "a longer video")
		}},
		"half written, more files": {attempt: 2, kept: 3, before: func(t *testing.T, job *Job) {
			write(t, job.Temp, "half")
			write(t, job.Temp+".log", "log")
			write(t, strings.TrimSuffix(job.Temp, ".mkv")+"/segment-0001.mkv", "segment")
		}},
		"about to publish": {done: true, before: func(t *testing.T, job *Job) {
			write(t, job.Temp, "masked")
			recordIntent(t, job)
		}},
		"about to publish, temp damaged": {attempt: 2, before: func(t *testing.T, job *Job) {
			write(t, job.Temp, "masked")
			recordIntent(t, job)
			write(t, job.Temp, "mas")
		}},
		"about to publish, source changed": {attempt: 1, before: func(t *testing.T, job *Job) {
			write(t, job.Temp, "masked")
			recordIntent(t, job)
			write(t, job.Path, "a longer video")
		}},
		"about to publish, name taken": {
			attempt: 2, left: []string{"walk_anonymized.mkv"},
			before: func(t *testing.T, job *Job) {
				write(t, job.Temp, "masked")
				recordIntent(t, job)
				write(t, job.Output, "somebody else's")
			},
		},
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

// TestCrashLoopWithProgressEnds simulates that the collector dies at the same place of a video again and again, after
// some progress was recorded.
func TestCrashLoopWithProgressEnds(t *testing.T) {
	r := newRig(t)
	r.drop("poison.mkv", "a")
	for range r.opts.Retry.MaxAttempts {
		require.NoError(t, r.take().RecordProgress(500))
		r.crash()
		r.start()
	}
	r.idle()
}

// TestTempFilesKeptWhileDiskIsNotMounted checks that the temporary files of a video are kept if its whole folder is
// missing at a start.
func TestTempFilesKeptWhileDiskIsNotMounted(t *testing.T) {
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

// TestTempFilesOfOtherOutputDirectoryRemoved changes the output directory between two attempts.
func TestTempFilesOfOtherOutputDirectoryRemoved(t *testing.T) {
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

// recordIntent does what Publish does before the rename.
func recordIntent(t *testing.T, job *Job) {
	t.Helper()
	require.NoError(t, job.recordIntent(nil))
}

// TestJournalDiskFullDuringJob fills the journal's disk before a claim, before publishing, and before the outcome is
// recorded.
func TestJournalDiskFullDuringJob(t *testing.T) {
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

// TestCrashSuspectsRunOneAtATime checks that a file that kills the collector does not take the others down again.
func TestCrashSuspectsRunOneAtATime(t *testing.T) {
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

// TestRecoverOnSuccessAfterCrash simulates that the collector dies between recording the outcome and acting on it.
func TestRecoverOnSuccessAfterCrash(t *testing.T) {
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
			r.dispose()
			if stage == "replaced" {
				assert.Equal(t, []string{"walk.mkv"}, tree(t, r.in))
				r.finish(path)
				r.dispose()
			}
			assert.Empty(t, tree(t, r.in))
			r.idle()
		})
	}
}

// TestKeepSourceAfterCrash checks that a source that is to stay is neither deleted nor moved by the start that
// completes its output.
func TestKeepSourceAfterCrash(t *testing.T) {
	for _, onSuccess := range []OnSuccess{OnSuccessDelete, OnSuccessMove} {
		t.Run(string(onSuccess), func(t *testing.T) {
			r := newRig(t, func(r *rig) { r.opts.OnSuccess, r.opts.MoveTo = onSuccess, r.in+"-done" })
			r.drop("walk.mkv", "a video")
			job := r.take()
			write(t, job.Temp, "masked")
			job.KeepSource()
			require.NoError(t, job.Publish())
			r.crash()
			r.start()
			r.dispose()
			r.idle()
			assert.Equal(t, []string{"walk.mkv"}, tree(t, r.in))
		})
	}
}

const victimEnv = "WATCH_TEST_VICTIM"

// beVictim runs a collector that claims a video, writes half of it, and waits to be killed.
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

// TestRecoverAfterKill kills a real process, which holds the directory lock until then.
func TestRecoverAfterKill(t *testing.T) {
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
	assert.True(t, job.Resumable(), "the half that was written")
	assert.Equal(t, 2, job.Attempt)
	require.NoError(t, job.RecordProgress(1))
	assert.Equal(t, 1, job.Attempt)
	require.NoError(t, job.Restart())
	assert.NoFileExists(t, temp)
	r.complete(job)
	r.idle()
}
