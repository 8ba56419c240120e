// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
)

// check makes sure that the certificate is one that the other machines accept, given the configuration of the embedded
// server, or nil. Else each of them would only say that it cannot connect.
func (t *TLS) check(e *Embedded) error {
	if t == nil {
		return nil
	}
	authorities := x509.NewCertPool()
	text, err := os.ReadFile(t.CAFile)
	if err != nil {
		return fmt.Errorf("tls::ca_file: %w", err)
	}
	if !authorities.AppendCertsFromPEM(text) {
		return fmt.Errorf("tls::ca_file: %s has no certificate in PEM", t.CAFile)
	}
	pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return fmt.Errorf("tls::cert_file and tls::key_file: %w", err)
	}
	between := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	usages := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if e != nil {
		usages = append(usages, x509.ExtKeyUsageServerAuth)
	}
	var errs []error
	for _, usage := range usages {
		_, err := pair.Leaf.Verify(x509.VerifyOptions{
			Roots: authorities, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage},
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("tls::cert_file: %s: %w: have tls::ca_file sign one for both clientAuth and "+
				"serverAuth", t.CertFile, err))
		}
	}
	if e != nil {
		errs = append(errs, checkHosts(pair.Leaf, t.CertFile, e))
	}
	return errors.Join(errs...)
}

// checkHosts makes sure that the certificate names where the server is reached, which is what the others compare.
// anonymizerctl on this machine is one of them.
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
