// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is the share block of the receiver's configuration.
type Config struct {
	// Name is the name of the share: letters, digits, - and _, at most 64. Machines with the same name work together.
	Name string `mapstructure:"name"`
	// Root is a folder that all machines see at this absolute path. All watched and output folders are below it.
	Root string `mapstructure:"root"`
	// UnitLength is the approximate length of a unit of a video: 10s to 1h.
	UnitLength time.Duration `mapstructure:"unit_length"`
	// Lease is how long a machine may show no sign of life before its work is taken over: 1s to 1h.
	Lease time.Duration `mapstructure:"lease"`
	// Embedded runs a NATS server in this process. Exactly one of Embedded and Servers is set.
	Embedded *Embedded `mapstructure:"embedded"`
	// Servers are URLs of NATS servers: tls://host:port, or nats://host:port on this machine.
	Servers []string `mapstructure:"servers"`
	// TLS authenticates this machine to the others, and the others to this machine.
	TLS *TLS `mapstructure:"tls"`
	// NKeyFile has this machine's nkey, a seed, on its first line. For an embedded server, the public nkeys of the
	// machines that list it in their servers may follow, one per line.
	NKeyFile string `mapstructure:"nkey_file"`
}

// Embedded is a NATS server in this process.
type Embedded struct {
	// Node is the server's name, which must not change as long as Directory exists. Required with Cluster.
	Node string `mapstructure:"node"`
	// Directory is where the server keeps its data: on a local disk of this machine.
	Directory string `mapstructure:"directory"`
	// Listen is the address, host:port, at which other processes connect.
	Listen string `mapstructure:"listen"`
	// Cluster connects the servers of several machines; nil for a single server.
	Cluster *Cluster `mapstructure:"cluster"`
}

// Cluster says how embedded servers find each other.
type Cluster struct {
	// Listen is the address, host:port, at which the other servers connect. It is one of Peers.
	Listen string `mapstructure:"listen"`
	// Peers are the addresses of all servers, the same list on each machine: 3 or 5.
	Peers []string `mapstructure:"peers"`
}

// TLS names PEM files: the authority that signed all machines' certificates, this machine's certificate, and its key.
type TLS struct {
	CAFile   string `mapstructure:"ca_file"`
	CertFile string `mapstructure:"cert_file"`
	KeyFile  string `mapstructure:"key_file"`
}

// Defaults of Config.
const (
	DefaultUnitLength = 2 * time.Minute
	DefaultLease      = 30 * time.Second
	defaultListen     = "127.0.0.1:4222"
)

// DefaultConfig returns the values of keys that are left out.
func DefaultConfig() Config {
	return Config{UnitLength: DefaultUnitLength, Lease: DefaultLease}
}

// minLease is the shortest lease that is accepted. It is a variable for tests, which cannot wait that long.
var minLease = time.Second

var (
	validName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	errBoth   = "servers: either embedded or servers: remove one of them"
	errNone   = "embedded: either embedded or servers is required: write embedded: {directory: " +
		"/var/lib/otelcol-anonymizer/share} to run the server in this process, or servers: [tls://host:4222]"
)

// Errors returns every error, each with its key and what to write instead. Some may be nil.
func (c *Config) Errors() (errs []error) {
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	errs = append(errs, c.validateConnection()...)
	errs = append(errs, checkRoot(c.Root))
	if c.UnitLength < 10*time.Second || c.UnitLength > time.Hour {
		add("unit_length: %v: write a duration from 10s to 1h, such as 2m", c.UnitLength)
	}
	if c.Lease < minLease || c.Lease > time.Hour {
		add("lease: %v: write a duration from 1s to 1h, such as 30s", c.Lease)
	}
	switch {
	case c.Embedded != nil && len(c.Servers) > 0:
		errs = append(errs, errors.New(errBoth))
	case c.Embedded == nil && len(c.Servers) == 0:
		errs = append(errs, errors.New(errNone))
	}
	if c.Embedded != nil {
		errs = append(errs, c.validateEmbedded()...)
	}
	return errs
}

// validateConnection checks what connecting needs, including the files that prove this machine's identity.
func (c *Config) validateConnection() (errs []error) {
	if !validName.MatchString(c.Name) {
		errs = append(errs, fmt.Errorf("name: %q: write 1 to 64 letters, digits, - or _, such as lab", c.Name))
	}
	errs = append(errs, c.TLS.validate()...)
	errs = append(errs, c.TLS.check(c.Embedded)...)
	_, err := c.identity()
	errs = append(errs, err)
	for i, server := range c.Servers {
		errs = append(errs, c.validateServer(fmt.Sprintf("servers[%d]", i), server))
	}
	return errs
}

