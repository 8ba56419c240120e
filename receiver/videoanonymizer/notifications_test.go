// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/config/configopaque"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
)

// TestNotifications checks that a receiver notifies a webhook and a command of the outcome of its videos, also across a
// restart.
func TestNotifications(t *testing.T) {
	var mu sync.Mutex
	events := map[string]string{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		var e struct{ Event, Source, Output, Reason string }
		assert.NoError(t, json.NewDecoder(request.Body).Decode(&e))
		mu.Lock()
		defer mu.Unlock()
		events[e.Source] = e.Event + " " + e.Output + e.Reason
	}))
	defer server.Close()
	cfg := newTestConfig(t)
	said := filepath.Join(t.TempDir(), "said")
	secret := base64.StdEncoding.EncodeToString(make([]byte, 32))
	cfg.Notifications = []config.Notification{
		{Name: "hook", Webhook: &config.Webhook{URL: server.URL, Secret: configopaque.String(secret)}},
		{Name: "command", Events: []string{config.EventFailed}, Command: []string{"/bin/sh", "-c", `cat >> "$0"`, said}},
	}
	require.NoError(t, cfg.Validate())
	r := start(t, cfg)
	clip(t, filepath.Join(r.in, "walk.mp4"), "-i", "color=gray:size=320x240:rate=25:duration=0.2")
	r.awaitLog(t, "finished", "walk.mp4")
	require.NoError(t, r.Shutdown(t.Context()))
	r = start(t, cfg)
	require.NoError(t, os.WriteFile(filepath.Join(r.in, "text.mp4"), []byte("text"), 0o600))
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		text, _ := os.ReadFile(said)
		return len(events) == 2 && len(text) > 0
	}, time.Minute, 20*time.Millisecond)
	assert.Equal(t, map[string]string{"walk.mp4": "done walk_anonymized.mp4", "text.mp4": "failed not_video"}, events)
	text, err := os.ReadFile(said)
	require.NoError(t, err)
	assert.Regexp(t, `^\{"schema":.*"event":"failed".*\}\n$`, string(text))
}

// TestNotificationsGuide validates the configuration of docs/notifications.md.
func TestNotificationsGuide(t *testing.T) {
	guide, err := os.ReadFile("../../docs/notifications.md")
	require.NoError(t, err)
	example := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindSubmatch(guide)
	require.NotNil(t, example)
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, example[1], 0o600))
	t.Setenv("WEBHOOK_SECRET", base64.StdEncoding.EncodeToString(make([]byte, 32)))
	loaded, err := config.Load(t.Context(), "", path)
	require.NoError(t, err)
	require.NoError(t, loaded.Validate())
	assert.Len(t, loaded.Notifications, 2)
	assert.NotContains(t, mustJSON(t, loaded.Notifications), string(loaded.Notifications[0].Webhook.Secret),
		"the secret is in no dump of the configuration")
}

func mustJSON(t *testing.T, v any) string {
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}
