// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"
)

// network is a hub and machines, each with its own network and file system.
type network struct {
	t   *testing.T
	hub string
}

// newNetwork skips the test if network namespaces cannot be created.
func newNetwork(t *testing.T) *network {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can make network namespaces")
	}
	for _, program := range []string{"ip", "unshare", "mount"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("the machines need %s: %v", program, err)
		}
	}
	n := &network{t, fmt.Sprintf("share-%d", os.Getpid())}
	if out, err := exec.Command("ip", "netns", "add", n.hub).CombinedOutput(); err != nil {
		t.Skipf("network namespaces cannot be made here: %v: %s", err, out)
	}
	n.removeLater(n.hub)
	if out, err := exec.Command("ip", "-n", n.hub, "link", "add", "br0", "type", "bridge").CombinedOutput(); err != nil {
		t.Skipf("bridges cannot be made here: %v: %s", err, out)
	}
	n.ip("-n", n.hub, "link", "set", "br0", "up")
	return n
}

func (n *network) removeLater(name string) {
	n.t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", name).Run() })
}

func (n *network) ip(args ...string) {
	n.t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	require.NoError(n.t, err, "ip %s: %s", strings.Join(args, " "), out)
}

func (n *network) space(name string) string { return n.hub + "-" + name }

// add creates a machine with an address.
func (n *network) add(name, address string) {
	n.t.Helper()
	space := n.space(name)
	n.ip("netns", "add", space)
	n.removeLater(space)
	n.ip("-n", n.hub, "link", "add", "to-"+name, "type", "veth", "peer", "name", "eth0", "netns", space)
	n.ip("-n", n.hub, "link", "set", "to-"+name, "master", "br0", "up")
	n.ip("-n", space, "addr", "add", address+"/24", "dev", "eth0")
	n.ip("-n", space, "link", "set", "eth0", "up")
	n.ip("-n", space, "link", "set", "lo", "up")
}

// cut takes a machine off the network, or puts it back.
func (n *network) cut(name string, off bool) {
	state := "up"
	if off {
		state = "down"
	}
	n.ip("-n", n.hub, "link", "set", "to-"+name, state)
}

// wrap makes a command run on a machine that sees root as /srv/videos, and data as its server's directory.
func (n *network) wrap(name, root, data, folder string) func(*exec.Cmd) {
	const script = `mount -t tmpfs none /srv && mkdir /srv/videos && mount --bind "$1" /srv/videos &&
		mount -t tmpfs none /var/lib && mkdir -p /var/lib/otelcol-anonymizer/share &&
		mount --bind "$2" /var/lib/otelcol-anonymizer/share && cd "$3" && exec "$4"`
	return func(cmd *exec.Cmd) {
		ip, err := exec.LookPath("ip")
		require.NoError(n.t, err)
		cmd.Args = []string{
			ip, "netns", "exec", n.space(name), "unshare", "-m", "sh", "-c", script, "sh", root, data, folder, cmd.Path,
		}
		cmd.Path = ip
	}
}

// TestFaultsOfTheNetwork runs machines exactly as in the documentation, with TLS, nkeys and addresses, over links that
// break.
func TestFaultsOfTheNetwork(t *testing.T) {
	t.Parallel()
	rounds := faultRounds(t, 2)
	n := newNetwork(t)
	s := newSite(t)
	s.embedded = true
	writeCertificates(t, s.folder)
	cuts := []fault{{"a machine is cut off", func() { s.cutOff(1) }}, {"two machines are cut off", func() { s.cutOff(2) }}}
	for i, name := range []string{"a", "b", "c"} {
		address := fmt.Sprintf("10.0.0.%d", 11+i)
		n.add(name, address)
		cfg := parse(t, strings.NewReplacer("node: a", "node: "+name, "listen: 10.0.0.11", "listen: "+address,
			"cert_file: a.pem", "cert_file: "+name+".pem", "a.key", name+".key", "a.nk", name+".nk").Replace(exampleYAML))
		cfg.Lease = s.lease
		m := s.machine(name, cfg, false)
		require.NoError(t, os.MkdirAll(s.data(m), 0o700))
		m.wrap = n.wrap(name, s.root, s.data(m), s.folder)
		s.workers = append(s.workers, m)
	}
	s.brokers, s.cut, s.share = s.workers, n.cut, "lab"
	for _, m := range s.workers {
		m.start(t)
	}
	if rounds <= len(cuts) {
		s.runAll(cuts, rounds)
		return
	}
	s.run(rounds)
}

// writeCertificates writes ca.pem, and a certificate, key and nkey for each machine in the documentation. The
// certificate of d does not name 127.0.0.1.
func writeCertificates(t *testing.T, folder string) {
	t.Helper()
	writeCertificatesUntil(t, folder, time.Now().Add(24*time.Hour))
}

// writeCertificatesUntil also sets when the machines' certificates expire. The authority's expires in 30 days.
func writeCertificatesUntil(t *testing.T, folder string, end time.Time) {
	t.Helper()
	write := func(name, kind string, data []byte) {
		text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data})
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), text, 0o600))
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(Soon),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	require.NoError(t, err)
	write("ca.pem", "CERTIFICATE", der)
	for i, name := range []string{"a", "b", "c", "d"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		certificate := &x509.Certificate{
			SerialNumber: big.NewInt(int64(2 + i)), Subject: pkix.Name{CommonName: name},
			NotAfter:    end,
			IPAddresses: []net.IP{net.IPv4(10, 0, 0, byte(11+i)), net.IPv4(127, 0, 0, 1)},
			KeyUsage:    x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
		if name == "d" {
			certificate.IPAddresses = certificate.IPAddresses[:1]
		}
		der, err := x509.CreateCertificate(rand.Reader, certificate, authority, key.Public(), authorityKey)
		require.NoError(t, err)
		write(name+".pem", "CERTIFICATE", der)
		private, err := x509.MarshalPKCS8PrivateKey(key)
		require.NoError(t, err)
		write(name+".key", "PRIVATE KEY", private)
		writeSeed(t, filepath.Join(folder, name+".nk"))
	}
}

// writeSeed writes a new nkey of a user, followed by others, and returns its public nkey.
func writeSeed(t *testing.T, path string, others ...string) string {
	t.Helper()
	pair, err := nkeys.CreateUser()
	require.NoError(t, err)
	seed, err := pair.Seed()
	require.NoError(t, err)
	public, err := pair.PublicKey()
	require.NoError(t, err)
	text := "# this machine\n" + string(seed) + "\n" + strings.Join(others, "\n") + "\n"
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return public
}
