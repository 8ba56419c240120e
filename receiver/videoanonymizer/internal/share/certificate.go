// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"go.uber.org/zap"
)

// check makes sure that the other machines accept the certificate, also as a server's unless e is nil. Otherwise they
// would only say that they cannot connect. It needs only the files, no network.
func (t *TLS) check(e *Embedded) []error {
	if t == nil || len(t.validate()) > 0 {
		return nil
	}
	c, errs := t.read()
	if len(errs) > 0 {
		return errs
	}
	usages := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if e != nil {
		usages = append(usages, x509.ExtKeyUsageServerAuth)
	}
	for _, usage := range usages {
		if _, err := c.verify(usage); err != nil {
			return []error{fmt.Errorf("tls::cert_file: %s: %w: have tls::ca_file sign one for both clientAuth and serverAuth",
				t.CertFile, period(err))}
		}
	}
	if e == nil {
		return nil
	}
	return []error{checkHosts(c.leaf, t.CertFile, e)}
}

// certificate is this machine's certificate, with the pools to verify it.
type certificate struct {
	leaf                 *x509.Certificate
	authorities, between *x509.CertPool
}

// read reads the files. Each error names its key.
func (t *TLS) read() (c certificate, errs []error) {
	const hint = "write the path of a file in PEM that the collector's user can read"
	c.authorities, c.between = x509.NewCertPool(), x509.NewCertPool()
	if text, err := os.ReadFile(t.CAFile); err != nil {
		errs = append(errs, fmt.Errorf("tls::ca_file: %w: %s", err, hint))
	} else if !c.authorities.AppendCertsFromPEM(text) {
		errs = append(errs, fmt.Errorf("tls::ca_file: %s has no certificate in PEM: %s", t.CAFile, hint))
	}
	pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return c, append(errs, fmt.Errorf("tls::cert_file and tls::key_file: %w: %s", err, hint))
	}
	c.leaf = pair.Leaf
	for _, der := range pair.Certificate[1:] {
		if more, err := x509.ParseCertificate(der); err == nil {
			c.between.AddCert(more)
		}
	}
	return c, errs
}

// verify returns the chains from the certificate to an authority.
func (c *certificate) verify(usage x509.ExtKeyUsage) ([][]*x509.Certificate, error) {
	return c.leaf.Verify(x509.VerifyOptions{
		Roots: c.authorities, Intermediates: c.between, KeyUsages: []x509.ExtKeyUsage{usage},
	})
}

// period replaces an expiry error with one that gives the validity period rather than the current time, so that the
// text does not change from one second to the next.
func period(err error) error {
	if invalid := new(x509.CertificateInvalidError); errors.As(err, invalid) && invalid.Reason == x509.Expired {
		return fmt.Errorf("the certificate of %s is only valid from %s to %s", invalid.Cert.Subject,
			invalid.Cert.NotBefore.Format(time.RFC3339), invalid.Cert.NotAfter.Format(time.RFC3339))
	}
	return err
}

// checkHosts makes sure that the certificate names the hosts at which clients reach the server, because clients check
// that. anonymizerctl on this machine is one of them.
func checkHosts(certificate *x509.Certificate, path string, e *Embedded) error {
	addresses := []string{e.local()}
	if e.Cluster != nil {
		addresses = append(addresses, e.Cluster.Listen)
	}
	for _, address := range addresses {
		host, _, err := net.SplitHostPort(address)
		if ip, parseErr := netip.ParseAddr(host); err != nil || parseErr == nil && ip.IsUnspecified() {
			continue
		}
		if err := certificate.VerifyHostname(host); err != nil {
			return fmt.Errorf("tls::cert_file: %s: %w: have one signed that names %s", path, err, host)
		}
	}
	return nil
}

// Expiry is when the other machines stop accepting a certificate.
type Expiry struct {
	// Key is the key of the file with the certificate that expires first: tls::cert_file or tls::ca_file.
	Key string
	At  time.Time
}

// Soon is how long before a certificate expires the warnings begin.
const Soon = 30 * 24 * time.Hour

// Expiry reads the files and returns when the certificate expires. It fails if the certificate is not valid now.
func (t *TLS) Expiry() (last Expiry, err error) {
	c, errs := t.read()
	if len(errs) > 0 {
		return Expiry{}, errors.Join(errs...)
	}
	chains, err := c.verify(x509.ExtKeyUsageClientAuth)
	if err != nil {
		return Expiry{}, fmt.Errorf("tls::cert_file: %w", period(err))
	}
	for _, chain := range chains { // one valid chain is enough: the last to expire counts
		if first := expiryOf(chain); first.At.After(last.At) {
			last = first
		}
	}
	return last, nil
}

// expiryOf returns the Expiry of the certificate in a chain that expires first.
func expiryOf(chain []*x509.Certificate) Expiry {
	first := Expiry{"tls::cert_file", chain[0].NotAfter}
	for i, c := range chain[1:] {
		if c.NotAfter.Before(first.At) {
			first.At = c.NotAfter
			if i == len(chain)-2 {
				first.Key = "tls::ca_file"
			}
		}
	}
	return first
}

// watch warns once a day, until ctx ends, if the certificate expires soon. Established connections outlive the
// certificate, so nothing else would show the problem before a machine restarts.
func (x Expiry) watch(ctx context.Context, logger *zap.Logger) {
	about := []zap.Field{zap.String("key", "share::"+x.Key), zap.Time("expires", x.At)}
	for ctx.Err() == nil {
		switch left := time.Until(x.At); {
		case left <= 0:
			logger.Warn("the certificate has expired, and other machines refuse new connections: sign a new one, put it in "+
				"place of the old one, and reload the collector", about...)
		case left < Soon:
			logger.Warn("the certificate expires soon: sign a new one, put it in place of the old one, and reload the "+
				"collector", about...)
		}
		_ = sleep(ctx, 24*time.Hour)
	}
}
