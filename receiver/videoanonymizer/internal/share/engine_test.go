// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOneMachine(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 5 {
		addVideo(t, r.root, fmt.Sprintf("v%d", i), 1+i*2500)
	}
	e, _ := r.start(r.config(""), r.options("a"))
	r.settled()
	stats := e.Stats()
	assert.Equal(t, 5, stats.Videos[VideoDone])
	assert.EqualValues(t, 10, stats.Published)
	assert.True(t, stats.Coordinator)
	assert.Zero(t, stats.Fenced+stats.Takeovers+stats.Redone+stats.Rebuilds)
}

func TestThreeMachines(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 12 {
		addVideo(t, r.root, fmt.Sprintf("v%d", i), 1000+i*1700)
	}
	for _, cfg := range r.cluster() {
		r.start(cfg, r.options(cfg.Embedded.Node))
	}
	r.settled()
}

// TestAnotherMachineGoesOn checks that another machine continues the work of one that stops, at once and from the last
// sealed segment.
func TestAnotherMachineGoesOn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.lease = time.Minute
	addVideo(t, r.root, "v", 3*segmentBytes)
	first := r.config("")
	leader, _ := r.start(first, r.options("leader"))
	leader.Drain(true)

	stuck := &stopper{inverter: r.worker, after: 2, reached: make(chan struct{})}
	opts := r.options("a")
	opts.Worker = stuck
	_, stop := r.start(second(first), opts)
	<-stuck.reached
	stop()
	fresh := &inverter{root: r.root}
	var segments atomic.Int64
	fresh.fail = func(call string) error {
		if strings.HasPrefix(call, "do ") {
			segments.Add(1)
		}
		return nil
	}
	opts = r.options("b")
	opts.Worker = fresh
	e, _ := r.start(second(first), opts)
	r.settled()
	assert.EqualValues(t, 1, segments.Load(), "segments that were left to do")
	assert.Zero(t, e.Stats().Fenced)
}

// stopper is a worker that never finishes a unit.
type stopper struct {
	*inverter
	after   int
	reached chan struct{}
	once    atomic.Bool
}

