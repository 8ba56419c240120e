// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/privacy"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/pseudonym"
)

// TestEraseLeavesNothing erases one of two processed videos, including real telemetry, and checks that no file contains
// its name or its pseudonyms any more.
func TestEraseLeavesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for _, names := range []string{config.NamesAsTheyAre, config.NamesHashed} {
		t.Run(names, func(t *testing.T) {
			cfg := newTestConfig(t)
			cfg.Telemetry.VideoNames = names
			cfg.Telemetry.MetricsInterval = 50 * time.Millisecond
			root := filepath.Dir(cfg.Output.Directory)
			r, err := newReceiver(t.Context(), receivertest.NewNopSettings(metadata.Type), cfg)
			require.NoError(t, err)
			traces, logs, metrics := new(consumertest.TracesSink), new(consumertest.LogsSink), new(consumertest.MetricsSink)
			r.setTraces(traces)
			r.setLogs(logs)
			r.setMetrics(metrics)
			require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
			in := filepath.Join(root, "in")
			for _, name := range []string{"janedoe.mp4", "walk.mp4"} {
				clip(t, filepath.Join(in, name), "-i", "color=gray:size=320x240:rate=25:duration=0.4")
			}
			for _, name := range []string{"janedoe", "walk"} {
				require.Eventually(t, func() bool {
					_, err := os.Stat(filepath.Join(cfg.Output.Directory, name+"_anonymized.mp4"))
					return err == nil
				}, time.Minute, 20*time.Millisecond)
			}
			require.NoError(t, r.Shutdown(t.Context()))
			require.NoError(t, os.Remove(filepath.Join(in, "janedoe.mp4")))
			writeTelemetry(t, filepath.Join(root, "telemetry"), traces, logs, metrics)
			identifying := []string{"janedoe"}
			if names == config.NamesHashed {
				given, err := pseudonym.Open(cfg.Output.StatePath(), cfg.Folders()...)
				require.NoError(t, err)
				real, err := filepath.EvalSymlinks(in)
				require.NoError(t, err)
				identifying = append(identifying, given.Of("janedoe.mp4"), given.Of(filepath.Join(real, "janedoe.mp4")))
			}
			before := mentions(t, root, identifying)
			require.NotZero(t, before[filepath.Join("telemetry", "traces.json")], "there is something to erase")
			require.NotZero(t, before[filepath.Join("telemetry", "metrics.json")])
			require.NotZero(t, before[filepath.Join("telemetry", "logs.json")])

			places, err := privacy.PlacesOf(cfg, "videoanonymizer", filepath.Join(root, "telemetry", "*.json"))
			require.NoError(t, err)
			done, err := privacy.Erase(t.Context(), places, "janedoe.mp4", "root", false)
			require.NoError(t, err)
			assert.Empty(t, done.Remaining)
			assert.Empty(t, mentions(t, root, identifying))
			assert.FileExists(t, filepath.Join(cfg.Output.Directory, "walk_anonymized.mp4"))
			checkReport(t, filepath.Join(cfg.Output.Directory, "walk_anonymized.mp4"))
		})
	}
}

// writeTelemetry writes the content of the sinks in the format of the file exporter.
func writeTelemetry(t *testing.T, folder string, traces *consumertest.TracesSink, logs *consumertest.LogsSink,
	metrics *consumertest.MetricsSink) {
	t.Helper()
	lines := map[string][][]byte{}
	add := func(name string, text []byte, err error) {
		require.NoError(t, err)
		lines[name] = append(lines[name], text)
	}
	for _, batch := range traces.AllTraces() {
		text, err := (&ptrace.JSONMarshaler{}).MarshalTraces(batch)
		add("traces.json", text, err)
	}
	for _, batch := range logs.AllLogs() {
		text, err := (&plog.JSONMarshaler{}).MarshalLogs(batch)
		add("logs.json", text, err)
	}
	for _, batch := range metrics.AllMetrics() {
		text, err := (&pmetric.JSONMarshaler{}).MarshalMetrics(batch)
		add("metrics.json", text, err)
	}
	require.NoError(t, os.MkdirAll(folder, 0o755))
	for name, all := range lines {
		var text []byte
		for _, line := range all {
			text = append(append(text, line...), '\n')
		}
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), text, 0o600))
	}
}

// mentions counts the occurrences of texts in the names and contents of files below a folder.
func mentions(t *testing.T, folder string, texts []string) map[string]int {
	t.Helper()
	found := map[string]int{}
	require.NoError(t, filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		name, _ := filepath.Rel(folder, path)
		for _, text := range texts {
			if n := strings.Count(name+"\n"+string(content), text); n > 0 {
				found[name] += n
			}
		}
		return err
	}))
	return found
}

// TestRetentionRemoves checks that a running receiver removes an output past its retention period.
func TestRetentionRemoves(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	cfg := newTestConfig(t)
	cfg.Retention.Outputs, cfg.Retention.Unreviewed = time.Nanosecond, true
	r := start(t, cfg)
	clip(t, filepath.Join(r.in, "walk.mp4"), "-i", "color=gray:size=320x240:rate=25:duration=0.4")
	r.awaitLog(t, "finished", "walk.mp4")
	require.NoError(t, r.Shutdown(t.Context()))
	again := start(t, cfg) // applies retention at once
	require.Eventually(t, func() bool { return len(visible(t, again.out)) == 0 }, time.Minute, 10*time.Millisecond)
	assert.FileExists(t, filepath.Join(again.in, "walk.mp4"))
	assert.Zero(t, again.watcher.QueueLength(), "it stays done")
}
