// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/golden"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/pdatatest/plogtest"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/pdatatest/pmetrictest"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/pdatatest/ptracetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadatatest"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func testOptions() Options {
	return Options{
		ServiceName: "videoanonymizer", ResourceAttributes: map[string]any{"host.name": "server-1"},
		BatchSize: 1000, BatchInterval: time.Second, MaxWait: time.Minute, MetricsInterval: 10 * time.Second,
		Metrics: metadata.DefaultMetricsConfig(),
	}
}

func testSettings() receiver.Settings {
	set := receivertest.NewNopSettings(metadata.Type)
	set.ID = component.NewID(metadata.Type)
	set.BuildInfo.Version = "1.2.3"
	return set
}

var testVideo = Video{
	Name: "walk.mkv", Path: "/in/walk.mkv", Output: "/out/walk_anonymized.mkv", Size: 123456, Width: 1920, Height: 1080,
	FrameRate: 25, Duration: 4 * time.Second, Codec: "h264", Detector: "nanodet-m", Pose: "movenet-lightning",
	Provider: "cpu",
}

// steps returns steps that take three milliseconds in total, in the given number of batches.
func steps(start time.Time, batches int) vision.Steps {
	at := func(from, to int) vision.Interval {
		return vision.Interval{Start: start.Add(time.Duration(from) * time.Millisecond),
			End: start.Add(time.Duration(to) * time.Millisecond)}
	}
	return vision.Steps{
		Preprocess: at(0, 1), Inference: at(1, 2), Postprocess: at(2, 3), PreprocessBusy: time.Millisecond,
		InferenceBusy: 800 * time.Microsecond, PostprocessBusy: 200 * time.Microsecond, Batches: batches,
	}
}

// frameRecord returns a frame whose stages take a few milliseconds each. Pose estimation runs only if it is analyzed.
func frameRecord(start time.Time, index, people int, analyzed bool) *record.Frame {
	at := func(from, to int) vision.Interval {
		return vision.Interval{Start: start.Add(time.Duration(from) * time.Millisecond),
			End: start.Add(time.Duration(to) * time.Millisecond)}
	}
	rec := &record.Frame{
		Index: index, PTS: time.Duration(index) * 40 * time.Millisecond, Start: start, End: start.Add(60 * time.Millisecond),
		Decode: at(0, 2), Tracking: at(10, 50), Visualization: at(50, 51), Encode: at(51, 60),
		Analyzed: analyzed, People: people, Masks: people,
	}
	if analyzed {
		rec.Detected, rec.PosedPeople = people, people
		rec.Detection, rec.DetectionSteps = at(3, 6), steps(start.Add(3*time.Millisecond), 1)
		rec.Pose, rec.PoseSteps = at(6, 9), steps(start.Add(6*time.Millisecond), (people+7)/8)
		rec.MasksByOrigin.Pose = people
	} else {
		rec.Detection = at(49, 50)
		rec.MasksByOrigin.Interpolated = people
	}
	return rec
}

