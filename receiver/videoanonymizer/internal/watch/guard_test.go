// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"
)

// TestStateRemovedWhileInUse removes folders and files of a running watcher, and checks that it notices, reports that
// once, and remembers across a restart what is done.
func TestStateRemovedWhileInUse(t *testing.T) {
	state := func(r *rig) string { return filepath.Join(r.out, StateDirectoryName) }
	tests := map[string]func(t *testing.T, r *rig){
		"output directory": func(t *testing.T, r *rig) { require.NoError(t, os.RemoveAll(r.out)) },
		"output directory, made again": func(t *testing.T, r *rig) {
			require.NoError(t, os.RemoveAll(r.out))
			require.NoError(t, os.Mkdir(r.out, 0o755))
		},
		"output directory, renamed": func(t *testing.T, r *rig) { require.NoError(t, os.Rename(r.out, r.out+"-old")) },
		"state directory":           func(t *testing.T, r *rig) { require.NoError(t, os.RemoveAll(state(r))) },
		"journal": func(t *testing.T, r *rig) {
			require.NoError(t, os.Remove(filepath.Join(state(r), journalName)))
		},
		"lock": func(t *testing.T, r *rig) { require.NoError(t, os.Remove(filepath.Join(state(r), lockName))) },
	}
	for name, remove := range tests {
		for _, job := range []string{"idle", "before a claim", "in mid-video", "published"} {
			t.Run(name+", "+job, func(t *testing.T) {
				var logs *observer.ObservedLogs
				var reported []error
				r := newRig(t, logged(&logs), func(r *rig) {
					r.opts.ReportStatus = func(err error) { reported = append(reported, err) }
				})
				r.finish(r.drop("done.mkv", "done"))
				path := filepath.Join(r.in, "walk.mkv")
				switch job {
				case "idle":
					remove(t, r)
					r.w.poll()
					r.pass(restoreAfter)
					r.drop("walk.mkv", "a video")
					r.finish(path)
				case "before a claim":
					r.drop("walk.mkv", "a video")
					r.settle()
					remove(t, r)
					r.w.poll()
					require.Nil(t, r.try(), "nothing is started that would be forgotten")
					r.pass(restoreAfter)
					r.finish(path)
				case "in mid-video":
					r.drop("walk.mkv", "a video")
					j := r.take()
					write(t, j.Temp, "half")
					remove(t, r)
					r.w.poll()
					r.pass(restoreAfter)
					require.NoError(t, os.MkdirAll(r.out, 0o755))
					r.complete(j)
				case "published":
					r.drop("walk.mkv", "a video")
					j := r.take()
					write(t, j.Temp, "masked")
					require.NoError(t, j.Publish())
					remove(t, r)
					_ = j.Done() // it fails if the output is gone
					r.w.poll()
					r.pass(restoreAfter)
				}
				r.idle()
				r.idle()
				assert.NotZero(t, logs.FilterLevelExact(zap.ErrorLevel).Len())
				assert.LessOrEqual(t, logs.FilterLevelExact(zap.ErrorLevel).Len(), 2)
				require.Len(t, reported, logs.FilterLevelExact(zap.ErrorLevel).Len()+1)
				require.Error(t, reported[0])
				require.NoError(t, reported[len(reported)-1])
				second, err := New(r.opts)
				require.NoError(t, err)
				require.ErrorContains(t, second.open(), "in use by process", "the new directory is locked, too")
				r.crash()
				r.start()
				_, known := r.w.journal.source(filepath.Join(r.in, "done.mkv"))
				require.True(t, known)
				if job != "published" {
					r.idle()
				}
			})
		}
	}
}

// TestStateRemovedBeforeStop checks that the journal is written again when polling has ended.
func TestStateRemovedBeforeStop(t *testing.T) {
	r := newRig(t)
	r.finish(r.drop("walk.mkv", "a video"))
	require.NoError(t, os.RemoveAll(r.out))
	require.NoError(t, r.w.Stop(context.Background()))
	require.NoError(t, os.RemoveAll(r.out+"-other"))
	r.start()
	r.idle()
}