func (s *stopper) Do(ctx context.Context, t *UnitTask) (json.RawMessage, error) {
	var at span
	if err := json.Unmarshal(t.Spec, &at); err != nil {
		return nil, err
	}
	for n := range s.after {
		from := at.From + int64(n)*segmentBytes
		path, err := s.invert(ctx, t, from, from+segmentBytes)
		if err != nil {
			return nil, err
		}
		if err := t.Seal(ctx, []string{path}, fmt.Append(nil, from+segmentBytes)); err != nil {
			return nil, err
		}
	}
	if s.once.CompareAndSwap(false, true) {
		close(s.reached)
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestErrorsOfTheWorker checks that errors that may pass are retried, and that permanent and persistent ones fail the
// video and leave nothing behind.
func TestErrorsOfTheWorker(t *testing.T) {
	t.Parallel()
	passing := errors.New("may pass")
	redo := &Redo{Units: map[int]json.RawMessage{1: []byte(`{"from":3000,"to":5000}`)}, Cause: passing}
	planned := &Redo{Plan: &Plan{Units: []json.RawMessage{[]byte(`{"from":0,"to":5000}`)}}, Cause: passing}
	redoNothing := &Redo{Units: map[int]json.RawMessage{7: nil}, Cause: passing}
	for name, test := range map[string]struct {
		fails string
		times int64
		err   error
		want  VideoState
		error string
	}{
		"plan passes":         {"plan", 2, passing, VideoDone, ""},
		"unit passes":         {"do 1", 2, passing, VideoDone, ""},
		"join passes":         {"join", 2, passing, VideoDone, ""},
		"published passes":    {"published", 4, passing, VideoDone, ""},
		"plan does not pass":  {"plan", 99, passing, VideoFailed, "may pass"},
		"unit does not pass":  {"do 1", 99, passing, VideoFailed, "unit 1: may pass"},
		"join does not pass":  {"join", 99, passing, VideoFailed, "may pass"},
		"plan is permanent":   {"plan", 1, Permanent(passing), VideoFailed, "may pass"},
		"unit is permanent":   {"do 0", 1, Permanent(passing), VideoFailed, "unit 0: may pass"},
		"join is permanent":   {"join", 1, Permanent(passing), VideoFailed, "may pass"},
		"unit must be redone": {"join", 1, redo, VideoDone, ""},
		"unit that is not":    {"join", 1, redoNothing, VideoFailed, "none with index 7"},
		"redone for ever":     {"join", 99, redo, VideoFailed, "must be redone"},
		"planned anew":        {"join", 1, planned, VideoDone, ""},
		"planned for ever":    {"join", 99, planned, VideoFailed, "must be redone"},
		"plan says nothing":   {"plan", 6, Passing(passing), VideoDone, ""},
		"unit says nothing":   {"do 1", 6, Passing(passing), VideoDone, ""},
		"join says nothing":   {"join", 6, Passing(passing), VideoDone, ""},
		"published waits":     {"published", 2, &Later{Wait: 100 * time.Millisecond}, VideoDone, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			addVideo(t, r.root, "v", 5000)
			var n atomic.Int64
			r.worker.fail = func(call string) error {
				if call == test.fails && n.Add(1) <= test.times {
					return test.err
				}
				return nil
			}
			opts := r.options("a")
			opts.Attempts = 4
			opts.Reason = func(error) string { return "broken" }
			e, _ := r.start(r.config(""), opts)
			r.until("an end", func() bool { return e.Stats().Videos[test.want] == 1 })
			r.until("nothing is left over", func() bool { return len(leftovers(r.root, "test")) == 0 })
			if test.want == VideoDone {
				checkOutputs(t, r.root)
				return
			}
			assert.Contains(t, e.Status().Videos[0].Error, test.error)
			r.worker.mu.Lock()
			require.Len(t, r.worker.failed, 1)
			assert.Contains(t, r.worker.failed[0].Error, test.error)
			assert.Equal(t, "broken", r.worker.failed[0].Reason)
			r.worker.mu.Unlock()
			assert.NoDirExists(t, filepath.Join(r.root, "out"))
			assert.FileExists(t, filepath.Join(r.root, "in", "v"))
		})
	}
}

// TestDamagedFilesAreDoneAgain checks that damaged and missing files are noticed before they are joined, and made
// again.
func TestDamagedFilesAreDoneAgain(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(path string) error{
		"removed": os.Remove,
		"cut":     func(path string) error { return os.Truncate(path, 10) },
		"changed": func(path string) error {
			data, err := os.ReadFile(path)
			return errors.Join(err, os.WriteFile(path, inverted(data), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			addVideo(t, r.root, "v", 7000)
			var once atomic.Bool
			opts := r.options("a")
			opts.reached = func(point string) {
				r.reached(point)
				if point != "join" || !once.CompareAndSwap(false, true) {
					return
				}
				files, err := filepath.Glob(filepath.Join(newTree(r.root, "test").works(), "*", "u1.*.seg"))
				assert.NoError(t, err)
				assert.NotEmpty(t, files)
				assert.NoError(t, damage(files[0]))
			}
			e, _ := r.start(r.config(""), opts)
			r.settled()
			assert.EqualValues(t, 1, e.Stats().Redone)
		})
	}
}

// TestTakenNames checks that someone else's file with the name of an output is left alone, and that the companion,
// which is placed first, is withdrawn.
func TestTakenNames(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	addVideo(t, r.root, "v", 100)
	require.NoError(t, os.Mkdir(filepath.Join(r.root, "out"), 0o755))
	taken := filepath.Join(r.root, "out", "v.out")
	require.NoError(t, os.WriteFile(taken, []byte("mine"), 0o600))
	opts := r.options("a")
	opts.Attempts = 1
	e, _ := r.start(r.config(""), opts)
	r.until("it was tried", func() bool {
		videos := e.Status().Videos
		return len(videos) > 0 && strings.Contains(videos[0].Error, "taken by another file")
	})
	text, err := os.ReadFile(taken)
	require.NoError(t, err)
	assert.Equal(t, "mine", string(text))
	r.until("the companion is withdrawn", func() bool {
		_, err := os.Lstat(taken + ".txt")
		return errors.Is(err, os.ErrNotExist)
	})
	require.NoError(t, os.Remove(taken)) // now the name is free
	r.until("it is done", func() bool { return e.Stats().Videos[VideoDone] == 1 })
	checkOutputs(t, r.root)
}

// TestSourcesThatChange checks that a source that changes is processed again, and that one that vanishes is given up.
func TestSourcesThatChange(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	addVideo(t, r.root, "v1", 9000)
	addVideo(t, r.root, "v2", 9000)
	hold := make(chan struct{})
	r.worker.fail = func(call string) error {
		if call == "do 1" {
			<-hold
		}
		return nil
	}
	opts := r.options("a")
	opts.Slots = 2
	e, _ := r.start(r.config(""), opts)
	r.until("both are in work", func() bool { return e.Stats().Units[UnitClaimed] == 2 })
	addVideo(t, r.root, "v1", 4000)
	require.NoError(t, os.Remove(filepath.Join(r.root, "in", "v2")))
	r.until("it is gone", func() bool { return e.Stats().Videos[VideoGone] == 1 })
	close(hold)
	r.settled()
	addVideo(t, r.root, "v2", 3000)
	r.settled()
}

// TestOtherVersions checks that machines of another identity leave a planned video alone as long as a machine of the
// identity that planned it is left.
func TestOtherVersions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	addVideo(t, r.root, "v", 9000)
	first := r.config("")
	old := &stopper{inverter: r.worker, after: 1, reached: make(chan struct{})}
	opts := r.options("old")
	opts.Worker = old
	r.start(first, opts)
	<-old.reached
	opts = r.options("new")
	opts.Made = "v2"
	newer, _ := r.start(second(first), opts)
	r.until("they see each other", func() bool { return len(newer.Status().Machines) == 2 })
	time.Sleep(2 * r.lease) // long enough to take something
	assert.Zero(t, newer.Stats().Takeovers)
	var machines []string
	for _, u := range newer.Status().Videos[0].Units {
		machines = append(machines, u.Machine)
	}
	assert.Contains(t, machines, "old")
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	addVideo(t, r.root, "v", 9000)
	cfg := r.config("")
	old := &stopper{inverter: r.worker, after: 1, reached: make(chan struct{})}
	opts := r.options("a")
	opts.Worker = old
	_, stop := r.start(cfg, opts)
	<-old.reached
	stop()
	opts = r.options("a")
	opts.Made = "v2"
	r.start(cfg, opts)
	r.settled()
}

// TestDrain checks that a draining machine takes no work until it is told to.
func TestDrain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cfg := r.config("")
	e, _ := r.start(cfg, r.options("a"))
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	r.until("it runs", func() bool { return e.Stats().Coordinator })
	client, err := Dial(ctx, cfg, r.logger)
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.Drain(ctx, "a", true))
	r.until("it drains", func() bool { return e.Status().Machines[0].Draining })
	addVideo(t, r.root, "v", 5000)
	r.until("it is found", func() bool { return e.Stats().Videos[VideoFound] == 1 })
	time.Sleep(r.lease)
	status, err := client.Status(ctx)
	require.NoError(t, err)
	assert.Equal(t, VideoFound, status.Videos[0].State)
	assert.Equal(t, "a", status.Coordinator)
	require.NoError(t, client.Drain(ctx, "a", false))
	r.settled()
}

