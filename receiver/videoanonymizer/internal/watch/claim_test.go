// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestClaimFileChangedSinceScan(t *testing.T) {
	r := newRig(t)
	path := r.drop("walk.mkv", "a")
	r.settle()
	write(t, path, "abc")
	assert.Nil(t, r.try())
	assert.EqualValues(t, 3, r.take().Size)
}

func TestClaimWaitsForWriter(t *testing.T) {
	r := newRig(t)
	path := r.drop("walk.mkv", "a")
	writer, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	defer writer.Close()
	probe, err := os.Open(path)
	require.NoError(t, err)
	defer probe.Close()
	if leaseSays(probe) != isWriting {
		t.Skip("this file system does not support leases")
	}
	r.settle()
	assert.Nil(t, r.try(), "somebody has it open for writing")
	require.NoError(t, writer.Close())
	assert.Equal(t, path, r.take().Path)
}

// TestClaimFileReplacedByFIFO replaces a ready file with a named pipe, which would block whoever opens it.
func TestClaimFileReplacedByFIFO(t *testing.T) {
	r := newRig(t)
	path := r.drop("walk.mkv", "a")
	r.settle()
	require.NoError(t, os.Remove(path))
	require.NoError(t, unix.Mkfifo(path, 0o644))
	assert.Nil(t, r.try())
	r.idle()
}

// TestClaimUnreadableFile checks that it is left to the job's owner to report that a file cannot be read.
func TestClaimUnreadableFile(t *testing.T) {
	r := newRig(t)
	path := r.drop("walk.mkv", "a")
	require.NoError(t, os.Chmod(path, 0))
	r.settle()
	asNobody(t, func() {
		_, err := os.Open(path)
		require.ErrorIs(t, err, os.ErrPermission)
		f, _, err := r.w.queue.tryNext()
		require.NoError(t, err)
		require.NotNil(t, f)
		seen, ok := r.w.inspect(f)
		assert.Empty(t, seen)
		assert.True(t, ok)
		r.w.requeue(f, 0)
	})
	job := r.try()
	require.NotNil(t, job)
	require.NoError(t, job.Fail("unreadable", os.ErrPermission))
	r.idle()
	require.NoError(t, os.Chmod(path, 0o644))
	r.finish(path)
}

// asNobody calls call with the file permissions of an unprivileged user. They are per thread, so it locks the thread.
func asNobody(t *testing.T, call func()) {
	if os.Geteuid() != 0 {
		call()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const nobody = 65534
	require.NoError(t, unix.Setfsuid(nobody))
	defer func() { _, _ = unix.SetfsuidRetUid(0) }()
	call()
}

// TestDoneFilesStayDone changes a finished video, or the files around it, and checks whether it is processed again.
func TestDoneFilesStayDone(t *testing.T) {
	touch := func(t *testing.T, path string) {
		at := time.Now().Add(time.Hour)
		require.NoError(t, os.Chtimes(path, at, at))
	}
	tests := map[string]struct {
		change func(t *testing.T, r *rig, path, output string)
		again  string // the file that is claimed, if any
	}{
		"nothing": {change: func(*testing.T, *rig, string, string) {}},
		"output moved away": {
			change: func(t *testing.T, _ *rig, _, output string) { require.NoError(t, os.Remove(output)) },
		},
		"touched": {change: func(t *testing.T, _ *rig, path, _ string) { touch(t, path) }},
		"chmod": {
			change: func(t *testing.T, _ *rig, path, _ string) { require.NoError(t, os.Chmod(path, 0o600)) },
		},
		"renamed": {
			change: func(t *testing.T, r *rig, path, _ string) { require.NoError(t, os.Rename(path, r.in+"/run.mkv")) },
		},
		"output renamed there": {
			change: func(t *testing.T, r *rig, _, output string) {
				require.NoError(t, os.Rename(output, r.in+"/out.mkv"))
			},
		},
		"output copied there": {
			change: func(t *testing.T, r *rig, _, output string) { write(t, r.in+"/out.mkv", read(t, output)) },
		},
		"output linked there": {
			change: func(t *testing.T, r *rig, _, output string) {
				require.NoError(t, os.Link(output, r.in+"/out.mkv"))
			},
		},
		"restored": {change: func(t *testing.T, _ *rig, path, _ string) {
			info, err := os.Stat(path)
			require.NoError(t, err)
			text := read(t, path)
			write(t, path+".new", text)
			require.NoError(t, os.Chtimes(path+".new", info.ModTime(), info.ModTime()))
			require.NoError(t, os.Rename(path+".new", path))
		}},
		"touched, output gone": {again: "walk.mkv", change: func(t *testing.T, _ *rig, path, output string) {
			touch(t, path)
			require.NoError(t, os.Remove(output))
		}},
		"other content": {
			again: "walk.mkv", change: func(t *testing.T, _ *rig, path, _ string) { write(t, path, "another video") },
		},
		"other content, same size and time": {again: "walk.mkv", change: func(t *testing.T, _ *rig, path, _ string) {
			info, err := os.Stat(path)
			require.NoError(t, err)
			write(t, path, strings.ToUpper(read(t, path)))
			require.NoError(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
		}},
		"copied": {
			again:  "run.mkv",
			change: func(t *testing.T, r *rig, path, _ string) { write(t, r.in+"/run.mkv", read(t, path)) },
		},
		"hard linked": {
			again:  "run.mkv",
			change: func(t *testing.T, r *rig, path, _ string) { require.NoError(t, os.Link(path, r.in+"/run.mkv")) },
		},
	}
	for name, test := range tests {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/restart=%t", name, restart), func(t *testing.T) {
				r := newRig(t)
				path := r.drop("walk.mkv", "a video")
				job := r.finish(path)
				if restart {
					require.NoError(t, r.w.Stop(t.Context()))
				}
				test.change(t, r, path, job.Output)
				if restart {
					r.start()
				}
				if test.again != "" {
					r.finish(filepath.Join(r.in, test.again))
				}
				r.idle()
				r.restart()
				r.idle()
			})
		}
	}
}

// TestPicturesAreComparedWhole overwrites a picture, and its output, with one that differs in a single byte, far from
// any sample of the content: pictures may be uncompressed, and mostly black.
func TestPicturesAreComparedWhole(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.opts.Config.Pictures = true
		r.opts.OutputName = func(rel string) string { return "masked-" + rel }
	})
	black := make([]byte, 8*digestBlock)
	other := bytes.Clone(black)
	other[3*digestBlock/2] = 1
	path := r.drop("latest.TIF", string(black))
	job := r.take()
	write(t, job.Temp, string(black))
	require.NoError(t, job.Publish())
	require.NoError(t, job.Done())
	output, err := Describe(job.Output)
	require.NoError(t, err)
	require.NoError(t, output.Intact())

	write(t, job.Output, string(other))
	require.ErrorIs(t, output.Intact(), ErrChanged)
	at := time.Now().Add(-time.Hour)
	write(t, path, string(other))
	require.NoError(t, os.Chtimes(path, at, at))
	again := r.take()
	assert.Equal(t, path, again.Path)
	write(t, path, string(black))
	require.NoError(t, os.Chtimes(path, at, at))
	assert.ErrorIs(t, again.Unchanged(), ErrChanged, "its time was set back")
}
