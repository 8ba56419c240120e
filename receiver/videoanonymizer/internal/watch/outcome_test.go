// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOnSuccess(t *testing.T) {
	elsewhere := quickDir(t)
	tests := map[string]struct {
		onSuccess OnSuccess
		moveTo    string
		prepare   func(t *testing.T, r *rig)
		before    func(t *testing.T, path string) // called before Done
		left      []string                        // in the watched folder
		moved     map[string]string
		kept      bool // KeepSource
	}{
		"keep by name": {onSuccess: OnSuccessDelete, kept: true, left: []string{"a/walk.mkv"}},
		"keep":         {onSuccess: OnSuccessKeep, left: []string{"a/walk.mkv"}},
		"delete":       {onSuccess: OnSuccessDelete, left: nil},
		"delete, replaced": {
			onSuccess: OnSuccessDelete, left: []string{"a/walk.mkv"},
			before: func(t *testing.T, path string) {
				write(t, path+".part", "another video")
				require.NoError(t, os.Rename(path+".part", path))
			},
		},
		"delete, vanished": {
			onSuccess: OnSuccessDelete, before: func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) },
		},
		"move": {onSuccess: OnSuccessMove, moved: map[string]string{"a/walk.mkv": "a video"}},
		"move, name taken": {
			onSuccess: OnSuccessMove,
			prepare: func(t *testing.T, r *rig) {
				write(t, r.opts.MoveTo+"/a/walk.mkv", "an older one")
			},
			moved: map[string]string{"a/walk.mkv": "an older one", "a/walk-2.mkv": "a video"},
		},
		"move, replaced": {
			onSuccess: OnSuccessMove, left: []string{"a/walk.mkv"},
			before: func(t *testing.T, path string) { write(t, path, "another video") },
		},
		"move within": {
			onSuccess: OnSuccessMove, moveTo: "inside", left: []string{"inside/a/walk.mkv"},
			moved: map[string]string{"a/walk.mkv": "a video"},
		},
		"move to another file system": {
			onSuccess: OnSuccessMove, moveTo: elsewhere + "/done", moved: map[string]string{"a/walk.mkv": "a video"},
		},
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
			if test.kept {
				job.KeepSource()
			}
			require.NoError(t, job.Publish())
			if test.before != nil {
				test.before(t, path)
			}
			require.NoError(t, job.Done())
			r.dispose()
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

// TestSameContentAfterMove brings back a source that was moved away when it was done: under its old name, it is done;
// under another name, it is another video.
func TestSameContentAfterMove(t *testing.T) {
	r := newRig(t, func(r *rig) { r.opts.OnSuccess, r.opts.MoveTo = OnSuccessMove, r.in+"-done" })
	at := time.Unix(1_700_000_000, 0)
	path := r.drop("walk.mkv", "a video")
	require.NoError(t, os.Chtimes(path, at, at))
	r.finish(path)
	r.dispose()
	path = r.drop("run.mkv", "a video")
	require.NoError(t, os.Chtimes(path, at, at))
	r.finish(path)
	r.dispose()
	path = r.drop("walk.mkv", "a video")
	require.NoError(t, os.Chtimes(path, at, at))
	r.idle()
}

func TestQuarantine(t *testing.T) {
	r := newRig(t, func(r *rig) { r.opts.QuarantineDirectory = r.in + "/failed" })
	path := r.drop("a/walk.mkv", "no video")
	job := r.take()
	require.NoError(t, job.Retry("not_video", os.ErrInvalid, false))
	assert.FileExists(t, path, "it is tried again")
	r.pass(10 * time.Second)
	require.NoError(t, r.try().Fail("not_video", os.ErrInvalid))
	r.dispose()
	assert.Equal(t, []string{"failed/a/walk.mkv", "failed/a/walk.mkv.reason.json"}, tree(t, r.in))
	reason := read(t, r.in+"/failed/a/walk.mkv.reason.json")
	for _, part := range []string{
		`"source": "` + path, `"reason": "not_video"`, `"error": "invalid argument"`, `"attempts": 2`, `"size": 8`,
	} {
		assert.Contains(t, reason, part)
	}
	assert.NotContains(t, reason, `"failed": "0001`)
	r.idle()
	require.NoError(t, os.Rename(r.in+"/failed/a/walk.mkv", path))
	assert.Equal(t, path, r.take().Path, "a person put it back")
}

// TestQuarantineReasonNeverOverwritten takes the name of a reason: with someone's own file, and with the same reason,
// written before a crash.
func TestQuarantineReasonNeverOverwritten(t *testing.T) {
	r := newRig(t, func(r *rig) { r.opts.QuarantineDirectory = r.in + "/failed" })
	write(t, r.in+"/failed/walk.mkv"+ReasonSuffix, "my notes")
	r.drop("walk.mkv", "no video")
	require.NoError(t, r.take().Fail("not_video", os.ErrInvalid))
	r.dispose()
	assert.Equal(t, []string{
		"failed/walk-2.mkv", "failed/walk-2.mkv.reason.json", "failed/walk.mkv.reason.json",
	}, tree(t, r.in))
	assert.Equal(t, "my notes", read(t, r.in+"/failed/walk.mkv"+ReasonSuffix))

	path := r.drop("run.mkv", "no video either")
	job := r.take()
	job.entry.State, job.entry.Reason, job.entry.Action = stateFailed, "not_video", actionQuarantine
	require.NoError(t, r.w.journal.put(job.entry))
	recorded, _ := r.w.journal.source(path)
	require.NoError(t, writeReason(r.in+"/failed/run.mkv", recorded, 0o600))
	assert.FileExists(t, path)
	r.crash()
	r.start()
	r.idle()
	r.dispose()
	assert.Equal(t, []string{
		"failed/run.mkv", "failed/run.mkv.reason.json",
		"failed/walk-2.mkv", "failed/walk-2.mkv.reason.json", "failed/walk.mkv.reason.json",
	}, tree(t, r.in))
}
