// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.yaml.in/yaml/v3"
)

// exampleYAML is the configuration of a share of three machines in the documentation.
const exampleYAML = `
share:                    # three machines; this is a
  name: lab
  root: /srv/videos       # watched and output folders lie below; jobs carry relative paths
  unit_length: 2m
  lease: 30s
  embedded:
    node: a
    directory: /var/lib/otelcol-anonymizer/share
    listen: 10.0.0.11:4222
    cluster: {listen: 10.0.0.11:6222, peers: [10.0.0.11:6222, 10.0.0.12:6222, 10.0.0.13:6222]}
  tls: {ca_file: ca.pem, cert_file: a.pem, key_file: a.key}
  nkey_file: a.nk
`

func parse(t *testing.T, text string) Config {
	t.Helper()
	var raw map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(text), &raw))
	conf, err := confmap.NewFromStringMap(raw).Sub("share")
	require.NoError(t, err)
	cfg := DefaultConfig()
	require.NoError(t, conf.Unmarshal(&cfg))
	return cfg
}

func TestExampleIsRead(t *testing.T) {
	cfg := parse(t, exampleYAML)
	assert.Equal(t, Config{
		Name: "lab", Root: "/srv/videos", UnitLength: 2 * time.Minute, Lease: 30 * time.Second,
		Embedded: &Embedded{
			Node: "a", Directory: "/var/lib/otelcol-anonymizer/share", Listen: "10.0.0.11:4222",
			Cluster: &Cluster{"10.0.0.11:6222", []string{"10.0.0.11:6222", "10.0.0.12:6222", "10.0.0.13:6222"}},
		},
		TLS: &TLS{"ca.pem", "a.pem", "a.key"}, NKeyFile: "a.nk",
	}, cfg)
	cfg.Root = t.TempDir()
	t.Chdir(t.TempDir())
	writeCertificates(t, ".")
	assert.NoError(t, errors.Join(cfg.Errors()...))
}

func TestOtherFormsAreAccepted(t *testing.T) {
	root := t.TempDir()
	t.Chdir(t.TempDir())
	writeCertificates(t, ".")
	for name, text := range map[string]string{
		"one machine": "share: {name: lab, root: " + root +
			", embedded: {directory: /var/lib/x, listen: 127.0.0.1:4222}}",
		"default address": "share: {name: lab, root: " + root + ", embedded: {directory: /var/lib/x}}",
		"same machine":    "share: {name: lab, root: " + root + ", servers: [nats://127.0.0.1:4222]}",
		"external cluster": "share: {name: lab, root: " + root + ", servers: [tls://nats1:4222, tls://nats2:4222], " +
			"tls: {ca_file: ca.pem, cert_file: a.pem, key_file: a.key}, nkey_file: a.nk}",
		"loopback with TLS": "share: {name: lab, root: " + root + ", servers: [tls://localhost:4222]}",
	} {
		t.Run(name, func(t *testing.T) {
			cfg := parse(t, text)
			assert.NoError(t, errors.Join(cfg.Errors()...))
			assert.Equal(t, DefaultLease, cfg.Lease)
			assert.Equal(t, DefaultUnitLength, cfg.UnitLength)
		})
	}
}

