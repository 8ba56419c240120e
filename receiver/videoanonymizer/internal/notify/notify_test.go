// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var secret = "whsec_" + base64.StdEncoding.EncodeToString([]byte("a secret of thirty-two bytes ...")) // for the tests

// rig is the state of a receiver, with the configuration of its notifier.
type rig struct {
	t     *testing.T
	opts  Options
	mu    sync.Mutex
	known []watch.Known
}

func newRig(t *testing.T, notifications ...config.Notification) *rig {
	t.Helper()
	r := &rig{t: t}
	folder := t.TempDir()
	r.opts = Options{
		Notifications: notifications, Receiver: "videoanonymizer", Outputs: "/out", State: folder, Reviewed: true,
		Known: func() []watch.Known { r.mu.Lock(); defer r.mu.Unlock(); return append([]watch.Known{}, r.known...) },
		VideoID: func(path string) string {
			return strings.Repeat("0", 24-len(path)%24) + strings.Repeat("a", len(path)%24)
		},
		Pseudonym: func(text string, _ ...string) string { return text },
		Logger:    zaptest.NewLogger(t),
	}
	require.NoError(t, os.MkdirAll(filepath.Join(folder, audit.DirectoryName), 0o700))
	return r
}

// start returns a new notifier, as when the collector starts.
func (r *rig) start() *Notifier {
	r.t.Helper()
	n, err := New(r.opts)
	require.NoError(r.t, err)
	return n
}

// run starts a notifier, and runs it until stop is called.
func (r *rig) run() (n *Notifier, stop func()) {
	n = r.start()
	ctx, cancel := context.WithCancel(r.t.Context())
	var running sync.WaitGroup
	running.Go(func() { n.Run(ctx) })
	return n, sync.OnceFunc(func() { cancel(); running.Wait() })
}

// happen records the outcome of a source.
func (r *rig) happen(path string, phase watch.Phase) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := watch.Known{Overview: watch.Overview{Path: path, Phase: phase, Updated: time.Now().UTC()}, Final: true}
	if phase == watch.PhaseDone {
		name := strings.TrimPrefix(path, "/in/") + ".out"
		k.Output = watch.Output{Path: "/out/" + name, Name: name, Digest: "d"}
	} else {
		k.Reason, k.Error = "not_video", path+": not a video"
	}
	r.known = append(r.known, k)
}

// decide adds an entry to the audit log.
func (r *rig) decide(action string) {
	r.t.Helper()
	log, err := audit.Open(filepath.Join(r.opts.State, audit.DirectoryName))
	require.NoError(r.t, err)
	_, err = log.Append(audit.Entry{Actor: "Ann", Role: "review", Action: action, Name: "walk.mp4",
		Video: strings.Repeat("b", 24), Output: "walk.out", OutputSHA256: strings.Repeat("c", 64), Note: "fine"})
	require.NoError(r.t, err)
	require.NoError(r.t, log.Close())
}

// server is a webhook that records the events of valid requests.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	statuses []int // of the first responses; then 204
	requests int
	events   []Event
}

func newServer(t *testing.T, statuses ...int) *server {
	t.Helper()
	s := &server{statuses: statuses}
	verifier, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	schema, err := jsonschema.NewCompiler().Compile("../../notification.schema.json")
	require.NoError(t, err)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		assert.NoError(t, err)
		assert.NoError(t, verifier.Verify(body, request.Header), "signed")
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		assert.NoError(t, err)
		assert.NoError(t, schema.Validate(document))
		assert.Equal(t, "application/json", request.Header.Get("Content-Type"))
		s.mu.Lock()
		defer s.mu.Unlock()
		s.requests++
		if len(s.statuses) > 0 {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(s.statuses[0])
			s.statuses = s.statuses[1:]
			return
		}
		var e Event
		assert.NoError(t, json.Unmarshal(body, &e))
		s.events = append(s.events, e)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) hook(name string, events ...string) config.Notification {
	return config.Notification{Name: name, Events: events,
		Webhook: &config.Webhook{URL: s.URL, Secret: configopaque.String(secret)}}
}

// names returns the received events, with the videos that they are about.
func (s *server) names() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		names = append(names, e.Event+" "+e.Source)
	}
	return names
}