// TestGolden reports each case to an emitter and compares what the pipelines receive with testdata/<case>.
func TestGolden(t *testing.T) {
	epoch := time.Date(2024, 8, 31, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name    string
		options func(*Options)
		video   Video
		report  func(s *VideoSpan)
	}{
		{
			name: "judged_and_carried", video: testVideo,
			report: func(s *VideoSpan) {
				s.Frame(frameRecord(epoch, 0, 2, true))
				s.Frame(frameRecord(epoch.Add(40*time.Millisecond), 1, 2, false))
				s.Finished(Result{Output: "/out/walk_anonymized-1.mkv", Size: 65432})
			},
		},
		{
			name: "nobody", video: testVideo,
			report: func(s *VideoSpan) {
				rec := frameRecord(epoch, 0, 0, true)
				rec.Pose, rec.PoseSteps = vision.Interval{}, vision.Steps{}
				s.Frame(rec)
				s.NobodyFound()
				s.Finished(Result{})
			},
		},
		{
			name: "second_pass", video: testVideo,
			report: func(s *VideoSpan) {
				s.Frame(frameRecord(epoch, 0, 0, true))
				s.Restarted()
				s.SecondPass("sample_shows_people")
				s.Frame(frameRecord(epoch.Add(time.Second), 0, 2, true))
				s.Finished(Result{})
			},
		},
		{
			name: "crowd", video: testVideo,
			report: func(s *VideoSpan) {
				rec := frameRecord(epoch, 0, 200, true)
				rec.MasksByOrigin = record.MasksByOrigin{Pose: 140, Face: 10, Box: 30, Interpolated: 15, Held: 5}
				rec.Uncertain = 30
				s.Frame(rec)
				s.Finished(Result{})
			},
		},
		{
			name: "frame_failed", video: testVideo,
			report: func(s *VideoSpan) {
				rec := frameRecord(epoch, 0, 0, true)
				rec.Detected, rec.PosedPeople = 0, 0
				rec.DetectionSteps.Inference, rec.DetectionSteps.Postprocess = vision.Interval{}, vision.Interval{}
				rec.Pose, rec.PoseSteps = vision.Interval{}, vision.Steps{}
				rec.WholeFrameMasked = true
				rec.Err = errors.New("nanodet-m: inference took too long")
				rec.Reason, rec.FailedStage = "timeout", record.StageDetection
				s.Frame(rec)
				rec = frameRecord(epoch.Add(40*time.Millisecond), 1, 1, false)
				rec.WholeFrameMasked, rec.Err = true, errors.New("no reason known")
				s.Frame(rec)
				s.Finished(Result{})
			},
		},
		{
			name: "clock_set_back", video: testVideo,
			report: func(s *VideoSpan) {
				rec := frameRecord(epoch, 0, 1, true)
				rec.Encode.End = rec.Encode.Start.Add(-time.Hour)
				s.Frame(rec)
				s.Finished(Result{})
			},
		},
		{
			name: "video_failed", video: Video{Name: "notes.mp4", Path: "/in/notes.mp4", Size: 12},
			report: func(s *VideoSpan) {
				s.Failed(errors.New(`"/in/notes.mp4" is not a video`), "not_video", false)
				s.Finished(Result{}) // too late
				s.Frame(frameRecord(epoch, 0, 0, true))
			},
		},
		{
			name: "interrupted", video: testVideo,
			report: func(s *VideoSpan) {
				s.Frame(frameRecord(epoch, 0, 1, true))
				s.Interrupted()
			},
		},
		{
			name: "attributes", video: Video{Name: "a.mp4"},
			options: func(o *Options) {
				o.ServiceName = "my-ml-pipeline"
				o.ResourceAttributes["deployment.environment.name"] = "dev"
				o.ResourceAttributes["service.version"] = "wins"
				o.SpanAttributes = map[string]any{"site": "hall-7", "camera": 3, "lit": true, "zoom": 1.5, "tags": []any{"x", "y"}}
			},
			report: func(s *VideoSpan) {
				s.Frame(frameRecord(epoch, 0, 0, false))
				s.Finished(Result{})
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts := testOptions()
			if tt.options != nil {
				tt.options(&opts)
			}
			traces, logs := new(consumertest.TracesSink), new(consumertest.LogsSink)
			e, err := NewEmitter(testSettings(), opts, Consumers{Traces: traces, Logs: logs})
			require.NoError(t, err)
			e.newIDs = func() ids { return ids{rand.NewChaCha8([32]byte{1})} }
			e.now = func() time.Time { return epoch }
			s := e.VideoStarted(t.Context(), tt.video)
			e.now = func() time.Time { return epoch.Add(100 * time.Millisecond) }
			tt.report(s)
			require.NoError(t, e.Shutdown(t.Context()))
			require.Len(t, traces.AllTraces(), 1)
			require.Len(t, logs.AllLogs(), 1)
			compareGolden(t, filepath.Join("testdata", tt.name), traces.AllTraces()[0], logs.AllLogs()[0])
		})
	}
}

