// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestWhoGetsIn checks that only machines with a certificate of the authority and a listed nkey can connect, and only
// to their own share. Both sides say why, and what to do.
func TestWhoGetsIn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	folder := t.TempDir()
	writeCertificates(t, folder)
	file := func(name string) string { return filepath.Join(folder, name) }
	friend := writeSeed(t, file("friend.nk"))
	stranger := writeSeed(t, file("stranger.nk"))
	writeSeed(t, file("a.nk"), friend)
	strangers := t.TempDir()
	writeCertificates(t, strangers)
	var both []byte // a stranger may trust both authorities
	for _, folder := range []string{folder, strangers} {
		text, err := os.ReadFile(filepath.Join(folder, "ca.pem"))
		require.NoError(t, err)
		both = append(both, text...)
	}
	require.NoError(t, os.WriteFile(file("both.pem"), both, 0o600))

	cfg := r.config("a")
	cfg.TLS = &TLS{file("ca.pem"), file("a.pem"), file("a.key")}
	cfg.NKeyFile = file("a.nk")
	core, logs := observer.New(zap.WarnLevel)
	opts := r.options("a")
	opts.Logger = zap.New(core)
	e, _ := r.start(cfg, opts)
	r.until("it runs", func() bool { return e.Stats().Coordinator })
	for name, test := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"a machine that is listed": {func(*Config) {}, ""},
		"the machine itself":       {func(c *Config) { c.NKeyFile = file("a.nk") }, ""},
		"an nkey that is not": {func(c *Config) { c.NKeyFile = file("stranger.nk") },
			"Authorization Violation: let the servers know this machine's public nkey, " + stranger},
		"no nkey": {func(c *Config) { c.NKeyFile = "" },
			"Authorization Violation: the server asks for an nkey: set share::nkey_file"},
		"another authority": {func(c *Config) {
			c.TLS = &TLS{file("both.pem"), filepath.Join(strangers, "a.pem"), filepath.Join(strangers, "a.key")}
		}, "tls"},
	} {
		t.Run(name, func(t *testing.T) {
			client := second(cfg)
			client.Servers[0] = "tls://" + cfg.Embedded.Listen
			client.NKeyFile = file("friend.nk")
			test.change(&client)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			c, err := Dial(ctx, client, zap.NewNop())
			if test.want == "" {
				require.NoError(t, err)
				c.Close()
				return
			}
			assert.ErrorContains(t, err, test.want)
		})
	}
	told := map[string]int{}
	for _, l := range logs.All() {
		if l.LoggerName == "nats" {
			assert.Equal(t, "127.0.0.1", l.ContextMap()["peer"])
			told[l.Message]++
			why := fmt.Sprint(l.ContextMap()["error"])
			assert.True(t, strings.Contains(why, stranger) || strings.HasPrefix(why, "authentication error") ||
				strings.Contains(why, "certificate signed by unknown authority"), why)
		}
	}
	assert.Equal(t, map[string]int{refusedTLS: 1, refusedNKey: 2}, told, "each is told once")
}

// TestStrangersInTheCluster checks that a machine whose certificate another authority signed cannot join the cluster,
// and that both sides say so.
func TestStrangersInTheCluster(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	configs := r.cluster()
	var logs []*observer.ObservedLogs
	for i, cfg := range configs[:2] {
		folder := t.TempDir()
		writeCertificates(t, folder)
		file := func(name string) string { return filepath.Join(folder, name) }
		cfg.TLS, cfg.NKeyFile = &TLS{file("ca.pem"), file("a.pem"), file("a.key")}, file("a.nk")
		core, seen := observer.New(zap.WarnLevel)
		logs = append(logs, seen)
		opts := r.options(configs[i].Embedded.Node)
		opts.Logger = zap.New(core)
		r.start(cfg, opts)
	}
	for _, seen := range logs {
		told := func() []observer.LoggedEntry { return seen.FilterMessage(refusedTLS).All() }
		r.until("both say so", func() bool { return len(told()) > 0 })
		assert.Equal(t, "127.0.0.1", told()[0].ContextMap()["peer"])
		assert.Contains(t, told()[0].ContextMap()["error"], "tls: ")
	}
}

