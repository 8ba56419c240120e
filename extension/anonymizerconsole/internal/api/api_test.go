// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/anonymizerconsole/internal/session"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi/tokens"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is an API with one workspace, and the document that its responses must match.
type rig struct {
	t         *testing.T
	api       *API
	server    *httptest.Server
	workspace *fake
	detach    func(context.Context) error
	router    routers.Router
	directory string
	token     map[consoleapi.Role]string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, directory: t.TempDir(), workspace: newFake(), token: map[consoleapi.Role]string{}}
	for _, role := range []consoleapi.Role{consoleapi.RoleView, consoleapi.RoleEdit, consoleapi.RoleReview} {
		token, err := tokens.Create(r.directory, "test "+string(role), role, 0)
		require.NoError(t, err)
		r.token[role] = token
	}
	sessions, start, err := session.New(session.Options{Directory: r.directory, Lifetime: time.Hour,
		Logger: zaptest.NewLogger(t)})
	require.NoError(t, err)
	r.token[consoleapi.RoleOperator] = start
	text, err := os.ReadFile("../../openapi.yaml")
	require.NoError(t, err)
	r.api = New(Options{Sessions: sessions, Upload: true, MaxUpload: 1000, Version: "test", Started: time.Now(),
		OpenAPI: text, Logger: zaptest.NewLogger(t), Links: Links{Jaeger: "http://localhost:16686"}})
	r.detach, err = r.api.Registry.Attach(component.MustNewID("videoanonymizer"), r.workspace)
	require.NoError(t, err)
	r.server = httptest.NewServer(r.api.Handler())
	r.router = newRouter(t, text, r.server.URL)
	t.Cleanup(func() {
		r.server.Close()
		require.NoError(t, r.detach(context.Background()))
		r.api.Close()
	})
	return r
}

func newRouter(t *testing.T, text []byte, server string) routers.Router {
	t.Helper()
	document, err := openapi3.NewLoader().LoadFromData(text)
	require.NoError(t, err)
	require.NoError(t, document.Validate(t.Context()))
	document.Servers = openapi3.Servers{{URL: server + prefix}}
	router, err := gorillamux.NewRouter(document)
	require.NoError(t, err)
	return router
}

// do sends a request and checks that the document describes the response.
func (r *rig) do(role consoleapi.Role, method, path, body string, headers ...string) (int, string) {
	r.t.Helper()
	request := r.request(role, method, path, body, headers...)
	response, err := http.DefaultClient.Do(request)
	require.NoError(r.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(r.t, err)
	r.validate(request, response, text)
	return response.StatusCode, string(text)
}

func (r *rig) request(role consoleapi.Role, method, path, body string, headers ...string) *http.Request {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), method, r.server.URL+prefix+path, strings.NewReader(body))
	require.NoError(r.t, err)
	if role != "" {
		request.Header.Set("Authorization", "Bearer "+r.token[role])
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	return request
}

func (r *rig) validate(request *http.Request, response *http.Response, text []byte) {
	r.t.Helper()
	route, parameters, err := r.router.FindRoute(request)
	if err != nil {
		return // requests that the document does not describe are rejected
	}
	if mediaType := response.Header.Get("Content-Type"); mediaType != "application/json" && mediaType != "" {
		return // only JSON has a schema
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: request, PathParams: parameters,
			Route: route},
		Status: response.StatusCode, Header: response.Header,
		Options: &openapi3filter.Options{MultiError: true},
	}
	input.SetBodyBytes(text)
	require.NoError(r.t, openapi3filter.ValidateResponse(r.t.Context(), input), "%s %s: %s", request.Method,
		request.URL.Path, text)
}

const (
	video    = "/videos/" + fakeVideo
	revision = video + "/revisions/r1"
)

// TestRoutes compares the routes with the document.
func TestRoutes(t *testing.T) {
	text, err := os.ReadFile("../../openapi.yaml")
	require.NoError(t, err)
	document, err := openapi3.NewLoader().LoadFromData(text)
	require.NoError(t, err)
	var described []string
	for path, item := range document.Paths.Map() {
		for method := range item.Operations() {
			described = append(described, method+" "+path)
		}
	}
	answered := []string{"POST /session"}
	for _, r := range (&API{}).routes() {
		answered = append(answered, r.pattern)
	}
	assert.ElementsMatch(t, described, answered)
}

