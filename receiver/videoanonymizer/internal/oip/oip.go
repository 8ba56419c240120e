// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package oip runs models on servers that implement the Open Inference Protocol v2, such as Triton, MLServer and
// KServe, over gRPC or HTTP. Its sessions implement inference.Session.
//
// A server is not trusted to serve the right model, or to answer completely. Each session has the same model in this
// process, its reference. A server is used only if its answer to a known tensor matches that of the reference, and an
// answer only if each output has the shape that the reference's would have. Any other outcome is an
// inference.ErrUnavailable, and takes the server out of use until it answers the known tensor again.
package oip

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/credentials"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
)

// Options are the servers and how to use them.
type Options struct {
	// Endpoints are the servers, at least one. All serve the same models, and requests are distributed round-robin.
	Endpoints []Endpoint
	// TLS is the configuration for endpoints with TLS. If it is nil, the system's certificate authorities are used.
	TLS *tls.Config
	// Credentials authenticate gRPC requests, unless nil.
	Credentials credentials.PerRPCCredentials
	// Authenticate adds authentication to HTTP requests, unless nil.
	Authenticate func(http.RoundTripper) (http.RoundTripper, error)
	// Timeout limits each request. It must be positive.
	Timeout time.Duration
	// MaxInFlight limits the concurrent requests to all models and servers. Further requests wait. Values less than 1 mean
	// 1.
	MaxInFlight int
	// Changed, if not nil, is called with nil when the first server becomes available, and with the reason when the last
	// one becomes unavailable.
	Changed func(error)
	// Failed, if not nil, is called for each failed request to a server.
	Failed func()
	Logger *zap.Logger
}

const (
	// verifyTimeouts is the multiple of Options.Timeout that the verification of a model may take. A server's first run is
	// slow.
	verifyTimeouts = 4
	// firstWait and longestWait are the shortest and longest waits before a server that failed is verified again. The wait
	// doubles each time.
	firstWait, longestWait = 250 * time.Millisecond, 30 * time.Second
	// healthInterval is the interval at which a server's readiness is checked.
	healthInterval = 10 * time.Second
	// maxRenewals limits how often a request is repeated because connections to a server were renewed meanwhile.
	maxRenewals = 3
)

// Client is a client of the servers. Its methods are safe for concurrent use, except Open, Start and Close.
type Client struct {
	opts      Options
	slots     chan struct{} // one for each request in flight
	endpoints []*endpoint
	sessions  []*Session
	turn      atomic.Uint64
	answers   atomic.Uint64 // number of answers used

	work sync.WaitGroup
	stop context.CancelFunc

	mu        sync.Mutex
	available chan struct{} // closed while a server is available
	changing  sync.Mutex    // held while Changed is called, so that calls are in order
}

// New returns a client, which Start connects. The caller must call Close.
func New(opts Options) (*Client, error) {
	c := &Client{opts: opts, slots: make(chan struct{}, max(1, opts.MaxInFlight)), available: make(chan struct{})}
	for _, at := range opts.Endpoints {
		e := &endpoint{
			Endpoint: at, client: c, wake: make(chan struct{}, 1), err: errNotConnected,
			server: &inference.Server{Address: at.Host, Port: at.Port, Protocol: at.protocol()},
			logger: opts.Logger.With(zap.String("endpoint", at.String())),
		}
		var err error
		if e.transport, err = c.dial(at, e.connected); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", at, err), c.Close())
		}
		c.endpoints = append(c.endpoints, e)
	}
	return c, nil
}

var errNotConnected = errors.New("not connected yet")

// Open adds a model. All models must be added before Start. The session owns the reference and closes it.
func (c *Client) Open(ctx context.Context, model Model) (*Session, error) {
	s := &Session{Model: model, client: c, shapes: map[string][][]int64{}}
	if err := s.prepare(ctx); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", inference.ErrModel, model.Name, err)
	}
	c.sessions = append(c.sessions, s)
	return s, nil
}

