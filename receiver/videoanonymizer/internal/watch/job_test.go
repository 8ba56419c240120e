// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestUnchanged(t *testing.T) {
	tests := map[string]struct {
		change func(t *testing.T, path string)
		want   error
	}{
		"same":    {change: func(*testing.T, string) {}},
		"chmod":   {change: func(t *testing.T, path string) { require.NoError(t, os.Chmod(path, 0o600)) }},
		"linked":  {change: func(t *testing.T, path string) { require.NoError(t, os.Link(path, path+".link")) }},
		"deleted": {want: ErrVanished, change: func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) }},
		"renamed": {
			want:   ErrVanished,
			change: func(t *testing.T, path string) { require.NoError(t, os.Rename(path, path+".old")) },
		},
		"grown": {want: ErrChanged, change: func(t *testing.T, path string) { write(t, path, "a video and more") }},
		"a folder": {want: ErrChanged, change: func(t *testing.T, path string) {
			require.NoError(t, os.Remove(path))
			require.NoError(t, os.Mkdir(path, 0o755))
		}},
		"replaced": {want: ErrChanged, change: func(t *testing.T, path string) {
			write(t, path+".new", "a video")
			require.NoError(t, os.Rename(path+".new", path))
		}},
		"time set back": {want: ErrChanged, change: func(t *testing.T, path string) {
			info, err := os.Stat(path)
			require.NoError(t, err)
			write(t, path, "A VIDEO")
			require.NoError(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			path := r.drop("walk.mkv", "a video")
			job := r.take()
			require.NoError(t, job.Unchanged())
			test.change(t, path)
			if test.want == nil {
				assert.NoError(t, job.Unchanged())
			} else {
				assert.ErrorIs(t, job.Unchanged(), test.want)
			}
		})
	}
}

func TestPublishNameTaken(t *testing.T) {
	r := newRig(t)
	r.drop("walk.mkv", "a")
	job := r.take()
	write(t, job.Temp, "masked")
	write(t, job.Output, "somebody else's")
	require.ErrorIs(t, job.Publish(), ErrTaken)
	require.NoError(t, job.Retry("output_taken", ErrTaken, false))
	assert.Equal(t, []string{"walk_anonymized.mkv"}, tree(t, r.out), "the temporary file is gone")
	r.pass(10 * time.Second)
	again := r.try()
	require.NotNil(t, again)
	r.complete(again)
	assert.Equal(t, "somebody else's", read(t, job.Output))
	assert.Equal(t, []string{"walk_anonymized-2.mkv", "walk_anonymized.mkv"}, tree(t, r.out))
}

func TestChangedSourceProcessedAgain(t *testing.T) {
	r := newRig(t)
	path := r.drop("walk.mkv", "half a video")
	job := r.take()
	write(t, path, "half a video, and the other half")
	err := job.Unchanged()
	require.ErrorIs(t, err, ErrChanged)
	require.NoError(t, job.Retry("changed", err, false))
	assert.Nil(t, r.try())
	again := r.take()
	assert.Equal(t, 1, again.Attempt, "it is another video")
	r.complete(again)
	r.idle()
}

func TestRetry(t *testing.T) {
	r := newRig(t)
	path := r.drop("walk.mkv", "a")
	other := r.drop("other.mkv", "b")
	job := r.take()
	if job.Path == other {
		r.complete(job)
		job = r.try()
	} else {
		r.complete(r.try())
	}
	require.Equal(t, path, job.Path)
	for attempt, wait := range []time.Duration{10 * time.Second, 20 * time.Second} {
		assert.Equal(t, attempt+1, job.Attempt)
		require.NoError(t, job.Retry("disk_full", unix.ENOSPC, false))
		r.pass(wait - time.Millisecond)
		assert.Nil(t, r.try(), "too early")
		assert.Zero(t, r.w.QueueLength())
		r.pass(time.Millisecond)
		assert.Equal(t, 1, r.w.QueueLength())
		job = r.try()
		require.NotNil(t, job)
	}
	require.NoError(t, job.Retry("disk_full", unix.ENOSPC, false))
	r.pass(time.Hour)
	assert.Nil(t, r.try(), "given up")

	r.restart()
	job = r.take()
	assert.Equal(t, 1, job.Attempt, "a restart gives it another chance, since the cause may have passed")
	require.NoError(t, job.Retry("disk_full", unix.ENOSPC, false))
	r.restart()
	assert.Equal(t, 2, r.take().Attempt, "attempts count across restarts")
}

// TestRetryKeepsTempFiles checks that an earlier attempt's temporary files are kept as long as the file is tried again.
func TestRetryKeepsTempFiles(t *testing.T) {
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

// TestRecordProgress checks that only attempts that get no further count, so that a video that always fails at the same
// place is not retried forever.
func TestRecordProgress(t *testing.T) {
	r := newRig(t)
	r.drop("walk.mkv", "a video")
	for _, tt := range []struct {
		frames  int64
		attempt int // after recording the frames
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

func TestPermanentFailure(t *testing.T) {
	tests := map[string]struct {
		change func(t *testing.T, path string)
		again  bool
	}{
		"nothing": {change: func(*testing.T, string) {}},
		"touched": {
			again: true,
			change: func(t *testing.T, path string) {
				require.NoError(t, os.Chtimes(path, time.Time{}, time.Unix(1, 0)))
			},
		},
		"chmod": {
			again: true, change: func(t *testing.T, path string) { require.NoError(t, os.Chmod(path, 0o600)) },
		},
		"rewrite":  {again: true, change: func(t *testing.T, path string) { write(t, path, "a better one") }},
		"vanished": {change: func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			path := r.drop("walk.mkv", "no video")
			job := r.take()
			write(t, job.Temp, "half")
			require.NoError(t, job.Fail("not_video", os.ErrInvalid))
			require.NoError(t, job.Retry("not_video", os.ErrInvalid, false), "ended jobs stay ended")
			job.Abandon()
			r.idle()
			assert.Empty(t, tree(t, r.out))
			r.restart()
			r.idle()
			test.change(t, path)
			if test.again {
				assert.Equal(t, 1, r.take().Attempt)
			} else {
				r.idle()
			}
		})
	}
}

func TestAbandon(t *testing.T) {
	r := newRig(t)
	r.drop("walk.mkv", "a")
	job := r.take()
	write(t, job.Temp, "half")
	job.Abandon()
	assert.Empty(t, tree(t, r.out))
	r.restart()
	job = r.take()
	assert.Equal(t, 1, job.Attempt)
	r.complete(job)
	r.idle()
}

// TestSuspend releases a video, and checks that its temporary files are kept until no attempt can resume from them.
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

// TestPostpone makes a file wait for a minute, which does not count as an attempt.
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

// TestAwait makes a file wait for something that all files need: the waits grow until it gets further, and no attempt
// counts.
func TestAwait(t *testing.T) {
	r := newRig(t)
	_, job := r.begin("walk.mkv")
	for i := range 2 * r.w.opts.Retry.MaxAttempts {
		wait := backoff(r.w.opts.Retry, i+1)
		job.Await(true)
		r.pass(wait - time.Millisecond)
		require.Nil(t, r.try())
		r.pass(time.Millisecond)
		job = r.try()
		require.NotNil(t, job)
		require.Equal(t, 1, job.Attempt)
		require.True(t, job.Resumable())
	}
	require.NoError(t, job.RecordProgress(10))
	job.Await(false)
	r.pass(backoff(r.w.opts.Retry, 1))
	job = r.try()
	require.NotNil(t, job, "it got further")
	assert.False(t, job.Resumable())
	assert.Equal(t, 1, job.Attempt)
}
