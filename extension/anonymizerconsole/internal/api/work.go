// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/anonymizerconsole/internal/events"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/anonymizerconsole/internal/session"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
)

// me is the signed-in user.
type me struct {
	Name        string                  `json:"name"`
	Role        consoleapi.Role         `json:"role"`
	Permissions []consoleapi.Permission `json:"permissions"`
	Upload      bool                    `json:"upload"`
	Expires     *time.Time              `json:"expires,omitempty"`
}

func (a *API) describe(who session.Identity) me {
	m := me{Name: who.Name, Role: who.Role, Permissions: who.Role.Permissions(),
		Upload: a.opts.Upload && slices.Contains(who.Role.Permissions(), consoleapi.PermissionOperate)}
	if !who.Expires.IsZero() {
		expires := who.Expires.UTC()
		m.Expires = &expires
	}
	return m
}

func (a *API) createSession(w http.ResponseWriter, r *http.Request) {
	var input struct {
		Token string `json:"token"`
	}
	err := readJSON(w, r, &input)
	var who session.Identity
	if err == nil {
		who, err = a.opts.Sessions.Begin(w, r, input.Token)
		if err != nil {
			err = fail(session.ErrUnknown, err.Error())
		} else if who.Role.Permissions() == nil {
			err = fail(errForbidden, "you have no role: ask to be added to identity::roles")
		}
	}
	if err == nil {
		err = (&call{w, r, who}).json(a.describe(who))
	}
	if err != nil {
		a.fail(w, r, err)
	}
}

func (a *API) deleteSession(c *call) error {
	a.opts.Sessions.End(c.ResponseWriter, c.Request)
	c.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) me(c *call) error { return c.json(a.describe(c.who)) }

func (a *API) openAPI(c *call) error {
	c.Header().Set("Content-Type", "application/yaml")
	_, _ = c.Write(a.opts.OpenAPI)
	return nil
}

func (a *API) status(c *call) error {
	videos, err := a.Registry.videos(c.Context(), false)
	if err != nil && !errors.Is(err, errShared) {
		return err
	}
	all, done := a.Registry.all()
	receivers := make([]string, len(all))
	for i, x := range all {
		receivers[i] = x.id.String()
	}
	done()
	return c.json(struct {
		consoleapi.StatusNow
		Version   string             `json:"version"`
		Started   time.Time          `json:"started"`
		Receivers []string           `json:"receivers"`
		History   consoleapi.History `json:"history"`
		Links     Links              `json:"links"`
	}{a.Registry.status(count(videos)), a.opts.Version, a.opts.Started.UTC(), receivers, a.Registry.history(),
		a.opts.Links})
}

func count(videos []consoleapi.Video) map[consoleapi.State]int {
	counts := map[consoleapi.State]int{}
	for _, v := range videos {
		counts[v.State]++
	}
	return counts
}

// heartbeat is the interval at which a stream without events sends a comment and checks that its session has not ended.
const heartbeat = 15 * time.Second

func (a *API) events(c *call) error {
	select {
	case a.streams <- struct{}{}:
		defer func() { <-a.streams }()
	default:
		return fail(errTooMany, "too many pages are open: close some")
	}
	client := a.hub.Join(c.Context(), c.Request.Header.Get("Last-Event-ID"))
	defer a.hub.Leave(client)
	c.Header().Set("Content-Type", "text/event-stream")
	c.Header().Set("X-Accel-Buffering", "no")
	control := http.NewResponseController(c.ResponseWriter)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	_, err := io.WriteString(c, ": hello\n\n")
	for err == nil && control.Flush() == nil {
		select {
		case <-c.Context().Done():
			return nil
		case <-client.Lost:
			return nil
		case e := <-client.Events:
			err = writeEvents(c, e, client.Events)
		case <-beat.C:
			if _, err := a.opts.Sessions.Authenticate(c.Request); err != nil {
				return nil
			}
			_, err = io.WriteString(c, ": still here\n\n")
		}
	}
	return nil // the client has gone
}

// writeEvents writes an event and those that wait behind it.
func writeEvents(to io.Writer, e events.Event, waiting <-chan events.Event) error {
	for {
		var text strings.Builder
		if e.ID != "" {
			fmt.Fprintf(&text, "id: %s\n", e.ID)
		}
		fmt.Fprintf(&text, "event: %s\ndata: %s\n\n", e.Name, e.Data)
		if _, err := io.WriteString(to, text.String()); err != nil {
			return err
		}
		select {
		case e = <-waiting:
		default:
			return nil
		}
	}
}

// urgency orders the states in lists: those that need attention come first.
var urgency = []consoleapi.State{consoleapi.StateFailed, consoleapi.StateInReview, consoleapi.StateToReview,
	consoleapi.StateWorking, consoleapi.StateWaiting, consoleapi.StatePaused, consoleapi.StateRejected,
	consoleapi.StateApproved, consoleapi.StateCanceled}

// maxListed is the maximum number of videos in a list.
const maxListed = 10_000