func compareGolden(t *testing.T, folder string, traces ptrace.Traces, logs plog.Logs) {
	tracesFile, logsFile := filepath.Join(folder, "traces.yaml"), filepath.Join(folder, "logs.yaml")
	if *update {
		require.NoError(t, os.MkdirAll(folder, 0o755))
		require.NoError(t, golden.WriteTracesToFile(tracesFile, traces))
		require.NoError(t, golden.WriteLogsToFile(logsFile, logs))
	}
	wantTraces, err := golden.ReadTraces(tracesFile)
	require.NoError(t, err)
	assert.NoError(t, ptracetest.CompareTraces(wantTraces, traces))
	wantLogs, err := golden.ReadLogs(logsFile)
	require.NoError(t, err)
	assert.NoError(t, plogtest.CompareLogs(wantLogs, logs))
}

// TestEverythingEmittedIsDocumented looks up each name of the golden files in the documentation.
func TestEverythingEmittedIsDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "spans.md"))
	require.NoError(t, err)
	configured := map[string]bool{"site": true, "camera": true, "lit": true, "zoom": true, "tags": true,
		"deployment.environment.name": true}
	names := map[string]bool{}
	collect := func(attrs pcommon.Map) {
		for name := range attrs.All() {
			names[name] = true
		}
	}
	files, err := filepath.Glob(filepath.Join("testdata", "*", "traces.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		traces, err := golden.ReadTraces(file)
		require.NoError(t, err)
		collect(traces.ResourceSpans().At(0).Resource().Attributes())
		for _, span := range spansOf(traces).All() {
			names[span.Name()] = true
			collect(span.Attributes())
			for _, event := range span.Events().All() {
				names[event.Name()] = true
				collect(event.Attributes())
			}
		}
		logs, err := golden.ReadLogs(filepath.Join(filepath.Dir(file), "logs.yaml"))
		require.NoError(t, err)
		for _, record := range logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
			names[record.EventName()] = true
			collect(record.Attributes())
		}
	}
	for name := range names {
		if !configured[name] {
			assert.Contains(t, string(doc), "`"+name+"`", "spans.md does not explain it")
		}
	}
}

// checkFrameTraces checks the properties that every trace of a frame has, and returns the number of frames.
func checkFrameTraces(t *testing.T, spans []ptrace.Span) (frames int) {
	t.Helper()
	type key struct {
		trace pcommon.TraceID
		span  pcommon.SpanID
	}
	byID := map[key]ptrace.Span{}
	for _, s := range spans {
		_, twice := byID[key{s.TraceID(), s.SpanID()}]
		require.False(t, twice, "a span ID twice")
		byID[key{s.TraceID(), s.SpanID()}] = s
	}
	roots := map[pcommon.TraceID]bool{}
	for _, s := range spans {
		require.LessOrEqual(t, s.StartTimestamp(), s.EndTimestamp())
		if s.ParentSpanID().IsEmpty() {
			require.False(t, roots[s.TraceID()], "two roots in a trace")
			roots[s.TraceID()] = true
			if s.Name() == spanFrame {
				frames++
			}
			continue
		}
		_, found := byID[key{s.TraceID(), s.ParentSpanID()}]
		require.True(t, found, "%s has no parent", s.Name())
	}
	return frames
}

func allSpans(sink *consumertest.TracesSink) (spans []ptrace.Span) {
	for _, traces := range sink.AllTraces() {
		for _, s := range spansOf(traces).All() {
			spans = append(spans, s)
		}
	}
	return spans
}

// TestConcurrentVideos reports several videos concurrently, with a batch size that splits them at odd places, while
// metrics are collected. It is most useful with the race detector.
func TestConcurrentVideos(t *testing.T) {
	const videos, frames = 4, 200
	opts := testOptions()
	opts.BatchSize, opts.BatchInterval, opts.MetricsInterval = 100, time.Millisecond, time.Millisecond
	traces, logs, metrics := new(consumertest.TracesSink), new(consumertest.LogsSink), new(consumertest.MetricsSink)
	e, err := NewEmitter(testSettings(), opts, Consumers{traces, logs, metrics})
	require.NoError(t, err)
	var wait sync.WaitGroup
	for v := range videos {
		wait.Go(func() {
			video := testVideo
			video.Name = fmt.Sprintf("%d.mp4", v)
			s := e.VideoStarted(t.Context(), video)
			rec := new(record.Frame)
			for i := range frames {
				*rec = *frameRecord(time.Now(), i, i%5, i%3 == 0) // the caller reuses it
				s.Frame(rec)
			}
			s.Finished(Result{})
		})
	}
	wait.Wait()
	require.NoError(t, e.Shutdown(t.Context()))
	spans := allSpans(traces)
	assert.Equal(t, videos*frames, checkFrameTraces(t, spans))
	analyzed := (frames + 2) / 3
	assert.Len(t, spans, videos*(1+frames*6+analyzed*7))
	assert.Equal(t, 2*videos, logs.LogRecordCount())
}