// TestRefusals checks that a refusal is logged once a day, whatever its port and time, and that refusals of too many
// strangers are not logged.
func TestRefusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		l := newServerLog(zap.New(core))
		expired := func(peer string) {
			l.Errorf(peer+" - rid:7 - TLS %s handshake error: %v%s", "route", "tls: failed to verify certificate: x509: "+
				"certificate has expired or is not yet valid: current time "+time.Now().String(), " (CN=b)")
		}
		for port := range 10 {
			expired(fmt.Sprintf("10.0.0.12:%d", 40000+port))
			time.Sleep(time.Minute)
		}
		require.Equal(t, 1, logs.Len())
		assert.Equal(t, map[string]any{"peer": "10.0.0.12", "error": "tls: failed to verify certificate: x509: certificate " +
			"has expired or is not yet valid"}, logs.TakeAll()[0].ContextMap())
		time.Sleep(24 * time.Hour)
		expired("10.0.0.12:1")
		assert.Equal(t, 1, len(logs.TakeAll()))
		for _, text := range []string{
			"10.0.0.12:1 - rid:7 - TLS route handshake error: EOF", "10.0.0.12:1 - rid:7 - Route Error", "JETSTREAM - x",
			"Error trying to connect to route (attempt 1): refused",
		} {
			l.Errorf("%s", text)
		}
		assert.Zero(t, logs.Len())
		for i := range 2 * mostRefusals {
			l.Errorf("10.0.%d.%d:1 - cid:1 - authentication error", i/256, i%256)
		}
		assert.Equal(t, mostRefusals-1, logs.Len())
	})
}

// TestExpiryIsWarnedOf checks that there is one warning a day from 30 days before a certificate expires.
func TestExpiryIsWarnedOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		ctx, cancel := context.WithCancel(t.Context())
		x := Expiry{"tls::cert_file", time.Now().Add(Soon + 36*time.Hour)}
		done := make(chan struct{})
		go func() { x.watch(ctx, zap.New(core)); close(done) }()
		time.Sleep(25 * time.Hour)
		assert.Zero(t, logs.Len())
		time.Sleep(24 * time.Hour)
		require.Equal(t, 1, logs.Len())
		about := logs.All()[0]
		assert.Equal(t, zap.WarnLevel, about.Level)
		assert.Equal(t, map[string]any{"key": "share::tls::cert_file", "expires": x.At}, about.ContextMap())
		time.Sleep(Soon)
		all := logs.TakeAll()
		assert.Len(t, all, 31)
		assert.Contains(t, all[29].Message, "the certificate expires soon")
		assert.Contains(t, all[30].Message, "the certificate has expired")
		cancel()
		<-done
	})
}

// TestExpiry checks that the earlier expiry counts, of the certificate or of its authority's, and that there is a
// warning at the start.
func TestExpiry(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for key, end := range map[string]time.Duration{"tls::cert_file": time.Hour, "tls::ca_file": 2 * Soon} {
		folder := t.TempDir()
		writeCertificatesUntil(t, folder, time.Now().Add(end))
		file := func(name string) string { return filepath.Join(folder, name) }
		cfg := r.config("a")
		cfg.TLS, cfg.NKeyFile = &TLS{file("ca.pem"), file("a.pem"), file("a.key")}, file("a.nk")
		x, err := cfg.TLS.Expiry()
		require.NoError(t, err)
		assert.Equal(t, key, x.Key)
		assert.WithinDuration(t, time.Now().Add(min(end, Soon)), x.At, time.Minute)
		core, logs := observer.New(zap.WarnLevel)
		opts := r.options("a")
		opts.Logger = zap.New(core)
		_, stop := r.start(cfg, opts)
		r.until("it is warned of", func() bool { return logs.FilterFieldKey("expires").Len() == 1 })
		stop()
	}
}

// TestNobodyWithoutCertificate checks that a client without a certificate gets no further than the handshake.
func TestNobodyWithoutCertificate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	folder := t.TempDir()
	writeCertificates(t, folder)
	file := func(name string) string { return filepath.Join(folder, name) }
	cfg := r.config("a")
	cfg.TLS, cfg.NKeyFile = &TLS{file("ca.pem"), file("a.pem"), file("a.key")}, file("a.nk")
	r.start(cfg, r.options("a"))
	seed, err := nats.NkeyOptionFromSeed(file("a.nk"))
	require.NoError(t, err)
	_, err = nats.Connect("tls://"+cfg.Embedded.Listen, nats.RootCAs(file("ca.pem")), seed)
	assert.ErrorContains(t, err, "tls") // how it fails depends on who notices first
	_, err = nats.Connect("nats://"+cfg.Embedded.Listen, seed)
	assert.Error(t, err)
}

// TestPermissions checks that machines cannot access the subjects of other programs, or what could undo records.
func TestPermissions(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	nc := b.store.js.Conn()
	denied := make(chan error, 8)
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err })
	for _, subject := range []string{
		"$JS.API.STREAM.DELETE.KV_test", "$JS.API.STREAM.CREATE.other", "$KV.other.x", "anything",
	} {
		require.NoError(t, nc.Publish(subject, nil))
		require.NoError(t, nc.Flush())
		select {
		case err := <-denied:
			assert.ErrorIs(t, err, nats.ErrPermissionViolation)
			assert.Contains(t, strings.ToLower(err.Error()), strings.ToLower(subject))
		case <-time.After(10 * time.Second):
			t.Errorf("%s is allowed", subject)
		}
	}
	info, err := b.store.stream.Info(t.Context())
	require.NoError(t, err)
	assert.Equal(t, jetstream.FileStorage, info.Config.Storage)
}

