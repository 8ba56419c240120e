// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// Client queries and controls a share without taking part in it.
type Client struct {
	nc     *link
	store  *store
	logger *zap.Logger
}

// Dial connects to the share in cfg: to its servers, or to the embedded server of the collector that runs on this
// machine. It fails when ctx ends, or if no machine has ever run the share.
func Dial(ctx context.Context, cfg Config, logger *zap.Logger) (*Client, error) {
	if cfg.Embedded != nil {
		cfg.Servers, cfg.Embedded = []string{cfg.embeddedURL()}, nil
	}
	if err := errors.Join(cfg.validateConnection()...); err != nil {
		return nil, err
	}
	id, err := cfg.identity()
	if err != nil {
		return nil, err
	}
	nc, err := connect(&cfg, nil, id, logger)
	if err != nil {
		return nil, err
	}
	c := &Client{nc: nc, logger: logger}
	if err := c.open(ctx, &cfg); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// embeddedURL returns the URL at which other processes on this machine reach the embedded server.
func (c *Config) embeddedURL() string {
	if c.TLS != nil {
		return "tls://" + c.Embedded.local()
	}
	return "nats://" + c.Embedded.local()
}

// local returns the address, host:port, at which other processes on this machine reach the server.
func (e *Embedded) local() string {
	address := e.listen()
	if host, port, err := net.SplitHostPort(address); err == nil {
		if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
			return net.JoinHostPort("127.0.0.1", port)
		}
	}
	return address
}

func (c *Client) open(ctx context.Context, cfg *Config) (err error) {
	for {
		c.store, err = openStore(ctx, c.nc.Conn, cfg.Name, cfg.Lease)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, errUnborn):
			return fmt.Errorf("no collector has run the share %s yet", cfg.Name)
		}
		if waited := sleep(ctx, 100*time.Millisecond); waited != nil {
			return fmt.Errorf("ask NATS at %s about the share %s: %w", strings.Join(cfg.Servers, ", "), cfg.Name,
				c.explain(errors.Join(err, c.nc.trouble())))
		}
	}
}

// explain adds to an error what it means if the server is connected but does not answer.
func (c *Client) explain(err error) error {
	if c.nc.IsConnected() && incomplete(err) {
		return fmt.Errorf("it is up, but does not answer: most servers are down or out of its reach: %w", err)
	}
	return err
}

// Close ends the connection.
func (c *Client) Close() { c.nc.Close() }

// Status returns who works on what. Who is alive is decided by the clock of the servers, which timestamps each
// heartbeat.
func (c *Client) Status(ctx context.Context) (Status, error) {
	v := newView(c.store, "", c.logger)
	var written time.Time
	v.now = func() time.Time { return written }
	watcher, err := c.store.kv.Watch(ctx, c.store.key(">"))
	if err != nil {
		return Status{}, fmt.Errorf("read the records of the share: %w", c.explain(err))
	}
	defer func() { _ = watcher.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return Status{}, fmt.Errorf("read the records of the share: %w", c.explain(context.Cause(ctx)))
		case e, ok := <-watcher.Updates():
			if !ok {
				return Status{}, errors.New("read the records of the share: the connection to NATS was lost in the meantime: " +
					"try again")
			}
			if e == nil { // the initial records are complete
				return c.status(ctx, v)
			}
			if e.Operation() == jetstream.KeyValuePut {
				written = e.Created()
				v.apply(strings.TrimPrefix(e.Key(), c.store.key("")), e.Value(), e.Revision())
			}
		}
	}
}

func (c *Client) status(ctx context.Context, v *view) (Status, error) {
	info, err := c.store.stream.Info(ctx)
	if err != nil {
		return Status{}, fmt.Errorf("ask NATS for the time: %w", c.explain(err))
	}
	v.echo = info.TimeStamp
	for _, w := range v.workers { // this client may have no configuration: the machines know the lease
		c.store.lease = max(c.store.lease, w.rec.Lease)
	}
	return v.status(), nil
}

// Drain makes a machine finish its current work and take no more, or take work again. This holds until it is undone,
// even if the machine restarts.
func (c *Client) Drain(ctx context.Context, machine string, on bool) error {
	_, err := c.store.put(ctx, kindDrain+"."+cleanName(machine), encode(on))
	return c.explain(err)
}

// Drained reports whether Drain made a machine, which need not exist any more, take no work.
func (c *Client) Drained(ctx context.Context, machine string) (bool, error) {
	value, _, err := c.store.get(ctx, kindDrain+"."+cleanName(machine))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return false, nil
	}
	return string(value) == "true", c.explain(err)
}

// ReadMirror returns what the journal below a root says about a share, and when it was last written. That covers videos
// and units, but neither machines nor who works on a unit. It needs no NATS.
func ReadMirror(root, name string) (Status, time.Time, error) {
	t := newTree(root, name)
	files, err := t.journals()
	if err != nil {
		return Status{}, time.Time{}, err
	}
	var written time.Time
	for _, path := range files {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(written) { // otherwise it was just collected
			written = info.ModTime()
		}
	}
	all, err := t.load()
	if err != nil {
		return Status{}, time.Time{}, err
	}
	v := newView(nil, "", zap.NewNop())
	for key, line := range all {
		v.apply(key, line.Value, line.Rev)
	}
	return v.status(), written, nil
}

// Names returns the names of the shares that were ever run below a root.
func Names(root string) (names []string, err error) {
	entries, err := os.ReadDir(newTree(root, "").folder)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() && validName.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}
