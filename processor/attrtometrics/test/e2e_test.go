// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestReadmeInstructions follows the README: it builds a collector with this module in an empty directory, sends spans
// over OTLP, and queries a real Prometheus for the number of people, with the connector and with the processor.
func TestReadmeInstructions(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: building a collector takes a minute or more")
	}
	prometheus, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("prometheus is not installed (Debian: apt-get install prometheus)")
	}
	collectorDir := t.TempDir()
	collector := buildCollector(t, collectorDir)

	for _, file := range []string{"connector.yaml", "processor.yaml"} {
		t.Run(file, func(t *testing.T) {
			otlp, metrics, api := freeAddress(t), freeAddress(t), freeAddress(t)
			config := readmeBlock(t, file)
			config = replace(t, config, "localhost:4318", otlp)
			config = replace(t, config, "localhost:8889", metrics)
			write(t, filepath.Join(collectorDir, file), config)
			run(t, collectorDir, collector, "--config", file)

			dir := t.TempDir()
			write(t, filepath.Join(dir, "prometheus.yml"), fmt.Sprintf(`
scrape_configs:
  - job_name: collector
    scrape_interval: 500ms
    static_configs: [{targets: ["%s"]}]
`, metrics))
			run(t, dir, prometheus, "--config.file=prometheus.yml", "--storage.tsdb.path=data",
				"--web.listen-address="+api, "--log.level=error")

			end := time.Now()
			for _, people := range []int{1, 4, 2} {
				end = end.Add(time.Millisecond)
				sendSpan(t, otlp, "h1", "entrance.mp4", people, end)
			}
			sendSpan(t, otlp, "h1", "hall.mp4", 7, end)
			require.Equal(t, map[string]string{"entrance.mp4": "2", "hall.mp4": "7"}, queryPeople(t, api, 2))

			// A later span changes only its own series.
			sendSpan(t, otlp, "h1", "entrance.mp4", 5, time.Now())
			require.Eventually(t, func() bool {
				return queryPeople(t, api, 2)["entrance.mp4"] == "5"
			}, time.Minute, 200*time.Millisecond)
			require.Equal(t, "7", queryPeople(t, api, 2)["hall.mp4"])
		})
	}
	t.Run("hosts of one service", func(t *testing.T) { testHosts(t, collectorDir, collector) })
}

var peopleSeries = regexp.MustCompile(`(?m)^detected_people_count\{.*$`)

// testHosts sends values of two hosts with the same service name. The Prometheus exporter merges them into one series
// unless a dimension distinguishes them.
func testHosts(t *testing.T, dir, collector string) {
	const dimension = "dimensions: [anonymizer.video.name]"
	for name, tt := range map[string]struct {
		dimension string
		want      int
	}{
		"without a dimension": {dimension, 1},
		"with a dimension":    {"dimensions: [anonymizer.video.name, {name: host.name, source: resource}]", 2},
	} {
		t.Run(name, func(t *testing.T) {
			otlp, metrics := freeAddress(t), freeAddress(t)
			config := replace(t, readmeBlock(t, "connector.yaml"), "localhost:4318", otlp)
			config = replace(t, config, "localhost:8889", metrics)
			config = replace(t, config, dimension, tt.dimension)
			config = replace(t, config, "flush_interval: 1s", "flush_interval: 10ms")
			write(t, filepath.Join(dir, "hosts.yaml"), config)
			run(t, dir, collector, "--config", "hosts.yaml")
			var series []string
			for people, host := range []string{"h1", "h2"} {
				sendSpan(t, otlp, host, "hall.mp4", people, time.Now())
				require.Eventually(t, func() bool {
					series = peopleSeries.FindAllString(get(t, "http://"+metrics+"/metrics"), -1)
					return slices.ContainsFunc(series, func(s string) bool {
						return strings.HasSuffix(s, fmt.Sprintf(" %d", people))
					})
				}, time.Minute, 50*time.Millisecond)
			}
			require.Len(t, series, tt.want)
		})
	}
}

func get(t *testing.T, address string) string {
	resp, err := http.Get(address)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body)
}