func TestAnswers(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{
		"/me", "/status", "/videos", "/videos?state=to_review&state=failed&search=WALK&limit=1", video, revision,
		revision + "/moments", revision + "/timeline?buckets=10", revision + "/frames?from=0&to=5",
		revision + "/stills/3?width=100", revision + "/watched", revision + "/report", revision + "/sheet",
		revision + "/media", revision + "/media?download=true", "/traces/frames",
		"/traces/frames/0123456789abcdef0123456789abcdef", "/audit", "/audit?format=csv", video + "/audit?limit=1",
		"/audit/verification?files=true", "/openapi.yaml",
	} {
		status, text := r.do(consoleapi.RoleView, "GET", path, "")
		assert.Equal(t, http.StatusOK, status, "%s: %s", path, text)
		assert.NotEmpty(t, text, path)
	}
	detach := r.api.Registry.AttachGPUs(component.MustNewID("nvml"), func() []consoleapi.GPU {
		return []consoleapi.GPU{{Name: "GPU of a test", Utilization: 0.5, Power: 250}}
	})
	_, text := r.do(consoleapi.RoleView, "GET", "/status", "")
	assert.Contains(t, text, "GPU of a test")
	detach()
	_, text = r.do(consoleapi.RoleView, "GET", "/status", "")
	assert.Contains(t, text, `"gpus":[]`)
	for path, body := range map[string]string{
		revision + "/watched":  `{"ranges":[[0,5]],"moments":["m1"]}`,
		revision + "/decision": `{"decision":"approved","note":"fine"}`,
		revision + "/proxy":    "", video + "/retry": "", video + "/pause": "", video + "/resume": "",
		video + "/cancel": "", video + "/first": "",
	} {
		status, text := r.do(consoleapi.RoleOperator, "POST", path, body)
		assert.Less(t, status, 300, "%s: %s", path, text)
	}
	assert.Equal(t, consoleapi.Actor{Name: "operator", Role: consoleapi.RoleOperator}, r.workspace.actor,
		"who did it is the identity")
}

func TestErrors(t *testing.T) {
	r := newRig(t)
	text, binary := []string{"Content-Type", "text/plain"}, []string{"Content-Type", "application/octet-stream"}
	for name, test := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
	}{
		"unknown video":    {"GET", "/videos/000000000000000000000000", "", nil, 404},
		"unknown path":     {"GET", "/nothing", "", nil, 404},
		"wrong method":     {"PUT", "/videos", "", nil, 404},
		"unknown state":    {"GET", "/videos?state=lost", "", nil, 400},
		"no number":        {"GET", "/videos?limit=x", "", nil, 400},
		"too many frames":  {"GET", revision + "/frames?from=0&to=5000", "", nil, 400},
		"no frame":         {"GET", revision + "/stills/x", "", nil, 400},
		"negative frame":   {"GET", revision + "/stills/-1", "", nil, 400},
		"dots":             {"GET", "/videos/..%2F..%2Fetc%2Fpasswd/revisions/r1/media", "", nil, 404},
		"not JSON":         {"POST", revision + "/decision", "decision=approved", nil, 400},
		"form":             {"POST", revision + "/decision", `{"decision":"approved"}`, text, 400},
		"unknown key":      {"POST", revision + "/decision", `{"decision":"approved","by":"Eve"}`, nil, 400},
		"two values":       {"POST", revision + "/decision", `{"decision":"approved"}{}`, nil, 400},
		"too large":        {"POST", revision + "/decision", `{"note":"` + strings.Repeat("x", maxBody) + `"}`, nil, 413},
		"long note":        {"POST", revision + "/decision", `{"note":"` + strings.Repeat("x", maxNote+1) + `"}`, nil, 422},
		"bad range":        {"GET", revision + "/media", "", []string{"Range", "bytes=900-1000"}, 416},
		"unknown format":   {"GET", "/audit?format=xml", "", nil, 400},
		"upload by JSON":   {"POST", "/uploads?name=a.mp4", `{}`, nil, 400},
		"large upload":     {"POST", "/uploads?name=a.mp4", strings.Repeat("x", 1001), binary, 413},
		"to another":       {"POST", "/uploads?name=a.mp4&receiver=other", "x", binary, 404},
		"something failed": {"GET", revision + "/stills/99", "", nil, 500},
	} {
		t.Run(name, func(t *testing.T) {
			status, text := r.do(consoleapi.RoleOperator, test.method, test.path, test.body, test.headers...)
			assert.Equal(t, test.status, status, text)
			assert.NotContains(t, text, "/secret", "it names no path")
		})
	}
	status, _ := r.do(consoleapi.RoleOperator, "POST", "/uploads?name=a.mp4", "video", binary...)
	assert.Equal(t, http.StatusCreated, status)
	assert.Equal(t, "video", r.workspace.uploaded)
}