func (s *server) await(t *testing.T, want ...string) {
	t.Helper()
	require.Eventually(t, func() bool { return len(s.names()) >= len(want) }, time.Minute, 5*time.Millisecond)
	assert.Equal(t, want, s.names())
}

// awaitDelivered waits until a notifier knows that its first target has received everything.
func awaitDelivered(t *testing.T, n *Notifier) {
	t.Helper()
	require.Eventually(t, func() bool {
		waiting, err := n.targets[0].waiting()
		return err == nil && len(waiting) == 0
	}, time.Minute, 5*time.Millisecond)
}

// TestWebhook checks that events are sent in order, whatever the server answers at first, and that earlier events are
// not.
func TestWebhook(t *testing.T) {
	s := newServer(t, http.StatusInternalServerError)
	r := newRig(t, s.hook("all"))
	r.happen("/in/before.mp4", watch.PhaseDone)
	r.decide(audit.Approved)
	n, stop := r.run()
	defer stop()
	r.happen("/in/walk.mp4", watch.PhaseDone)
	r.happen("/in/text.mp4", watch.PhaseFailed)
	n.Changed()
	s.await(t, "done walk.mp4", "to_review walk.mp4", "failed text.mp4")
	assert.Equal(t, 4, s.requests, "one was told twice")
	assert.Equal(t, "/out/walk.mp4.out", s.events[0].OutputPath)
	assert.Equal(t, "not_video", s.events[2].Reason)
	r.decide(audit.ReviewStarted)
	r.decide(audit.Rejected)
	r.decide(audit.Reopened)
	r.decide(audit.Approved)
	s.await(t, "done walk.mp4", "to_review walk.mp4", "failed text.mp4", "rejected walk.mp4", "to_review walk.mp4",
		"approved walk.mp4")
	approved := s.events[5]
	assert.Equal(t, "Ann", approved.By)
	assert.Equal(t, strings.Repeat("c", 64), approved.OutputSHA256)
}

// TestToldAtLeastOnce stops and kills the notifier at each step, and checks that every event is still sent, with one
// ID.
func TestToldAtLeastOnce(t *testing.T) {
	s := newServer(t)
	r := newRig(t, s.hook("all", config.EventDone, config.EventApproved))
	require.NoError(t, r.start().writeCursor())
	r.happen("/in/a.mp4", watch.PhaseDone) // before the notifier looks
	r.decide(audit.Approved)
	n := r.start()
	cursor, err := os.ReadFile(filepath.Join(n.directory, cursorName))
	require.NoError(t, err)
	require.NoError(t, n.look(true)) // written to disk, but not delivered
	waiting, err := n.targets[0].waiting()
	require.NoError(t, err)
	require.Len(t, waiting, 2)
	require.NoError(t, os.WriteFile(filepath.Join(n.directory, cursorName), cursor, 0o600)) // before it moved the cursor
	restarted := r.start()
	require.NoError(t, restarted.look(true))
	again, err := restarted.targets[0].waiting()
	require.NoError(t, err)
	assert.Equal(t, waiting, again, "it waits once")

	n, stop := r.run()
	s.await(t, "done a.mp4", "approved walk.mp4")
	awaitDelivered(t, n) // or the second one is sent once more
	stop()
	r.happen("/in/b.mp4", watch.PhaseDone) // while the notifier is not running
	n, stop = r.run()
	defer stop()
	s.await(t, "done a.mp4", "approved walk.mp4", "done b.mp4")
	r.mu.Lock()
	renamed := r.known[0]
	renamed.Path, renamed.Updated = "/in/renamed.mp4", time.Now().UTC()
	r.known[1].Updated = time.Now().UTC() // for example because its source was moved
	r.known = append(r.known, renamed)
	r.mu.Unlock()
	r.happen("/in/c.mp4", watch.PhaseDone)
	n.Changed()
	s.await(t, "done a.mp4", "approved walk.mp4", "done b.mp4", "done c.mp4")
}

