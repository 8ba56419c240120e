// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package events tells clients what changes: it compares the videos with what they were, keeps the latest changes for
// clients that reconnect, and drops clients that do not read. While nobody listens it does nothing.
package events

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
)

const (
	// kept is how many changes are kept.
	kept = 2048
	// backlog is how many events a client may be behind before it is dropped.
	backlog = 512
	// gap is the least time between two comparisons, tick the time between two looks at what is worked on.
	gap, tick = 200 * time.Millisecond, time.Second
)

// Event is what a client is told. ID is empty for those that are not repeated.
type Event struct {
	ID, Name string
	Data     []byte
}

// Source is what is compared.
type Source struct {
	// Videos returns all videos, or those that are worked on.
	Videos func(ctx context.Context, working bool) []consoleapi.Video
	// Status returns what is done now, given the numbers of videos.
	Status func(counts map[consoleapi.State]int) consoleapi.StatusNow
}

// Hub tells clients what changes.
type Hub struct {
	source Source
	epoch  string // of this hub: the IDs of another one mean nothing
	poked  chan struct{}

	refreshing sync.Mutex // held while videos are compared

	mu      sync.Mutex
	last    map[consoleapi.VideoID]consoleapi.Video
	ring    [kept]Event
	seq     uint64 // of the last event in the ring, from 1
	clients map[*Client]bool
	stale   bool // something changed while nobody listened
}

// Client gets events until Lost is closed or Leave is called.
type Client struct {
	Events chan Event
	// Lost is closed when the client was dropped because it did not read.
	Lost chan struct{}
}

// NewHub returns a hub without clients. Run makes it work.
func NewHub(source Source) *Hub {
	return &Hub{source: source, epoch: rand.Text()[:8], poked: make(chan struct{}, 1), clients: map[*Client]bool{},
		last: map[consoleapi.VideoID]consoleapi.Video{}, stale: true}
}

// Poke says that any video may have changed.
func (h *Hub) Poke() {
	select {
	case h.poked <- struct{}{}:
	default:
	}
}

// Run works until the context ends.
func (h *Hub) Run(ctx context.Context) {
	ticker := time.NewTicker(tick)
	ticker.Stop()
	defer ticker.Stop()
	ticking := false
	for {
		all := false
		select {
		case <-ctx.Done():
			return
		case <-h.poked:
			all = true
		case <-ticker.C:
		}
		working := h.work(ctx, all)
		if working != ticking {
			if ticking = working; ticking {
				ticker.Reset(tick)
			} else {
				ticker.Stop()
			}
		}
		select { // one comparison for many changes
		case <-ctx.Done():
			return
		case <-time.After(gap):
		}
	}
}

// work compares, if somebody listens, and reports whether to do so again soon.
func (h *Hub) work(ctx context.Context, all bool) bool {
	h.mu.Lock()
	if len(h.clients) == 0 {
		h.stale = h.stale || all
		h.mu.Unlock()
		return false
	}
	h.mu.Unlock()
	return h.refresh(ctx, all)
}

// refresh tells the clients what changed, and returns whether there are videos that are worked on, or machines that
// share the work.
func (h *Hub) refresh(ctx context.Context, all bool) (working bool) {
	h.refreshing.Lock()
	defer h.refreshing.Unlock()
	videos := h.source.Videos(ctx, !all)
	if ctx.Err() != nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	there := make(map[consoleapi.VideoID]bool, len(videos))
	for _, v := range videos {
		there[v.ID] = true
		if known, ok := h.last[v.ID]; !ok || !reflect.DeepEqual(known, v) {
			h.last[v.ID] = v
			h.publish("video", v)
		}
	}
	if all {
		for id := range h.last {
			if !there[id] {
				delete(h.last, id)
				h.publish("removed", map[string]consoleapi.VideoID{"id": id})
			}
		}
	}
	counts := map[consoleapi.State]int{}
	for _, v := range h.last {
		counts[v.State]++
	}
	status := h.source.Status(counts)
	h.send(Event{Name: "status", Data: encode(status)})
	return counts[consoleapi.StateWorking] > 0 || status.Share != nil
}

func encode(value any) []byte {
	text, _ := json.Marshal(value) // of our own types, which have JSON
	return text
}

// publish keeps an event and sends it. Called under mu.
func (h *Hub) publish(name string, value any) {
	h.seq++
	e := Event{ID: h.epoch + "-" + strconv.FormatUint(h.seq, 10), Name: name, Data: encode(value)}
	h.ring[h.seq%kept] = e
	h.send(e)
}

// send drops the clients that are too far behind. Called under mu.
func (h *Hub) send(e Event) {
	for c := range h.clients {
		select {
		case c.Events <- e:
		default:
			delete(h.clients, c)
			close(c.Lost)
		}
	}
}

// Join adds a client, which first gets what came after the event with an ID; with "", nothing. Where that is not known
// any more it gets an event resync.
func (h *Hub) Join(ctx context.Context, after string) *Client {
	h.mu.Lock()
	stale := h.stale
	h.stale = false
	h.mu.Unlock()
	if stale {
		h.refresh(ctx, true)
	}
	c := &Client{Lost: make(chan struct{})}
	h.mu.Lock()
	missed := h.missed(after)
	c.Events = make(chan Event, backlog+len(missed))
	for _, e := range missed {
		c.Events <- e
	}
	h.clients[c] = true
	h.mu.Unlock()
	h.Poke() // to begin to tick
	return c
}

// missed are the events after the one with an ID. Called under mu.
func (h *Hub) missed(after string) (missed []Event) {
	if after == "" {
		return nil
	}
	epoch, number, _ := strings.Cut(after, "-")
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil || epoch != h.epoch || seq > h.seq || h.seq-seq > kept {
		return []Event{{ID: h.epoch + "-" + strconv.FormatUint(h.seq, 10), Name: "resync", Data: []byte("{}")}}
	}
	for seq++; seq <= h.seq; seq++ {
		missed = append(missed, h.ring[seq%kept])
	}
	return missed
}

// Leave removes a client.
func (h *Hub) Leave(c *Client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.clients, c)
}
