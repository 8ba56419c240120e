// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package session authenticates requests: by a token, by the cookie of a session that was started with a token, or by
// the data of the collector's authenticator.
package session

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/client"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi/tokens"
)

// CookieName is the name of a session's cookie.
const CookieName = "anonymizer_session"

// maxSessions is the maximum number of sessions. When it is exceeded, the session that expires first is removed.
const maxSessions = 1000

// startName is the name of the token that the console shows when it starts.
const startName = "operator"

// Identity is the sender of a request.
type Identity struct {
	Name string
	Role consoleapi.Role
	// Expires is when the session ends; zero if it does not end.
	Expires time.Time
}

// Actor returns the identity for the audit.
func (i Identity) Actor() consoleapi.Actor { return consoleapi.Actor{Name: i.Name, Role: i.Role} }

// Options are the options of a Store.
type Options struct {
	// Directory holds the tokens.
	Directory string
	Lifetime  time.Duration
	// Authenticated means that the collector's authenticator has checked each request, and that there are no tokens.
	Authenticated bool
	// Attribute, Role, and Roles are the fields of the configured Identity.
	Attribute string
	Role      consoleapi.Role
	Roles     map[string]consoleapi.Role
	Logger    *zap.Logger
}

// Store holds tokens and sessions. It is safe for concurrent use.
type Store struct {
	opts  Options
	start tokens.Token
	now   func() time.Time

	mu       sync.Mutex
	sessions map[string]session // by digest of the cookie
	named    []tokens.Token
	read     os.FileInfo // info of the file of named tokens when it was read; nil if there was none
	checked  time.Time
}

type session struct {
	token   string // digest of the token that started it
	expires time.Time
}

// New creates the token of this start and writes it to a file that only its owner can read. The token is empty if the
// collector's authenticator authenticates requests.
func New(opts Options) (s *Store, token string, err error) {
	s = &Store{opts: opts, now: time.Now, sessions: map[string]session{}}
	if opts.Authenticated {
		return s, "", nil
	}
	if err := os.MkdirAll(opts.Directory, 0o700); err != nil {
		return nil, "", fmt.Errorf("directory: %w", err)
	}
	if s.named, err = tokens.Read(opts.Directory); err != nil {
		return nil, "", fmt.Errorf("directory: %w", err)
	}
	token = tokens.New()
	s.start = tokens.Token{Name: startName, Role: consoleapi.RoleOperator, SHA256: tokens.Digest(token)}
	err = tokens.Replace(filepath.Join(opts.Directory, tokens.StartFileName), []byte(token+"\n"))
	if err != nil {
		return nil, "", fmt.Errorf("directory: %w", err)
	}
	return s, token, nil
}

// ErrUnknown means that a request does not identify its sender, or does so with invalid credentials.
var ErrUnknown = errors.New("sign in first: send a session cookie, or Authorization: Bearer <token>")

// Authenticate returns the sender of a request.
func (s *Store) Authenticate(r *http.Request) (Identity, error) {
	if s.opts.Authenticated {
		return s.authenticated(r.Context())
	}
	if token, ok := bearer(r); ok {
		return s.byDigest(tokens.Digest(token))
	}
	cookie, err := r.Cookie(CookieName)
	if err != nil {
		return Identity{}, ErrUnknown
	}
	s.mu.Lock()
	found, ok := s.sessions[tokens.Digest(cookie.Value)]
	s.mu.Unlock()
	if !ok || !s.now().Before(found.expires) {
		return Identity{}, ErrUnknown
	}
	identity, err := s.byDigest(found.token)
	if err == nil && (identity.Expires.IsZero() || found.expires.Before(identity.Expires)) {
		identity.Expires = found.expires
	}
	return identity, err
}

// bearer returns the token in the Authorization header.
func bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}

// authenticated returns the identity that the collector's authenticator has established.
func (s *Store) authenticated(ctx context.Context) (Identity, error) {
	data := client.FromContext(ctx).Auth
	if data == nil {
		return Identity{}, ErrUnknown
	}
	name := ""
	switch value := data.GetAttribute(s.opts.Attribute).(type) {
	case string:
		name = value
	case fmt.Stringer:
		name = value.String()
	}
	if name == "" {
		return Identity{}, fmt.Errorf("the authenticator provides no %s: set identity::attribute", s.opts.Attribute)
	}
	role, ok := s.opts.Roles[name]
	if !ok {
		role = s.opts.Role
	}
	return Identity{Name: name, Role: role}, nil
}

// byDigest returns the identity of the token with this digest.
func (s *Store) byDigest(digest string) (Identity, error) {
	found := tokens.Token{}
	for _, t := range append(s.current(), s.start) {
		if subtle.ConstantTimeCompare([]byte(t.SHA256), []byte(digest)) == 1 {
			found = t
		}
	}
	if found.SHA256 == "" || !found.Expires.IsZero() && !s.now().Before(found.Expires) {
		return Identity{}, ErrUnknown
	}
	return Identity{Name: found.Name, Role: found.Role, Expires: found.Expires}, nil
}

// checkEvery is how often the file of named tokens is checked for changes.
const checkEvery = time.Second

// current returns the named tokens, which anonymizerctl can change while the console runs.
func (s *Store) current() []tokens.Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now().Sub(s.checked) < checkEvery {
		return s.named[:len(s.named):len(s.named)]
	}
	s.checked = s.now()
	info, err := os.Stat(filepath.Join(s.opts.Directory, tokens.FileName))
	if err != nil {
		s.named, s.read = nil, nil
	} else if s.read == nil || !os.SameFile(s.read, info) || !s.read.ModTime().Equal(info.ModTime()) {
		named, err := tokens.Read(s.opts.Directory)
		if err != nil {
			s.opts.Logger.Error("the tokens cannot be read: only the operator can sign in", zap.Error(err))
		}
		s.named, s.read = named, info
	}
	return s.named[:len(s.named):len(s.named)]
}

// Begin starts a session with a token, or with the token in the Authorization header if token is "".
func (s *Store) Begin(w http.ResponseWriter, r *http.Request, token string) (Identity, error) {
	if s.opts.Authenticated {
		return s.authenticated(r.Context())
	}
	if token == "" {
		token, _ = bearer(r)
	}
	digest := tokens.Digest(token)
	identity, err := s.byDigest(digest)
	if err != nil {
		return identity, errors.New("the token is not valid: use the one from the last start, or ask for a new one")
	}
	expires := s.now().Add(s.opts.Lifetime)
	if !identity.Expires.IsZero() && identity.Expires.Before(expires) {
		expires = identity.Expires
	}
	secret := tokens.New()
	s.add(tokens.Digest(secret), session{digest, expires})
	http.SetCookie(w, &http.Cookie{
		Name: CookieName, Value: secret, Path: "/", Expires: expires, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	})
	identity.Expires = expires
	return identity, nil
}

func (s *Store) add(digest string, added session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := ""
	for other, x := range s.sessions {
		if !s.now().Before(x.expires) {
			delete(s.sessions, other)
		} else if first == "" || x.expires.Before(s.sessions[first].expires) {
			first = other
		}
	}
	if len(s.sessions) >= maxSessions {
		delete(s.sessions, first)
	}
	s.sessions[digest] = added
}

// End ends the session of a request.
func (s *Store) End(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(CookieName); err == nil {
		s.mu.Lock()
		delete(s.sessions, tokens.Digest(cookie.Value))
		s.mu.Unlock()
	}
	http.SetCookie(w, &http.Cookie{Name: CookieName, Path: "/", MaxAge: -1, HttpOnly: true,
		SameSite: http.SameSiteStrictMode})
}