func (a *API) listVideos(c *call) error {
	query := c.URL.Query()
	limit, err := number(query.Get("limit"), "limit", 1000, 1, maxListed)
	if err != nil {
		return err
	}
	after, err := number(query.Get("after"), "after", 0, 0, 1<<30)
	if err != nil {
		return err
	}
	var states []consoleapi.State
	for _, s := range query["state"] {
		if !slices.Contains(urgency, consoleapi.State(s)) {
			return fail(errRequest, "state: there is no state "+strconv.Quote(s))
		}
		states = append(states, consoleapi.State(s))
	}
	all, err := a.Registry.videos(c.Context(), false)
	if err != nil {
		return err
	}
	found := struct {
		Videos []consoleapi.Video       `json:"videos"`
		Counts map[consoleapi.State]int `json:"counts"`
		Next   string                   `json:"next,omitempty"`
	}{Counts: count(all)}
	search := strings.ToLower(query.Get("search"))
	all = slices.DeleteFunc(all, func(v consoleapi.Video) bool {
		return len(states) > 0 && !slices.Contains(states, v.State) || !strings.Contains(strings.ToLower(v.Name), search)
	})
	slices.SortFunc(all, func(a, b consoleapi.Video) int {
		return cmp.Or(cmp.Compare(slices.Index(urgency, a.State), slices.Index(urgency, b.State)),
			cmp.Compare(a.Position, b.Position), b.Updated.Compare(a.Updated), cmp.Compare(a.ID, b.ID))
	})
	end := min(len(all), after+limit)
	found.Videos = append([]consoleapi.Video{}, all[min(after, end):end]...)
	if end < len(all) {
		found.Next = strconv.Itoa(end)
	}
	return c.json(found)
}

// number parses a number in a query; missing is the default.
func number(text, name string, missing, least, most int) (int, error) {
	if text == "" {
		return missing, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, fail(errRequest, fmt.Sprintf("%s: write a number from %d to %d", name, least, most))
	}
	return n, nil
}

// on calls use with the workspace of a video. The context of use ends when the workspace is detached.
func (a *API) on(c *call, use func(ctx context.Context, w consoleapi.Workspace, id consoleapi.VideoID) error) error {
	id := consoleapi.VideoID(c.PathValue("video"))
	return a.any(c, func(ctx context.Context, w consoleapi.Workspace) error {
		if _, err := w.Video(ctx, id); err != nil {
			return err
		}
		return use(ctx, w, id)
	})
}

// any calls use with one workspace after another, until one returns anything other than ErrNotFound.
func (a *API) any(c *call, use func(context.Context, consoleapi.Workspace) error) error {
	all, done := a.Registry.all()
	defer done()
	err := a.Registry.missing()
	for _, x := range all {
		ctx, cancel := context.WithCancel(c.Context())
		stop := context.AfterFunc(x.ctx, func() {
			cancel()
			_ = http.NewResponseController(c.ResponseWriter).SetWriteDeadline(time.Now()) // the client may not read
		})
		err = use(ctx, x.Workspace)
		stop()
		cancel()
		if !errors.Is(err, consoleapi.ErrNotFound) {
			return err
		}
	}
	return err
}

func (a *API) video(c *call) error {
	return a.on(c, func(ctx context.Context, w consoleapi.Workspace, id consoleapi.VideoID) error {
		v, err := w.Video(ctx, id)
		if err != nil {
			return err
		}
		return c.json(v)
	})
}

func (a *API) control(action consoleapi.Action) func(*call) error {
	return func(c *call) error {
		return a.on(c, func(ctx context.Context, w consoleapi.Workspace, id consoleapi.VideoID) error {
			v, err := w.Control(ctx, c.who.Actor(), id, action)
			if err != nil {
				return err
			}
			return c.json(v)
		})
	}
}

func (a *API) upload(c *call) error {
	if !a.opts.Upload {
		return fail(errForbidden, "uploads are off: set upload: true in the configuration of the console")
	}
	if c.Request.Header.Get("Content-Type") != "application/octet-stream" {
		return fail(errRequest, "the body has to be application/octet-stream")
	}
	all, done := a.Registry.all()
	defer done()
	wanted := c.URL.Query().Get("receiver")
	for _, x := range all {
		if wanted != "" && x.id.String() != wanted {
			continue
		}
		body := &patientReader{from: http.MaxBytesReader(c.ResponseWriter, c.Body, a.opts.MaxUpload),
			control: http.NewResponseController(c.ResponseWriter), ctx: x.ctx}
		stored, err := x.Upload(c.Context(), c.who.Actor(), c.URL.Query().Get("name"), body)
		if err != nil {
			return err
		}
		c.Header().Set("Content-Type", "application/json")
		c.WriteHeader(http.StatusCreated)
		return c.json(stored)
	}
	if wanted != "" && len(all) > 0 {
		return fail(consoleapi.ErrNotFound, "there is no such receiver")
	}
	return a.Registry.missing()
}

// readWait is how long a client may send nothing before it is disconnected.
const readWait = time.Minute

// patientReader renews the read deadline for each part of a request.
type patientReader struct {
	from    io.Reader
	control *http.ResponseController
	ctx     context.Context
}

func (r *patientReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	_ = r.control.SetReadDeadline(time.Now().Add(readWait))
	return r.from.Read(b)
}

func (a *API) frameTraces(c *call) error {
	limit, err := number(c.URL.Query().Get("limit"), "limit", 100, 1, 500)
	if err != nil {
		return err
	}
	all, done := a.Registry.all()
	defer done()
	found := struct {
		Frames []consoleapi.FrameTraceHead `json:"frames"`
	}{[]consoleapi.FrameTraceHead{}}
	for _, x := range all {
		found.Frames = append(found.Frames, x.FrameTraces(consoleapi.VideoID(c.URL.Query().Get("video")), limit)...)
	}
	slices.SortStableFunc(found.Frames, func(a, b consoleapi.FrameTraceHead) int { return b.Start.Compare(a.Start) })
	found.Frames = found.Frames[:min(limit, len(found.Frames))]
	return c.json(found)
}

func (a *API) frameTrace(c *call) error {
	return a.any(c, func(_ context.Context, w consoleapi.Workspace) error {
		trace, err := w.FrameTrace(c.PathValue("trace"))
		if err != nil {
			return err
		}
		return c.json(trace)
	})
}