// TestHold checks that a machine on hold takes no work, and that others continue at once what it lets go of.
func TestHold(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.lease = time.Minute
	addVideo(t, r.root, "v", 3*segmentBytes)
	first := r.config("")
	stuck := &stopper{inverter: r.worker, after: 1, reached: make(chan struct{})}
	opts := r.options("a")
	opts.Worker = stuck
	e, _ := r.start(first, opts)
	<-stuck.reached
	e.Hold(true, true)
	r.until("it lets go", func() bool { return e.Stats().Units[UnitOpen] == 1 })
	other, _ := r.start(second(first), r.options("b"))
	r.settled()
	assert.Zero(t, other.Stats().Takeovers)
	assert.Empty(t, r.worker.failed)

	other.Hold(true, false)
	addVideo(t, r.root, "w", 100)
	r.until("it is found", func() bool { return e.Stats().Videos[VideoFound] == 1 })
	other.Hold(false, false)
	r.settled()
}

// TestRootsThatAreNotShared checks that a machine whose root is another folder takes no work, and says why.
func TestRootsThatAreNotShared(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cfg := r.config("")
	e, _ := r.start(cfg, r.options("a"))
	r.until("it runs", func() bool { return e.Stats().Coordinator })
	other := newRig(t)
	wrong := second(cfg)
	wrong.Root = other.root
	lost, _ := r.start(wrong, r.options("b"))
	r.until("it says so", func() bool {
		for _, m := range lost.Status().Machines {
			if m.Name == "b" && strings.Contains(m.Problem, "root is not the folder that a sees") {
				return true
			}
		}
		return false
	})
	assert.ErrorContains(t, lost.Trouble(), "root is not the folder that a sees")
	assert.NoError(t, e.Trouble())
	for i := range 4 {
		addVideo(t, r.root, fmt.Sprintf("v%d", i), 5000)
	}
	r.settled()
	assert.Zero(t, lost.Stats().Published)
}

