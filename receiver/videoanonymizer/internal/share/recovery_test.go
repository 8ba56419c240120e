// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// TestLateWorkerIsRefused checks that a late worker whose unit was taken over cannot commit it, and that its files are
// removed.
func TestLateWorkerIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	addVideo(t, r.root, "v", 3*segmentBytes)
	cfg := r.config("")
	leader, _ := r.start(cfg, r.options("leader"))
	leader.Drain(true)

	var late atomic.Pointer[Engine]
	var once atomic.Bool
	paused, resume := make(chan struct{}), make(chan struct{})
	opts := r.options("late")
	opts.reached = func(point string) {
		r.reached(point)
		if point == "seal" && once.CompareAndSwap(false, true) {
			v := late.Load().currentView()
			v.mu.Lock() // it no longer receives or sends anything
			close(paused)
			<-resume
			v.mu.Unlock()
		}
	}
	e, err := New(second(cfg), opts)
	require.NoError(t, err)
	late.Store(e)
	r.run(e)
	<-paused
	other, _ := r.start(second(cfg), r.options("other"))
	r.until("another has done it", func() bool { return other.Stats().Videos[VideoDone] == 1 })
	assert.EqualValues(t, 1, other.Stats().Takeovers)
	close(resume)
	r.until("it was refused", func() bool { return e.Stats().Fenced > 0 })
	r.settled()
	assert.Zero(t, e.Stats().Published)
}

// TestLostData checks that losing all data of NATS loses no video and no finished work: neither published videos nor
// units.
func TestLostData(t *testing.T) {
	t.Parallel()
	for name, state := range map[string]VideoState{"planned": VideoPlanned, "publishing": VideoPublishing} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			cfg := r.config("")
			addVideo(t, r.root, "done", 5000)
			_, stop := r.start(cfg, r.options("a"))
			r.settled()
			stop()

			addVideo(t, r.root, "half", 5000)
			stuck := errors.New("stuck")
			var did atomic.Int64
			r.worker.fail = func(call string) error {
				switch call {
				case "do 0":
					did.Add(1)
				case "do 1":
					if state == VideoPlanned {
						return stuck
					}
				case "published":
					return stuck
				}
				return nil
			}
			opts := r.options("a")
			opts.Attempts = 1000
			e, stop := r.start(cfg, opts)
			r.until("it is half done", func() bool {
				stats := e.Stats()
				return stats.Videos[state] == 1 && stats.Units[UnitDone] > 0 && did.Load() == 3
			})
			time.Sleep(2 * r.lease) // the mirror is written by then
			stop()
			require.NoError(t, os.RemoveAll(cfg.Embedded.Directory))
			r.worker.fail = func(call string) error {
				if call == "do 0" {
					did.Add(1)
				}
				return nil
			}
			e, _ = r.start(cfg, r.options("a"))
			r.settled()
			stats := e.Stats()
			assert.Equal(t, 2, stats.Videos[VideoDone])
			assert.EqualValues(t, 1, stats.Rebuilds)
			assert.EqualValues(t, 3, did.Load(), "unit 0 was done already")
		})
	}
}

// TestMirrorIsRead checks that a mirror that is truncated, damaged or from several writers yields the newest readable
// records.
func TestMirrorIsRead(t *testing.T) {
	t.Parallel()
	tr := newTree(t.TempDir(), "test")
	require.NoError(t, tr.join("a"))
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(tr.journal(), name), []byte(text), 0o600))
	}
	line := func(era, rev int, key, value string) string {
		return fmt.Sprintf(`{"era":%d,"key":%q,"rev":%d,"value":%q}`+"\n", era, key, rev, value)
	}
	write("00000001.a.jsonl", line(1, 9, "video.x", "old era")+line(1, 2, "video.y", "only")+`{"era":1,"key":"vid`)
	write("00000002.b.jsonl", "garbage\n"+line(2, 3, "video.x", "newest")+line(2, 1, "video.x", "earlier")+"\x00\x00\n")
	write("other", line(9, 9, "video.x", "not a journal"))
	all, err := tr.load()
	require.NoError(t, err)
	assert.Len(t, all, 2)
	assert.JSONEq(t, `"newest"`, string(all["video.x"].Value))
	assert.JSONEq(t, `"only"`, string(all["video.y"].Value))
	next, err := tr.nextEra()
	require.NoError(t, err)
	assert.Equal(t, 3, next)
}

func FuzzMirror(f *testing.F) {
	f.Add([]byte(`{"era":1,"key":"video.x","rev":1,"value":{"path":"in/x"}}` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		tr := newTree(t.TempDir(), "test")
		require.NoError(t, tr.join("a"))
		require.NoError(t, os.WriteFile(filepath.Join(tr.journal(), "00000001.a.jsonl"), text, 0o600))
		all, err := tr.load()
		require.NoError(t, err)
		for key, line := range all {
			assert.Equal(t, key, line.Key)
		}
	})
}

// TestWhoIsCutOffBlamesNobody checks that a worker that does not receive its own heartbeats takes no other for dead.
func TestWhoIsCutOffBlamesNobody(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	now := time.Now()
	v := newView(b.store, "me", nil)
	v.now = func() time.Time { return now }
	rev := uint64(0)
	beat := func(worker string) {
		rev++
		v.apply(kindWorker+"."+worker, encode(Machine{Beat: rev}), rev)
	}
	pass := func(leases float64) { now = now.Add(time.Duration(leases * float64(b.cfg.Lease))) }
	assert.True(t, v.dead("other"), "nothing is known of it")
	beat("other")
	for range 4 {
		pass(0.2)
		beat("me")
		assert.False(t, v.dead("other"))
	}
	pass(0.45)
	beat("me")
	assert.True(t, v.dead("other"), "it was silent for longer than a lease")
	beat("other")
	assert.False(t, v.dead("other"))
	pass(10) // cut off
	assert.False(t, v.dead("other"))
	beat("me")
	assert.False(t, v.dead("other"), "the next message may be its heartbeat")
	for range 6 {
		pass(0.2)
		beat("me")
	}
	assert.True(t, v.dead("other"))
}

