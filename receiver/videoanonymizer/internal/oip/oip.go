// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package oip runs models on servers of the Open Inference Protocol v2, such as Triton, MLServer and KServe, by gRPC or
// HTTP. Its sessions implement inference.Session.
//
// A server is not trusted to serve the right model, or to answer completely. Each session has the same model in this
// process, its reference: a server counts only once its answer to a known tensor is the reference's, and an answer only
// if each output has the shape that the reference's would have. Whatever else happens is inference.ErrUnavailable, and
// takes the server out of use until it answers the known tensor again.
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

// Options say where the servers are and how they are used.
type Options struct {
	// Endpoints are the servers, at least one. All serve the same models; requests take turns.
	Endpoints []Endpoint
	// TLS is for the endpoints that have it; nil uses the system's certificate authorities.
	TLS *tls.Config
	// Credentials authenticate gRPC requests; nil sends none.
	Credentials credentials.PerRPCCredentials
	// Authenticate adds authentication to HTTP requests; nil adds none.
	Authenticate func(http.RoundTripper) (http.RoundTripper, error)
	// Timeout bounds each request. It must be positive.
	Timeout time.Duration
	// MaxInFlight bounds the requests in flight at once, over all models and servers; further ones wait. Less than 1
	// means 1.
	MaxInFlight int
	// Changed, if given, is called when the first server becomes available, with nil, and when the last one no longer
	// is, with the reason.
	Changed func(error)
	// Failed, if given, is called for each request that a server did not answer as it should.
	Failed func()
	Logger *zap.Logger
}

const (
	// verifyTimeouts is how many times Options.Timeout the verification of a model may take: a server's first run is slow.
	verifyTimeouts = 4
	// firstWait and longestWait are the waits before a server that failed is verified again. They double in between.
	firstWait, longestWait = 250 * time.Millisecond, 30 * time.Second
	// healthInterval is the time between two looks at whether a server is ready.
	healthInterval = 10 * time.Second
	// maxRenewals bounds how often a request is repeated because connections to a server were renewed meanwhile.
	maxRenewals = 3
)

// Client uses the servers. Its methods are safe for concurrent use, except Open, Start and Close.
type Client struct {
	opts      Options
	slots     chan struct{} // one for each request under way
	endpoints []*endpoint
	sessions  []*Session
	turn      atomic.Uint64
	answers   atomic.Uint64 // that are used

	work sync.WaitGroup
	stop context.CancelFunc

	mu        sync.Mutex
	available chan struct{} // closed while a server is available
	changing  sync.Mutex    // held while Changed is called, so that calls are in order
}

// New returns a client, which connects with Start. The caller must call Close.
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

// Open adds a model. All are added before Start. The session owns the reference, and closes it.
func (c *Client) Open(ctx context.Context, model Model) (*Session, error) {
	s := &Session{Model: model, client: c, shapes: map[string][][]int64{}}
	if err := s.prepare(ctx); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", inference.ErrModel, model.Name, err)
	}
	c.sessions = append(c.sessions, s)
	return s, nil
}

// Start verifies every server once, and then keeps watching them. A server that serves a wrong model is an error, an
// inference.ErrModel. One that cannot be reached is none: it is used once it can.
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

// Await waits until a server is available. It returns the context's error.
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

// Available reports whether Await would not wait.
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

// Answers is how many requests were answered so far.
func (c *Client) Answers() uint64 { return c.answers.Load() }

// Verify verifies the available servers again, so that a model that was replaced while connections lasted shows. since
// is what Answers or the last Verify returned; with it, the answers in between are as good as those servers, and Verify
// returns how many there were so far. It fails with the context's error, or with an inference.ErrUnavailable, also if a
// server that answered since is not available, or if none is.
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

// Close ends all connections. No run may be under way. The sessions are closed by their owners.
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

// infer asks the servers, one after another until one answers.
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

// why says of each server that is not available why it is not.
func (c *Client) why() error {
	var errs []error
	for _, e := range c.endpoints {
		if err := e.reason(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", e.Endpoint, err))
		}
	}
	if len(errs) == 0 { // one has come back meanwhile
		return errors.New("the connections were lost")
	}
	return errors.Join(errs...)
}

func (c *Client) isAvailable() bool {
	return slices.ContainsFunc(c.endpoints, func(e *endpoint) bool { return e.reason() == nil })
}

// changed opens or closes the gate, and reports that, after a server became available or failed.
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