// TestStateLostForGood checks that no video is started while the state directory cannot be created again, that the log
// says why once, and that processing continues as soon as it can.
func TestStateLostForGood(t *testing.T) {
	tests := map[string]struct {
		lose  func(t *testing.T, r *rig) (restore func())
		error string
	}{
		"another file has its name": {
			error: "not a directory",
			lose: func(t *testing.T, r *rig) func() {
				state := filepath.Join(r.out, StateDirectoryName)
				require.NoError(t, os.RemoveAll(state))
				write(t, state, "")
				return func() { require.NoError(t, os.Remove(state)) }
			},
		},
		"another journal took its place": {
			error: "replaced while it was in use",
			lose: func(t *testing.T, r *rig) func() {
				journal := r.w.journal.path
				require.NoError(t, os.Rename(journal, journal+".old"))
				write(t, journal, "{}\n")
				return func() { require.NoError(t, os.Rename(journal+".old", journal)) }
			},
		},
		"another process took its place": {
			error: "in use by process",
			lose: func(t *testing.T, r *rig) func() {
				lock := r.w.journal.lockPath()
				require.NoError(t, os.Remove(lock))
				other, err := lockFile(lock)
				require.NoError(t, err)
				_, err = other.WriteAt([]byte("another collector\n"), 0)
				require.NoError(t, err)
				return func() { other.Close() }
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var logs *observer.ObservedLogs
			r := newRig(t, logged(&logs))
			r.finish(r.drop("done.mkv", "done"))
			path := r.drop("walk.mkv", "a video")
			restore := test.lose(t, r)
			for range 5 {
				r.idle()
				r.pass(time.Minute)
			}
			errs := logs.FilterLevelExact(zap.ErrorLevel).All()
			require.LessOrEqual(t, len(errs), 2, "once each")
			assert.Contains(t, errs[len(errs)-1].ContextMap()["error"], test.error)
			restore()
			r.finish(path)
			r.restart()
			r.idle()
		})
	}
}

// TestOutputDiskUnmounted checks that no video is started if the output's disk is gone, since it would fill the disk
// below.
func TestOutputDiskUnmounted(t *testing.T) {
	for _, below := range []string{"", "/out"} {
		t.Run("mounted on it"+below, func(t *testing.T) {
			disk, state := t.TempDir(), t.TempDir()
			mount := func() error { return unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1M") }
			if err := mount(); err != nil {
				t.Skip("only root can mount a file system: ", err)
			}
			t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
			var logs *observer.ObservedLogs
			r := newRig(t, logged(&logs), func(r *rig) {
				r.out = disk + below
				r.opts.OutputDirectory, r.opts.StateDirectory = r.out, state
			})
			r.finish(r.drop("done.mkv", "done"))
			require.NoError(t, unix.Unmount(disk, unix.MNT_DETACH))
			path := r.drop("walk.mkv", "a video")
			for range 3 {
				r.idle()
			}
			assert.Empty(t, tree(t, disk))
			errs := logs.FilterLevelExact(zap.ErrorLevel).All()
			assert.LessOrEqual(t, len(errs), 2)
			assert.Contains(t, errs[len(errs)-1].ContextMap()["error"], "no longer mounted")
			require.NoError(t, mount())
			require.NoError(t, os.MkdirAll(r.out, 0o755))
			r.finish(path)
		})
	}
}

// TestSourceStaysWhereOutputDirectoryIsRemoved removes the only output before its source is deleted.
func TestSourceStaysWhereOutputDirectoryIsRemoved(t *testing.T) {
	for _, polled := range []bool{false, true} {
		r := newRig(t, func(r *rig) { r.opts.OnSuccess = OnSuccessDelete })
		path := r.drop("a/walk.mkv", "a video")
		r.finish(path)
		require.NoError(t, os.RemoveAll(r.out))
		if polled {
			r.w.poll()
		} else {
			r.clock = r.clock.Add(time.Hour)
			r.w.disposal.runDue(t.Context())
		}
		r.dispose()
		require.Equal(t, "a video", read(t, path))
		r.restart()
		r.dispose()
		require.Equal(t, "a video", read(t, path))
	}
}
