// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
)

// convert checks a configuration in which {} stands for a folder.
func convert(t *testing.T, dir, config string) error {
	retrieved, err := confmap.NewRetrievedFromYAML([]byte(strings.ReplaceAll(config, "{}", dir)))
	require.NoError(t, err)
	conf, err := retrieved.AsConf()
	require.NoError(t, err)
	return NewFactory().Create(confmap.ConverterSettings{}).Convert(t.Context(), conf)
}

func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	writeKeyPair(t, dir, "a")
	writeKeyPair(t, dir, "b")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "text.pem"), []byte("text"), 0o600))
	const service = `
service:
  extensions: [auth]
  pipelines:
    traces: {receivers: [otlp], exporters: [otlp/x, spanmetrics]}
    metrics: {receivers: [spanmetrics], exporters: [otlp/x]}
`
	for name, tt := range map[string]struct {
		config string
		want   []string
	}{
		"all there": {`
receivers: {otlp: {protocols: {grpc: {tls: {cert_file: "{}/a.crt", key_file: "{}/a.key", client_ca_file: "{}/b.crt"}}}}}
exporters: {otlp/x: {tls: {ca_file: "{}/a.crt", insecure: false}}}
extensions: {auth: {ca_file: ""}}` + service, nil},
		"missing": {`
receivers:
  otlp: {protocols: {grpc: {tls: {cert_file: "{}/no.crt", key_file: "{}/no.key", client_ca_file: "{}/no.ca"}}}}
exporters: {otlp/x: {targets: [{}, {tls: {ca_file: "{}/no.ca"}}]}, otlp/unused: {tls: {ca_file: "{}/no.ca"}}}
connectors: {spanmetrics: {tls: {ca_file: "{}/no.ca"}}}
extensions: {auth: {ca_file: "{}/no.ca"}, unused: {ca_file: "{}/no.ca"}}` + service + `
  telemetry: {metrics: {readers: [{periodic: {exporter: {otlp: {tls: {ca_file: "{}/no.ca"}}}}}]}}
`, []string{
			"receivers::otlp::protocols::grpc::tls::cert_file: open {}/no.crt: no such file or directory: " +
				"write the path of a PEM file",
			"receivers::otlp::protocols::grpc::tls::key_file: open {}/no.key",
			"receivers::otlp::protocols::grpc::tls::client_ca_file: open {}/no.ca",
			"exporters::otlp/x::targets[1]::tls::ca_file: open {}/no.ca",
			"connectors::spanmetrics::tls::ca_file: open {}/no.ca",
			"extensions::auth::ca_file: open {}/no.ca",
			"service::telemetry::metrics::readers[0]::periodic::exporter::otlp::tls::ca_file: open {}/no.ca",
		}},
		"not what they should be": {`
receivers: {otlp: {protocols: {grpc: {tls: {cert_file: "{}/a.crt", key_file: "{}/b.key"}}}}}
exporters: {otlp/x: {tls: {ca_file: "{}/text.pem"}}}` + service, []string{
			"receivers::otlp::protocols::grpc::tls::key_file: tls: private key does not match public key",
			"exporters::otlp/x::tls::ca_file: {}/text.pem has no certificate: write the path of a PEM file",
		}},
		"a key in a TPM": {`
receivers: {otlp: {tls: {cert_file: "{}/a.crt", key_file: "{}/text.pem", tpm: {enabled: true}}}}` + service, nil},
	} {
		t.Run(name, func(t *testing.T) {
			err := convert(t, dir, tt.config)
			if tt.want == nil {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			for _, want := range tt.want {
				assert.ErrorContains(t, err, strings.ReplaceAll(want, "{}", dir))
			}
			assert.Len(t, strings.Split(err.Error(), "\n"), len(tt.want), "%v", err)
		})
	}
}

func writeKeyPair(t *testing.T, dir, name string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	for file, block := range map[string]*pem.Block{
		name + ".crt": {Type: "CERTIFICATE", Bytes: certificate},
		name + ".key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600))
	}
}

func TestOutlets(t *testing.T) {
	for name, tt := range map[string]struct{ pipelines, want string }{
		"same pipeline": {`
    traces: {receivers: [otlp], processors: [attrtometrics], exporters: [debug, attrtometrics]}
    metrics: {receivers: [attrtometrics], exporters: [debug]}`, ""},
		"behind another connector": {`
    traces: {receivers: [otlp], processors: [attrtometrics], exporters: [forward]}
    traces/2: {receivers: [forward], exporters: [attrtometrics]}
    metrics: {receivers: [attrtometrics], exporters: [debug]}`, ""},
		"another pipeline": {`
    traces: {receivers: [otlp], processors: [attrtometrics], exporters: [debug]}
    traces/2: {receivers: [otlp], exporters: [attrtometrics]}
    metrics: {receivers: [attrtometrics], exporters: [debug]}`,
			`service::pipelines::traces::exporters: processor "attrtometrics" needs the connector "attrtometrics" here`},
		"in front": {`
    traces: {receivers: [otlp], exporters: [forward, attrtometrics]}
    traces/2: {receivers: [forward], processors: [attrtometrics], exporters: [debug]}
    metrics: {receivers: [attrtometrics], exporters: [debug]}`, "service::pipelines::traces/2::exporters: "},
		"none at all, which the processor reports": {`
    traces: {receivers: [otlp], processors: [attrtometrics], exporters: [debug]}`, ""},
		"shapes that the collector refuses": {`
    traces: [attrtometrics]
    traces/2: {receivers: 1, processors: {a: b}, exporters: [[]]}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := convert(t, "", "connectors: {attrtometrics: , forward: }\nservice:\n  pipelines:"+tt.pipelines)
			if tt.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tt.want)
			}
		})
	}
}

func TestEmptyConfiguration(t *testing.T) {
	for _, config := range []string{"", "service:", "service: 1", "service: {pipelines: [], extensions: 1, telemetry: }"} {
		require.NoError(t, convert(t, "", config))
	}
}
