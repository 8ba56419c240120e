// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
)

// TestComponentsAreDocumented compares docs/components.md with the components of the built program.
func TestComponentsAreDocumented(t *testing.T) {
	type component struct{ Name, Module string }
	var built map[string]yaml.Node
	out, err := exec.Command(filepath.Join(collector.Root(), "bin", "otelcol-anonymizer"), "components").Output()
	require.NoError(t, err, "run make build")
	require.NoError(t, yaml.Unmarshal(out, &built))

	documented := map[string][]string{}
	page := string(read(t, filepath.Join(collector.Root(), "docs", "components.md")))
	for _, row := range regexp.MustCompile(`(?m)^\| (\w+) \| (.*) \|$`).FindAllStringSubmatch(page, -1) {
		for _, name := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(row[2], -1) {
			documented[row[1]] = append(documented[row[1]], name[1])
		}
	}
	for _, kind := range []string{"receivers", "processors", "connectors", "exporters", "extensions"} {
		node := built[kind]
		var components []component
		require.NoError(t, node.Decode(&components))
		var names []string
		for _, c := range components {
			names = append(names, c.Name)
		}
		require.NotEmpty(t, names, kind)
		assert.ElementsMatch(t, names, documented[kind], "%s of the program, and in docs/components.md", kind)
	}
}

// TestRemoteWrite runs config/examples/remote-write.yaml against a server that requires the token.
func TestRemoteWrite(t *testing.T) {
	s := newSite(t)
	var mu sync.Mutex
	var written strings.Builder
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		compressed, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		body, err := snappy.Decode(nil, compressed)
		assert.NoError(t, err)
		mu.Lock()
		defer mu.Unlock()
		written.Write(body)
	}))
	t.Cleanup(server.Close)
	free, err := collector.FreeAddresses(1)
	require.NoError(t, err)
	t.Setenv("PROMETHEUS_TOKEN", "secret")
	s.configs = append(s.configs, filepath.Join(collector.Root(), "config", "examples", "remote-write.yaml"), `yaml:{
		receivers: {host_metrics: {collection_interval: 200ms, initial_delay: 0s}},
		exporters: {prometheus_remote_write: {http: {endpoint: "`+server.URL+`", tls: {insecure: true}}}},
		extensions: {healthcheckv2: {http: {endpoint: "`+free[0]+`"}}}}`)
	c := s.start()
	for _, want := range []string{"system_cpu_time_seconds_total", "anonymizer_queue_length",
		"deployment_environment_name"} {
		assert.Eventually(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return strings.Contains(written.String(), want)
		}, 20*time.Second, 50*time.Millisecond, "%s is pushed", want)
	}
	response, err := http.Get("http://" + free[0] + "/status?verbose")
	require.NoError(t, err)
	defer response.Body.Close()
	status, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Contains(t, string(status), "receiver:videoanonymizer")
	require.NoError(t, c.Stop(20*time.Second))
}
