// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/client"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi/tokens"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a store with its own clock.
type rig struct {
	*Store
	t         *testing.T
	directory string
	start     string
	clock     time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, directory: filepath.Join(t.TempDir(), "console"), clock: time.Now()}
	var err error
	r.Store, r.start, err = New(Options{Directory: r.directory, Lifetime: time.Hour, Logger: zaptest.NewLogger(t)})
	require.NoError(t, err)
	r.now = func() time.Time { return r.clock }
	return r
}

func (r *rig) by(key, value string) (Identity, error) {
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.Header.Set(key, value)
	return r.Authenticate(request)
}

// begin starts a session and returns its cookie as a header.
func (r *rig) begin(token string) string {
	r.t.Helper()
	answer := httptest.NewRecorder()
	_, err := r.Begin(answer, httptest.NewRequest(http.MethodPost, "/", nil), token)
	require.NoError(r.t, err)
	return strings.Split(answer.Header().Get("Set-Cookie"), ";")[0]
}

func TestStartToken(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(r.directory, tokens.StartFileName)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, r.start+"\n", string(text))
	who, err := r.by("Authorization", "Bearer "+r.start)
	require.NoError(t, err)
	assert.Equal(t, Identity{Name: "operator", Role: consoleapi.RoleOperator}, who)

	_, again, err := New(r.opts)
	require.NoError(t, err)
	assert.NotEqual(t, r.start, again, "it is valid until a restart")
}

func TestWrongCredentials(t *testing.T) {
	r := newRig(t)
	for _, header := range [][2]string{
		{"Accept", "*/*"}, {"Authorization", "Bearer"}, {"Authorization", "Bearer "}, {"Authorization", "Bearer x" + r.start},
		{"Authorization", "Basic " + r.start}, {"Authorization", "Bearer " + tokens.Digest(r.start)},
		{"Cookie", CookieName + "=" + r.start}, {"Cookie", CookieName + "="}, {"Cookie", "other=1"},
	} {
		_, err := r.by(header[0], header[1])
		require.ErrorIs(t, err, ErrUnknown, "%v", header)
	}
}

func TestNamedTokens(t *testing.T) {
	r := newRig(t)
	token, err := tokens.Create(r.directory, "Ann", consoleapi.RoleReview, 10*time.Minute)
	require.NoError(t, err)
	r.clock = r.clock.Add(checkEvery)
	who, err := r.by("Authorization", "bearer "+token)
	require.NoError(t, err, "it counts without a restart")
	assert.Equal(t, "Ann", who.Name)
	assert.Equal(t, consoleapi.RoleReview, who.Role)
	cookie := r.begin(token)
	who, err = r.by("Cookie", cookie)
	require.NoError(t, err)
	assert.WithinDuration(t, r.clock.Add(10*time.Minute), who.Expires, 2*time.Second, "no session outlives its token")

	require.NoError(t, tokens.Revoke(r.directory, "Ann"))
	r.clock = r.clock.Add(checkEvery)
	_, err = r.by("Cookie", cookie)
	require.ErrorIs(t, err, ErrUnknown, "a token that is revoked ends its sessions")

	token, err = tokens.Create(r.directory, "Bob", consoleapi.RoleView, time.Minute)
	require.NoError(t, err)
	r.clock = r.clock.Add(2 * time.Minute)
	_, err = r.by("Authorization", "Bearer "+token)
	require.ErrorIs(t, err, ErrUnknown, "it has expired")

	require.NoError(t, os.WriteFile(filepath.Join(r.directory, tokens.FileName), []byte("{"), 0o600))
	r.clock = r.clock.Add(checkEvery)
	_, err = r.by("Authorization", "Bearer "+r.start)
	require.NoError(t, err, "a damaged file locks out nobody with the start's token")
}

func TestSessionsEnd(t *testing.T) {
	r := newRig(t)
	cookie := r.begin(r.start)
	_, err := r.by("Cookie", cookie)
	require.NoError(t, err)
	r.clock = r.clock.Add(time.Hour)
	_, err = r.by("Cookie", cookie)
	require.ErrorIs(t, err, ErrUnknown)
	for range maxSessions + 5 {
		cookie = r.begin(r.start)
	}
	assert.LessOrEqual(t, len(r.sessions), maxSessions)
	_, err = r.by("Cookie", cookie)
	require.NoError(t, err)
}

type attributes map[string]any

func (a attributes) GetAttribute(name string) any { return a[name] }
func (a attributes) GetAttributeNames() []string  { return nil }

func TestAuthenticator(t *testing.T) {
	s, token, err := New(Options{Authenticated: true, Attribute: "subject", Role: consoleapi.RoleView,
		Roles: map[string]consoleapi.Role{"ann@example.com": consoleapi.RoleReview}})
	require.NoError(t, err)
	assert.Empty(t, token)
	by := func(data client.AuthData) (Identity, error) {
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		return s.Authenticate(request.WithContext(client.NewContext(request.Context(), client.Info{Auth: data})))
	}
	who, err := by(attributes{"subject": "ann@example.com"})
	require.NoError(t, err)
	assert.Equal(t, Identity{Name: "ann@example.com", Role: consoleapi.RoleReview}, who)
	who, err = by(attributes{"subject": "bob"})
	require.NoError(t, err)
	assert.Equal(t, consoleapi.RoleView, who.Role)
	_, err = by(attributes{"other": "bob"})
	require.ErrorContains(t, err, "identity::attribute")
	_, err = by(nil)
	require.ErrorIs(t, err, ErrUnknown)
}
