// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package oip

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/oip/oiptest"
)

// authority issues certificates for 127.0.0.1.
type authority struct {
	pool        *x509.CertPool
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	issued := a.sign(t, template, template)
	var err error
	a.certificate, err = x509.ParseCertificate(issued.Certificate[0])
	require.NoError(t, err)
	a.key = issued.PrivateKey.(*ecdsa.PrivateKey)
	a.pool.AddCert(a.certificate)
	return a
}

func (a *authority) issue(t *testing.T) tls.Certificate {
	t.Helper()
	return a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.certificate)
}

func (a *authority) sign(t *testing.T, template, parent *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// bearer sends a token, like the collector's bearertokenauth extension.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return true }

func (b bearer) roundTripper(base http.RoundTripper) (http.RoundTripper, error) {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+string(b))
		return base.RoundTrip(r)
	}), nil
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestWhoIsWho checks that pixels are not sent to servers that cannot be authenticated, and that servers can
// authenticate the client.
func TestWhoIsWho(t *testing.T) {
	right, wrong := newAuthority(t), newAuthority(t)
	for name, protocol := range map[string]oiptest.Options{"grpc": {}, "http": {HTTP: true}} {
		protocol.Token = "secret"
		protocol.TLS = &tls.Config{Certificates: []tls.Certificate{right.issue(t)}, ClientCAs: right.pool,
			ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
		server := startServer(t, protocol, pose)
		for want, tc := range map[string]struct {
			ca     *authority
			client *authority
			token  bearer
		}{
			"":                     {right, right, "secret"},
			"certificate":          {wrong, right, "secret"},
			"tls: ":                {right, wrong, "secret"},
			"certificate required": {right, nil, "secret"},
			"no valid token":       {right, right, "other"},
		} {
			t.Run(name+" "+want, func(t *testing.T) {
				secure := &tls.Config{RootCAs: tc.ca.pool, MinVersion: tls.VersionTLS12}
				if tc.client != nil {
					secure.Certificates = []tls.Certificate{tc.client.issue(t)}
				}
				client, sessions := connect(t, Options{TLS: secure, Credentials: tc.token, Authenticate: tc.token.roundTripper},
					[]string{pose}, server)
				require.NoError(t, client.Start(t.Context()))
				_, err := run(t.Context(), sessions[0], people(1))
				if want == "" {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, inference.ErrUnavailable)
				if name == "http" || tc.client == tc.ca { // gRPC may only see that the connection ends
					assert.ErrorContains(t, err, want)
				}
			})
		}
	}
}
