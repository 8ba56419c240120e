// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package events notifies clients of changes: it compares the videos with their previous state, keeps the latest
// changes for clients that reconnect, and drops clients that do not read. It does nothing while there are no clients.
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
	// kept is the number of changes kept for clients that reconnect.
	kept = 2048
	// backlog is how many events a client may lag behind before it is dropped.
	backlog = 512
	// gap is the minimum time between two comparisons, and tick the interval at which videos in progress are compared.
	gap, tick = 200 * time.Millisecond, time.Second
)

// Event is a notification to a client. ID is empty for events that are not repeated.
type Event struct {
	ID, Name string
	Data     []byte
}

// Source provides what the hub compares.
type Source struct {
	// Videos returns all videos, or, if working is true, those in progress.
	Videos func(ctx context.Context, working bool) []consoleapi.Video
	// Status returns the current activity, given the number of videos by state.
	Status func(counts map[consoleapi.State]int) consoleapi.StatusNow
}

// Hub notifies clients of changes.
type Hub struct {
	source Source
	epoch  string // prefix of this hub's event IDs; IDs of other hubs mean nothing here
	poked  chan struct{}

	refreshing sync.Mutex // held while videos are compared

	mu      sync.Mutex
	last    map[consoleapi.VideoID]consoleapi.Video
	ring    [kept]Event
	seq     uint64 // number of the last event in the ring, counting from 1
	clients map[*Client]bool
	stale   bool // something changed while there were no clients
}

// Client receives events until Lost is closed or Leave is called.
type Client struct {
	Events chan Event
	// Lost is closed when the client is dropped because it does not read.
	Lost chan struct{}
}

// NewHub returns a hub without clients. It does nothing until Run is called.
func NewHub(source Source) *Hub {
	return &Hub{source: source, epoch: rand.Text()[:8], poked: make(chan struct{}, 1), clients: map[*Client]bool{},
		last: map[consoleapi.VideoID]consoleapi.Video{}, stale: true}
}

// Poke tells the hub that any video may have changed.
func (h *Hub) Poke() {
	select {
	case h.poked <- struct{}{}:
	default:
	}
}

// Run compares the videos and notifies the clients until the context ends.
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

// work compares the videos if there are clients, and reports whether to do so again soon.
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

// refresh notifies the clients of changes. It reports whether videos are in progress or machines share the work.
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
	text, _ := json.Marshal(value) // own types, which always encode
	return text
}

// publish keeps an event and sends it. h.mu must be held.
func (h *Hub) publish(name string, value any) {
	h.seq++
	e := Event{ID: h.epoch + "-" + strconv.FormatUint(h.seq, 10), Name: name, Data: encode(value)}
	h.ring[h.seq%kept] = e
	h.send(e)
}

// send sends an event to all clients and drops those that are too far behind. h.mu must be held.
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

// Join adds a client. The client first receives the events after the one with this ID, or none if after is "". If the
// ID is no longer known, it receives a resync event instead.
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
	h.Poke() // to start the ticker
	return c
}

// missed returns the events after the one with this ID. h.mu must be held.
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
