// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func wrap(t *testing.T, next http.HandlerFunc, hosts ...string) http.Handler {
	t.Helper()
	handler, err := Wrap(next, Options{Hosts: hosts, Refuse: func(w http.ResponseWriter, status int, _, _ string) {
		w.WriteHeader(status)
	}})
	require.NoError(t, err)
	return handler
}

func TestHosts(t *testing.T) {
	handler := wrap(t, func(http.ResponseWriter, *http.Request) {}, "videos.example.com", "192.0.2.7", "fd00::7")
	for host, want := range map[string]int{
		"localhost": 200, "localhost:8090": 200, "LOCALHOST:1": 200, "127.0.0.1:8090": 200, "[::1]:8090": 200,
		"videos.example.com": 200, "Videos.Example.com:443": 200, "192.0.2.7:8090": 200, "[fd00::7]:8090": 200,
		"evil.example": 421, "localhost.evil.example": 421, "evil.example:8090": 421, "": 421, "192.0.2.8": 421,
		"videos.example.com.evil.example": 421, "0.0.0.0": 421, "localhost:8090@evil.example": 421,
	} {
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		request.Host = host
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		assert.Equal(t, want, answer.Code, host)
	}
}

func TestOrigins(t *testing.T) {
	handler := wrap(t, func(http.ResponseWriter, *http.Request) {}, "videos.example.com")
	for name, test := range map[string]struct {
		method, key, value string
		want               int
	}{
		"own page":             {"POST", "Origin", "http://localhost:8090", 200},
		"same origin":          {"POST", "Sec-Fetch-Site", "same-origin", 200},
		"behind a proxy":       {"POST", "Origin", "https://videos.example.com", 200},
		"program":              {"POST", "Accept", "*/*", 200},
		"another site":         {"POST", "Sec-Fetch-Site", "cross-site", 403},
		"another port":         {"POST", "Sec-Fetch-Site", "same-site", 403},
		"another origin":       {"DELETE", "Origin", "http://evil.example", 403},
		"no origin":            {"POST", "Origin", "null", 403},
		"reading changes none": {"GET", "Sec-Fetch-Site", "cross-site", 200},
	} {
		t.Run(name, func(t *testing.T) {
			request := httptest.NewRequest(test.method, "http://localhost:8090/", nil)
			request.Header.Set(test.key, test.value)
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, request)
			assert.Equal(t, test.want, answer.Code)
			assert.Empty(t, answer.Header().Get("Access-Control-Allow-Origin"))
			assert.Contains(t, answer.Header().Get("Content-Security-Policy"), "default-src 'none'")
			assert.Contains(t, answer.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'")
			assert.Equal(t, "nosniff", answer.Header().Get("X-Content-Type-Options"))
			assert.Equal(t, "no-store", answer.Header().Get("Cache-Control"))
		})
	}
}

// TestLongResponse checks that streams work, which a server's WriteTimeout would cut off.
func TestLongResponse(t *testing.T) {
	server := httptest.NewUnstartedServer(wrap(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 5 {
			time.Sleep(60 * time.Millisecond)
			_, err := io.WriteString(w, "x")
			assert.NoError(t, err)
			assert.NoError(t, http.NewResponseController(w).Flush())
		}
	}))
	server.Config.WriteTimeout = 100 * time.Millisecond
	server.Start()
	defer server.Close()
	response, err := http.Get(server.URL)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Equal(t, "xxxxx", string(text))
}