// buildCollector builds the collector in dir as described in the README, but from this checkout.
func buildCollector(t *testing.T, dir string) string {
	module, err := filepath.Abs("..")
	require.NoError(t, err)
	write(t, filepath.Join(dir, "builder-config.yaml"),
		replace(t, readmeBlock(t, "builder-config.yaml"), "../otelcol-anonymizer/processor/attrtometrics", module))
	tools, err := filepath.Abs("../../../internal/tools/go.mod")
	require.NoError(t, err)
	builder := filepath.Join(t.TempDir(), "builder")
	command(t, module, "go", "build", "-modfile="+tools, "-o", builder, "go.opentelemetry.io/collector/cmd/builder")
	command(t, dir, builder, "--config", "builder-config.yaml")
	return filepath.Join(dir, "my-collector", "my-collector")
}

// readmeBlock returns the code block of the README whose first line is a comment with the given file name.
func readmeBlock(t *testing.T, name string) string {
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	found := regexp.MustCompile("(?s)```yaml\n(# " + regexp.QuoteMeta(name) + "\n.*?)```").FindSubmatch(readme)
	require.NotNil(t, found, "the README has no block %q", name)
	return string(found[1])
}

func replace(t *testing.T, text, from, to string) string {
	require.Contains(t, text, from)
	return strings.ReplaceAll(text, from, to)
}

func write(t *testing.T, path, text string) {
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

func command(t *testing.T, dir, name string, args ...string) {
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s: %s", name, out)
}

// run starts a program and terminates it when the test ends. It logs the program's output if the test failed.
func run(t *testing.T, dir, name string, args ...string) {
	logs, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	cmd := exec.CommandContext(context.Background(), name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, logs, logs
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		stopped := make(chan error, 1)
		go func() { stopped <- cmd.Wait() }()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-stopped:
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			t.Errorf("%s did not stop within 30 seconds of SIGTERM", name)
		}
		if t.Failed() {
			text, _ := os.ReadFile(logs.Name())
			t.Logf("%s:\n%s", name, text)
		}
	})
}

// freeAddress returns a local address that is not in use.
func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	return l.Addr().String()
}

// sendSpan sends one span once the collector accepts connections.
func sendSpan(t *testing.T, otlp, host, video string, people int, end time.Time) {
	body := fmt.Sprintf(`{"resourceSpans": [{
		"resource": {"attributes": [
			{"key": "service.name", "value": {"stringValue": "cameras"}},
			{"key": "host.name", "value": {"stringValue": "%s"}}]},
		"scopeSpans": [{"spans": [{
			"traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708", "name": "person_detection",
			"startTimeUnixNano": "%d", "endTimeUnixNano": "%d",
			"attributes": [
				{"key": "anonymizer.video.name", "value": {"stringValue": "%s"}},
				{"key": "bbox.count", "value": {"intValue": "%d"}}]}]}]}]}`,
		host, end.Add(-30*time.Millisecond).UnixNano(), end.UnixNano(), video, people)
	require.Eventually(t, func() bool {
		resp, err := http.Post("http://"+otlp+"/v1/traces", "application/json", strings.NewReader(body))
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		answer, _ := io.ReadAll(resp.Body)
		require.Equal(t, http.StatusOK, resp.StatusCode, string(answer))
		return true
	}, time.Minute, 50*time.Millisecond)
}

// queryPeople returns the value in Prometheus for each video once the wanted number of videos is present.
func queryPeople(t *testing.T, api string, wanted int) map[string]string {
	var values map[string]string
	require.Eventually(t, func() bool {
		query := url.QueryEscape(`detected_people_count{job="collector",exported_job="cameras"}`)
		resp, err := http.Get("http://" + api + "/api/v1/query?query=" + query)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		var answer struct {
			Data struct {
				Result []struct {
					Metric map[string]string
					Value  [2]any
				}
			}
		}
		if json.NewDecoder(resp.Body).Decode(&answer) != nil {
			return false
		}
		values = map[string]string{}
		for _, r := range answer.Data.Result {
			values[r.Metric["anonymizer_video_name"]] = r.Value[1].(string)
		}
		return len(values) == wanted
	}, time.Minute, 200*time.Millisecond)
	return values
}