// TestForgottenClaim checks that a claim that its live worker does not know of, since the answer was lost, is taken up
// again.
func TestForgottenClaim(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e, _ := r.start(r.config(""), r.options("a"))
	e.Drain(true)
	addVideo(t, r.root, "v", 100)
	r.until("it is found", func() bool { return e.Stats().Videos[VideoFound] == 1 })
	v := e.currentView()
	v.mu.Lock()
	known := v.videos[videoID("in/v")]
	v.mu.Unlock()
	known.rec.Claim = &Claim{Worker: e.me, Machine: "a"}
	_, err := v.store.update(t.Context(), known.key, encode(&known.rec), known.rev)
	require.NoError(t, err)
	e.Drain(false)
	r.settled()
	assert.Zero(t, e.Stats().Takeovers)
}

// TestFileServerAway checks that failures do not count while the file server is away.
func TestFileServerAway(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	addVideo(t, r.root, "v", 5000)
	away := r.root + "-away"
	var failed atomic.Int64
	r.worker.fail = func(call string) error {
		if failed.Load() == 0 && call == "do 0" {
			assert.NoError(t, os.Rename(r.root, away))
		}
		if _, err := os.Stat(r.root); err != nil {
			failed.Add(1)
			return err
		}
		return nil
	}
	opts := r.options("a")
	opts.Attempts = 1 // a failure that counts fails the video at once
	e, _ := r.start(r.config(""), opts)
	r.until("it failed", func() bool { return failed.Load() > 0 })
	r.until("it says so", func() bool {
		machines := e.Status().Machines
		return len(machines) > 0 && machines[0].Problem != ""
	})
	require.NoError(t, os.Rename(away, r.root))
	r.settled()
	assert.Zero(t, e.Stats().Videos[VideoFailed])
}

// TestOrderOfVideos checks that waiting videos come in the order in which they were found, whatever the order of their
// records, and that videos that are done are left out.
func TestOrderOfVideos(t *testing.T) {
	t.Parallel()
	v := newView(nil, "me", nil)
	now := time.Now()
	rev := uint64(0)
	put := func(id string, found int, change ...func(*Video)) {
		rec := Video{Path: id, State: VideoFound, Found: now.Add(time.Duration(found) * time.Second)}
		for _, c := range change {
			c(&rec)
		}
		rev++
		v.wrote(videoKey(id), encode(&rec), rev)
	}
	done := func(v *Video) { v.State = VideoDone }
	order := func() (all, fresh string) {
		for _, p := range v.active() {
			all += p.id
			if p.fresh {
				fresh += p.id
			}
		}
		return all, fresh
	}
	expect := func(wantAll, wantFresh string) {
		t.Helper()
		all, fresh := order()
		assert.Equal(t, []string{wantAll, wantFresh}, []string{all, fresh})
	}
	put("c", 3)
	put("a", 1)
	put("b", 1)
	put("z", 0, done)
	expect("abc", "abc")
	put("a", 1, func(v *Video) { v.Claim = &Claim{Worker: "other"} })
	put("b", 1, func(v *Video) { v.Attempts = 1 })
	expect("abc", "c")
	put("a", 1, func(v *Video) { v.State = VideoPlanned })
	put("c", 3, func(v *Video) { v.Lost = []Loss{{Worker: "other"}} })
	expect("abc", "")
	put("a", 1, done)
	put("d", 2)
	expect("bdc", "d")
	put("a", 4) // its source has changed
	put("b", 5)
	expect("dcab", "dab")
}

// TestTheDeadAreRemembered checks that a machine that died and did not come back is remembered for a day, and that one
// that left or came back is not.
func TestTheDeadAreRemembered(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	now := time.Now()
	s := &session{
		Engine: &Engine{tree: newTree(t.TempDir(), "test")}, store: b.store, view: newView(b.store, "me", zap.NewNop()),
	}
	s.view.now = func() time.Time { return now }
	beat := func(worker string, m Machine) {
		m.Name, _, _ = strings.Cut(worker, "-")
		rev, err := b.store.put(t.Context(), kindWorker+"."+worker, encode(m))
		require.NoError(t, err)
		s.view.apply(kindWorker+"."+worker, encode(m), rev)
	}
	remembered := func() []string {
		beat("me", Machine{})
		require.NoError(t, s.newDuty(1).collectWorkers(t.Context()))
		for id := range s.view.workers {
			_, _, err := b.store.get(t.Context(), kindWorker+"."+id)
			assert.NoError(t, err, id)
		}
		return slices.Sorted(maps.Keys(s.view.workers))
	}
	pass := func(d time.Duration) { // without being cut off
		for end := now.Add(d); now.Before(end); now = now.Add(b.cfg.Lease / 3) {
			s.view.echo = now
		}
	}
	beat("died-1", Machine{})
	beat("left-1", Machine{Left: true})
	beat("back-1", Machine{})
	beat("back-2", Machine{Since: now})
	assert.Len(t, remembered(), 5)
	pass(21 * b.cfg.Lease)
	assert.Equal(t, []string{"back-2", "died-1", "me"}, remembered())
	pass(keepDied - time.Hour)
	assert.Equal(t, []string{"back-2", "died-1", "me"}, remembered())
	pass(2 * time.Hour)
	assert.Equal(t, []string{"me"}, remembered())
}
