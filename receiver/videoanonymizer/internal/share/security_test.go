// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// Only machines with a certificate of the authority and an nkey that is listed get in, and then to their share alone.
func TestWhoGetsIn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	folder := t.TempDir()
	writeCertificates(t, folder)
	file := func(name string) string { return filepath.Join(folder, name) }
	friend := writeSeed(t, file("friend.nk"))
	writeSeed(t, file("stranger.nk"))
	writeSeed(t, file("a.nk"), friend)
	strangers := t.TempDir()
	writeCertificates(t, strangers)
	var both []byte // a stranger may trust whom it likes
	for _, folder := range []string{folder, strangers} {
		text, err := os.ReadFile(filepath.Join(folder, "ca.pem"))
		require.NoError(t, err)
		both = append(both, text...)
	}
	require.NoError(t, os.WriteFile(file("both.pem"), both, 0o600))

	cfg := r.config("a")
	cfg.TLS = &TLS{file("ca.pem"), file("a.pem"), file("a.key")}
	cfg.NKeyFile = file("a.nk")
	e, _ := r.start(cfg, r.options("a"))
	r.until("it runs", func() bool { return e.Stats().Coordinator })
	for name, test := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"a machine that is listed": {func(*Config) {}, ""},
		"the machine itself":       {func(c *Config) { c.NKeyFile = file("a.nk") }, ""},
		"an nkey that is not":      {func(c *Config) { c.NKeyFile = file("stranger.nk") }, "Authorization Violation"},
		"no nkey":                  {func(c *Config) { c.NKeyFile = "" }, "Authorization Violation"},
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
}

// A client without a certificate gets no further than the handshake.
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

// The subjects of other programs, and what could undo records, are out of reach.
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

// Every write is on the disk before it is answered.
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

// A certificate that the others would refuse is refused before anything starts, with the key that is wrong.
func TestCertificatesAreChecked(t *testing.T) {
	t.Parallel()
	folder, strangers := t.TempDir(), t.TempDir()
	writeCertificates(t, folder)
	writeCertificates(t, strangers)
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
			[]string{"nkey_file: open", "tls::cert_file and tls::key_file: open"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := r.config("a")
			cfg.TLS, cfg.NKeyFile = &TLS{file("ca.pem"), file("a.pem"), file("a.key")}, file("a.nk")
			test.change(&cfg)
			_, err := New(cfg, r.options("a"))
			for _, want := range test.want {
				assert.ErrorContains(t, err, want)
			}
		})
	}
}