func TestErrorsOfWorkspaces(t *testing.T) {
	r := newRig(t)
	for err, want := range map[error]string{
		fmt.Errorf("%w: it is done", consoleapi.ErrConflict): `409 {"code":"conflict","message":"it is done"}`,
		fmt.Errorf("%w: look again", consoleapi.ErrChanged):  `409 {"code":"output_changed","message":"look again"}`,
		fmt.Errorf("%w: not that", consoleapi.ErrPrecondition): `412 {"code":"precondition_failed",` +
			`"message":"not that"}`,
		fmt.Errorf("%w: a note", consoleapi.ErrInvalid): `422 {"code":"unprocessable","message":"a note"}`,
		fmt.Errorf("%w: wait", consoleapi.ErrNotReady):  `503 {"code":"not_ready","message":"wait"}`,
	} {
		r.workspace.err = err
		status, text := r.do(consoleapi.RoleOperator, "POST", revision+"/decision", `{"decision":"approved"}`)
		assert.Equal(t, want, fmt.Sprintf("%d %s", status, strings.TrimSpace(text)))
	}
}

// TestLogHasNoHiddenNames checks that failures are logged with the redaction of the receiver's own log.
func TestLogHasNoHiddenNames(t *testing.T) {
	r := newRig(t)
	lines, logged := observer.New(zap.DebugLevel)
	r.api.opts.Logger = zap.New(lines)
	r.workspace.err = errors.New("open /videos/Jane Doe.mp4: permission denied")
	status, _ := r.do(consoleapi.RoleOperator, "POST", revision+"/decision", `{"decision":"approved"}`)
	assert.Equal(t, http.StatusInternalServerError, status)
	require.Equal(t, 1, logged.Len())
	assert.Equal(t, "open /videos/57a1c0de.mp4: permission denied", logged.All()[0].ContextMap()["error"])
}

func TestRoles(t *testing.T) {
	r := newRig(t)
	for path, least := range map[string]consoleapi.Role{
		"GET /videos": consoleapi.RoleView, "GET " + revision + "/media": consoleapi.RoleView,
		"POST " + revision + "/watched": consoleapi.RoleEdit, "POST " + video + "/edits": consoleapi.RoleEdit,
		"POST " + revision + "/decision": consoleapi.RoleReview,
		"POST " + video + "/cancel":      consoleapi.RoleOperator, "POST /uploads": consoleapi.RoleOperator,
	} {
		method, path, _ := strings.Cut(path, " ")
		for _, role := range append([]consoleapi.Role{""}, consoleapi.Roles...) {
			status, text := r.do(role, method, path, map[bool]string{true: "{}"}[method == "POST"])
			switch {
			case role == "":
				assert.Equal(t, http.StatusUnauthorized, status, path)
			case slices.Index(consoleapi.Roles, role) < slices.Index(consoleapi.Roles, least):
				assert.Equal(t, http.StatusForbidden, status, "%s %s", role, path)
			default:
				assert.NotContains(t, []int{401, 403}, status, "%s %s: %s", role, path, text)
			}
		}
	}
}

