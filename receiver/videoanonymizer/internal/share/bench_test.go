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

// BenchmarkUpdate is a compare-and-set that is on the disk when it is answered.
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

// BenchmarkClaims is what a worker does besides the work: pick a unit among the units of 1,000 videos, and claim it.
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
		unit.rec.release() // so that there is always one
		unit.rec.State = UnitOpen
		require.NoError(b, write(b.Context(), s, &unit, &unit.rec.holding))
		s.mu.Lock()
		delete(s.running, t.key())
		s.mu.Unlock()
		b.StartTimer()
	}
}

// BenchmarkTenThousandVideos is how much memory a bucket of 10,000 videos that are done takes, server and view
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

// BenchmarkStatus is what asking for the status of 10,000 videos that are done costs, without the connection.
func BenchmarkStatus(b *testing.B) {
	s := newFilledSession(b, 10_000, VideoDone)
	client := &Client{store: s.store, logger: zap.NewNop()}
	for b.Loop() {
		status, err := client.Status(b.Context())
		require.NoError(b, err)
		require.Equal(b, 10_000, status.Counts[VideoDone])
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func withStop(b *testing.B) (context.Context, context.CancelFunc) {
	return context.WithCancel(b.Context())
}

// newFilledSession returns a session with videos, of three units each unless they are done.
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
		if state == VideoDone {
			continue
		}
		for index := range v.rec.Units {
			u := entry[Unit]{key: unitKey(videoID(path), 1, index), rec: Unit{Index: index, State: UnitOpen}}
			require.NoError(b, write(b.Context(), s, &u, &u.rec.holding))
		}
	}
	return s
}