// TestOneTargetHoldsUpNoOther checks that a webhook that never answers delays neither another one nor writing to disk.
func TestOneTargetHoldsUpNoOther(t *testing.T) {
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		_, _ = io.Copy(io.Discard, request.Body) // the server notices a disconnected client only after this
		<-request.Context().Done()
	}))
	defer hangs.Close()
	s := newServer(t)
	slow := s.hook("slow")
	slow.Webhook.URL = hangs.URL
	r := newRig(t, slow, s.hook("good", config.EventDone))
	n, stop := r.run()
	r.happen("/in/a.mp4", watch.PhaseDone)
	n.Changed()
	s.await(t, "done a.mp4")
	stop() // at once, although a request is in progress
	waiting, err := n.targets[0].waiting()
	require.NoError(t, err)
	assert.Len(t, waiting, 2, "it is told at the next start")

	r.opts.Notifications = r.opts.Notifications[1:]
	r.start()
	assert.NoDirExists(t, n.targets[0].directory, "nobody is told any more")
}

// TestWebhookFailures checks that responses other than 2xx fail, that redirects are not followed, and that no error
// contains the address.
func TestWebhookFailures(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		says   string
	}{
		"redirect":    {http.StatusTemporaryRedirect, "307"},
		"not found":   {http.StatusNotFound, "404"},
		"unreachable": {0, "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, test.status)
			hook := s.hook("hook")
			hook.Webhook.URL += "/token-1234"
			if test.status == 0 {
				s.Close()
			}
			w, err := newWebhook(hook.Webhook)
			require.NoError(t, err)
			e := Event{Schema: Schema, ID: strings.Repeat("0", 24), Event: config.EventDone, Receiver: "r", Time: time.Now()}
			document, err := json.Marshal(e)
			require.NoError(t, err)
			err = w.deliver(t.Context(), &e, document)
			require.ErrorContains(t, err, test.says)
			assert.NotContains(t, err.Error(), "token-1234")
		})
	}
	_, err := newWebhook(&config.Webhook{CAFile: "notify_test.go"})
	assert.ErrorContains(t, err, "no certificate")
}

// TestCommand checks that a command gets the document and no secrets, and is killed with its children when it takes too
// long.
func TestCommand(t *testing.T) {
	t.Setenv("SECRET_OF_THE_COLLECTOR", "1234")
	folder := t.TempDir()
	e := Event{Schema: Schema, Event: config.EventDone, ID: "id"}
	c := command{[]string{"/bin/sh", "-c", `cat > "$0/document"; env > "$0/env"`, folder}}
	require.NoError(t, c.deliver(t.Context(), &e, []byte(`{"a":1}`)))
	text, err := os.ReadFile(folder + "/document")
	require.NoError(t, err)
	assert.Equal(t, "{\"a\":1}\n", string(text))
	text, err = os.ReadFile(folder + "/env")
	require.NoError(t, err)
	assert.Contains(t, string(text), "ANONYMIZER_EVENT=done\n")
	assert.NotContains(t, string(text), "1234")

	err = (&command{[]string{"/bin/sh", "-c", "echo no disk; exit 3"}}).deliver(t.Context(), &e, nil)
	assert.ErrorContains(t, err, "exit status 3: no disk")
	assert.Error(t, (&command{[]string{"/nonexistent"}}).deliver(t.Context(), &e, nil))

	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	assert.Error(t, (&command{[]string{"/bin/sh", "-c", "sleep 60 & sleep 60"}}).deliver(ctx, &e, nil))
	assert.Less(t, time.Since(start), 30*time.Second)
}

// TestGivingUp checks that what is too old or cannot be read is dropped, and how long waits between attempts are.
func TestGivingUp(t *testing.T) {
	s := newServer(t, http.StatusBadGateway, http.StatusBadGateway)
	hook := s.hook("hook")
	hook.GiveUpAfter = time.Hour
	target, err := newTarget(&hook, t.TempDir(), zaptest.NewLogger(t))
	require.NoError(t, err)
	add := func(id string, age time.Duration) string {
		require.NoError(t, target.add(&Event{Schema: Schema, ID: strings.Repeat(id, 24), Event: config.EventDone,
			Receiver: "r", Time: time.Now().Add(-age)}))
		waiting, err := target.waiting()
		require.NoError(t, err)
		return filepath.Join(target.directory, waiting[len(waiting)-1])
	}
	young := add("a", time.Minute)
	assert.Error(t, target.tell(t.Context(), young))
	assert.FileExists(t, young)
	old := add("b", 2*time.Hour)
	assert.NoError(t, target.tell(t.Context(), old))
	assert.NoFileExists(t, old)
	require.NoError(t, os.WriteFile(old, []byte("{"), 0o600))
	assert.NoError(t, target.tell(t.Context(), old))
	assert.NoFileExists(t, old)
	assert.Equal(t, firstWait, backoff(1))
	assert.Equal(t, 4*firstWait, backoff(3))
	assert.Equal(t, longestWait, backoff(1000))
}

