// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"
)

const (
	// startTimeout is how long a server may take to load its data and to listen.
	startTimeout = time.Minute
	// pingInterval is how often idle connections are checked; two unanswered pings close one.
	pingInterval = "10s"
)

// node is a NATS server in this process.
type node struct{ server *server.Server }

// startNode starts the server and waits until it is ready, which includes loading its data. It fails if it cannot
// listen.
func startNode(cfg *Config, id *identity, logger *zap.Logger) (*node, error) {
	if err := os.MkdirAll(cfg.Embedded.Directory, 0o700); err != nil {
		return nil, fmt.Errorf("embedded::directory: %w", err)
	}
	var text strings.Builder
	encoder := json.NewEncoder(&text) // the server accepts JSON, but without \u
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(serverConfig(cfg, id)); err != nil {
		return nil, err
	}
	opts := &server.Options{NoSigs: true}
	if err := opts.ProcessConfigString(text.String()); err != nil {
		return nil, fmt.Errorf("configure the embedded server: %w", err)
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("start the embedded server: %w", err)
	}
	log := newServerLog(logger)
	s.SetLoggerV2(log, false, false, false)
	n := &node{s}
	s.Start()
	if !s.ReadyForConnections(startTimeout) {
		n.stop()
		return nil, errors.Join(fmt.Errorf("start the embedded server: it is not ready: make sure that nothing else listens "+
			"on %s, and that %s can be written to", cfg.Embedded.listen(), cfg.Embedded.Directory), log.last())
	}
	return n, nil
}

func (n *node) stop() {
	n.server.Shutdown()
	n.server.WaitForShutdown()
}

// serverConfig returns the configuration of the embedded server. Every write is synced before it is acknowledged.
// Otherwise, a power failure could undo acknowledged writes.
func serverConfig(cfg *Config, id *identity) map[string]any {
	e := cfg.Embedded
	account := map[string]any{"jetstream": "enabled"}
	conf := map[string]any{
		"server_name":   cfg.nodeName(),
		"listen":        e.listen(),
		"ping_interval": pingInterval,
		"jetstream": map[string]any{
			"store_dir": e.Directory, "sync_interval": "always", "max_memory_store": 64 << 20, "max_file_store": 16 << 30,
		},
		"accounts": map[string]any{cfg.Name: account},
	}
	if id != nil {
		var users []any
		for _, public := range id.users() {
			users = append(users, map[string]any{"nkey": public, "permissions": permissions(cfg.Name)})
		}
		account["users"] = users
	} else { // reachable from this machine only, as validateListen makes sure
		account["users"] = []any{map[string]any{
			"user": "local", "password": rand.Text(), "permissions": permissions(cfg.Name),
		}}
		conf["no_auth_user"] = "local"
	}
	if cfg.TLS != nil {
		conf["tls"] = cfg.TLS.serverConfig()
	}
	if e.Cluster != nil {
		conf["cluster"] = e.Cluster.serverConfig(cfg.Name, cfg.TLS)
	}
	return conf
}

func (c *Config) nodeName() string {
	if c.Embedded.Node != "" {
		return c.Embedded.Node
	}
	return "alone"
}

func (t *TLS) serverConfig() map[string]any {
	return map[string]any{"ca_file": t.CAFile, "cert_file": t.CertFile, "key_file": t.KeyFile, "verify": true}
}

func (c *Cluster) serverConfig(name string, tls *TLS) map[string]any {
	var routes []any
	for _, peer := range c.Peers {
		routes = append(routes, "nats-route://"+peer)
	}
	conf := map[string]any{
		"name": name, "listen": c.Listen, "routes": routes, "no_advertise": true, "ping_interval": pingInterval,
	}
	if tls != nil {
		conf["tls"] = tls.serverConfig()
	}
	return conf
}

// permissions returns the subjects that a machine needs, and no others: the bucket, and its management.
func permissions(name string) map[string]any {
	stream := streamName(name)
	return map[string]any{
		"publish": map[string]any{"allow": []any{
			bucketPrefix(name) + ">",
			"$JS.API.INFO",
			"$JS.API.STREAM.INFO." + stream,
			"$JS.API.STREAM.CREATE." + stream,
			"$JS.API.STREAM.UPDATE." + stream,
			"$JS.API.STREAM.PURGE." + stream,
			"$JS.API.STREAM.MSG.GET." + stream,
			"$JS.API.CONSUMER.CREATE." + stream,
			"$JS.API.CONSUMER.CREATE." + stream + ".>",
			"$JS.API.CONSUMER.INFO." + stream + ".>",
			"$JS.API.CONSUMER.DELETE." + stream + ".>",
			"$JS.FC." + stream + ".>",
		}},
		"subscribe": map[string]any{"allow": []any{"_INBOX.>"}},
	}
}
