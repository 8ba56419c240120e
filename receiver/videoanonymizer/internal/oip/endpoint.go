// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package oip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
)

// Endpoint is the address of a server.
type Endpoint struct {
	// HTTP selects the protocol over HTTP. If it is false, the protocol is gRPC.
	HTTP bool
	// TLS enables TLS. If it is false, connections are in plaintext.
	TLS  bool
	Host string
	Port int
	// Path precedes the path of the protocol, for HTTP. It is empty or begins with a slash, and does not end with one.
	Path string
}

var schemes = map[string]Endpoint{
	"grpc": {}, "grpcs": {TLS: true}, "http": {HTTP: true, Port: 80}, "https": {HTTP: true, TLS: true, Port: 443},
}

// ParseEndpoint parses an endpoint such as grpcs://triton:8001.
func ParseEndpoint(text string) (Endpoint, error) {
	const want = "write it like grpcs://triton:8001 or https://triton:8000"
	u, err := url.Parse(text)
	if err != nil {
		return Endpoint{}, fmt.Errorf("%q is not a URL: %s", text, want)
	}
	e, known := schemes[u.Scheme]
	switch {
	case !known || u.Hostname() == "":
		return e, fmt.Errorf("%q has no known scheme and host: %s", text, want)
	case u.User != nil:
		return e, errors.New("it contains a password: name an authenticator extension in auth instead")
	case u.RawQuery != "" || u.Fragment != "" || !e.HTTP && u.Path != "":
		return e, fmt.Errorf("%q has more than scheme, host and port: %s", text, want)
	}
	e.Host = u.Hostname()
	for e.Path = u.Path; len(e.Path) > 0 && e.Path[len(e.Path)-1] == '/'; {
		e.Path = e.Path[:len(e.Path)-1]
	}
	if port := u.Port(); port != "" {
		if e.Port, err = strconv.Atoi(port); err != nil || e.Port < 1 || e.Port > 65535 {
			return e, fmt.Errorf("%q has no valid port: %s", text, want)
		}
	}
	if e.Port == 0 {
		return e, fmt.Errorf("%q has no port: %s", text, want)
	}
	return e, nil
}

// Loopback reports whether requests to the endpoint stay on this machine.
func (e Endpoint) Loopback() bool {
	ip, err := netip.ParseAddr(e.Host)
	return e.Host == "localhost" || err == nil && ip.IsLoopback()
}

func (e Endpoint) String() string {
	for scheme, s := range schemes {
		if s.HTTP == e.HTTP && s.TLS == e.TLS {
			return scheme + "://" + e.address() + e.Path
		}
	}
	return e.address()
}

func (e Endpoint) address() string { return net.JoinHostPort(e.Host, strconv.Itoa(e.Port)) }

func (e Endpoint) protocol() string {
	if e.HTTP {
		return "http"
	}
	return "grpc"
}

// endpoint is a server and its state.
type endpoint struct {
	Endpoint
	client    *Client
	transport transport
	server    *inference.Server
	logger    *zap.Logger
	wake      chan struct{} // signals that the server failed

	// connections counts the first connection, and each later one that may lead to a server started since.
	connections atomic.Uint64

	verifying sync.Mutex // held while the server is verified

	mu       sync.Mutex
	err      error  // why the server is not available, nil if it is
	verified uint64 // value of connections when the server was verified
	models   map[*Session]Identity
	answer   uint64 // number of the server's last answer that was used
}

// transport is a way to communicate with a server. Its errors are reasons not to use the server.
type transport interface {
	serverReady(ctx context.Context) error
	modelReady(ctx context.Context, name, version string) error
	modelMetadata(ctx context.Context, name string) (metadata, error)
	infer(ctx context.Context, r *request, version string) (answer, error)
	close() error
}

// connected counts a connection that may lead to a different server than before.
func (e *endpoint) connected() { e.connections.Add(1) }

// reason returns why the server is not available, or nil if it is.
func (e *endpoint) reason() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

// identity returns what the server serves as a model, and the value of connections when that was verified.
func (e *endpoint) identity(s *Session) (Identity, uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.models[s], e.verified
}