func TestErrorsNameTheirKeys(t *testing.T) {
	root := t.TempDir()
	file := filepath.Join(root, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for name, test := range map[string]struct {
		change func(*Config)
		want   []string
	}{
		"all at once": {
			func(c *Config) {
				*c = Config{Name: "a b", Root: "videos", Lease: time.Millisecond, UnitLength: time.Second}
			},
			[]string{
				`name: "a b": write 1 to 64 letters`, `root: "videos": write the absolute path`,
				"unit_length: 1s: write a duration from 10s to 1h", "lease: 1ms: write a duration from 1s to 1h",
				"embedded: either embedded or servers is required",
			},
		},
		"root is missing": {
			func(c *Config) { c.Root = root + "/none" },
			[]string{"root: stat", "mount the shared folder there"},
		},
		"root is a file":    {func(c *Config) { c.Root = file }, []string{"root: " + file + " is not a folder"}},
		"root is not clean": {func(c *Config) { c.Root = root + "/../x" }, []string{"root: ", "write the absolute path"}},
		"both":              {func(c *Config) { c.Servers = []string{"nats://127.0.0.1:1"} }, []string{errBoth}},
		"half of TLS":       {func(c *Config) { c.TLS.KeyFile = "" }, []string{"tls::key_file: write the path"}},
		"store on the share": {
			func(c *Config) { c.Embedded.Directory = root + "/x" },
			[]string{"embedded::directory: ", "is below root"},
		},
		"relative store": {
			func(c *Config) { c.Embedded.Directory = "x" },
			[]string{`embedded::directory: "x": write an absolute path`},
		},
		"no name in cluster": {func(c *Config) { c.Embedded.Node = "" }, []string{`embedded::node: "": write a name`}},
		"bad name":           {func(c *Config) { c.Embedded.Node = "a.b" }, []string{`embedded::node: "a.b"`}},
		"no port": {
			func(c *Config) { c.Embedded.Listen = "10.0.0.11" },
			[]string{`embedded::listen: "10.0.0.11": write host:port`},
		},
		"no host": {func(c *Config) { c.Embedded.Listen = ":4222" }, []string{"embedded::listen: ", "the host is missing"}},
		"port out of range": {
			func(c *Config) { c.Embedded.Listen = "127.0.0.1:70000" },
			[]string{"embedded::listen: ", "not a number from 1"},
		},
		"open without TLS": {
			func(c *Config) { c.TLS = nil },
			[]string{
				"embedded::listen: 10.0.0.11:4222 can be reached",
				"embedded::cluster::listen: 10.0.0.11:6222 can be reached",
			},
		},
		"open without nkey": {
			func(c *Config) { c.NKeyFile = "" },
			[]string{"embedded::listen: 10.0.0.11:4222 can be reached"},
		},
		"everywhere is open": {
			func(c *Config) { c.NKeyFile, c.Embedded.Listen = "", "0.0.0.0:4222" },
			[]string{"embedded::listen: 0.0.0.0:4222 can be"},
		},
		"peers without self": {
			func(c *Config) { c.Embedded.Cluster.Listen = "10.0.0.14:6222" },
			[]string{"embedded::cluster::peers: 10.0.0.14:6222 of"},
		},
		"even number": {
			func(c *Config) { c.Embedded.Cluster.Peers = c.Embedded.Cluster.Peers[:2] },
			[]string{"embedded::cluster::peers: 2 addresses: write 3 or 5"},
		},
		"one port for both": {
			func(c *Config) { c.Embedded.Listen = c.Embedded.Cluster.Listen },
			[]string{"embedded::cluster::listen: 10.0.0.11:6222 is also embedded::listen"},
		},
		"peer twice": {
			func(c *Config) { c.Embedded.Cluster.Peers[2] = c.Embedded.Cluster.Peers[1] },
			[]string{"embedded::cluster::peers: an address is listed twice"},
		},
		"peer without a port": {
			func(c *Config) { c.Embedded.Cluster.Peers[2] = "c" },
			[]string{`embedded::cluster::peers: "c": write host:port`},
		},
		"plain server": {
			func(c *Config) { c.Embedded, c.Servers = nil, []string{"nats://nats1:4222"} },
			[]string{"servers[0]: nats://nats1:4222 is another machine: write tls://"},
		},
		"server without nkey": {
			func(c *Config) { c.Embedded, c.NKeyFile, c.Servers = nil, "", []string{"tls://nats1:4222"} },
			[]string{"servers[0]: tls://nats1:4222 is another machine"},
		},
		"server and password": {
			func(c *Config) { c.Embedded, c.Servers = nil, []string{"tls://a:b@nats1:4222"} },
			[]string{"servers[0]: ", "without a user"},
		},
		"server is no URL": {
			func(c *Config) { c.Embedded, c.Servers = nil, []string{"http://nats1"} },
			[]string{`servers[0]: "http://nats1": write tls://host:4222`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := parse(t, exampleYAML)
			cfg.Root = root
			test.change(&cfg)
			err := errors.Join(cfg.Errors()...)
			for _, want := range test.want {
				assert.ErrorContains(t, err, want)
			}
		})
	}
}
