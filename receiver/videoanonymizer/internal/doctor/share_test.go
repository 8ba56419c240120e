// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/share"
)

// TestShare: the doctor checks the root, certificate and nkey of a machine that shares work, and reports when the
// certificate expires.
func TestShare(t *testing.T) {
	cfg := config.Default()
	assert.Empty(t, shared(cfg), "a machine alone")
	folder := t.TempDir()
	file := func(name string) string { return filepath.Join(folder, name) }
	public, err := share.EnsureIdentity(file("a.nk"))
	require.NoError(t, err)
	cfg.Share = &share.Config{
		Root: folder, TLS: &share.TLS{CAFile: file("a.pem"), CertFile: file("a.pem"), KeyFile: file("a.key")},
		NKeyFile: file("a.nk"),
	}
	end := time.Now().Add(100*24*time.Hour + time.Hour)
	selfSigned(t, file("a"), end)
	assert.Equal(t, []Finding{
		{What: "folder " + folder, Note: "can be read and written"},
		{What: "certificate " + file("a.pem"), Note: "share::tls::cert_file expires on " + end.UTC().Format(time.DateOnly) +
			", in 100 days"},
		{What: "nkey " + file("a.nk"), Note: "the public one is " + public},
	}, shared(cfg))
	selfSigned(t, file("a"), time.Now().Add(25*time.Hour))
	assert.Contains(t, shared(cfg)[1].Note, ", in 1 days: sign a new one")
	selfSigned(t, file("a"), time.Now().Add(-time.Hour))
	require.NoError(t, os.Remove(file("a.nk")))
	found := missing(shared(cfg))
	require.Len(t, found, 2)
	assert.Contains(t, found[0], "share::tls::cert_file: the certificate of CN=a is only valid from ")
	assert.Contains(t, found[1], "share::nkey_file: open ")
	cfg.Share.TLS, cfg.Share.NKeyFile = nil, ""
	assert.Len(t, shared(cfg), 1, "no other machine is asked")
}

// selfSigned writes a self-signed certificate and its key.
func selfSigned(t *testing.T, name string, end time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	certificate := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a"}, NotAfter: end,
	}
	der, err := x509.CreateCertificate(rand.Reader, certificate, certificate, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	for suffix, block := range map[string]pem.Block{
		".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		require.NoError(t, os.WriteFile(name+suffix, pem.EncodeToMemory(&block), 0o600))
	}
}
