// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// event is an event of the console's stream.
type event struct{ id, name, data string }

// listen reads the stream of events until the context or the stream ends, which closes the channel.
func (s *site) listen(ctx context.Context, after string) <-chan event {
	s.Helper()
	asked, err := http.NewRequestWithContext(ctx, http.MethodGet, s.address+"api/v1/events", http.NoBody)
	require.NoError(s, err)
	asked.Header.Set("Authorization", "Bearer "+s.token)
	if after != "" {
		asked.Header.Set("Last-Event-ID", after)
	}
	response, err := http.DefaultClient.Do(asked)
	require.NoError(s, err)
	require.Equal(s, http.StatusOK, response.StatusCode)
	events := make(chan event, 1000)
	go func() {
		defer close(events)
		defer response.Body.Close()
		var e event
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			switch name, value, _ := strings.Cut(lines.Text(), ": "); name {
			case "id":
				e.id = value
			case "event":
				e.name = value
			case "data":
				e.data = value
			case "":
				events <- e
				e = event{}
			}
		}
	}()
	return events
}

// upload sends a file that is not a video, which changes the list.
func (s *site) upload(name string) {
	s.Helper()
	status, body, _ := s.send(request{method: http.MethodPost, path: "api/v1/uploads?name=" + url.QueryEscape(name),
		body: "no video", header: map[string]string{"Content-Type": "application/octet-stream"}}.as(s.token))
	require.Equal(s, http.StatusCreated, status, "%s", body)
}

// awaitEvent waits until the stream reports a video with the given name, and returns the event.
func awaitEvent(t *testing.T, events <-chan event, name string) event {
	t.Helper()
	for deadline := time.After(time.Minute); ; {
		select {
		case e, ok := <-events:
			require.True(t, ok, "the stream ended")
			var v video
			if e.name == "video" && json.Unmarshal([]byte(e.data), &v) == nil && v.Name == name {
				return e
			}
		case <-deadline:
			require.Fail(t, "no event", "of %s", name)
		}
	}
}

// testEvents: a stream outlives the server's timeouts, a reconnecting client receives the events that it missed, and
// clients that do not read block no one else.
func (s *site) testEvents(t *testing.T) {
	s = s.with(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	long := s.listen(ctx, "")
	began := time.Now()

	t.Run("a reconnect misses nothing", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		events := s.with(t).listen(ctx, "")
		s.upload("before.mp4")
		last := awaitEvent(t, events, "before.mp4")
		cancel()
		for n := range 5 {
			s.upload(fmt.Sprintf("between-%d.mp4", n))
		}
		for n := range 5 {
			s.await(fmt.Sprintf("between-%d.mp4", n), "failed")
		}
		again := s.with(t).listen(t.Context(), last.id)
		for n := range 5 {
			awaitEvent(t, again, fmt.Sprintf("between-%d.mp4", n))
		}
	})

	t.Run("stalled clients hold up nobody", func(t *testing.T) {
		host := strings.TrimSuffix(strings.TrimPrefix(s.address, "http://"), "/")
		for range 5 {
			connection, err := net.Dial("tcp", host)
			require.NoError(t, err)
			defer connection.Close()
			_, err = fmt.Fprintf(connection, "GET /api/v1/events HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", host,
				s.token)
			require.NoError(t, err)
		}
		events := s.with(t).listen(t.Context(), "")
		sent := time.Now()
		s.upload("despite.mp4")
		awaitEvent(t, events, "despite.mp4")
		assert.Less(t, time.Since(sent), 10*time.Second)
	})

	time.Sleep(time.Until(began.Add(time.Minute)))
	s.upload("late.mp4")
	awaitEvent(t, long, "late.mp4")
}