func TestNotAttached(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.detach(t.Context()))
	for _, path := range []string{"/videos", "/status", video, "/audit", "/audit/verification"} {
		status, text := r.do(consoleapi.RoleView, "GET", path, "")
		assert.Equal(t, http.StatusServiceUnavailable, status, path)
		assert.Contains(t, text, "not_attached", path)
	}
	status, _ := r.do(consoleapi.RoleView, "GET", "/me", "")
	assert.Equal(t, http.StatusOK, status)
}

// TestShared checks that with a share and no workspace, the status has the machines, and requests about videos explain
// why there are none.
func TestShared(t *testing.T) {
	r := newRig(t)
	unit := 3
	detach := r.api.Registry.AttachMachines(component.MustNewID("videoanonymizer"), func() consoleapi.Share {
		return consoleapi.Share{Videos: map[string]int{"planned": 2}, Machines: []consoleapi.Machine{
			{Name: "b", State: "silent", Since: at, Silent: 90, Doing: []consoleapi.MachineTask{}},
			{Name: "a", State: "takes_nothing", Since: at, Problem: "the folder is another one",
				Doing: []consoleapi.MachineTask{{Task: "unit", Video: "in/walk.mp4", Unit: &unit, Since: at}}},
		}}
	})
	status, text := r.do(consoleapi.RoleView, "GET", "/videos", "")
	assert.Equal(t, http.StatusOK, status, "there is a workspace, too: %s", text)
	require.NoError(t, r.detach(t.Context()))
	status, text = r.do(consoleapi.RoleView, "GET", "/status", "")
	assert.Equal(t, http.StatusOK, status, text)
	assert.Contains(t, text, `"videos":{"planned":2}`)
	assert.Less(t, strings.Index(text, `"name":"a"`), strings.Index(text, `"name":"b"`))
	for _, path := range []string{"/videos", video, "/audit", "/audit/verification"} {
		status, text := r.do(consoleapi.RoleView, "GET", path, "")
		assert.Equal(t, http.StatusNotFound, status, path)
		assert.Contains(t, text, `"shared"`, path)
	}
	detach()
	status, text = r.do(consoleapi.RoleView, "GET", "/status", "")
	assert.Equal(t, http.StatusServiceUnavailable, status, text)
}

func TestSessions(t *testing.T) {
	r := newRig(t)
	status, text := r.do("", "POST", "/session", `{"token":"wrong"}`)
	assert.Equal(t, http.StatusUnauthorized, status, text)
	token := `{"token":"` + r.token[consoleapi.RoleReview] + `"}`
	response, err := http.DefaultClient.Do(r.request("", "POST", "/session", token))
	require.NoError(t, err)
	_ = response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
	cookie := response.Cookies()[0]
	assert.True(t, cookie.HttpOnly)
	assert.Equal(t, http.SameSiteStrictMode, cookie.SameSite)
	with := []string{"Cookie", cookie.Name + "=" + cookie.Value}
	status, text = r.do("", "GET", "/me", "", with...)
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, text, `"name":"test review"`)
	assert.Contains(t, text, `"expires"`)
	status, _ = r.do("", "DELETE", "/session", "", with...)
	assert.Equal(t, http.StatusNoContent, status)
	status, _ = r.do("", "GET", "/me", "", with...)
	assert.Equal(t, http.StatusUnauthorized, status)
}

func TestRanges(t *testing.T) {
	r := newRig(t)
	status, text := r.do(consoleapi.RoleView, "GET", revision+"/media", "", "Range", "bytes=3-5")
	assert.Equal(t, http.StatusPartialContent, status)
	assert.Equal(t, "345", text)
}

