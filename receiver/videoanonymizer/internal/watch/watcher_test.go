// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sys/unix"
)

func TestIgnoredFiles(t *testing.T) {
	outside := t.TempDir()
	write(t, filepath.Join(outside, "secret.mkv"), "secret")
	tests := map[string]func(t *testing.T, in string){
		"hidden file":    func(t *testing.T, in string) { write(t, in+"/.walk.mkv", "a") },
		"hidden folder":  func(t *testing.T, in string) { write(t, in+"/.trash/walk.mkv", "a") },
		"part":           func(t *testing.T, in string) { write(t, in+"/walk.mkv.part", "a") },
		"capital suffix": func(t *testing.T, in string) { write(t, in+"/walk.mkv.TMP", "a") },
		"chrome":         func(t *testing.T, in string) { write(t, in+"/walk.mkv.crdownload", "a") },
		"back-up":        func(t *testing.T, in string) { write(t, in+"/walk.mkv~", "a") },
		"firefox": func(t *testing.T, in string) {
			write(t, in+"/walk.mkv", "")
			write(t, in+"/walk.mkv.part", "a")
		},
		"aria2": func(t *testing.T, in string) {
			write(t, in+"/walk.mkv", "aaaa")
			write(t, in+"/walk.mkv.aria2", "a")
		},
		"file manager": func(t *testing.T, in string) { write(t, in+"/Thumbs.db", "a") },
		"folder":       func(t *testing.T, in string) { require.NoError(t, os.Mkdir(in+"/walk.mkv", 0o755)) },
		"named pipe":   func(t *testing.T, in string) { require.NoError(t, unix.Mkfifo(in+"/walk.mkv", 0o644)) },
		"link to a file": func(t *testing.T, in string) {
			require.NoError(t, os.Symlink(outside+"/secret.mkv", in+"/walk.mkv"))
		},
		"link to folder":  func(t *testing.T, in string) { require.NoError(t, os.Symlink(outside, in+"/more")) },
		"link to itself":  func(t *testing.T, in string) { require.NoError(t, os.Symlink("walk.mkv", in+"/walk.mkv")) },
		"loop of folders": func(t *testing.T, in string) { require.NoError(t, os.Symlink(in, in+"/again")) },
		"dangling link":   func(t *testing.T, in string) { require.NoError(t, os.Symlink("nowhere", in+"/walk.mkv")) },
		"socket": func(t *testing.T, in string) {
			t.Chdir(in) // the path of a socket has to be short
			listener, err := net.Listen("unix", "walk.mkv")
			require.NoError(t, err)
			t.Cleanup(func() { listener.Close() })
		},
	}
	for name, put := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			put(t, r.in)
			r.idle()
			r.idle()
			path := r.drop("good.mkv", "good")
			assert.Equal(t, path, r.take().Path, "the others are processed")
		})
	}
}

func TestNestedFolders(t *testing.T) {
	tests := map[string]struct {
		include, output string // below the root
		name            func(rel string) string
		input           string
	}{
		"apart":               {include: "in/*", output: "out", input: "in/walk.mkv"},
		"output in input":     {include: "in/**", output: "in/out", input: "in/walk.mkv"},
		"output in a subtree": {include: "in/**/*", output: "in/a/out", input: "in/a/walk.mkv"},
		"input in output":     {include: "out/in/**", output: "out", input: "out/in/walk.mkv"},
		"the same":            {include: "in/*", output: "in", input: "in/walk.mkv"},
		"the same, deep":      {include: "in/**", output: "in", input: "in/a/walk.mkv"},
		"the same by a link":  {include: "in/**", output: "link", input: "in/walk.mkv"},
		"the same name wanted": {
			include: "in/*", output: "in", input: "in/walk.mkv", name: func(rel string) string { return rel },
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var root string
			r := newRig(t, func(r *rig) {
				root = filepath.Dir(r.in)
				require.NoError(t, os.Symlink(r.in, root+"/link"))
				r.opts.Config.Include = []string{filepath.Join(root, test.include)}
				r.opts.OutputDirectory = filepath.Join(root, test.output)
				if test.name != nil {
					r.opts.OutputName = test.name
				}
			})
			path := filepath.Join(root, test.input)
			write(t, path, "a video")
			job := r.take()
			require.Equal(t, path, job.Path)
			write(t, job.Temp, "masked")
			r.idle() // the temporary file
			require.NoError(t, job.Publish())
			r.idle() // published, but not yet recorded as done
			require.NoError(t, job.Done())
			r.idle()
			assert.Equal(t, "a video", read(t, path))
			assert.Equal(t, "masked", read(t, job.Output))

			r.restart()
			r.idle()
			require.NoError(t, os.Rename(job.Output, filepath.Join(filepath.Dir(path), "shown.mkv")))
			r.idle()
			r.restart()
			r.idle()
			write(t, job.Output, "edited by a person")
			if filepath.Dir(job.Output) == filepath.Dir(path) {
				r.idle()
			}
		})
	}
}