// TestNotificationsHideNames checks that no notification contains a name if names are hidden.
func TestNotificationsHideNames(t *testing.T) {
	r := newRig(t, config.Notification{Name: "hook", Command: []string{"/bin/true"}})
	r.opts.Pseudonym = func(text string, paths ...string) string {
		for _, path := range paths {
			text = strings.ReplaceAll(strings.ReplaceAll(text, path, "#"), filepath.Base(path), "#")
		}
		return text
	}
	n := r.start()
	r.happen("/in/jane.mp4", watch.PhaseDone)
	r.happen("/in/jane2.mp4", watch.PhaseFailed)
	log, err := audit.Open(filepath.Join(r.opts.State, audit.DirectoryName))
	require.NoError(t, err)
	_, err = log.Append(audit.Entry{Action: audit.Approved, Name: "jane.mp4", Output: "jane.mp4.out",
		Note: "jane.mp4 is fine"})
	require.NoError(t, err)
	require.NoError(t, log.Close())
	require.NoError(t, n.look(true))
	waiting, err := n.targets[0].waiting()
	require.NoError(t, err)
	require.Len(t, waiting, 4)
	for _, name := range waiting {
		text, err := os.ReadFile(filepath.Join(n.targets[0].directory, name))
		require.NoError(t, err)
		assert.NotContains(t, string(text), "jane")
	}
}

func TestFilesAbout(t *testing.T) {
	r := newRig(t, config.Notification{Name: "hook", Command: []string{"/bin/true"}})
	n := r.start()
	r.happen("/in/a.mp4", watch.PhaseDone)
	require.NoError(t, n.look(true))
	id := r.opts.VideoID("/in/a.mp4")
	assert.Len(t, FilesAbout(r.opts.State, []string{id}), 2)
	assert.Empty(t, FilesAbout(r.opts.State, []string{"other"}))
	assert.Empty(t, FilesAbout(t.TempDir(), []string{id}))
}

// TestSignatureByHand runs the commands in docs/notifications.md that compute a signature.
func TestSignatureByHand(t *testing.T) {
	guide, err := os.ReadFile("../../../../docs/notifications.md")
	require.NoError(t, err)
	script := regexp.MustCompile("(?ms)^```sh\n(.*?)^```").FindSubmatch(guide)
	require.NotNil(t, script)
	signer, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	at := time.Unix(1764360000, 0)
	want, err := signer.Sign("id", at, []byte(`{"note":"100 % fine"}`))
	require.NoError(t, err)
	cmd := exec.Command("/bin/sh", "-c", string(script[1]))
	cmd.Env = append(os.Environ(), "SECRET="+secret, "ID=id", "TIMESTAMP=1764360000", `BODY={"note":"100 % fine"}`)
	got, err := cmd.Output()
	require.NoError(t, err)
	assert.Equal(t, want, string(got))
}

// TestDeliveredWhileStopping checks that an event whose delivery succeeds while the notifier stops is not sent again.
func TestDeliveredWhileStopping(t *testing.T) {
	s := newServer(t)
	r := newRig(t, s.hook("all", config.EventDone))
	n := r.start()
	ctx, cancel := context.WithCancel(t.Context())
	deliver := n.targets[0].deliver
	n.targets[0].deliver = func(ctx context.Context, e *Event, document []byte) error {
		defer cancel() // once the server has answered
		return deliver(ctx, e, document)
	}
	r.happen("/in/a.mp4", watch.PhaseDone)
	n.Run(ctx)
	assert.Equal(t, []string{"done a.mp4"}, s.names())
	waiting, err := n.targets[0].waiting()
	require.NoError(t, err)
	assert.Empty(t, waiting)
}
