// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package api implements the requests that openapi.yaml describes. A test compares the routes with that document, and
// every response with its schema.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/anonymizerconsole/internal/events"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/anonymizerconsole/internal/session"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
)

const (
	// maxBody is the maximum size of a JSON body in bytes.
	maxBody = 64 << 10
	// maxStreams is the maximum number of clients that receive events, maxStills of requests that wait for a still.
	maxStreams, maxStills = 64, 16
)

// Options are the options of an API.
type Options struct {
	Sessions *session.Store
	// Upload lets operators upload files of at most MaxUpload bytes.
	Upload    bool
	MaxUpload int64
	Version   string
	Started   time.Time
	Links     Links
	// OpenAPI is the content of openapi.yaml.
	OpenAPI []byte
	Logger  *zap.Logger
}

// Links are addresses of other tools.
type Links struct {
	Jaeger  string `json:"jaeger,omitempty"`
	Grafana string `json:"grafana,omitempty"`
}

// API implements the API. Close it after the last request.
type API struct {
	opts     Options
	Registry *Registry
	hub      *events.Hub
	streams  chan struct{}
	stills   chan struct{}
	cancel   context.CancelFunc
	ended    chan struct{}
}

// New returns an API without workspaces.
func New(opts Options) *API {
	a := &API{opts: opts, streams: make(chan struct{}, maxStreams), stills: make(chan struct{}, maxStills),
		ended: make(chan struct{})}
	a.Registry = &Registry{}
	a.hub = events.NewHub(events.Source{
		Videos: func(ctx context.Context, working bool) []consoleapi.Video {
			videos, _ := a.Registry.videos(ctx, working) // none if no receiver is attached
			return videos
		},
		Status: a.Registry.status,
	})
	a.Registry.changed = a.hub.Poke
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	go func() {
		defer close(a.ended)
		a.hub.Run(ctx)
	}()
	return a
}

// Close stops what New started.
func (a *API) Close() {
	a.cancel()
	<-a.ended
}

// route is the handler of a pattern and the permission it needs.
type route struct {
	pattern string // method and path below /api/v1
	needs   consoleapi.Permission
	answer  func(*call) error
}

// call is an authorized request.
type call struct {
	http.ResponseWriter
	*http.Request
	who session.Identity
}

func (a *API) routes() []route {
	const (
		view, review, edit = consoleapi.PermissionView, consoleapi.PermissionReview, consoleapi.PermissionEdit
		approve, operate   = consoleapi.PermissionApprove, consoleapi.PermissionOperate

		video, revision = "/videos/{video}", "/videos/{video}/revisions/{revision}"
	)
	routes := []route{
		{"DELETE /session", view, a.deleteSession},
		{"GET /me", view, a.me},
		{"GET /status", view, a.status},
		{"GET /events", view, a.events},
		{"GET /videos", view, a.listVideos},
		{"GET " + video, view, a.video},
		{"POST /uploads", operate, a.upload},
		{"GET " + revision, view, a.revision},
		{"GET " + revision + "/media", view, a.media},
		{"POST " + revision + "/proxy", view, a.proxy},
		{"GET " + revision + "/report", view, a.file(consoleapi.KindReport)},
		{"GET " + revision + "/sheet", view, a.file(consoleapi.KindSheet)},
		{"GET " + revision + "/moments", view, a.moments},
		{"GET " + revision + "/timeline", view, a.timeline},
		{"GET " + revision + "/frames", view, a.frames},
		{"GET " + revision + "/stills/{frame}", view, a.still},
		{"GET " + revision + "/watched", view, a.watched},
		{"POST " + revision + "/watched", review, a.addWatched},
		{"POST " + revision + "/decision", approve, a.decide},
		{"GET " + video + "/edits", view, a.edits},
		{"POST " + video + "/edits", edit, a.appendEdits},
		{"POST " + video + "/edits/check", edit, a.checkEdits},
		{"GET " + video + "/edits/frames", view, a.editedFrames},
		{"GET " + video + "/renders", view, a.renders},
		{"POST " + video + "/renders", edit, a.render},
		{"DELETE " + video + "/renders", edit, a.cancelRender},
		{"GET /traces/frames", view, a.frameTraces},
		{"GET /traces/frames/{trace}", view, a.frameTrace},
		{"GET /audit", view, a.audit},
		{"GET " + video + "/audit", view, a.audit},
		{"GET /audit/verification", view, a.verifyAudit},
		{"GET /openapi.yaml", view, a.openAPI},
	}
	for _, action := range []consoleapi.Action{consoleapi.ActionRetry, consoleapi.ActionPause, consoleapi.ActionResume,
		consoleapi.ActionCancel, consoleapi.ActionFirst} {
		routes = append(routes, route{"POST " + video + "/" + string(action), operate, a.control(action)})
	}
	return routes
}

