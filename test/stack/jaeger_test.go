// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
)

// jaegerTrace is a trace as returned by Jaeger's query API. Times are in microseconds.
type jaegerTrace struct {
	TraceID   string
	Spans     []jaegerSpan
	Processes map[string]struct{ ServiceName string }
}

type jaegerSpan struct {
	TraceID, SpanID, OperationName, ProcessID string
	References                                []struct{ RefType, TraceID, SpanID string }
	StartTime, Duration                       int64
	Tags                                      []struct {
		Key   string
		Value any
	}
}

func (s jaegerSpan) tag(key string) any {
	for _, tag := range s.Tags {
		if tag.Key == key {
			return tag.Value
		}
	}
	return nil
}

// parent returns the ID of the parent span of s; a link to another trace is not a parent.
func (s jaegerSpan) parent() string {
	for _, r := range s.References {
		if r.RefType == "CHILD_OF" && r.TraceID == s.TraceID {
			return r.SpanID
		}
	}
	return ""
}

// TestJaeger sends the traces of a real video to a real Jaeger and reads them back. JAEGER is the path of the program,
// which `make jaeger-test` builds.
func TestJaeger(t *testing.T) {
	program := os.Getenv("JAEGER")
	if program == "" {
		t.Skip("JAEGER is not set: make jaeger-test builds Jaeger and runs this")
	}
	free, err := collector.FreeAddresses(4)
	require.NoError(t, err)
	s := startCollector(t, free[0])
	prometheus := startPrometheus(t, s)
	startJaeger(t, program, prometheus, free)
	api := "http://" + free[1] + "/api"

	s.drop("walk.mp4", "walk.mp4")
	s.dropBroken("talk.mp4", "broken.mp4")
	const frames = 100 // of walk.mp4
	var traces []jaegerTrace
	require.Eventually(t, func() bool {
		traces = find(t, api, "process_single_frame")
		return len(traces) >= frames && len(find(t, api, "anonymize_video")) == 2
	}, 90*time.Second, time.Second, "the traces arrive")

	var services, operations struct{ Data []string }
	require.NoError(t, ask(t, &services, api+"/services", nil))
	assert.Contains(t, services.Data, "videoanonymizer")
	require.NoError(t, ask(t, &operations, api+"/services/videoanonymizer/operations", nil))
	assert.Subset(t, operations.Data, []string{"anonymize_video", "process_single_frame", "decode", "person_detection",
		"pose_estimation",
		"tracking", "visualization", "encode", "preprocess", "inference", "postprocess"})

	videos := map[any]jaegerSpan{}
	for _, trace := range find(t, api, "anonymize_video") {
		require.Len(t, trace.Spans, 1)
		videos[trace.Spans[0].tag("anonymizer.video.name")] = trace.Spans[0]
	}
	assert.Equal(t, "finished", videos["walk.mp4"].tag("anonymizer.video.outcome"))
	assert.Equal(t, "failed", videos["broken.mp4"].tag("anonymizer.video.outcome"))
	assert.Equal(t, true, videos["broken.mp4"].tag("error"), "Jaeger marks the failed video")

	assert.Len(t, traces, frames, "one trace for each frame")
	indexes := map[any]bool{}
	for _, trace := range traces {
		indexes[checkTrace(t, trace, videos["walk.mp4"])] = true
	}
	assert.Len(t, indexes, frames, "each frame once")

	checkMonitor(t, api)
	s.stop()
}

// startJaeger runs Jaeger with the stack's configuration. It receives OTLP at addresses[0] and answers queries at
// addresses[1].
func startJaeger(t *testing.T, program, prometheus string, addresses []string) {
	t.Helper()
	dir := t.TempDir()
	health, rpc := addresses[2], addresses[3]
	text := readText(t, "config", "stack", "jaeger", "config.yaml")
	text = strings.NewReplacer("0.0.0.0:4317", addresses[0], "0.0.0.0:16686",
		addresses[1]+"\n    grpc:\n      endpoint: "+rpc,
		"0.0.0.0:13133", health, "http://prometheus:9090", prometheus, "/tmp/badger", filepath.Join(dir, "badger"),
		"/etc/jaeger", filepath.Join(collector.Root(), "config", "stack", "jaeger")).Replace(text)
	path := filepath.Join(dir, "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	serve(t, "http://"+health+"/status", nil, program, "--config="+path, "--set=service.telemetry.metrics.level=none",
		"--set=service.telemetry.logs.level=warn")
}

// find returns the traces that have a span with that name.
func find(t *testing.T, api, operation string) []jaegerTrace {
	t.Helper()
	var answer struct{ Data []jaegerTrace }
	require.NoError(t, ask(t, &answer, api+"/traces", url.Values{
		"service": {"videoanonymizer"}, "operation": {operation}, "limit": {"1000"}, "lookback": {"1h"},
	}))
	return answer.Data
}