func TestVideoLinksToFailedFramesWithinBounds(t *testing.T) {
	traces := new(consumertest.TracesSink)
	e, err := NewEmitter(testSettings(), testOptions(), Consumers{Traces: traces})
	require.NoError(t, err)
	s := e.VideoStarted(t.Context(), testVideo)
	for i := range maxLinks + 10 {
		rec := frameRecord(time.Now(), i, 0, true)
		rec.Err = errors.New("failed")
		s.Frame(rec)
	}
	s.Finished(Result{})
	require.NoError(t, e.Shutdown(t.Context()))
	var video ptrace.Span
	failed := map[pcommon.SpanID]bool{}
	for _, span := range allSpans(traces) {
		switch span.Name() {
		case spanVideo:
			video = span
		case spanFrame:
			failed[span.SpanID()] = true
		}
	}
	require.Equal(t, maxLinks, video.Links().Len())
	assert.EqualValues(t, 10, video.DroppedLinksCount())
	for _, link := range video.Links().All() {
		assert.True(t, failed[link.SpanID()])
	}
}

// TestTextIsValidUTF8 reports names and messages that are not valid UTF-8.
func TestTextIsValidUTF8(t *testing.T) {
	const bad = "caf\xe9"
	traces, logs, metrics := new(consumertest.TracesSink), new(consumertest.LogsSink), new(consumertest.MetricsSink)
	e, err := NewEmitter(testSettings(), testOptions(), Consumers{traces, logs, metrics})
	require.NoError(t, err)
	rec := frameRecord(time.Now(), 0, 1, true)
	rec.Err = errors.New(bad + strings.Repeat("\u00e9", maxMessage))
	for _, end := range []func(*VideoSpan){
		func(s *VideoSpan) { s.Failed(errors.New(bad), "bad", false) },
		func(s *VideoSpan) { s.Finished(Result{Output: bad}) },
	} {
		s := e.VideoStarted(t.Context(), Video{Name: bad, Path: bad, Output: bad, Codec: bad, Duration: time.Second})
		s.Frame(rec)
		end(s)
	}
	require.NoError(t, e.Shutdown(t.Context()))
	tracesBytes, err := new(ptrace.ProtoMarshaler).MarshalTraces(traces.AllTraces()[0])
	require.NoError(t, err)
	logsBytes, err := new(plog.ProtoMarshaler).MarshalLogs(logs.AllLogs()[0])
	require.NoError(t, err)
	metricsBytes, err := new(pmetric.ProtoMarshaler).MarshalMetrics(metrics.AllMetrics()[0])
	require.NoError(t, err)
	for _, data := range [][]byte{tracesBytes, logsBytes, metricsBytes} {
		assert.NotContains(t, string(data), bad)
		assert.Contains(t, string(data), "caf\uFFFD")
	}
	for _, s := range allSpans(traces) {
		assert.LessOrEqual(t, len(s.Status().Message()), maxMessage+len("\uFFFD"))
	}
}

