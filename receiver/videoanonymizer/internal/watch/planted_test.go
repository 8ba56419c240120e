// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// plants are what someone who can write to a folder may put in place of one of our files, so that the victim is
// overwritten or the collector blocks.
var plants = map[string]func(victim, at string) error{
	"symbolic link": os.Symlink,
	"hard link":     os.Link,
	"FIFO":          func(_, at string) error { return unix.Mkfifo(at, 0o666) },
}

// TestPlantedFiles plants something in place of each file whose name can be predicted, and checks that the victim is
// left alone. If a file cannot do without its name, the watcher does not start.
func TestPlantedFiles(t *testing.T) {
	for kind, plant := range plants {
		t.Run(kind, func(t *testing.T) {
			victim := filepath.Join(t.TempDir(), "victim")
			write(t, victim, "precious")
			plantAt := func(path string) {
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
				require.NoError(t, plant(victim, path))
			}
			for _, name := range []string{lockName, journalName} {
				if kind == "hard link" {
					continue // the journal is only read, and the lock is not written to
				}
				root := t.TempDir()
				state := filepath.Join(root, "out", StateDirectoryName)
				plantAt(filepath.Join(state, name))
				w, err := New(testOptions(root, filepath.Join(root, "out")))
				require.NoError(t, err)
				require.ErrorContains(t, w.Start(), name)
				require.NoError(t, w.Stop(t.Context()))
			}

			r := newRig(t, func(r *rig) {
				r.opts.QuarantineDirectory = filepath.Join(filepath.Dir(r.out), "failed")
				plantAt(filepath.Join(r.out, StateDirectoryName, journalName+".new"))
				if kind == "hard link" { // as backups make them
					plantAt(filepath.Join(r.out, StateDirectoryName, lockName))
				}
			})
			source := r.drop("walk.mkv", "no video")
			job := r.take()
			why := filepath.Join(r.opts.QuarantineDirectory, "walk.mkv"+ReasonSuffix)
			plantAt(asidePath(why, job.entry.Stamp) + ReasonSuffix)
			require.NoError(t, job.Fail("not_video", os.ErrInvalid))
			r.dispose()
			assert.NoFileExists(t, source)
			assert.Contains(t, read(t, why), "not_video")
			assert.Equal(t, "precious", read(t, victim))
		})
	}
}

// TestFileModes checks who may read files that name people or videos: only the owner, except for outputs and the files
// next to them, which have FileMode.
func TestFileModes(t *testing.T) {
	mode := func(path string) os.FileMode {
		info, err := os.Stat(path)
		require.NoError(t, err)
		return info.Mode().Perm()
	}
	defer unix.Umask(unix.Umask(0o022))
	for want, configured := range map[os.FileMode]os.FileMode{0o600: 0, 0o664: 0o664} {
		r := newRig(t, func(r *rig) {
			r.opts.FileMode = configured
			r.opts.QuarantineDirectory = filepath.Join(filepath.Dir(r.out), "failed")
		})
		r.drop("walk.mkv", "video")
		job := r.take()
		for _, temp := range []string{job.Temp, job.Temp + ".report"} {
			require.NoError(t, os.WriteFile(temp, []byte("made"), 0o600))
		}
		report := job.Output + ".report.json"
		require.NoError(t, job.Publish(Companion{Temp: job.Temp + ".report", Path: report}))
		require.NoError(t, job.Done())
		r.drop("run.mkv", "no video")
		require.NoError(t, r.take().Fail("not_video", os.ErrInvalid))
		r.dispose()
		assert.Equal(t, want, mode(job.Output))
		assert.Equal(t, want, mode(report))
		assert.Equal(t, want, mode(filepath.Join(r.opts.QuarantineDirectory, "run.mkv"+ReasonSuffix)))
		for _, name := range []string{journalName, lockName} {
			assert.Equal(t, os.FileMode(0o600), mode(filepath.Join(r.out, StateDirectoryName, name)))
		}
	}
}
