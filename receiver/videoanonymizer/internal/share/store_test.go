// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// bench is a server and a bucket.
type bench struct {
	cfg   Config
	node  *node
	store *store
}

func newBench(t testing.TB) *bench {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Name, cfg.Lease = "test", testLease
	cfg.Embedded = &Embedded{Directory: filepath.Join(t.TempDir(), "nats"), Listen: freeAddress(t)}
	b := &bench{cfg: cfg}
	var err error
	b.node, err = startNode(&cfg, nil, zap.NewNop())
	require.NoError(t, err)
	t.Cleanup(func() { b.node.stop() })
	nc, err := connect(&cfg, b.node, nil, zap.NewNop())
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	require.NoError(t, createStore(t.Context(), nc.Conn, cfg.Name, cfg.Lease, 1))
	b.store = b.open(t, nc.Conn)
	return b
}

func (b *bench) open(t testing.TB, nc *nats.Conn) *store {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	st, err := openStore(ctx, nc, b.cfg.Name, b.cfg.Lease)
	require.NoError(t, err)
	return st
}

func TestUpdateIsCompareAndSet(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newBench(t).store
	first, err := s.update(ctx, "video.x", []byte("1"), 0)
	require.NoError(t, err)
	_, err = s.update(ctx, "video.x", []byte("other"), 0)
	assert.ErrorIs(t, err, errFenced)
	second, err := s.update(ctx, "video.x", []byte("2"), first)
	require.NoError(t, err)
	assert.Greater(t, second, first)
	_, err = s.update(ctx, "video.x", []byte("late"), first)
	assert.ErrorIs(t, err, errFenced)
	value, rev, err := s.get(ctx, "video.x")
	require.NoError(t, err)
	assert.Equal(t, "2", string(value))
	assert.Equal(t, second, rev)
	require.NoError(t, s.purge(ctx, "video.x"))
	_, err = s.update(ctx, "video.x", []byte("late"), second)
	assert.ErrorIs(t, err, errFenced)
	_, _, err = s.get(ctx, "video.x")
	assert.ErrorIs(t, err, jetstream.ErrKeyNotFound)
}

// TestUpdatesAtOnce checks that exactly one of many concurrent updates succeeds.
func TestUpdatesAtOnce(t *testing.T) {
	t.Parallel()
	s := newBench(t).store
	var rev uint64
	for round := range 20 {
		var winners atomic.Int64
		var next atomic.Uint64
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				if r, err := s.update(t.Context(), "unit.x.1.0", fmt.Appendf(nil, "%d %d", round, i), rev); err == nil {
					winners.Add(1)
					next.Store(r)
				} else {
					assert.ErrorIs(t, err, errFenced)
				}
			})
		}
		all.Wait()
		require.EqualValues(t, 1, winners.Load())
		rev = next.Load()
	}
}

// lossy is a proxy of a server that, when armed, loses the next answer to a publication, and the connection with it.
type lossy struct {
	net.Listener
	server string
	// armed is part of a subject: the answer to the next message for such a subject is lost.
	armed atomic.Pointer[string]
	lost  atomic.Int64
	open  sync.WaitGroup
}

func newLossy(t *testing.T, server string) *lossy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &lossy{Listener: listener, server: server}
	l.open.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			l.open.Go(func() { l.pass(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		l.open.Wait()
	})
	return l
}

func (l *lossy) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", l.server)
	if err != nil {
		return
	}
	defer server.Close()
	var dropping atomic.Bool
	l.open.Go(func() {
		defer client.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := server.Read(buffer)
			if err != nil || dropping.Load() {
				return
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	})
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if subject := l.armed.Load(); subject != nil && strings.Contains(string(buffer[:n]), *subject) {
			l.armed.Store(nil)
			l.lost.Add(1)
			dropping.Store(true)
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
		if dropping.Load() {
			_, _ = io.Copy(io.Discard, io.LimitReader(server, 1)) // it has answered, or the other reader saw that it did
			return
		}
	}
}

// TestLostAnswers checks that an update whose answer was lost stands and succeeds, unless another update overtook it.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := newBench(t)
	proxy := newLossy(t, b.cfg.Embedded.Listen)
	cfg := second(b.cfg)
	cfg.Servers = []string{"nats://" + proxy.Addr().String()}
	nc, err := connect(&cfg, nil, nil, zap.NewNop())
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	s := b.open(t, nc.Conn)
	key := "unit.x.1.0"
	rev, err := b.store.update(ctx, key, []byte("before"), 0)
	require.NoError(t, err)
	for i := range 5 {
		proxy.armed.Store(&key)
		value := fmt.Appendf(nil, "mine %d", i)
		next, err := s.update(ctx, key, value, rev)
		require.NoError(t, err)
		there, at, err := b.store.get(ctx, key)
		require.NoError(t, err)
		assert.Equal(t, string(value), string(there))
		assert.Equal(t, at, next)
		rev = next
	}
	assert.EqualValues(t, 5, proxy.lost.Load())

	later, err := b.store.update(ctx, key, []byte("theirs"), rev)
	require.NoError(t, err)
	proxy.armed.Store(&key)
	_, err = s.update(ctx, key, []byte("late"), rev)
	assert.ErrorIs(t, err, errFenced)
	_, at, err := b.store.get(ctx, key)
	require.NoError(t, err)
	assert.Equal(t, later, at)
}

// TestErasAreApart checks that what belongs to one era has no effect in the next.
func TestErasAreApart(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := newBench(t)
	cfg := second(b.cfg)
	nc, err := connect(&cfg, nil, nil, zap.NewNop())
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	old := b.open(t, nc.Conn)
	rev, err := old.update(ctx, "video.x", []byte("1"), 0)
	require.NoError(t, err)
	b.node.stop()
	require.NoError(t, os.RemoveAll(b.cfg.Embedded.Directory))
	b.node, err = startNode(&b.cfg, nil, zap.NewNop())
	require.NoError(t, err)
	_, err = old.update(ctx, "video.x", []byte("2"), rev)
	assert.ErrorIs(t, err, errEra)
	require.NoError(t, createStore(ctx, nc.Conn, b.cfg.Name, b.cfg.Lease, 2))
	fresh := b.open(t, nc.Conn)
	assert.Equal(t, 2, fresh.era.number)
	at := uint64(0)
	for i := 0; at < rev; i++ { // until the record has the same revision again
		at, err = fresh.update(ctx, "video.x", fmt.Append(nil, i), at)
		require.NoError(t, err)
	}
	require.Equal(t, rev, at)
	_, err = old.update(ctx, "video.x", []byte("2"), rev)
	assert.ErrorIs(t, err, errEra)
	_, err = old.update(ctx, "video.y", []byte("2"), 0)
	assert.ErrorIs(t, err, errEra)
}