// TestOutputFolderNotScanned checks that outputs that the journal does not know are ignored, such as those from before
// it was lost.
func TestOutputFolderNotScanned(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.out = r.in + "/out"
		r.opts.OutputDirectory = r.out
	})
	write(t, r.out+"/a/older_anonymized.mkv", "masked")
	r.idle()
}

func TestMissingWatchedFolder(t *testing.T) {
	r := newRig(t, func(r *rig) { require.NoError(t, os.Remove(r.in)) })
	r.idle()
	path := r.drop("walk.mkv", "a") // creates the folder
	r.finish(path)
	require.NoError(t, os.RemoveAll(r.in))
	r.idle()
	path = r.drop("run.mkv", "b")
	r.finish(path)
}

func TestCreateMissingRoot(t *testing.T) {
	t.Chdir(t.TempDir())
	outside := filepath.Join(t.TempDir(), "mount", "in")
	w, err := New(Options{
		Config: Config{
			Include: []string{"videos/incoming/*", "one/walk.mkv", outside + "/*"}, PollInterval: time.Second,
		},
		OutputDirectory: "videos/anonymized",
		OutputName:      func(rel string) string { return rel },
		Logger:          zaptest.NewLogger(t),
	})
	require.NoError(t, err)
	require.NoError(t, w.Start())
	defer func() { assert.NoError(t, w.Stop(context.Background())) }()
	assert.DirExists(t, "videos/incoming")
	assert.NoDirExists(t, "one")
	assert.NoDirExists(t, outside)
}

