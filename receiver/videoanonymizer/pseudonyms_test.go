// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
)

// TestVideoNamesHashed processes videos named after people: a good one, a damaged one, one that is not a video, and one
// whose name is not valid UTF-8. No name may appear in telemetry or the log.
func TestVideoNamesHashed(t *testing.T) {
	for _, mode := range []string{config.NamesHashed, config.NamesAsTheyAre} {
		t.Run(mode, func(t *testing.T) {
			cfg := newTestConfig(t)
			in := filepath.Dir(cfg.Watch.Include[0])
			cfg.Watch.Include = []string{filepath.Join(in, "**")}
			cfg.Telemetry.VideoNames, cfg.Telemetry.MetricsInterval = mode, 100*time.Millisecond
			cfg.Output.QuarantineDirectory = filepath.Join(filepath.Dir(in), "failed")
			cfg.Retry.MaxAttempts = 1
			require.NoError(t, os.Mkdir(filepath.Join(in, "Doe family"), 0o755))
			clip(t, filepath.Join(in, "Doe family", "Jane Doe.mp4"), "-i", "color=gray:size=320x240:rate=25:duration=1")
			whole, err := os.ReadFile(filepath.Join(in, "Doe family", "Jane Doe.mp4"))
			require.NoError(t, err)
			for name, text := range map[string][]byte{
				"Jane Doe damaged.mp4": whole[:len(whole)*3/4], "Jane Doe.txt.mkv": []byte("no video"),
				"Jane\nDoe\xff.mp4": []byte("no video"),
			} {
				require.NoError(t, os.WriteFile(filepath.Join(in, name), text, 0o600))
			}

			seen := observe(t, cfg)
			if mode == config.NamesAsTheyAre {
				assert.Contains(t, seen, "Jane", "the test sees names where they are")
				return
			}
			assert.NotContains(t, seen, "Jane")
			assert.NotContains(t, seen, "Doe")
			assert.FileExists(t, filepath.Join(cfg.Output.Directory, "Doe family", "Jane Doe_anonymized.mp4"))
			key, err := os.Stat(filepath.Join(cfg.Output.StatePath(), "names.key"))
			require.NoError(t, err)
			assert.Equal(t, os.FileMode(0o600), key.Mode())
		})
	}
}

// TestConsoleHidesNames checks that, with video_names: hash, signed-in users and records that stay on the machine have
// the names, but that telemetry about users' actions has neither names nor IDs that can be computed from a guessed
// name.
func TestConsoleHidesNames(t *testing.T) {
	cfg := newTestConfig(t)
	cfg.Console = &consoleID
	cfg.Telemetry.VideoNames, cfg.Telemetry.MetricsInterval = config.NamesHashed, 100*time.Millisecond
	in := filepath.Dir(cfg.Watch.Include[0])
	clip(t, filepath.Join(in, "Jane Doe.mp4"), "-i", "color=gray:size=320x240:rate=25:duration=1")
	for n := range 3 {
		require.NoError(t, os.WriteFile(filepath.Join(in, fmt.Sprintf("Jane Doe %d.mp4", n)), []byte("no video"), 0o600))
	}
	console := &testConsole{}
	ids := map[string]bool{}
	seen := observeWith(t, cfg, testHost{consoleID: console}, func() {
		w, operator := console.attached, consoleapi.Actor{Name: "Ann", Role: consoleapi.RoleOperator}
		videos, err := w.Videos(t.Context(), false)
		require.NoError(t, err)
		require.Len(t, videos, 4)
		for _, v := range videos {
			assert.Contains(t, v.Name, "Jane Doe")
			unkeyed := sha256.Sum256([]byte(v.Receiver + "\x00" + filepath.Join(in, v.Name)))
			ids[hex.EncodeToString(unkeyed[:12])] = true
			if v.State == consoleapi.StateFailed {
				_, err = w.Control(t.Context(), operator, v.ID, consoleapi.ActionRetry)
			} else {
				_, err = w.Decide(t.Context(), operator, consoleapi.RevisionID{Video: v.ID, Revision: "r1"},
					consoleapi.DecisionInput{Decision: consoleapi.Rejected, Note: "Jane Doe shows"})
			}
			require.NoError(t, err)
		}
		for _, f := range w.FrameTraces("", 1) {
			trace, err := w.FrameTrace(f.Trace)
			require.NoError(t, err)
			for _, span := range trace.Spans {
				assert.NotContains(t, fmt.Sprint(span.Attributes), "Jane", "a frame's spans are as exporters get them")
			}
		}
		failed := &fs.PathError{Op: "open", Path: filepath.Join(in, "Jane Doe.mp4"), Err: fs.ErrPermission}
		assert.NotContains(t, w.Redact(failed.Error()), "Jane")
		recorded := 0
		require.NoError(t, w.Audit(t.Context(), "", func(line []byte) error {
			recorded++
			assert.Contains(t, string(line), "Jane Doe", "the record stays on the machine")
			return nil
		}))
		assert.Equal(t, 4, recorded)
	})
	assert.Contains(t, seen, "anonymizer.console.action", "what people do leaves the machine")
	assert.NotContains(t, seen, "Jane")
	assert.NotContains(t, seen, "Doe")
	for id := range ids {
		assert.NotContains(t, seen, id)
	}
}

// observe runs a receiver until four videos have ended, and returns all telemetry and all log lines as text.
func observe(t *testing.T, cfg *Config) string {
	t.Helper()
	return observeWith(t, cfg, componenttest.NewNopHost(), func() {})
}

// observeWith is observe with a host and a function to call before the receiver stops.
func observeWith(t *testing.T, cfg *Config, host component.Host, then func()) string {
	t.Helper()
	lines, observed := observer.New(zapcore.DebugLevel)
	set := receivertest.NewNopSettings(metadata.Type)
	set.Logger = zap.New(lines)
	r, err := newReceiver(t.Context(), set, cfg)
	require.NoError(t, err)
	traces, logs, metrics := new(consumertest.TracesSink), new(consumertest.LogsSink), new(consumertest.MetricsSink)
	r.setTraces(traces)
	r.setLogs(logs)
	r.setMetrics(metrics)
	require.NoError(t, r.Start(t.Context(), host))
	require.Eventually(t, func() bool { return logs.LogRecordCount() >= 8 }, time.Minute, 20*time.Millisecond,
		"four videos start and end")
	then()
	time.Sleep(2 * cfg.Telemetry.MetricsInterval)
	require.NoError(t, r.Shutdown(t.Context()))

	var seen bytes.Buffer
	for _, line := range observed.All() {
		fmt.Fprintln(&seen, line.Message, line.ContextMap())
	}
	write := func(text []byte, err error) {
		require.NoError(t, err)
		seen.Write(text)
	}
	for _, data := range traces.AllTraces() {
		write(new(ptrace.JSONMarshaler).MarshalTraces(data))
	}
	for _, data := range logs.AllLogs() {
		write(new(plog.JSONMarshaler).MarshalLogs(data))
	}
	for _, data := range metrics.AllMetrics() {
		write(new(pmetric.JSONMarshaler).MarshalMetrics(data))
	}
	return seen.String()
}
