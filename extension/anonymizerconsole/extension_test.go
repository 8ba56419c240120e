// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymizerconsole

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// configured returns the default configuration with some keys set.
func configured(t *testing.T, keys map[string]any) *Config {
	t.Helper()
	config := defaultConfig()
	require.NoError(t, confmap.NewFromStringMap(keys).Unmarshal(config))
	return config
}

// started starts a console and returns it with its log.
func started(t *testing.T, keys map[string]any) (component.Component, *observer.ObservedLogs) {
	t.Helper()
	set := extensiontest.NewNopSettings(componentType)
	core, logs := observer.New(zap.InfoLevel)
	set.Logger = zap.New(core)
	made, err := NewFactory().Create(t.Context(), set, configured(t, keys))
	require.NoError(t, err)
	require.NoError(t, made.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, made.Shutdown(t.Context())) })
	return made, logs
}

func TestStart(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "console")
	_, logs := started(t, map[string]any{"endpoint": "localhost:0", "directory": directory})
	require.Equal(t, 1, logs.Len(), "the token is in the start line alone")
	found := regexp.MustCompile(`(http://localhost:\d+/)#token=(\w{26})`).FindStringSubmatch(logs.All()[0].Message)
	require.NotNil(t, found, logs.All()[0].Message)
	text, err := os.ReadFile(filepath.Join(directory, "token"))
	require.NoError(t, err)
	assert.Equal(t, found[2], strings.TrimSpace(string(text)))
	get := func(path, host string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, found[1]+path, nil)
		require.NoError(t, err)
		request.Host = host
		request.Header.Set("Authorization", "Bearer "+found[2])
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Contains(t, response.Header.Get("Content-Security-Policy"), "default-src 'none'")
		return response.StatusCode, string(text)
	}
	status, text2 := get("api/v1/me", "localhost")
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, text2, `"operator"`)
	status, text2 = get("", "localhost")
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, text2, "<html")
	status, _ = get("../config.yaml", "localhost")
	assert.Equal(t, http.StatusNotFound, status)
	status, _ = get("api/v1/me", "evil.example")
	assert.Equal(t, http.StatusMisdirectedRequest, status)
	http.DefaultClient.CloseIdleConnections()
}

func TestStartFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for name, keys := range map[string]map[string]any{
		"directory": {"endpoint": "localhost:0", "directory": filepath.Join(file, "console")},
		"endpoint":  {"endpoint": "192.0.2.1:80", "behind_proxy": true, "directory": t.TempDir()},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := NewFactory().Create(t.Context(), extensiontest.NewNopSettings(componentType), configured(t, keys))
			require.NoError(t, err)
			require.ErrorContains(t, made.Start(t.Context(), componenttest.NewNopHost()), name)
			require.NoError(t, made.Shutdown(t.Context()))
		})
	}
}

func TestConfig(t *testing.T) {
	require.NoError(t, confmap.Validate(defaultConfig()))
	tls := map[string]any{"cert_file": "a", "key_file": "b"}
	for name, test := range map[string]struct {
		keys map[string]any
		want []string // parts of the error; none if the configuration is valid
	}{
		"local":        {map[string]any{"endpoint": "127.0.0.1:8090"}, nil},
		"local by v6":  {map[string]any{"endpoint": "[::1]:8090"}, nil},
		"with tls":     {map[string]any{"endpoint": "0.0.0.0:8090", "tls": tls}, nil},
		"behind proxy": {map[string]any{"endpoint": "0.0.0.0:8090", "behind_proxy": true, "hosts": []any{"a.b"}}, nil},
		"open":         {map[string]any{"endpoint": "0.0.0.0:8090"}, []string{"endpoint: 0.0.0.0:8090 can be reached"}},
		"all":          {map[string]any{"endpoint": ":8090"}, []string{"behind_proxy: true"}},
		"name":         {map[string]any{"endpoint": "videos.example.com:8090"}, []string{"add tls"}},
		"no port":      {map[string]any{"endpoint": "localhost"}, []string{"such as localhost:8090"}},
		"cors":         {map[string]any{"cors": map[string]any{"allowed_origins": []string{"*"}}}, []string{"cors: "}},
		"every error": {map[string]any{"hosts": []string{"*", "https://a"}, "directory": "", "session_lifetime": "1s",
			"max_upload_size": 0, "links": map[string]any{"jaeger": "javascript:alert(1)"},
			"identity": map[string]any{"attribute": "", "role": "king", "roles": map[string]any{"ann": "queen"}}},
			[]string{`hosts: "*"`, `hosts: "https://a"`, "directory: ", "session_lifetime: ", "max_upload_size: ",
				"links::jaeger: ", "identity::attribute: ", "identity::role: ", "identity::roles::ann: "}},
	} {
		t.Run(name, func(t *testing.T) {
			err := confmap.Validate(configured(t, test.keys))
			if len(test.want) == 0 {
				require.NoError(t, err)
			}
			for _, want := range test.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestAttachBeforeStart(t *testing.T) {
	(&console{}).AttachMachines(component.MustNewID("videoanonymizer"), nil)()
	_, err := (&console{}).Attach(component.MustNewID("videoanonymizer"), nil)
	require.ErrorContains(t, err, "service::extensions")
}
