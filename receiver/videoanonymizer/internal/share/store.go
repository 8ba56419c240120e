// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// errFenced means that another worker changed the record: any work on it is in vain.
var errFenced = errors.New("another worker has taken it over")

// errEra means that the bucket was lost, or replaced by one of another era.
var errEra = errors.New("the data of NATS was lost")

func streamName(name string) string   { return "KV_" + name }
func bucketPrefix(name string) string { return "$KV." + name + "." }

// link is a connection to NATS, and the reason if there is none.
type link struct {
	*nats.Conn
	last atomic.Pointer[error]
}

// trouble returns why there is no connection; nil if there is one, or if the reason is not known.
func (l *link) trouble() error {
	if err := l.last.Load(); err != nil {
		return *err
	}
	return nil
}

// connect connects to the embedded server n, or to cfg.Servers if n is nil. It returns at once: if no server answers
// yet, it keeps trying.
func connect(cfg *Config, n *node, id *identity, logger *zap.Logger) (*link, error) {
	l := &link{}
	failed := func(_ *nats.Conn, err error) {
		if err != nil {
			err = admission(err, id)
			logger.Debug("no connection to NATS", zap.Error(err))
			l.last.Store(&err)
		}
	}
	connected := func(*nats.Conn) { l.last.Store(nil) }
	opts := []nats.Option{
		nats.Name("otelcol-anonymizer"), nats.Timeout(2 * time.Second), nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1), nats.ReconnectWait(200 * time.Millisecond), nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(max(cfg.Lease/4, 500*time.Millisecond)), nats.MaxPingsOutstanding(2),
		nats.ReconnectErrHandler(failed), nats.DisconnectErrHandler(failed),
		nats.ConnectHandler(connected), nats.ReconnectHandler(connected),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { logger.Debug("NATS", zap.Error(err)) }),
	}
	if id != nil {
		opts = append(opts, nats.Nkey(id.public, id.pair.Sign))
	}
	servers := strings.Join(cfg.Servers, ",")
	if n != nil {
		opts = append(opts, nats.InProcessServer(n.server))
	} else if cfg.TLS != nil {
		opts = append(opts, nats.RootCAs(cfg.TLS.CAFile), nats.ClientCert(cfg.TLS.CertFile, cfg.TLS.KeyFile))
	}
	var err error
	if l.Conn, err = nats.Connect(servers, opts...); err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	return l, nil
}

// admission adds what to do if the servers refuse this machine, which they do not explain.
func admission(err error, id *identity) error {
	switch {
	case !errors.Is(err, nats.ErrAuthorization):
		return err
	case id == nil:
		return fmt.Errorf("%w: the server asks for an nkey: set share::nkey_file", err)
	}
	return fmt.Errorf("%w: let the servers know this machine's public nkey, %s: add it, as a line of its own, to the "+
		"file in share::nkey_file on each machine with an embedded server, and reload these", err, id.public)
}

// store is a bucket of records, whose keys start with its era. If NATS loses its data, the bucket is lost, and the next
// one has another era, so that requests for one bucket never affect another.
type store struct {
	js     jetstream.JetStream
	kv     jetstream.KeyValue
	stream jetstream.Stream
	name   string
	era    era
	lease  time.Duration
}

// era identifies a bucket. Later buckets have higher numbers.
type era struct {
	number int
	token  string
}

func (e era) String() string { return fmt.Sprintf("%d-%s", e.number, e.token) }

func parseEra(text string) (era, error) {
	number, token, _ := strings.Cut(text, "-")
	n, err := strconv.Atoi(number)
	if err != nil || token == "" {
		return era{}, fmt.Errorf("%q is not an era", text)
	}
	return era{n, token}, nil
}

const eraKey = "era"

// errUnborn means that the bucket has lost its data, or is just being created.
var errUnborn = errors.New("the bucket is empty")

// openStore opens the bucket, or returns jetstream.ErrStreamNotFound or errUnborn.
func openStore(ctx context.Context, nc *nats.Conn, name string, lease time.Duration) (*store, error) {
	s, err := findStore(ctx, nc, name, lease)
	if err != nil {
		return nil, err
	}
	if _, _, err = s.get(ctx, keyBorn); errors.Is(err, jetstream.ErrKeyNotFound) {
		err = errUnborn
	}
	return s, err
}

func findStore(ctx context.Context, nc *nats.Conn, name string, lease time.Duration) (*store, error) {
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(requestTimeout(lease)))
	if err != nil {
		return nil, err
	}
	stream, err := js.Stream(ctx, streamName(name))
	if err != nil {
		return nil, err
	}
	e, err := parseEra(stream.CachedInfo().Config.Metadata[eraKey])
	if err != nil {
		return nil, fmt.Errorf("the stream %s does not belong to this program: %w: remove it, or give the share another name",
			streamName(name), err)
	}
	kv, err := js.KeyValue(ctx, name)
	if err != nil {
		return nil, err
	}
	return &store{js, kv, stream, name, e, lease}, nil
}