// TestMetrics compares the sets that are forwarded while a video is in progress, after it has ended, and then when its
// series end.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := new(consumertest.MetricsSink)
		opts := testOptions()
		opts.QueueLength = func() int { return 7 }
		e, err := NewEmitter(testSettings(), opts, Consumers{Metrics: sink})
		require.NoError(t, err)
		s := e.VideoStarted(t.Context(), testVideo)
		for i := range 50 { // half of the video's 4 s
			rec := frameRecord(time.Now(), i, 3, i%2 == 0)
			if i == 10 {
				rec.Err, rec.WholeFrameMasked, rec.Uncertain = errors.New("failed"), true, 2
			}
			s.Frame(rec)
		}
		time.Sleep(11 * time.Second) // of the bubble's clock
		synctest.Wait()
		s.Finished(Result{})
		empty := e.VideoStarted(t.Context(), Video{Name: "empty.mp4"})
		empty.NobodyFound()
		empty.Finished(Result{})
		e.VideoStarted(t.Context(), Video{Name: "bad.mp4"}).Failed(errors.New("bad"), "bad", false)
		full := e.VideoStarted(t.Context(), Video{Name: "full.mp4"})
		full.Failed(errors.New("disk full"), "no_space", true)
		e.VideoStarted(t.Context(), Video{Name: "cut.mp4"}).Interrupted()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		cut := e.VideoStarted(t.Context(), testVideo)
		cut.Frame(frameRecord(time.Now(), 0, 1, true))
		cut.Interrupted()
		require.NoError(t, e.Shutdown(t.Context()))
		sets := sink.AllMetrics()
		require.Len(t, sets, 5, "three by interval, the others by Shutdown")
		for i, name := range []string{"going_on", "ended", "after", "stopped", "after_stop"} {
			file := filepath.Join("testdata", "metrics", name+".yaml")
			if *update {
				require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
				require.NoError(t, golden.WriteMetricsToFile(file, sets[i], golden.SkipMetricTimestampNormalization()))
			}
			want, err := golden.ReadMetrics(file)
			require.NoError(t, err)
			assert.NoError(t, pmetrictest.CompareMetrics(want, sets[i], pmetrictest.IgnoreMetricDataPointsOrder(),
				pmetrictest.IgnoreMetricsOrder()), name)
		}
	})
}

// TestPlayingTime tests the playing time that progress and the real-time factor are based on.
func TestPlayingTime(t *testing.T) {
	for _, tt := range []struct {
		name   string
		video  Video
		frames int // 40 ms apart
		want   time.Duration
	}{
		{"none", testVideo, 0, 0},
		{"one", testVideo, 1, 40 * time.Millisecond},
		{"all", testVideo, 100, 4 * time.Second},
		{"rate unknown", Video{}, 100, 4 * time.Second},
		{"one, rate unknown", Video{}, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := NewEmitter(testSettings(), testOptions(), Consumers{})
			require.NoError(t, err)
			s := e.VideoStarted(t.Context(), tt.video)
			for i := range tt.frames {
				rec := frameRecord(time.Now(), i, 0, false)
				rec.PTS += time.Hour // the time of the first frame does not matter
				s.Frame(rec)
			}
			assert.Equal(t, tt.want, s.shown(s.figures))
			s.Finished(Result{})
			require.NoError(t, e.Shutdown(t.Context()))
		})
	}
}

func TestQueueLength(t *testing.T) {
	opts, sink := testOptions(), new(consumertest.MetricsSink)
	opts.QueueLength = func() int { return 42 }
	e, err := NewEmitter(testSettings(), opts, Consumers{Metrics: sink})
	require.NoError(t, err)
	require.NoError(t, e.Shutdown(t.Context()))
	assert.EqualValues(t, 42, gauge(t, sink, 1, "anonymizer.queue.length").At(0).IntValue())
}

// gauge returns the points of a gauge in the first set of metrics, and checks the number of sets.
func gauge(t *testing.T, sink *consumertest.MetricsSink, sets int, name string) pmetric.NumberDataPointSlice {
	require.Len(t, sink.AllMetrics(), sets)
	for _, m := range sink.AllMetrics()[0].ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().All() {
		if m.Name() == name {
			return m.Gauge().DataPoints()
		}
	}
	t.Fatalf("no metric %s", name)
	return pmetric.NumberDataPointSlice{}
}

func TestVideosWithTheSameNameShareASeries(t *testing.T) {
	sink := new(consumertest.MetricsSink)
	e, err := NewEmitter(testSettings(), testOptions(), Consumers{Metrics: sink})
	require.NoError(t, err)
	for range 2 {
		s := e.VideoStarted(t.Context(), testVideo)
		s.Frame(frameRecord(time.Now(), 0, 1, true))
	}
	ended := e.VideoStarted(t.Context(), testVideo)
	ended.Frame(frameRecord(time.Now(), 0, 1, true))
	ended.Finished(Result{})
	require.NoError(t, e.Shutdown(t.Context()))
	assert.Equal(t, 1, gauge(t, sink, 2, "anonymizer.video.progress").Len())
}