// checkTrace checks a frame's trace, and returns the frame's index.
func checkTrace(t *testing.T, trace jaegerTrace, video jaegerSpan) any {
	t.Helper()
	byID := map[string]jaegerSpan{}
	var root jaegerSpan
	for _, span := range trace.Spans {
		byID[span.SpanID] = span
		require.Equal(t, "videoanonymizer", trace.Processes[span.ProcessID].ServiceName)
		if span.parent() == "" {
			require.Empty(t, root.SpanID, "one root")
			root = span
		}
	}
	require.Equal(t, "process_single_frame", root.OperationName)
	require.True(t, slices.ContainsFunc(root.References, func(r struct{ RefType, TraceID, SpanID string }) bool {
		return r.TraceID == video.TraceID && r.SpanID == video.SpanID
	}), "the frame links to its video")

	parents := map[string][]string{
		"decode": {"process_single_frame"}, "person_detection": {"process_single_frame"},
		"pose_estimation": {"process_single_frame"},
		"tracking":        {"process_single_frame"}, "visualization": {"process_single_frame"},
		"encode":     {"process_single_frame"},
		"preprocess": {"person_detection", "pose_estimation"}, "inference": {"person_detection", "pose_estimation"},
		"postprocess": {"person_detection", "pose_estimation"},
	}
	starts := map[string]int64{}
	for _, span := range trace.Spans {
		if span.SpanID == root.SpanID {
			continue
		}
		parent, ok := byID[span.parent()]
		require.True(t, ok, "%s has no parent in its trace", span.OperationName)
		require.Contains(t, parents[span.OperationName], parent.OperationName, "parent of %s", span.OperationName)
		// Jaeger rounds start and duration to microseconds separately.
		require.GreaterOrEqual(t, span.StartTime, parent.StartTime, "%s starts within %s", span.OperationName,
			parent.OperationName)
		require.LessOrEqual(t, span.StartTime+span.Duration, parent.StartTime+parent.Duration+2, "%s ends within %s",
			span.OperationName, parent.OperationName)
		if parent.SpanID == root.SpanID {
			starts[span.OperationName] = span.StartTime
		}
	}
	order := []string{"decode", "tracking", "visualization", "encode"}
	for i := range order[1:] {
		require.Contains(t, starts, order[i+1])
		require.LessOrEqual(t, starts[order[i]], starts[order[i+1]], "%s comes before %s", order[i], order[i+1])
	}
	return root.tag("anonymizer.frame.index")
}

// checkMonitor checks that Jaeger's Monitor page finds the span metrics in Prometheus.
func checkMonitor(t *testing.T, api string) {
	t.Helper()
	var answer struct {
		Metrics []struct{ MetricPoints []any }
	}
	query := url.Values{"service": {"videoanonymizer"}, "spanKind": {"internal"}, "groupByOperation": {"true"},
		"lookback": {"600000"},
		"step":     {"5000"}, "ratePer": {"60000"}, "quantile": {"0.95"}}
	for _, metric := range []string{"calls", "latencies", "errors"} {
		require.NoError(t, ask(t, &answer, api+"/metrics/"+metric, query), metric)
		assert.NotEmpty(t, answer.Metrics, "the Monitor page has no %s", metric)
	}
}

// TestJaegerGuide: if started as in docs/telemetry.md, Jaeger listens on no address of the default configuration, and
// receives what the example sends.
func TestJaegerGuide(t *testing.T) {
	guide, err := os.ReadFile("../../docs/telemetry.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(guide), "## Jaeger without containers")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	config, err := os.ReadFile("../../config/config.yaml")
	require.NoError(t, err)
	command, example, _ := strings.Cut(section, "```yaml")
	for _, set := range regexp.MustCompile(`endpoint=(\S+)`).FindAllStringSubmatch(command, -1) {
		assert.NotContains(t, string(config), "\n    endpoint: "+set[1])
	}
	receives := regexp.MustCompile(`grpc\.endpoint=(\S+)`).FindStringSubmatch(command)
	require.Len(t, receives, 2)
	example, _, _ = strings.Cut(example, "```")
	assert.Contains(t, example, "endpoint: "+receives[1]+"\n")
	assert.Contains(t, string(config), "#   endpoint: "+receives[1]+"\n", "the exporter that the configuration offers")

	path := filepath.Join(t.TempDir(), "jaeger.yaml")
	require.NoError(t, os.WriteFile(path, []byte(example), 0o600))
	out, err := collector.Validate(t.Context(), collector.Options{Dir: t.TempDir(), Configs: []string{path}})
	require.NoError(t, err, out)
}