// TestPoison checks that a task that kills one program after another fails in the end, and runs alone until then.
func TestPoison(t *testing.T) {
	t.Parallel()
	for name, machines := range map[string][]string{"two machines": {"a", "b"}, "one machine": {"a"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			addVideo(t, r.root, "poison", 2000)
			cfg := r.config("")
			witness, _ := r.start(cfg, r.options("witness"))
			witness.Drain(true)
			deaths := 0
			for ; witness.Stats().Videos[VideoFailed] == 0 && deaths < 10; deaths++ {
				dying := &stopper{inverter: r.worker, reached: make(chan struct{})}
				opts := r.options(machines[deaths%len(machines)])
				opts.Worker = dying
				e, stop := r.start(second(cfg), opts)
				r.until("it is taken, or failed", func() bool {
					select {
					case <-dying.reached:
						return true
					default:
						return witness.Stats().Videos[VideoFailed] > 0
					}
				})
				e.nc.Close() // it dies as far as the others can tell
				stop()
			}
			assert.Contains(t, witness.Status().Videos[0].Error, "died while working on it")
		})
	}
}

// TestTakeoversAreCountedOnce checks that if several machines take over the same work, only the first counts it.
func TestTakeoversAreCountedOnce(t *testing.T) {
	t.Parallel()
	s := newFilledSession(t, 1, VideoPlanned)
	key := unitKey(s.view.active()[0].id, 1, 0)
	p, index, _ := planOf(key)
	claimed := s.view.units[p][index].entry
	claimed.rec.State, claimed.rec.Claim = UnitClaimed, &Claim{Worker: "gone-1", Machine: "gone"}
	require.NoError(t, write(t.Context(), s, &claimed, &claimed.rec.holding))
	first, late := claimed, claimed
	for _, unit := range []*entry[Unit]{&first, &late} {
		s.claim(&unit.rec.holding)
	}
	require.NoError(t, write(t.Context(), s, &first, &first.rec.holding))
	require.ErrorIs(t, write(t.Context(), s, &late, &late.rec.holding), errFenced)
	require.NoError(t, write(t.Context(), s, &first, &first.rec.holding))
	assert.EqualValues(t, 1, s.Stats().Takeovers)
	assert.Zero(t, s.Stats().Fenced)
}

// TestOutputsThatAreMovedWhileTheSourceWaits checks that an output that someone moves or edits while its source waits
// to be moved or deleted is not published again, and that the source stays.
func TestOutputsThatAreMovedWhileTheSourceWaits(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(output string) error{
		"moved":  func(output string) error { return os.Rename(output, output+".moved") },
		"edited": func(output string) error { return os.WriteFile(output, []byte("edited"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			addVideo(t, r.root, "v", 5000)
			output := r.worker.final("in/v")
			var published atomic.Int64
			r.worker.fail = func(call string) error {
				if call == "published" && published.Add(1) == 1 {
					return errors.Join(change(output), &Later{Wait: 50 * time.Millisecond})
				}
				return nil
			}
			e, _ := r.start(r.config(""), r.options("a"))
			r.until("it is done", func() bool { return e.Stats().Videos[VideoDone] == 1 })
			assert.EqualValues(t, 1, published.Load(), "calls of Published, which might remove the source")
			assert.EqualValues(t, 2, e.Stats().Published)
			assert.FileExists(t, output+".txt", "the companion")
			if name == "moved" {
				assert.NoFileExists(t, output)
			}
		})
	}
}

// TestWhatWaitsStopsNothing checks that a video whose task fails for reasons that say nothing about it does not hold up
// the others, although its kind of task comes first.
func TestWhatWaitsStopsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	addVideo(t, r.root, "v", 100)
	w := &picky{inverter: r.worker}
	w.refuses.Store(true)
	opts := r.options("a")
	opts.Worker = w
	e, _ := r.start(r.config(""), opts)
	r.until("it waits", func() bool { return w.refused.Load() > 0 })
	for i := range 4 {
		addVideo(t, r.root, fmt.Sprintf("w%d", i), 2*unitBytes)
	}
	r.until("the others are done", func() bool { return e.Stats().Videos[VideoDone] == 4 })
	w.refuses.Store(false)
	r.settled()
}