// TestConcurrentJobs runs everything for real: polling, inotify, and several workers.
func TestConcurrentJobs(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	opts := testOptions(in, out)
	opts.Config.PollInterval, opts.Config.StableFor = 20*time.Millisecond, 30*time.Millisecond
	w, err := New(opts)
	require.NoError(t, err)
	require.NoError(t, w.Start())
	const files = 60
	var mu sync.Mutex
	times := map[string]int{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var owners sync.WaitGroup
	for range 4 {
		owners.Go(func() {
			for {
				job, err := w.Next(ctx)
				if err != nil {
					assert.ErrorIs(t, err, context.Canceled)
					return
				}
				assert.NoError(t, os.WriteFile(job.Temp, []byte("masked "+job.Path), 0o644))
				assert.NoError(t, job.Publish())
				assert.NoError(t, job.Done())
				mu.Lock()
				times[string(job.entry.Rel)]++
				if len(times) == files {
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	for i := range files {
		write(t, filepath.Join(in, fmt.Sprintf("%d/%d.mkv", i%3, i)), fmt.Sprint(i))
		w.QueueLength()
	}
	owners.Wait()
	require.NoError(t, w.Stop(context.Background()))
	assert.Len(t, times, files)
	for name, n := range times {
		assert.Equal(t, 1, n, name)
	}
	assert.Len(t, tree(t, out), files)
}

// TestInotifyWakesPoll finds a file long before the poll interval ends.
func TestInotifyWakesPoll(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	opts := testOptions(in, out)
	opts.Config.PollInterval, opts.Config.StableFor = time.Hour, 10*time.Millisecond
	opts.Retry.InitialInterval = 20 * time.Millisecond
	w, err := New(opts)
	require.NoError(t, err)
	require.NoError(t, w.Start())
	if w.folders.inotify == nil {
		t.Skip("inotify is not available")
	}
	watched := func() bool { return w.folders.inotify.watched() > 0 }
	require.Eventually(t, watched, 10*time.Second, time.Millisecond)
	write(t, filepath.Join(in, "walk.mkv"), "a")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	job, err := w.Next(ctx)
	require.NoError(t, err)
	require.NoError(t, job.Retry("disk_full", unix.ENOSPC, false))
	job, err = w.Next(ctx) // does not wait for the poll interval either
	require.NoError(t, err)
	assert.Equal(t, 2, job.Attempt)
	job.Abandon()
	require.NoError(t, w.Stop(ctx))
}

func TestStop(t *testing.T) {
	start := func(t *testing.T) (*Watcher, string) {
		in := t.TempDir()
		opts := testOptions(in, t.TempDir())
		opts.Config.PollInterval, opts.Config.StableFor = 10*time.Millisecond, 0
		w, err := New(opts)
		require.NoError(t, err)
		require.NoError(t, w.Start())
		return w, in
	}
	t.Run("without start, twice", func(t *testing.T) {
		w, err := New(testOptions("in", "out"))
		require.NoError(t, err)
		require.NoError(t, w.Stop(t.Context()))
		require.NoError(t, w.Stop(t.Context()))
		require.ErrorIs(t, w.Start(), ErrStopped)
	})
	t.Run("ends Next", func(t *testing.T) {
		w, _ := start(t)
		ended := make(chan error)
		go func() {
			_, err := w.Next(context.Background())
			ended <- err
		}()
		require.NoError(t, w.Stop(t.Context()))
		require.ErrorIs(t, <-ended, ErrStopped)
		require.NoError(t, w.Stop(t.Context()))
	})
	t.Run("waits for jobs", func(t *testing.T) {
		w, in := start(t)
		write(t, filepath.Join(in, "walk.mkv"), "a")
		job, err := w.Next(t.Context())
		require.NoError(t, err)
		stopped := make(chan error)
		go func() { stopped <- w.Stop(context.Background()) }()
		_, err = w.Next(t.Context())
		for err == nil || !assert.ErrorIs(t, err, ErrStopped) {
			_, err = w.Next(t.Context())
		}
		require.NoError(t, os.WriteFile(job.Temp, []byte("masked"), 0o644))
		require.NoError(t, job.Publish())
		require.NoError(t, job.Done())
		require.NoError(t, <-stopped)
	})
	t.Run("gives up jobs", func(t *testing.T) {
		w, in := start(t)
		write(t, filepath.Join(in, "walk.mkv"), "a")
		job, err := w.Next(t.Context())
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, w.Stop(ctx), context.Canceled)
		require.NoError(t, os.WriteFile(job.Temp, []byte("half"), 0o644)) // its owner has not noticed
		require.NoError(t, job.Done(), "too late to have an effect")
		assert.ErrorIs(t, job.Publish(), ErrStopped)

		next, err := New(w.opts)
		require.NoError(t, err)
		require.NoError(t, next.Start())
		again, err := next.Next(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 1, again.Attempt)
		assert.True(t, again.Resumable())
		again.Abandon()
		assert.NoFileExists(t, job.Temp)
		require.NoError(t, next.Stop(t.Context()))
	})
}

func TestStateDirectoryLocked(t *testing.T) {
	r := newRig(t)
	second, err := New(r.opts)
	require.NoError(t, err)
	assert.ErrorContains(t, second.Start(), fmt.Sprintf("in use by process %d: stop that collector", os.Getpid()))
	require.NoError(t, second.Stop(t.Context()))
}

func TestWatchedFolderInMoveTo(t *testing.T) {
	in := t.TempDir()
	opts := testOptions(in, t.TempDir())
	opts.OnSuccess, opts.MoveTo = OnSuccessMove, in
	w, err := New(opts)
	require.NoError(t, err)
	assert.ErrorContains(t, w.Start(), "separate them")
}

// TestPollAfterWaitForDisk lets the journal wait long for a busy disk, and checks that files that arrive then do not
// stay unseen for many times as long.
func TestPollAfterWaitForDisk(t *testing.T) {
	const busy = 500 * time.Millisecond
	r := newRig(t)
	r.w.journal.writing.Lock()
	time.AfterFunc(busy, r.w.journal.writing.Unlock)
	start := time.Now()
	r.w.poll()
	require.GreaterOrEqual(t, time.Since(start), busy)
	assert.Less(t, r.w.took, busy)
}
