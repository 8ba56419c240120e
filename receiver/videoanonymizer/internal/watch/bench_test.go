// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkPoll polls 10,000 finished files, in one folder and in a hundred. It reports the time of a poll, and its
// ratio to the minimum: reading the same folders and the state of each file.
func BenchmarkPoll(b *testing.B) {
	const files = 10_000
	for _, folders := range []int{1, 100} {
		b.Run(fmt.Sprintf("files=%d/folders=%d", files, folders), func(b *testing.B) {
			in, out := b.TempDir(), b.TempDir()
			for i := range files {
				path := filepath.Join(in, fmt.Sprint(i%folders), fmt.Sprintf("recording of camera %d.mkv", i))
				if i < folders {
					require.NoError(b, os.MkdirAll(filepath.Dir(path), 0o755))
				}
				require.NoError(b, os.WriteFile(path, nil, 0o644))
			}
			w, err := New(testOptions(in, out))
			require.NoError(b, err)
			require.NoError(b, w.open())
			defer func() { _ = w.Stop(b.Context()) }()
			w.poll()
			for _, f := range w.queue.files {
				w.journal.apply(record{Source: &source{Path: pathText(f.path), State: stateDone, Stamp: f.stamp}})
			}
			clear(w.queue.files)
			w.poll()
			for _, f := range w.queue.files {
				require.Equal(b, settled, f.phase)
			}
			require.Len(b, w.queue.files, files)
			var least, poll time.Duration
			for b.Loop() {
				start := time.Now()
				bareWalk(b, in)
				walked := time.Now()
				w.poll()
				least, poll = least+walked.Sub(start), poll+time.Since(walked)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(poll.Microseconds())/1000/float64(b.N), "ms/poll")
			b.ReportMetric(poll.Seconds()/least.Seconds(), "x-bare-walk")
		})
	}
}

// BenchmarkFind finds 10,000 small complete files in one folder. The first time, it reads samples of each file; later,
// it finds that they have not changed.
func BenchmarkFind(b *testing.B) {
	const files = 10_000
	in, out := b.TempDir(), b.TempDir()
	for i := range files {
		path := filepath.Join(in, fmt.Sprintf("recording of camera %d.mkv", i))
		require.NoError(b, os.WriteFile(path, fmt.Append(nil, i), 0o644))
	}
	f, err := NewFinder(testOptions(in, out))
	require.NoError(b, err)
	now := time.Now()
	f.watcher.queue.now = func() time.Time { return now }
	f.Find()
	now = now.Add(time.Minute)
	begin := time.Now()
	require.Len(b, f.Find(), files)
	first := time.Since(begin)
	for b.Loop() {
		require.Len(b, f.Find(), files)
	}
	b.ReportMetric(float64(first.Milliseconds()), "ms/first")
}

func bareWalk(b *testing.B, folder string) {
	entries, err := os.ReadDir(folder)
	require.NoError(b, err)
	for _, entry := range entries {
		if entry.IsDir() {
			bareWalk(b, filepath.Join(folder, entry.Name()))
		} else if _, _, err := lstat(folder + "/" + entry.Name()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkClaim claims and ends jobs with the journal on disk, and compares that with writing and syncing a line.
func BenchmarkClaim(b *testing.B) {
	in, out := b.TempDir(), b.TempDir()
	w, err := New(testOptions(in, out))
	require.NoError(b, err)
	require.NoError(b, w.open())
	defer func() { _ = w.Stop(b.Context()) }()
	path := filepath.Join(in, "walk.mkv")
	require.NoError(b, os.WriteFile(path, make([]byte, 1<<20), 0o644))
	line := []byte(strings.Repeat("x", 400))
	log, err := os.Create(filepath.Join(out, "log"))
	require.NoError(b, err)
	defer log.Close()
	var sync, claim time.Duration
	for b.Loop() {
		start := time.Now()
		_, err := log.Write(line)
		require.NoError(b, err)
		require.NoError(b, log.Sync())
		synced := time.Now()
		st, _, err := lstat(path)
		require.NoError(b, err)
		job := w.claim(&file{path: path, rel: "walk.mkv", stamp: st, phase: claimed})
		require.NotNil(b, job)
		job.Abandon()
		sync, claim = sync+synced.Sub(start), claim+time.Since(synced)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(claim.Microseconds())/1000/float64(b.N), "ms/claim")
	b.ReportMetric(claim.Seconds()/sync.Seconds(), "x-fsync")
}