// infer returns the server's answer. If connections were renewed meanwhile, it verifies the server, which may be a
// different one, and asks again.
func (e *endpoint) infer(ctx context.Context, r *request) ([]inference.Tensor, error) {
	for range maxRenewals {
		identity, verified := e.identity(r.session)
		if verified != e.connections.Load() {
			if err := e.verifyAgain(ctx); err != nil {
				return nil, err
			}
			continue
		}
		limited, cancel := context.WithTimeoutCause(ctx, e.client.opts.Timeout,
			fmt.Errorf("no answer within %v", e.client.opts.Timeout))
		given, err := e.transport.infer(limited, r, identity.Version)
		if err != nil && limited.Err() != nil {
			err = context.Cause(limited)
		}
		cancel()
		if err == nil && verified != e.connections.Load() {
			continue
		}
		var outputs []inference.Tensor
		if err == nil {
			outputs, err = r.accept(given)
		}
		if err != nil {
			return nil, fmt.Errorf("model %s: %w", r.session.Model.Name, err)
		}
		r.span.AnsweredBy(e.server)
		return outputs, nil
	}
	return nil, errors.New("the connection keeps getting lost")
}

// hasAnswered counts an answer that is used.
func (e *endpoint) hasAnswered() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = max(e.answer, e.client.answers.Add(1))
}

// lastAnswer returns the number of the last answer that was used, counted over all servers, 0 if there is none.
func (e *endpoint) lastAnswer() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.answer
}

// failed counts a failure and takes the server out of use.
func (e *endpoint) failed(err error) {
	if e.client.opts.Failed != nil {
		e.client.opts.Failed()
	}
	e.unavailable(err)
}

func (e *endpoint) unavailable(err error) {
	e.mu.Lock()
	first := e.err == nil
	e.err = err
	e.mu.Unlock()
	if first {
		e.logger.Warn("inference server taken out of use", zap.Error(err))
		select {
		case e.wake <- struct{}{}:
		default:
		}
	}
	e.client.changed()
}

// verifyAgain verifies the server unless another goroutine has just done so.
func (e *endpoint) verifyAgain(ctx context.Context) error {
	e.verifying.Lock()
	defer e.verifying.Unlock()
	e.mu.Lock()
	err, done := e.err, e.verified == e.connections.Load()
	e.mu.Unlock()
	if err != nil || done {
		return err
	}
	return e.verifyNow(ctx)
}

// verify checks that the server serves all models, and makes it available if so. It returns an inference.ErrModel if
// the server serves a different model.
func (e *endpoint) verify(ctx context.Context) error {
	e.verifying.Lock()
	defer e.verifying.Unlock()
	return e.verifyNow(ctx)
}

func (e *endpoint) verifyNow(ctx context.Context) error {
	models, connections, err := e.identify(ctx)
	if err != nil {
		if ctx.Err() == nil {
			e.unavailable(err)
		}
		return err
	}
	e.mu.Lock()
	came := e.err != nil
	e.models, e.verified, e.err = models, connections, nil
	e.mu.Unlock()
	if came {
		e.logger.Info("inference server in use")
	}
	e.client.changed()
	return nil
}

// identify sends the known tensor of each model to the server.
func (e *endpoint) identify(ctx context.Context) (map[*Session]Identity, uint64, error) {
	if err := e.ready(ctx); err != nil {
		return nil, 0, err
	}
	connections := e.connections.Load()
	models := map[*Session]Identity{}
	limit := verifyTimeouts * e.client.opts.Timeout
	for _, s := range e.client.sessions {
		ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %v", limit))
		identity, err := s.identify(ctx, e.transport)
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		cancel()
		if err != nil {
			return nil, 0, fmt.Errorf("model %s: %w", s.Model.Name, err)
		}
		models[s] = identity
	}
	return models, connections, nil
}

// ready returns an error if the server is not ready or, once it is verified, one of its models is not.
func (e *endpoint) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, e.client.opts.Timeout,
		fmt.Errorf("no answer within %v", e.client.opts.Timeout))
	defer cancel()
	err := e.transport.serverReady(ctx)
	for _, s := range e.client.sessions {
		if identity, verified := e.identity(s); err == nil && verified > 0 && e.reason() == nil {
			err = e.transport.modelReady(ctx, s.Model.Name, identity.Version)
		}
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// watch periodically checks that the server is ready. After a failure, it verifies the server at growing intervals.
func (e *endpoint) watch(ctx context.Context) {
	wait := firstWait
	for {
		pause := healthInterval
		if e.reason() != nil {
			pause = wait
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-e.wake:
			timer.Stop()
			wait = firstWait
			continue
		case <-ctx.Done():
			timer.Stop()
			return
		}
		if e.reason() != nil {
			wait = min(2*wait, longestWait)
			if err := e.verify(ctx); err != nil && ctx.Err() == nil {
				e.logger.Debug("inference server still out of use", zap.Error(err))
			}
		} else if err := e.ready(ctx); err != nil && ctx.Err() == nil {
			e.failed(err)
		}
	}
}
