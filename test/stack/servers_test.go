// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
)

// site is a collector with the stack's configuration on free ports, in its own directory, with two GPUs simulated by
// the NVML shim.
type site struct {
	t                         *testing.T
	dir                       string
	collector                 *collector.Collector
	metrics, self, otlp, http string // addresses
}

// startCollector starts the stack's collector, which sends its traces to the address jaeger.
func startCollector(t *testing.T, jaeger string, configs ...string) *site {
	t.Helper()
	dir := t.TempDir()
	free, err := collector.FreeAddresses(7)
	require.NoError(t, err)
	s := &site{t: t, dir: dir, metrics: free[0], self: free[1], otlp: free[2], http: free[3]}
	_, selfPort, err := net.SplitHostPort(s.self)
	require.NoError(t, err)
	log, err := os.Create(filepath.Join(dir, "collector.log"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = log.Close() })
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "videos", "incoming"), 0o755))
	s.collector, err = collector.Start(t.Context(), collector.Options{
		Dir: dir, Output: log,
		Addresses: collector.Addresses{Health: free[4], Prometheus: s.metrics},
		Configs: append([]string{filepath.Join(collector.Root(), "config", "stack", "collector.yaml"),
			fmt.Sprintf(`yaml:{
			extensions: {health_check: {endpoint: "%s"}, zpages: {endpoint: "%s"}},
			exporters: {prometheus: {endpoint: "%s"}, otlp_grpc/jaeger: {endpoint: "%s"}},
			receivers: {
				otlp: {protocols: {grpc: {endpoint: "%s"}, http: {endpoint: "%s"}}},
				otlp/55680: {protocols: {http: {endpoint: "%s"}}},
				nvml: {collection_interval: 1s},
				videoanonymizer: {telemetry: {metrics_interval: 500ms}, models: {directory: "%s"}}},
			connectors: {span_metrics: {metrics_flush_interval: 1s}},
			service: {telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %s}}}}]}}}}`,
				free[4], free[5], s.metrics, jaeger, s.otlp, s.http, free[6], filepath.Join(collector.Root(), "models"),
				selfPort)}, configs...),
		Env: shimEnv(t),
	})
	if err != nil {
		text, _ := os.ReadFile(log.Name())
		t.Logf("%s", text)
	}
	require.NoError(t, err)
	t.Cleanup(func() {
		if s.collector != nil {
			s.collector.Kill()
		}
	})
	return s
}

// stop stops the collector as an operator does.
func (s *site) stop() {
	s.t.Helper()
	require.NoError(s.t, s.collector.Stop(30*time.Second))
	s.collector = nil
}

// drop copies a clip of build/cache/footage into the incoming directory.
func (s *site) drop(clip, name string) {
	s.t.Helper()
	path, err := footage.Clip(clip)
	require.NoError(s.t, err)
	_, err = collector.Drop(path, filepath.Join(s.dir, "videos", "incoming"), name)
	require.NoError(s.t, err)
}

// dropBroken drops only the start of a clip, which cannot be decoded.
func (s *site) dropBroken(clip, name string) {
	s.t.Helper()
	path, err := footage.Clip(clip)
	require.NoError(s.t, err)
	data, err := os.ReadFile(path)
	require.NoError(s.t, err)
	short := filepath.Join(s.t.TempDir(), name)
	require.NoError(s.t, os.WriteFile(short, data[:3000], 0o600))
	_, err = collector.Drop(short, filepath.Join(s.dir, "videos", "incoming"), name)
	require.NoError(s.t, err)
}

// shimEnv makes go-nvml load the NVML shim of receiver/nvmlreceiver's tests, which has two GPUs.
func shimEnv(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(collector.Root(), "receiver", "nvmlreceiver", "internal", "driver", "drivertest", "shim",
		"testdata", "shim.c")
	out, err := exec.Command("gcc", "-shared", "-fPIC", "-w", "-o", filepath.Join(dir, "libnvidia-ml.so.1"),
		source).CombinedOutput()
	require.NoError(t, err, "%s", out)
	control := filepath.Join(dir, "control")
	require.NoError(t, os.WriteFile(control, nil, 0o600))
	return []string{"LD_LIBRARY_PATH=" + dir, "NVML_SHIM_CONTROL=" + control}
}

// serve runs a server until the test ends, and waits until the URL ready answers 200.
func serve(t *testing.T, ready string, env []string, program string, args ...string) {
	t.Helper()
	var output strings.Builder
	command := exec.Command(program, args...)
	command.Stdout, command.Stderr = &output, &output
	command.Env = append(os.Environ(), env...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
		if t.Failed() {
			t.Logf("%s printed:\n%s", program, output.String())
		}
	})
	require.Eventually(t, func() bool {
		response, err := http.Get(ready)
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	}, time.Minute, 100*time.Millisecond, "%s does not answer at %s", program, ready)
}

// ask decodes the JSON that a URL returns for a query into answer.
func ask(t *testing.T, answer any, address string, query url.Values) error {
	t.Helper()
	response, err := http.Get(address + "?" + query.Encode())
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, body)
	}
	return json.Unmarshal(body, answer)
}
