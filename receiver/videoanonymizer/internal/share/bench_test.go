// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// BenchmarkUpdate measures a compare-and-set, which is on disk when it is acknowledged.
func BenchmarkUpdate(b *testing.B) {
	s := newBench(b).store
	video := Video{Path: "in/a.mp4", State: VideoPlanned, Made: "v1", Units: 30}
	var rev uint64
	for i := 0; b.Loop(); i++ {
		video.Writer = fmt.Sprint(i)
		var err error
		rev, err = s.update(b.Context(), "video.x", encode(&video), rev)
		require.NoError(b, err)
	}
}

// BenchmarkClaims measures the overhead of a worker: picking a unit among those of 1,000 videos, and claiming it.
func BenchmarkClaims(b *testing.B) {
	s := newFilledSession(b, 1000, VideoPlanned)
	for b.Loop() {
		t, _, ok := s.take()
		require.True(b, ok)
		unit := t.unit
		unit.rec.State = UnitClaimed
		s.claim(&unit.rec.holding)
		require.NoError(b, write(b.Context(), s, &unit, &unit.rec.holding))
		b.StopTimer()
		unit.rec.release() // so that a unit is always open
		unit.rec.State = UnitOpen
		require.NoError(b, write(b.Context(), s, &unit, &unit.rec.holding))
		s.mu.Lock()
		delete(s.running, t.key())
		s.mu.Unlock()
		b.StartTimer()
	}
}

// BenchmarkPick measures how long a worker takes to pick a task among 10,000 waiting videos.
func BenchmarkPick(b *testing.B) {
	s := newFilledSession(b, 10_000, VideoFound)
	for b.Loop() {
		s.view.unordered = true // as after each change of a record
		t, _, ok := s.take()
		require.True(b, ok)
		delete(s.running, t.key())
	}
}

// BenchmarkTenThousandVideos measures how much memory a bucket of 10,000 videos that are done takes, server and view
// together, and how long a worker that starts takes to read it.
func BenchmarkTenThousandVideos(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		before := heap()
		s := newFilledSession(b, 10_000, VideoDone)
		b.ReportMetric(float64(heap()-before)/(1<<20), "MiB")
		fresh := newView(s.store, "other", zap.NewNop())
		b.StartTimer()
		ctx, stop := withStop(b)
		go fresh.follow(ctx)
		for {
			fresh.mu.Lock()
			done := fresh.synced
			fresh.mu.Unlock()
			if done {
				break
			}
			time.Sleep(time.Millisecond)
		}
		stop()
		require.Len(b, fresh.videos, 10_000)
	}
}

// BenchmarkStatus measures a query for the status of 10,000 videos that are done, without the connection.
func BenchmarkStatus(b *testing.B) {
	s := newFilledSession(b, 10_000, VideoDone)
	client := &Client{store: s.store, logger: zap.NewNop()}
	for b.Loop() {
		status, err := client.Status(b.Context())
		require.NoError(b, err)
		require.Equal(b, 10_000, status.Counts[VideoDone])
	}
}

// BenchmarkBacklog measures the overhead of the share while many small files wait: three engines in one process, on one
// embedded server, whose work is to invert a few bytes.
func BenchmarkBacklog(b *testing.B) {
	for _, videos := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("videos=%d", videos), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				r := newRig(b)
				r.logger, r.lease, r.worker.pace = zap.NewNop(), DefaultConfig().Lease, 0
				for i := range videos {
					addVideo(b, r.root, fmt.Sprintf("recording-%05d", i), 100)
				}
				b.ReportMetric(float64(heap())/(1<<20), "MiB-heap-before")
				b.StartTimer()
				began := time.Now()
				a := r.config("a")
				first, _ := r.start(a, r.options("a"))
				for _, name := range []string{"b", "c"} {
					r.start(second(a), r.options(name))
				}
				most := uint64(0)
				for first.Stats().Videos[VideoDone] < videos {
					time.Sleep(time.Second)
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					most = max(most, m.HeapAlloc)
				}
				b.StopTimer()
				b.ReportMetric(float64(videos)/time.Since(began).Seconds(), "videos/s")
				b.ReportMetric(float64(most)/(1<<20), "MiB-heap-peak")
				b.ReportMetric(float64(heap())/(1<<20), "MiB-heap-after")
				r.settled()
				b.StartTimer()
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkScan measures what the coordinator does for each scan that finds 10,000 known videos, without listing the
// folders.
func BenchmarkScan(b *testing.B) {
	for _, state := range []VideoState{VideoFound, VideoDone} {
		b.Run(string(state), func(b *testing.B) {
			s := newFilledSession(b, 10_000, state)
			var list listed
			for _, v := range s.videos(func(string, *Video) bool { return true }) {
				list = append(list, Found{Path: v.rec.Path, Version: v.rec.Version})
			}
			s.opts.Source = list
			d := s.newDuty(1)
			for b.Loop() {
				require.NoError(b, d.scan(b.Context()))
			}
		})
	}
}

// listed is a Source that always finds the same videos.
type listed []Found

func (l listed) Scan(context.Context) ([]Found, error) { return l, nil }

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func withStop(b *testing.B) (context.Context, context.CancelFunc) {
	return context.WithCancel(b.Context())
}

// newFilledSession returns a session with videos. Planned ones have three units each.
func newFilledSession(b testing.TB, videos int, state VideoState) *session {
	b.Helper()
	bench := newBench(b)
	root := b.TempDir()
	e := &Engine{
		cfg: bench.cfg, opts: Options{Machine: "a", Made: "v1"}.withDefaults(&bench.cfg), me: "a-1", logger: zap.NewNop(),
		tree: newTree(root, "test"),
	}
	require.NoError(b, e.tree.join(e.me))
	journal := filepath.Join(e.tree.journal(), "00000001.other"+journalSuffix)
	require.NoError(b, os.WriteFile(journal, nil, 0o600))
	s := e.newSession(bench.store)
	s.view.synced, s.view.ready = true, true
	s.view.wrote(kindWorker+"."+e.me, encode(s.machine(1)), 1)
	for i := range videos {
		path := fmt.Sprintf("in/2026/camera-%03d/recording-%06d.mp4", i%100, i)
		v := entry[Video]{key: videoKey(videoID(path)), rec: Video{
			Path: path, State: state, Made: "v1", Plan: 1, Units: 3,
			Outputs: []Output{{Name: path + "_anonymized.mkv", SHA256: videoID(path), Size: 1}},
		}}
		require.NoError(b, write(b.Context(), s, &v, &v.rec.holding))
		if state != VideoPlanned {
			continue
		}
		for index := range v.rec.Units {
			u := entry[Unit]{key: unitKey(videoID(path), 1, index), rec: Unit{Index: index, State: UnitOpen}}
			require.NoError(b, write(b.Context(), s, &u, &u.rec.holding))
		}
	}
	return s
}