// picky is a worker that refuses to join one video for now.
type picky struct {
	*inverter
	refuses atomic.Bool
	refused atomic.Int64
}

func (p *picky) Join(ctx context.Context, t *JoinTask) ([]JoinedFile, error) {
	if t.Video.Path == "in/v" && p.refuses.Load() {
		p.refused.Add(1)
		return nil, Passing(errors.New("no space"))
	}
	return p.inverter.Join(ctx, t)
}

// TestStopsWithoutNATS checks that a program that stops while NATS does not answer does not wait for a whole lease.
func TestStopsWithoutNATS(t *testing.T) {
	t.Parallel()
	s := newFilledSession(t, 1, VideoPlanned)
	s.cfg.Lease = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ctx, done, again := s.settle(ctx, context.Canceled, &holding{})
	defer done()
	end, ok := ctx.Deadline()
	require.True(t, ok)
	assert.Less(t, time.Until(end), time.Minute)
	assert.True(t, again)
	require.NoError(t, ctx.Err())
}

// TestPassingErrorsWait checks that an error that says nothing about the video makes the record wait.
func TestPassingErrorsWait(t *testing.T) {
	t.Parallel()
	s := newFilledSession(t, 1, VideoPlanned)
	h := &holding{}
	_, done, again := s.settle(t.Context(), Passing(errors.New("no space")), h)
	defer done()
	assert.True(t, again)
	assert.Zero(t, h.Attempts)
	assert.Equal(t, s.cfg.Lease, h.Wait)
	assert.False(t, s.free(h, time.Now()))
	assert.True(t, s.free(h, time.Now().Add(-2*s.cfg.Lease)))
}

// TestStopsJustAfterTheReport checks that a video that is reported while the program stops is not reported again by the
// next one.
func TestStopsJustAfterTheReport(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]error{"done": nil, "later": &Later{Wait: 50 * time.Millisecond}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			addVideo(t, r.root, "v", 100)
			cfg := r.config("")
			leader, _ := r.start(cfg, r.options("leader"))
			leader.Drain(true)
			r.until("it runs", func() bool { return leader.Stats().Coordinator })
			w := &reporter{inverter: r.worker, answer: answer, reported: make(chan struct{}), stopped: make(chan struct{})}
			opts := r.options("a")
			opts.Worker = w
			ctx, cancel := context.WithCancel(t.Context())
			e, err := New(second(cfg), opts)
			require.NoError(t, err)
			ended := make(chan error)
			go func() { ended <- e.Run(ctx) }()
			<-w.reported
			cancel()
			close(w.stopped)
			require.NoError(t, <-ended)
			var again atomic.Int64
			r.worker.fail = func(call string) error {
				if call == "published" {
					again.Add(1)
				}
				return nil
			}
			leader.Drain(false)
			r.until("it is done", func() bool { return leader.Stats().Videos[VideoDone] == 1 })
			assert.EqualValues(t, 1, w.reports.Load())
			if answer == nil {
				assert.Zero(t, again.Load(), "what the next one reports")
			}
		})
	}
}

// reporter is a worker that reports one video, and then waits until it is stopped.
type reporter struct {
	*inverter
	answer            error
	reports           atomic.Int64
	reported, stopped chan struct{}
}

func (w *reporter) Published(_ context.Context, of Video) error {
	if of.Deferred == 0 {
		w.reports.Add(1)
	}
	close(w.reported)
	<-w.stopped
	return w.answer
}

// TestSegmentsAreRemovedWhileTheSourceWaits checks that only the record of a video is kept while its source waits to be
// moved or deleted.
func TestSegmentsAreRemovedWhileTheSourceWaits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	addVideo(t, r.root, "v", 5000)
	r.worker.fail = func(call string) error {
		if call == "published" {
			return &Later{Wait: time.Hour}
		}
		return nil
	}
	r.start(r.config(""), r.options("a"))
	r.until("segments are removed", func() bool {
		left := leftovers(r.root, "test")
		return len(left) == 2 && strings.HasSuffix(left[1], writeAheadSuffix)
	})
}