func TestSelfTelemetry(t *testing.T) {
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(context.WithoutCancel(t.Context()))) }()
	set := testSettings()
	set.TelemetrySettings = tel.NewTelemetrySettings()
	e, err := NewEmitter(set, testOptions(), Consumers{}) // no pipeline at all
	require.NoError(t, err)
	s := e.VideoStarted(t.Context(), testVideo)
	for i := range 5 {
		rec := frameRecord(time.Now(), i, 0, true)
		switch i {
		case 1:
			rec.Err, rec.FailedStage, rec.WholeFrameMasked = errors.New("inference"), record.StagePose, true
		case 2:
			rec.Err, rec.FailedStage, rec.WholeFrameMasked = errors.New("painting"), record.StageVisualization, true
		case 3:
			rec.WholeFrameMasked = true
		}
		s.Frame(rec)
	}
	s.Failed(errors.New("disk full"), "no_space", false)
	require.NoError(t, e.Shutdown(t.Context()))
	require.NoError(t, e.Shutdown(t.Context()), "twice")
	ignore := metricdatatest.IgnoreTimestamp()
	metadatatest.AssertEqualReceiverVideoanonymizerFrames(t, tel, point(5, receiverID), ignore)
	metadatatest.AssertEqualReceiverVideoanonymizerFramesMaskedWhole(t, tel, point(3, receiverID), ignore)
	metadatatest.AssertEqualReceiverVideoanonymizerInferenceFailures(t, tel, point(1, receiverID), ignore)
	metadatatest.AssertEqualReceiverVideoanonymizerVideosFailed(t, tel, point(1, receiverID), ignore)
}

// TestInstancesAreApart checks that two receivers in one collector do not write each other's series.
func TestInstancesAreApart(t *testing.T) {
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(context.WithoutCancel(t.Context()))) }()
	set := testSettings()
	set.TelemetrySettings = tel.NewTelemetrySettings()
	sink := new(consumertest.MetricsSink)
	var want []metricdata.DataPoint[int64]
	for frames, name := range []string{"", "lobby"} {
		set.ID = component.NewIDWithName(metadata.Type, name)
		e, err := NewEmitter(set, testOptions(), Consumers{Metrics: sink})
		require.NoError(t, err)
		s := e.VideoStarted(t.Context(), testVideo)
		for i := range frames {
			s.Frame(frameRecord(time.Now(), i, 0, true))
		}
		s.Finished(Result{})
		require.NoError(t, e.Shutdown(t.Context()))
		want = append(want, point(int64(frames), attribute.String("receiver", set.ID.String()))...)
	}
	metadatatest.AssertEqualReceiverVideoanonymizerFrames(t, tel, want, metricdatatest.IgnoreTimestamp())
	instances := map[string]bool{}
	for _, metrics := range sink.AllMetrics() {
		id, _ := metrics.ResourceMetrics().At(0).Resource().Attributes().AsRaw()["service.instance.id"].(string)
		instances[id] = true
	}
	assert.Equal(t, map[string]bool{"": true, "videoanonymizer/lobby": true}, instances)
}

func TestInvalidAttributesAreRefused(t *testing.T) {
	for _, change := range []func(*Options){
		func(o *Options) { o.SpanAttributes = map[string]any{"at": time.Time{}} },
		func(o *Options) { o.ResourceAttributes = map[string]any{"at": time.Time{}} },
	} {
		opts := testOptions()
		change(&opts)
		_, err := NewEmitter(testSettings(), opts, Consumers{Traces: consumertest.NewNop()})
		require.ErrorContains(t, err, "attributes: ")
	}
}

func TestIDsAreUnique(t *testing.T) {
	a, b := newIDs(), newIDs()
	seen := map[string]bool{}
	for range 1000 {
		for _, id := range []string{a.trace().String(), b.trace().String(), a.span().String(), b.span().String()} {
			require.False(t, seen[id])
			require.NotEmpty(t, strings.Trim(id, "0"))
			seen[id] = true
		}
	}
}