func checkRoot(root string) error {
	if !filepath.IsAbs(root) || filepath.Clean(root) != root {
		return fmt.Errorf("root: %q: write the absolute path of the folder that all machines share, such as /srv/videos",
			root)
	}
	info, err := os.Stat(root)
	if err != nil {
		return fmt.Errorf("root: %w: mount the shared folder there, or write the path where it is", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("root: %s is not a folder: write the folder that all machines share", root)
	}
	return nil
}

func (t *TLS) validate() (errs []error) {
	if t == nil {
		return nil
	}
	for _, file := range []struct{ key, value, what string }{
		{"ca_file", t.CAFile, "the certificate of the authority that signed the certificates of all machines"},
		{"cert_file", t.CertFile, "the certificate of this machine"},
		{"key_file", t.KeyFile, "the key of this machine's certificate"},
	} {
		if file.value == "" {
			errs = append(errs, fmt.Errorf("tls::%s: write the path of %s: each machine checks the others", file.key, file.what))
		}
	}
	return errs
}

func (c *Config) validateEmbedded() (errs []error) {
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	e := c.Embedded
	if !filepath.IsAbs(e.Directory) {
		add("embedded::directory: %q: write an absolute path on a disk of this machine, such as "+
			"/var/lib/otelcol-anonymizer/share", e.Directory)
	} else if below(c.Root, e.Directory) {
		add("embedded::directory: %s is below root: write a folder on a disk of this machine", e.Directory)
	}
	if e.Node != "" && !validName.MatchString(e.Node) || e.Node == "" && e.Cluster != nil {
		add("embedded::node: %q: write a name for this machine's server, 1 to 64 letters, digits, - or _, "+
			"and never change it", e.Node)
	}
	errs = append(errs, c.validateListen("embedded::listen", e.listen()))
	if e.Cluster != nil {
		errs = append(errs, c.validateListen("embedded::cluster::listen", e.Cluster.Listen))
		if e.Cluster.Listen == e.listen() {
			add("embedded::cluster::listen: %s is also embedded::listen: write another port, such as 6222", e.Cluster.Listen)
		}
		errs = append(errs, e.Cluster.validatePeers()...)
	}
	return errs
}

func (e *Embedded) listen() string {
	if e.Listen == "" {
		return defaultListen
	}
	return e.Listen
}

// validateListen rejects addresses that other machines can reach, unless both sides prove their identity.
func (c *Config) validateListen(key, address string) error {
	host, err := splitAddress(address)
	if err != nil {
		return fmt.Errorf("%s: %q: write host:port, such as %s: %w", key, address, defaultListen, err)
	}
	if !loopback(host) && (c.TLS == nil || c.NKeyFile == "") {
		return fmt.Errorf("%s: %s can be reached by other machines: set tls and nkey_file, or listen on 127.0.0.1",
			key, address)
	}
	return nil
}

func (c *Cluster) validatePeers() (errs []error) {
	const key = "embedded::cluster::peers"
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, peer := range c.Peers {
		if _, err := splitAddress(peer); err != nil {
			add("%s: %q: write host:port, such as 10.0.0.11:6222: %w", key, peer, err)
		}
	}
	if len(c.Peers) != 3 && len(c.Peers) != 5 {
		add("%s: %d addresses: write 3 or 5, so that a majority remains when one fails; "+
			"other machines name them in servers", key, len(c.Peers))
	}
	if unique := slices.Compact(slices.Sorted(slices.Values(c.Peers))); len(unique) < len(c.Peers) {
		add("%s: an address is listed twice: list each machine's once", key)
	}
	if !slices.Contains(c.Peers, c.Listen) {
		add("%s: %s of embedded::cluster::listen is missing: list the addresses of all machines, including this one",
			key, c.Listen)
	}
	return errs
}

func (c *Config) validateServer(key, server string) error {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "tls" && u.Scheme != "nats" || u.Hostname() == "" || u.User != nil {
		return fmt.Errorf("%s: %q: write tls://host:4222, without a user or password", key, server)
	}
	if loopback(u.Hostname()) {
		return nil
	}
	if u.Scheme != "tls" || c.TLS == nil || c.NKeyFile == "" {
		return fmt.Errorf("%s: %s is another machine: write tls://, and set tls and nkey_file", key, server)
	}
	return nil
}

func splitAddress(address string) (host string, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", errors.New("the port is not a number from 1 to 65535")
	}
	if host == "" {
		return "", errors.New("the host is missing")
	}
	return host, nil
}

func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback() || host == "localhost"
}

// below reports whether path is root or below it.
func below(root, path string) bool {
	rel, err := filepath.Rel(root, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
