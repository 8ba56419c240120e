// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package events

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is a set of videos that a test can change.
type source struct {
	mu     sync.Mutex
	videos map[consoleapi.VideoID]consoleapi.Video
	asked  atomic.Int32
	share  atomic.Pointer[consoleapi.Share]
}

func (s *source) set(id consoleapi.VideoID, frames int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.videos[id] = consoleapi.Video{ID: id, Frames: frames, State: consoleapi.StateToReview}
}

func newRig(t *testing.T) (*source, *Hub) {
	s := &source{videos: map[consoleapi.VideoID]consoleapi.Video{}}
	h := NewHub(Source{
		Videos: func(context.Context, bool) (all []consoleapi.Video) {
			s.asked.Add(1)
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, v := range s.videos {
				all = append(all, v)
			}
			return all
		},
		Status: func(map[consoleapi.State]int) consoleapi.StatusNow {
			return consoleapi.StatusNow{Share: s.share.Load()}
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return s, h
}

// next returns the next event that is not a status.
func next(t *testing.T, c *Client) Event {
	t.Helper()
	for {
		select {
		case e := <-c.Events:
			if e.Name != "status" {
				return e
			}
		case <-time.After(5 * time.Second):
			require.Fail(t, "no event")
		}
	}
}

func TestChanges(t *testing.T) {
	s, h := newRig(t)
	s.set("a", 1)
	c := h.Join(t.Context(), "")
	defer h.Leave(c)
	s.set("a", 2)
	h.Poke()
	e := next(t, c)
	assert.Equal(t, "video", e.Name)
	assert.Contains(t, string(e.Data), `"frames":2`)
	s.mu.Lock()
	delete(s.videos, "a")
	s.mu.Unlock()
	h.Poke()
	e = next(t, c)
	assert.Equal(t, "removed", e.Name)
	assert.JSONEq(t, `{"id":"a"}`, string(e.Data))
}

func TestReconnectMissesNothing(t *testing.T) {
	s, h := newRig(t)
	c := h.Join(t.Context(), "")
	s.set("a", 1)
	h.Poke()
	last := next(t, c).ID
	h.Leave(c)
	for i := range 3 {
		s.set(consoleapi.VideoID(fmt.Sprint("b", i)), 1)
		h.Poke()
	}
	c = h.Join(t.Context(), last)
	defer h.Leave(c)
	got := map[string]bool{}
	for range 3 {
		got[string(next(t, c).Data)[:11]] = true
	}
	assert.Equal(t, map[string]bool{`{"id":"b0",`: true, `{"id":"b1",`: true, `{"id":"b2",`: true}, got)
}

func TestResync(t *testing.T) {
	s, h := newRig(t)
	c := h.Join(t.Context(), "")
	defer h.Leave(c)
	for i := range kept + 2 {
		s.set("a", i)
		h.refresh(t.Context(), true)
	}
	for after, want := range map[string]string{
		h.epoch + "-1": "resync", "other-5": "resync", h.epoch + "-x": "resync", h.epoch + "-999999": "resync",
		h.epoch + fmt.Sprintf("-%d", kept+1): "video",
	} {
		late := h.Join(t.Context(), after)
		assert.Equal(t, want, next(t, late).Name, after)
		h.Leave(late)
	}
}

func TestStalledClientIsDropped(t *testing.T) {
	s, h := newRig(t)
	stalled, reading := h.Join(t.Context(), ""), h.Join(t.Context(), "")
	defer h.Leave(reading)
	for i := range 2 * backlog {
		s.set("a", i+1)
		h.refresh(t.Context(), true)
		for len(reading.Events) > 0 {
			<-reading.Events
		}
	}
	select {
	case <-stalled.Lost:
	default:
		assert.Fail(t, "it is not dropped")
	}
	select {
	case <-reading.Lost:
		assert.Fail(t, "the other one goes on")
	default:
	}
}

func TestIdleDoesNothing(t *testing.T) {
	s, h := newRig(t)
	s.set("a", 1)
	for range 5 {
		h.Poke()
		time.Sleep(gap / 2)
	}
	assert.Zero(t, s.asked.Load(), "nobody listens")
	c := h.Join(t.Context(), "")
	defer h.Leave(c)
	time.Sleep(3 * gap)
	asked := s.asked.Load()
	time.Sleep(tick + 2*gap)
	assert.Equal(t, asked, s.asked.Load(), "nothing is worked on")
}

func TestSharedStatusGoesOn(t *testing.T) {
	s, h := newRig(t)
	s.share.Store(&consoleapi.Share{})
	c := h.Join(t.Context(), "")
	defer h.Leave(c)
	for range 3 {
		select {
		case e := <-c.Events:
			assert.Equal(t, "status", e.Name)
		case <-time.After(time.Minute):
			require.Fail(t, "no status, although machines work")
		}
	}
}

// TestMemoryIsBounded has many clients watch many constantly changing videos: some clients read, some do not, some come
// and go. The memory kept for them must not grow.
func TestMemoryIsBounded(t *testing.T) {
	s, h := newRig(t)
	const videos, clients = 500, 30
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	work.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			s.set(consoleapi.VideoID(fmt.Sprintf("%d", n%videos)), n)
			h.Poke()
		}
	})
	for range clients {
		work.Go(func() { // reads
			c := h.Join(ctx, "")
			defer h.Leave(c)
			for {
				select {
				case <-c.Events:
				case <-c.Lost:
					return
				case <-ctx.Done():
					return
				}
			}
		})
		work.Go(func() { // comes and goes, and reads little
			for ctx.Err() == nil {
				c := h.Join(ctx, "")
				select {
				case <-c.Events:
				case <-ctx.Done():
				}
				h.Leave(c)
				time.Sleep(10 * time.Millisecond)
			}
		})
		work.Go(func() { // does not read until it is dropped
			for ctx.Err() == nil {
				c := h.Join(ctx, "")
				select {
				case <-c.Lost:
				case <-ctx.Done():
				}
				h.Leave(c)
			}
		})
	}
	h.awaitSeq(t, 2*kept) // the ring is full
	before := heap()
	h.awaitSeq(t, 8*kept)
	grown := int64(heap()) - int64(before)
	t.Logf("%d events took %d KiB", 6*kept, grown>>10)
	assert.Less(t, grown, int64(1<<20))
}

// awaitSeq waits until the hub has published that many changes.
func (h *Hub) awaitSeq(t *testing.T, seq uint64) {
	t.Helper()
	require.Eventually(t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.seq >= seq
	}, time.Minute, 10*time.Millisecond)
}

// heap returns the heap memory in use, in bytes.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