// TestSeekingInLargeFile seeks in a video of 1 GB as browsers do: they request everything from a position on, read what
// they need, and disconnect. The server must read no more than what they read plus what fits into the buffers in
// between.
func TestSeekingInLargeFile(t *testing.T) {
	const size, taken, buffers = 1 << 30, 64 << 10, 8 << 20
	r := newRig(t)
	r.workspace.file = filepath.Join(t.TempDir(), "large.mp4")
	file, err := os.Create(r.workspace.file)
	require.NoError(t, err)
	defer file.Close()
	require.NoError(t, file.Truncate(size)) // takes no space
	places := []int64{0, size / 2, size - taken, size / 3, 7 * size / 8}
	for _, from := range places {
		mark := []byte(fmt.Sprintf("at %d", from))
		_, err = file.WriteAt(mark, from)
		require.NoError(t, err)
		request := r.request(consoleapi.RoleView, "GET", revision+"/media", "", "Range", fmt.Sprintf("bytes=%d-", from))
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		assert.Equal(t, http.StatusPartialContent, response.StatusCode)
		assert.Equal(t, fmt.Sprintf("bytes %d-%d/%d", from, size-1, size), response.Header.Get("Content-Range"))
		got := make([]byte, taken)
		_, err = io.ReadFull(response.Body, got)
		require.NoError(t, err)
		assert.Equal(t, string(mark), string(got[:len(mark)]))
		require.NoError(t, response.Body.Close())
	}
	r.server.CloseClientConnections()
	assert.Less(t, r.workspace.read.Load(), int64(len(places)*(taken+buffers)))
}

// TestEvents follows a stream across a change, and across a reconnect that missed two.
func TestEvents(t *testing.T) {
	r := newRig(t)
	stream := func(after string) (next func() (id, name, data string), stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		request := r.request(consoleapi.RoleView, "GET", "/events", "", "Last-Event-ID", after).WithContext(ctx)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
		lines := bufio.NewScanner(response.Body)
		return func() (id, name, data string) {
			for lines.Scan() {
				key, value, _ := strings.Cut(lines.Text(), ": ")
				switch key {
				case "id":
					id = value
				case "event":
					name = value
				case "data":
					data = value
				case "":
					if name != "" {
						return id, name, data
					}
				}
			}
			return "", "", ""
		}, func() { cancel(); _ = response.Body.Close() }
	}
	video := func(next func() (id, name, data string)) (string, consoleapi.Video) {
		for {
			id, name, data := next()
			require.NotEmpty(t, name)
			if name == "video" {
				var v consoleapi.Video
				require.NoError(t, json.Unmarshal([]byte(data), &v))
				return id, v
			}
			require.Equal(t, "status", name)
		}
	}
	next, stop := stream("")
	r.workspace.change(consoleapi.StateInReview)
	id, v := video(next)
	assert.Equal(t, consoleapi.StateInReview, v.State)
	stop()
	for _, state := range []consoleapi.State{consoleapi.StateApproved, consoleapi.StateRejected} {
		r.workspace.change(state)
	}
	next, stop = stream(id)
	_, v = video(next)
	assert.Equal(t, consoleapi.StateRejected, v.State, "a reconnect misses nothing that still holds")
	stop()
	next, stop = stream("other-1")
	defer stop()
	_, name, _ := next()
	assert.Equal(t, "resync", name)
}

func TestDetachEndsRequests(t *testing.T) {
	r := newRig(t)
	r.workspace.endless = true
	response, err := http.DefaultClient.Do(r.request(consoleapi.RoleView, "GET", revision+"/media", ""))
	require.NoError(t, err)
	defer response.Body.Close()
	ended, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	require.NoError(t, r.detach(ended))
	_, err = io.Copy(io.Discard, response.Body)
	require.Error(t, err, "the download is cut off")
}

func TestAttachTwice(t *testing.T) {
	r := newRig(t)
	_, err := r.api.Registry.Attach(component.MustNewID("videoanonymizer"), newFake())
	require.ErrorContains(t, err, "already")
}

func TestCSV(t *testing.T) {
	r := newRig(t)
	_, text := r.do(consoleapi.RoleView, "GET", "/audit?format=csv", "")
	lines := strings.Split(strings.TrimSpace(text), "\n")
	require.Len(t, lines, 3)
	assert.Contains(t, lines[0], "seq,time,actor")
	assert.Contains(t, lines[2], "'=cmd()", "spreadsheets run nothing")
	_, text = r.do(consoleapi.RoleView, "GET", "/audit?after=1", "")
	assert.Equal(t, 1, strings.Count(text, "\n"))
	_, text = r.do(consoleapi.RoleView, "GET", "/audit?limit=1", "")
	assert.True(t, bytes.Contains([]byte(text), []byte(`"seq":2`)))
}