// TestEveryWriteIsSynced checks that every write is on disk before it is acknowledged.
func TestEveryWriteIsSynced(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	assert.True(t, b.node.server.JetStreamConfig().SyncAlways)
}

func TestIdentities(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "a.nk")
	friend := writeSeed(t, path)
	public := writeSeed(t, path, friend)
	id, err := readIdentity(path)
	require.NoError(t, err)
	assert.Equal(t, []string{public, friend}, id.users())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	seed := strings.Split(string(text), "\n")[1]
	for name, test := range map[string]struct{ text, want string }{
		"empty":           {"# nothing\n", "it is empty"},
		"public first":    {public + "\n", "its first line is not a seed"},
		"seed of another": {"SAANDLKMXL6CUS3CP52WIXBEDN6YJ545GDKC65U5JZPPV6WH6ESWUA6YAI\n", "not a user's seed"},
		"two seeds":       {seed + "\n" + seed + "\n", "a line after the seed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseIdentity(test.text)
			require.ErrorContains(t, err, test.want)
			assert.NotContains(t, err.Error(), seed)
		})
	}
	_, err = readIdentity(filepath.Join(folder, "none"))
	assert.ErrorContains(t, err, "nkey_file: open")
}

func FuzzIdentity(f *testing.F) {
	f.Add("# comment\nSUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY\n")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := parseIdentity(text)
		if err == nil {
			assert.NotEmpty(t, id.public)
			return
		}
		for _, line := range strings.Fields(text) {
			if strings.HasPrefix(line, "SU") && len(line) > 20 {
				assert.NotContains(t, err.Error(), line)
			}
		}
	})
}

// TestCertificatesAreChecked checks that a certificate that others would refuse is a configuration error that names the
// key.
func TestCertificatesAreChecked(t *testing.T) {
	t.Parallel()
	folder, strangers, old := t.TempDir(), t.TempDir(), t.TempDir()
	writeCertificates(t, folder)
	writeCertificates(t, strangers)
	end := time.Now().Add(-time.Hour)
	writeCertificatesUntil(t, old, end)
	file := func(name string) string { return filepath.Join(folder, name) }
	writeSeed(t, file("a.nk"))
	require.NoError(t, os.WriteFile(file("empty.pem"), nil, 0o600))
	r := newRig(t)
	for name, test := range map[string]struct {
		change func(*Config)
		want   []string
	}{
		"authority is missing": {func(c *Config) { c.TLS.CAFile = file("none") }, []string{"tls::ca_file: open"}},
		"authority is empty": {
			func(c *Config) { c.TLS.CAFile = file("empty.pem") },
			[]string{"tls::ca_file: ", "has no certificate"},
		},
		"key of another": {
			func(c *Config) { c.TLS.KeyFile = file("b.key") },
			[]string{"tls::cert_file and tls::key_file: ", "does not match"},
		},
		"another authority": {
			func(c *Config) { c.TLS.CAFile = filepath.Join(strangers, "ca.pem") },
			[]string{"tls::cert_file: ", "unknown authority", "have tls::ca_file sign one"},
		},
		"expired": {
			func(c *Config) {
				c.TLS = &TLS{filepath.Join(old, "ca.pem"), filepath.Join(old, "a.pem"), filepath.Join(old, "a.key")}
			},
			[]string{"tls::cert_file: ", "the certificate of CN=a is only valid from ",
				" to " + end.UTC().Format(time.RFC3339) + ": have tls::ca_file sign one"},
		},
		"address of another": {
			func(c *Config) { c.Embedded.Listen = "10.0.0.12:4222" },
			[]string{"tls::cert_file: ", "have one signed that names 10.0.0.12"},
		},
		"all addresses, without that of this machine": {
			func(c *Config) {
				c.Embedded.Listen = "0.0.0.0:4222"
				c.TLS.CertFile, c.TLS.KeyFile = file("d.pem"), file("d.key")
			},
			[]string{"tls::cert_file: ", "have one signed that names 127.0.0.1"},
		},
		"nkey is missing, too": {
			func(c *Config) { c.NKeyFile, c.TLS.CertFile = file("none"), file("none") },
			[]string{"nkey_file: open", "anonymizerctl share nkey", "tls::cert_file and tls::key_file: open",
				"write the path of a file in PEM that the collector's user can read"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := r.config("a")
			cfg.TLS, cfg.NKeyFile = &TLS{file("ca.pem"), file("a.pem"), file("a.key")}, file("a.nk")
			test.change(&cfg)
			err := errors.Join(cfg.Errors()...)
			for _, want := range test.want {
				assert.ErrorContains(t, err, want)
			}
			_, err = New(cfg, r.options("a"))
			assert.Error(t, err)
		})
	}
}