// prefix is the path of the API.
const prefix = "/api/v1"

// Handler returns the handler of requests below /api/.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range a.routes() {
		method, path, _ := strings.Cut(r.pattern, " ")
		mux.Handle(method+" "+prefix+path, a.authenticated(r))
	}
	mux.HandleFunc("POST "+prefix+"/session", a.createSession)
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		if _, err := a.opts.Sessions.Authenticate(r); err != nil {
			a.fail(w, r, err)
			return
		}
		a.fail(w, r, fail(consoleapi.ErrNotFound, "there is nothing at this address for this method"))
	})
	return mux
}

// authenticated returns a handler that authenticates requests and calls a route if they have the permission it needs.
func (a *API) authenticated(to route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := a.opts.Sessions.Authenticate(r)
		if err == nil && !slices.Contains(who.Role.Permissions(), to.needs) {
			err = fail(errForbidden, "this needs the permission "+string(to.needs)+", which your role does not have")
		}
		if err == nil {
			err = to.answer(&call{w, r, who})
		}
		if err != nil {
			a.fail(w, r, err)
		}
	})
}

var (
	errForbidden = errors.New("forbidden")
	errRequest   = errors.New("bad request")
	errTooMany   = errors.New("too many requests")
)

// failure is an error with a text for users.
type failure struct {
	cause error
	text  string
}

func fail(cause error, text string) error { return &failure{cause, text} }

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.cause }

var statuses = []struct {
	err    error
	status int
	code   string
}{
	{session.ErrUnknown, http.StatusUnauthorized, "unauthenticated"},
	{errForbidden, http.StatusForbidden, "forbidden"},
	{errRequest, http.StatusBadRequest, "bad_request"},
	{errTooMany, http.StatusTooManyRequests, "too_many"},
	{errNotAttached, http.StatusServiceUnavailable, "not_attached"},
	{errShared, http.StatusNotFound, "shared"},
	{consoleapi.ErrForbidden, http.StatusForbidden, "forbidden"},
	{consoleapi.ErrNotFound, http.StatusNotFound, "not_found"},
	{consoleapi.ErrConflict, http.StatusConflict, "conflict"},
	{consoleapi.ErrChanged, http.StatusConflict, "output_changed"},
	{consoleapi.ErrPrecondition, http.StatusPreconditionFailed, "precondition_failed"},
	{consoleapi.ErrInvalid, http.StatusUnprocessableEntity, "unprocessable"},
	{consoleapi.ErrNotReady, http.StatusServiceUnavailable, "not_ready"},
}

// fail responds with an error. The details of an internal error go only to the log, since they may contain paths.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil { // the client has gone
		return
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		Refuse(w, http.StatusRequestEntityTooLarge, "too_large", "the body is too large")
		return
	}
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			if s.status == http.StatusServiceUnavailable {
				w.Header().Set("Retry-After", "1")
			}
			Refuse(w, s.status, s.code, strings.TrimPrefix(err.Error(), s.err.Error()+": "))
			return
		}
	}
	a.opts.Logger.Error("a request to the console failed", zap.String("method", r.Method),
		zap.String("route", r.Pattern), zap.String("error", a.Registry.redact(err.Error())))
	Refuse(w, http.StatusInternalServerError, "internal", "this failed: see the collector's log")
}

// Refuse responds with an error of the API.
func Refuse(w http.ResponseWriter, status int, code, message string) {
	for _, name := range []string{"Content-Length", "Content-Range", "Content-Disposition", "ETag", "Last-Modified"} {
		w.Header().Del(name)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}{code, message})
}

// accepted responds with the state of work that continues in the background.
func (c *call) accepted(value any) error {
	c.Header().Set("Content-Type", "application/json")
	c.WriteHeader(http.StatusAccepted)
	return c.json(value)
}

func (c *call) json(value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	c.Header().Set("Content-Type", "application/json")
	_, _ = c.Write(text) // the client may have gone
	return nil
}

// Header returns the header of the response.
func (c *call) Header() http.Header { return c.ResponseWriter.Header() }

// Write writes to the response.
func (c *call) Write(b []byte) (int, error) { return c.ResponseWriter.Write(b) }

// body reads a JSON body and rejects unknown fields.
func (c *call) body(into any) error { return readJSON(c.ResponseWriter, c.Request, into) }

func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	return readLimitedJSON(w, r, maxBody, into)
}

func readLimitedJSON(w http.ResponseWriter, r *http.Request, limit int64, into any) error {
	if t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); t != "application/json" {
		return fail(errRequest, "the body has to be application/json")
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
			return fail(errRequest, "the body holds more than one value")
		}
		return nil
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return err
	}
	return fail(errRequest, "the body is not as expected: "+err.Error())
}