// createStore creates the bucket, with an era of the given number, unless another machine has just done so.
func createStore(ctx context.Context, nc *nats.Conn, name string, lease time.Duration, number int) error {
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(requestTimeout(lease)))
	if err != nil {
		return err
	}
	replicas := 1
	if nc.ConnectedClusterName() != "" {
		replicas = 3
	}
	config := jetstream.StreamConfig{
		Name: streamName(name), Description: "who anonymizes which video",
		MaxMsgsPerSubject: 1, Storage: jetstream.FileStorage, Replicas: replicas, Discard: jetstream.DiscardNew,
		AllowRollup: true, DenyDelete: true,
		// Direct reads may come from a replica that lags behind.
		AllowDirect: false,
	}
	setEra(&config, name, number)
	_, err = js.CreateStream(ctx, config)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return nil
	}
	if err != nil {
		return err
	}
	return bear(ctx, nc, name, lease)
}

// renewStore gives a bucket that lost its data a new era, with a higher number than before. If two machines do so at
// once, one of their eras prevails.
func renewStore(ctx context.Context, nc *nats.Conn, name string, lease time.Duration, number int) error {
	s, err := findStore(ctx, nc, name, lease)
	if err != nil {
		return err
	}
	config := s.stream.CachedInfo().Config
	setEra(&config, name, max(number, s.era.number+1))
	if _, err := s.js.UpdateStream(ctx, config); err != nil {
		return err
	}
	return bear(ctx, nc, name, lease)
}

// setEra gives a stream a new era, whose bucket accepts no records of another.
func setEra(config *jetstream.StreamConfig, name string, number int) {
	e := era{number, strings.ToLower(rand.Text()[:8])}
	config.Subjects = []string{bucketPrefix(name) + e.String() + ".>"}
	config.Metadata = map[string]string{eraKey: e.String()}
}

// bear writes the record that marks a bucket as created. A bucket without it has lost its data.
func bear(ctx context.Context, nc *nats.Conn, name string, lease time.Duration) error {
	s, err := findStore(ctx, nc, name, lease)
	if err == nil {
		_, err = s.put(ctx, keyBorn, []byte("true"))
	}
	return err
}

// requestTimeout is how long one request may take.
func requestTimeout(lease time.Duration) time.Duration {
	return min(max(lease/3, time.Second), 5*time.Second)
}

// key returns the NATS key for a record's key.
func (s *store) key(key string) string { return s.era.String() + "." + key }

// put replaces a record that only this worker writes.
func (s *store) put(ctx context.Context, key string, value []byte) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout(s.lease))
	defer cancel()
	return s.kv.Put(ctx, s.key(key), value)
}

// get returns a record and its revision, or jetstream.ErrKeyNotFound.
func (s *store) get(ctx context.Context, key string) ([]byte, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout(s.lease))
	defer cancel()
	entry, err := s.kv.Get(ctx, s.key(key))
	if err != nil {
		return nil, 0, err
	}
	return entry.Value(), entry.Revision(), nil
}

// update replaces the record if it still has the given revision, 0 for none, and returns the new one. It fails with
// errFenced if it has another. If an answer is lost, update asks until the value is known to be stored or can no longer
// be, or ctx ends. So no two updates may have the same value.
func (s *store) update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	var behind time.Time
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		rev, err := s.tryUpdate(ctx, key, value, revision)
		if err == nil {
			return rev, nil
		}
		there, rev, getErr := s.get(ctx, key)
		switch {
		case errors.Is(getErr, jetstream.ErrKeyNotFound) && revision > 0 && missedRevision(err):
			return 0, errFenced
		case getErr != nil || rev == revision:
			behind = time.Time{}
		case rev > revision && bytes.Equal(there, value):
			return rev, nil
		case rev > revision:
			return 0, errFenced
		case behind.IsZero(): // a server that is cut off answers from old data
			behind = time.Now()
		case time.Since(behind) > s.lease:
			return 0, errFenced // an acknowledged write was lost
		}
		if err := s.lost(ctx, err); err != nil {
			return 0, err
		}
		if err := sleep(ctx, wait); err != nil {
			return 0, err
		}
	}
}

func (s *store) tryUpdate(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout(s.lease))
	defer cancel()
	return s.kv.Update(ctx, s.key(key), value, revision)
}

func missedRevision(err error) bool { return errors.Is(err, jetstream.ErrKeyRevisionMismatch) }

// lost returns errEra if the bucket is gone or of another era. It checks that only if the error of a request suggests
// it.
func (s *store) lost(ctx context.Context, err error) error {
	if !errors.Is(err, jetstream.ErrNoStreamResponse) && !errors.Is(err, nats.ErrNoResponders) &&
		!errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout(s.lease))
	defer cancel()
	stream, err := s.js.Stream(ctx, streamName(s.name))
	if errors.Is(err, jetstream.ErrStreamNotFound) || err == nil &&
		stream.CachedInfo().Config.Metadata[eraKey] != s.era.String() {
		return errEra
	}
	return nil
}

// purge removes all records whose keys match, without leaving markers.
func (s *store) purge(ctx context.Context, keys string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout(s.lease))
	defer cancel()
	return s.stream.Purge(ctx, jetstream.WithPurgeSubject(bucketPrefix(s.name)+s.key(keys)))
}

// sleep waits for d, or fails when ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