// Start verifies every server once, and then keeps watching them. A server that serves a wrong model causes an
// inference.ErrModel. A server that cannot be reached does not: it is used as soon as it can be.
func (c *Client) Start(ctx context.Context) error {
	errs := make([]error, len(c.endpoints))
	var all sync.WaitGroup
	for i, e := range c.endpoints {
		all.Go(func() { errs[i] = e.verify(ctx) })
	}
	all.Wait()
	for i, err := range errs {
		if !errors.Is(err, inference.ErrModel) {
			errs[i] = nil
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	ctx, c.stop = context.WithCancel(context.Background())
	for _, e := range c.endpoints {
		c.work.Go(func() { e.watch(ctx) })
	}
	if !c.isAvailable() {
		c.report(c.why())
	}
	return nil
}

// Await waits until a server is available or the context ends. It returns the context's error.
func (c *Client) Await(ctx context.Context) error {
	c.mu.Lock()
	available := c.available
	c.mu.Unlock()
	select {
	case <-available:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Available reports whether a server is available, so that Await does not wait.
func (c *Client) Available() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.available:
		return true
	default:
		return false
	}
}

// Answers returns the number of requests answered so far.
func (c *Client) Answers() uint64 { return c.answers.Load() }

// Verify verifies the available servers again, to detect models that were replaced while connections lasted. since is a
// result of Answers or of a previous Verify. If it succeeds, all answers since then come from verified servers, and it
// returns the number of answers so far. It fails with the context's error or with an inference.ErrUnavailable, also if
// no server is available, or if a server that has answered since then is not.
func (c *Client) Verify(ctx context.Context, since uint64) (answers uint64, err error) {
	answers = c.Answers()
	verified := false
	for _, e := range c.endpoints {
		if reason := e.reason(); reason != nil {
			if e.lastAnswer() > since {
				return since, fmt.Errorf("%w: %s answered, but cannot be verified: %w", inference.ErrUnavailable, e.Endpoint,
					reason)
			}
			continue
		}
		if err := e.verify(ctx); ctx.Err() != nil {
			return since, ctx.Err()
		} else if err != nil {
			return since, fmt.Errorf("%w: %s: %w", inference.ErrUnavailable, e.Endpoint, err)
		}
		verified = true
	}
	if !verified {
		return since, fmt.Errorf("%w: %w", inference.ErrUnavailable, c.why())
	}
	return answers, nil
}

// Close closes all connections. No run may be in progress. The sessions are closed by their owners.
func (c *Client) Close() error {
	if c.stop != nil {
		c.stop()
	}
	c.work.Wait()
	var errs []error
	for _, e := range c.endpoints {
		errs = append(errs, e.transport.close())
	}
	return errors.Join(errs...)
}

// infer tries the servers one after another until one answers.
func (c *Client) infer(ctx context.Context, r *request) ([]inference.Tensor, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	first := int(c.turn.Add(1))
	for i := range c.endpoints {
		e := c.endpoints[(first+i)%len(c.endpoints)]
		if e.reason() != nil {
			continue
		}
		outputs, err := e.infer(ctx, r)
		if err == nil {
			e.hasAnswered()
			return outputs, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		e.failed(err)
	}
	return nil, fmt.Errorf("%w: %w", inference.ErrUnavailable, c.why())
}

// why returns the reason why each unavailable server is unavailable.
func (c *Client) why() error {
	var errs []error
	for _, e := range c.endpoints {
		if err := e.reason(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", e.Endpoint, err))
		}
	}
	if len(errs) == 0 { // one has become available meanwhile
		return errors.New("the connections were lost")
	}
	return errors.Join(errs...)
}

func (c *Client) isAvailable() bool {
	return slices.ContainsFunc(c.endpoints, func(e *endpoint) bool { return e.reason() == nil })
}

// changed updates the availability after a server became available or failed, and reports changes.
func (c *Client) changed() {
	c.changing.Lock()
	defer c.changing.Unlock()
	c.mu.Lock()
	now, before := c.isAvailable(), isClosed(c.available)
	switch {
	case now && !before:
		close(c.available)
	case !now && before:
		c.available = make(chan struct{})
	}
	c.mu.Unlock()
	switch {
	case now && !before:
		c.report(nil)
	case !now && before:
		c.report(c.why())
	}
}

func (c *Client) report(err error) {
	if err != nil {
		c.opts.Logger.Error("no inference server is available: videos wait", zap.Error(err))
	}
	if c.opts.Changed != nil {
		c.opts.Changed(err)
	}
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
