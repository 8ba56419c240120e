// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"
)

func TestMain(m *testing.M) {
	if os.Getenv(victimEnv) != "" {
		beVictim()
	}
	if os.Getenv(nobodyEnv) != "" {
		beNobody()
	}
	goleak.VerifyTestMain(m)
}

// rig is a watcher on real folders that polls when a test tells it to, with a clock that tests advance.
type rig struct {
	t       *testing.T
	in, out string
	opts    Options
	clock   time.Time
	w       *Watcher
}

func newRig(t *testing.T, change ...func(*rig)) *rig {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	r := &rig{t: t, in: filepath.Join(root, "in"), out: filepath.Join(root, "out"), clock: time.Now()}
	require.NoError(t, os.Mkdir(r.in, 0o755))
	r.opts = testOptions(r.in, r.out)
	r.opts.Logger = zaptest.NewLogger(t)
	for _, c := range change {
		c(r)
	}
	r.start()
	t.Cleanup(func() { r.crash() })
	return r
}

func testOptions(in, out string) Options {
	return Options{
		Config:          Config{Include: []string{in + "/**"}, PollInterval: time.Second, StableFor: 3 * time.Second},
		OutputDirectory: out,
		OutputName: func(rel string) string {
			return strings.TrimSuffix(rel, filepath.Ext(rel)) + "_anonymized.mkv"
		},
		Retry: Retry{InitialInterval: 10 * time.Second, MaxInterval: time.Minute, MaxAttempts: 3},
	}
}

func (r *rig) start() {
	r.t.Helper()
	w, err := New(r.opts)
	require.NoError(r.t, err)
	w.queue.now = func() time.Time { return r.clock }
	require.NoError(r.t, w.open())
	r.w = w
}

// crash releases the locks, as the kernel does when a process dies, without recording anything.
func (r *rig) crash() { assert.NoError(r.t, r.w.journal.close()) }

// restart stops the watcher cleanly and starts another.
func (r *rig) restart() {
	r.t.Helper()
	require.NoError(r.t, r.w.Stop(context.Background()))
	r.start()
}

// settle lets enough time pass for complete files to become ready.
func (r *rig) settle() {
	r.w.poll()
	r.pass(r.opts.Config.StableFor)
}

func (r *rig) pass(d time.Duration) {
	r.clock = r.clock.Add(d)
	r.w.poll()
	r.w.disposal.runDue(context.Background())
}

// dispose lets enough time pass for sources to be moved, deleted or quarantined.
func (r *rig) dispose() { r.pass(unknownCalm(r.opts.Config.StableFor)) }

// try is Next, but does not wait.
func (r *rig) try() *Job {
	for {
		f, _, err := r.w.queue.tryNext()
		require.NoError(r.t, err)
		if f == nil {
			return nil
		}
		if job := r.w.claim(f); job != nil {
			return job
		}
	}
}

// take settles and returns the next job; there must be one.
func (r *rig) take() *Job {
	r.t.Helper()
	r.settle()
	job := r.try()
	require.NotNil(r.t, job, "a file should be ready")
	return job
}

// idle settles and checks that there is nothing to do.
func (r *rig) idle() {
	r.t.Helper()
	r.settle()
	if job := r.try(); job != nil {
		r.t.Fatalf("%q should not be claimed", job.Path)
	}
}

// finish takes the next job, which must be for the file, writes its output and ends it.
func (r *rig) finish(path string) *Job {
	r.t.Helper()
	job := r.take()
	require.Equal(r.t, path, job.Path)
	r.complete(job)
	return job
}

func (r *rig) complete(job *Job) {
	r.t.Helper()
	write(r.t, job.Temp, "masked "+job.Path)
	require.NoError(r.t, job.Unchanged())
	require.NoError(r.t, job.Publish())
	require.NoError(r.t, job.Done())
}

// begin drops a video, takes it, and leaves half an output.
func (r *rig) begin(name string) (path string, job *Job) {
	r.t.Helper()
	path = r.drop(name, "a video")
	job = r.take()
	write(r.t, job.Temp, "half")
	return path, job
}

// drop puts a file into the watched folder.
func (r *rig) drop(name, text string) string {
	r.t.Helper()
	path := filepath.Join(r.in, name)
	write(r.t, path, text)
	return path
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// tree lists the files below a folder, except for the state directory.
func tree(t *testing.T, folder string) []string {
	t.Helper()
	var names []string
	require.NoError(t, filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() && entry.Name() == StateDirectoryName {
			return filepath.SkipDir
		}
		if err == nil && !entry.IsDir() {
			rel, _ := filepath.Rel(folder, path)
			names = append(names, rel)
		}
		return err
	}))
	return names
}
