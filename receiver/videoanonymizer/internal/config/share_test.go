// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/share"
)

// readShare reads a configuration with a root, ROOT, for videos and outputs. Later texts override earlier ones.
func readShare(t *testing.T, texts ...string) (*Config, string, error) {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	conf := confmap.New()
	for _, text := range append([]string{"watch: {include: [ROOT/in/*]}\noutput: {directory: ROOT/out}"}, texts...) {
		retrieved, err := confmap.NewRetrievedFromYAML([]byte(strings.ReplaceAll(text, "ROOT", root)))
		require.NoError(t, err)
		more, err := retrieved.AsConf()
		require.NoError(t, err)
		require.NoError(t, conf.Merge(more))
	}
	cfg := Default()
	if err := conf.Unmarshal(cfg); err != nil {
		return nil, root, err
	}
	return cfg, root, confmap.Validate(cfg)
}

// TestShareOfTheGuide checks that the configuration in docs/several-machines.md is valid, except for its root and for
// files that do not exist here.
func TestShareOfTheGuide(t *testing.T) {
	guide, err := os.ReadFile("../../../../docs/several-machines.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)  videoanonymizer:\n(.*?)```").FindStringSubmatch(string(guide))
	require.NotNil(t, block)
	text := strings.Replace(regexp.MustCompile("(?m)^    ").ReplaceAllString(block[1], ""), "/srv/videos", "ROOT", 1)
	cfg, root, err := readShare(t, text)
	require.Error(t, err)
	for line := range strings.Lines(err.Error()) {
		assert.Regexp(t, "^share::(tls|nkey_file).*: open .*: no such file or directory: write the path of ", line)
	}
	peers := []string{"10.0.0.11:6222", "10.0.0.12:6222", "10.0.0.13:6222"}
	assert.Equal(t, &share.Config{
		Name: "lab", Root: root, UnitLength: 2 * time.Minute, Lease: 30 * time.Second,
		Embedded: &share.Embedded{
			Node: "a", Directory: "/var/lib/otelcol-anonymizer/share", Listen: "10.0.0.11:4222",
			Cluster: &share.Cluster{Listen: "10.0.0.11:6222", Peers: peers},
		},
		TLS:      &share.TLS{CAFile: "ca.pem", CertFile: "a.pem", KeyFile: "a.key"},
		NKeyFile: "a.nk",
	}, cfg.Share)
	assert.Equal(t, 2*time.Minute, cfg.Shared().UnitLength)
	cfg.Share.UnitLength = time.Minute
	assert.Equal(t, time.Minute, cfg.Shared().UnitLength)
	assert.Equal(t, time.Minute, cfg.Shared().For("a", "a").UnitLength)
}

func TestShareDefaults(t *testing.T) {
	cfg, _, err := readShare(t, "share: {name: lab, root: ROOT, servers: ['nats://127.0.0.1:4222']}")
	require.NoError(t, err)
	assert.Equal(t, 2*time.Minute, cfg.Share.UnitLength)
	assert.Equal(t, 30*time.Second, cfg.Share.Lease)
	cfg, _, err = readShare(t)
	require.NoError(t, err)
	assert.Nil(t, cfg.Share)
}

// TestShareErrors checks that each mistake is an error that names its key, and that all are reported at once.
func TestShareErrors(t *testing.T) {
	const good = "share: {name: lab, root: ROOT, servers: ['nats://127.0.0.1:4222']}"
	for name, tc := range map[string]struct {
		block, more string
		want        []string
	}{
		"empty": {block: "share:", want: []string{
			"share::name: ", "share::root: ", "share::embedded: either embedded or servers is required"}},
		"several": {
			block: "share: {name: a/b, root: ROOT, lease: 1ms, unit_length: 1s, embedded: {directory: ROOT/nats}, servers: [x]}",
			want: []string{"share::name: ", "share::lease: ", "share::unit_length: ", "share::servers: either",
				"share::embedded::directory: ", "share::servers[0]: "},
		},
		"without TLS": {block: "share: {name: lab, root: ROOT, embedded: {directory: /nats, listen: '10.0.0.1:4222'}}",
			want: []string{"share::embedded::listen: "}},
		"peers without itself": {
			block: "share: {name: lab, root: ROOT, embedded: {node: a, directory: /nats, cluster: {listen: '127.0.0.1:1', " +
				"peers: ['127.0.0.1:2', '127.0.0.1:3', '127.0.0.1:4']}}}",
			want: []string{"share::embedded::cluster::peers: 127.0.0.1:1 "}},
		"files that are missing": {block: "share: {name: lab, root: ROOT, embedded: {directory: /nats}, " +
			"nkey_file: ROOT/a.nk, tls: {ca_file: ROOT/ca.pem, cert_file: ROOT/a.pem, key_file: ROOT/a.key}}",
			want: []string{"share::tls::ca_file: open ", "share::tls::cert_file and tls::key_file: open ",
				"share::nkey_file: open "}},
		"misspelled": {block: "share: {name: lab, root: ROOT, server: ['nats://127.0.0.1:4222']}",
			want: []string{"share::server: there is no such key: did you mean servers?"}},
		"folders elsewhere": {block: good,
			more: "watch: {include: [/elsewhere/in/*]}\noutput: {directory: ROOT/../out, on_success: move, move_to: /done}",
			want: []string{"watch::include: /elsewhere/in is not below share::root", "output::directory: ",
				"output::move_to: /done is not below share::root"}},
		"state elsewhere": {block: good, more: "output: {state_directory: /s}",
			want: []string{"output::state_directory: /s is not below share::root"}},
		"what speaks of one machine": {block: good, more: `console: anonymizer_console
review: {two_people: true, approved_directory: ROOT/approved}
retention: {journal: 24h}
notifications: [{name: a, command: [/bin/true]}]
retry: {initial_interval: 1s, max_interval: 1h}
unit_length: 3m
output: {directory: ROOT/out, quarantine_directory: ROOT/bad}`,
			want: []string{"review::two_people: cannot be combined with share",
				"review::approved_directory: cannot be combined with share",
				"retention: cannot be combined with share", "notifications: cannot be combined with share",
				"retry::initial_interval: cannot be combined with share",
				"retry::max_interval: cannot be combined with share", "unit_length: cannot be combined with share",
				"output::quarantine_directory: cannot be combined with share"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := readShare(t, tc.block, cmp.Or(tc.more, "{}"))
			require.Error(t, err)
			for _, want := range tc.want {
				assert.ErrorContains(t, err, want)
				assert.Equal(t, 1, strings.Count(err.Error(), want), "%s is said once", want)
			}
		})
	}
}
