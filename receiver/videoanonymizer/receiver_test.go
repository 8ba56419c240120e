// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
)

// running is a receiver with its own directories and everything that it emits.
type running struct {
	*videoReceiver
	in, out string
	traces  *consumertest.TracesSink
	logs    *consumertest.LogsSink
}

func newTestConfig(t testing.TB) *Config {
	cfg := createDefaultConfig().(*Config)
	root := t.TempDir()
	cfg.Watch.Include = []string{filepath.Join(root, "in", "*")}
	cfg.Watch.PollInterval, cfg.Watch.StableFor = 20*time.Millisecond, 40*time.Millisecond
	cfg.Output.Directory = filepath.Join(root, "out")
	cfg.Output.Preset = "ultrafast"
	cfg.Models.Directory = "../../models" // filled by `make models`
	cfg.Telemetry.BatchInterval = 50 * time.Millisecond
	// Few tests depend on what the models find in the test patterns, so search as little as possible, and only once.
	cfg.Recall, cfg.DetectEvery, cfg.Detector.Survey.Enabled = config.Thorough, 3, false
	require.NoError(t, os.Mkdir(filepath.Join(root, "in"), 0o755))
	return cfg
}

func start(t testing.TB, cfg *Config) *running {
	t.Helper()
	return startOn(t, componenttest.NewNopHost(), cfg)
}

func startOn(t testing.TB, host component.Host, cfg *Config) *running {
	t.Helper()
	set := receivertest.NewNopSettings(metadata.Type)
	r, err := newReceiver(t.Context(), set, cfg)
	require.NoError(t, err)
	run := &running{videoReceiver: r, in: filepath.Dir(cfg.Watch.Include[0]), out: cfg.Output.Directory,
		traces: new(consumertest.TracesSink), logs: new(consumertest.LogsSink)}
	r.setTraces(run.traces)
	r.setLogs(run.logs)
	require.NoError(t, r.Start(t.Context(), host))
	t.Cleanup(func() { assert.NoError(t, r.Shutdown(context.Background())) })
	return run
}

// clip creates a video from one of ffmpeg's test sources, with nobody in it.
func clip(t testing.TB, path string, args ...string) {
	t.Helper()
	ffmpeg(t, append([]string{"-v", "error", "-y", "-f", "lavfi"}, append(args, path)...)...)
}

func ffmpeg(t testing.TB, args ...string) {
	t.Helper()
	out, err := exec.Command("ffmpeg", args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// awaitLog waits for the log record of a video's event and returns it.
func (r *running) awaitLog(t testing.TB, event, video string) (found plog.LogRecord) {
	t.Helper()
	require.Eventually(t, func() (ok bool) {
		found, ok = r.findLog(event, video)
		return ok
	}, 5*time.Minute, 20*time.Millisecond, "no log record says that %s %s", video, event)
	return found
}

func (r *running) findLog(event, video string) (found plog.LogRecord, ok bool) {
	for _, logs := range r.logs.AllLogs() {
		records := logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
		for i := range records.Len() {
			name, _ := records.At(i).Attributes().Get("anonymizer.video.name")
			ended := strings.HasSuffix(records.At(i).EventName(), "."+event) // of a video or picture
			if ended && name.Str() == video {
				return records.At(i), true
			}
		}
	}
	return found, false
}

func (r *running) spans(name string) (spans []ptrace.Span) {
	for _, traces := range r.traces.AllTraces() {
		for i := range traces.ResourceSpans().Len() {
			for j := range traces.ResourceSpans().At(i).ScopeSpans().Len() {
				all := traces.ResourceSpans().At(i).ScopeSpans().At(j).Spans()
				for k := range all.Len() {
					if all.At(k).Name() == name {
						spans = append(spans, all.At(k))
					}
				}
			}
		}
	}
	return spans
}

func TestVideosAreAnonymized(t *testing.T) {
	r := start(t, newTestConfig(t))
	clip(t, filepath.Join(r.in, "plain.mp4"), "-i", "color=gray:size=320x240:rate=25:duration=1")
	clip(t, filepath.Join(r.in, "odd.mkv"), "-i", "color=gray:size=321x239:rate=10:duration=1")
	r.awaitLog(t, "finished", "plain.mp4")
	r.awaitLog(t, "finished", "odd.mkv")
	require.NoError(t, r.Shutdown(t.Context()))

	assert.FileExists(t, filepath.Join(r.out, "plain_anonymized.mp4"))
	assert.FileExists(t, filepath.Join(r.out, "odd_anonymized.mkv"))
	for _, output := range []string{"plain_anonymized.mp4", "odd_anonymized.mkv"} {
		checkReport(t, filepath.Join(r.out, output))
	}
	assert.FileExists(t, filepath.Join(r.in, "plain.mp4"), "sources stay")
	assert.Len(t, r.spans("anonymize_video"), 2)
	frames := r.spans("process_single_frame")
	require.Len(t, frames, 35)
	for _, frame := range frames {
		people, ok := frame.Attributes().Get("bbox.count")
		assert.True(t, ok)
		assert.Zero(t, people.Int())
	}
	for _, stage := range []string{"decode", "person_detection", "tracking", "visualization", "encode"} {
		assert.Len(t, r.spans(stage), 35, stage)
	}
}

// TestAlphaIsKept checks that alpha is kept if the output supports it, but that masked parts become opaque.
func TestAlphaIsKept(t *testing.T) {
	cfg := newTestConfig(t)
	cfg.Output.Codec = "ffv1"
	cfg.Report.Preview = config.PreviewBoxes
	cfg.Mask.Regions = []config.Region{{Polygon: [][]float64{{0, 0}, {0.5, 0}, {0.5, 1}, {0, 1}}, Action: mask.Mask}}
	r := start(t, cfg)
	clip(t, filepath.Join(r.in, "clear.mkv"), "-i", "color=gray:size=64x48:rate=5:duration=1", "-vf",
		"format=yuva420p,colorchannelmixer=aa=0.2", "-c:v", "ffv1")
	r.awaitLog(t, "finished", "clear.mkv")
	alpha, err := exec.Command("ffmpeg", "-v", "error", "-i", filepath.Join(r.out, "clear_anonymized.mkv"),
		"-vf", "alphaextract", "-pix_fmt", "gray", "-f", "rawvideo", "-").Output()
	require.NoError(t, err)
	require.Len(t, alpha, 5*64*48)
	for i, a := range alpha {
		if i%64 < 32 {
			require.EqualValues(t, 255, a, "masked sample %d", i)
		} else {
			require.Less(t, a, byte(64), "sample %d", i)
		}
	}
}

func TestBadFilesFailAndOthersFinish(t *testing.T) {
	r := start(t, newTestConfig(t))
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(r.in, name), []byte(text), 0o600))
	}
	clip(t, filepath.Join(t.TempDir(), "whole.mp4"), "-i", "testsrc2=size=320x240:rate=25:duration=2")
	whole := filepath.Join(t.TempDir(), "whole.mkv")
	clip(t, whole, "-i", "testsrc2=size=320x240:rate=25:duration=4", "-g", "10")
	half, err := os.ReadFile(whole)
	require.NoError(t, err)
	write("empty.mp4", "")
	write("text.mp4", "this is not a video\n")
	write("cut.mkv", string(half[:len(half)/2]))
	clip(t, filepath.Join(r.in, "sound.mp4"), "-i", "sine=duration=1")
	failures := map[string]string{"empty.mp4": "not_video", "text.mp4": "not_video", "cut.mkv": "damaged",
		"sound.mp4": "no_video_stream"}
	for name, reason := range failures {
		record := r.awaitLog(t, "failed", name)
		got, _ := record.Attributes().Get("error.type")
		assert.Equal(t, reason, got.Str(), name)
		message, _ := record.Attributes().Get("exception.message")
		assert.Contains(t, message.Str(), name, "the error names the file")
		assert.FileExists(t, filepath.Join(r.in, name))
	}
	clip(t, filepath.Join(r.in, "good.mp4"), "-i", "testsrc2=size=320x240:rate=25:duration=1")
	r.awaitLog(t, "finished", "good.mp4")
	require.NoError(t, r.Shutdown(t.Context()))
	assert.Equal(t, reviewed("good_anonymized.mp4"), visible(t, r.out))
	var failed int
	for _, span := range r.spans("anonymize_video") {
		if span.Status().Code() == ptrace.StatusCodeError {
			failed++
		}
	}
	assert.Equal(t, len(failures), failed, "a span shows each failure")
}

func TestFailedVideosAreQuarantined(t *testing.T) {
	cfg := newTestConfig(t)
	cfg.Output.QuarantineDirectory = filepath.Join(t.TempDir(), "failed")
	r := start(t, cfg)
	require.NoError(t, os.WriteFile(filepath.Join(r.in, "text.mp4"), []byte("this is not a video\n"), 0o600))
	r.awaitLog(t, "failed", "text.mp4")
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(r.in, "text.mp4"))
		return errors.Is(err, os.ErrNotExist)
	}, time.Minute, 20*time.Millisecond, "it has stayed the same for long enough")
	require.NoError(t, r.Shutdown(t.Context()))
	kept, err := os.ReadFile(filepath.Join(cfg.Output.QuarantineDirectory, "text.mp4"))
	require.NoError(t, err)
	assert.Equal(t, "this is not a video\n", string(kept))
	reason, err := os.ReadFile(filepath.Join(cfg.Output.QuarantineDirectory, "text.mp4.reason.json"))
	require.NoError(t, err)
	assert.Contains(t, string(reason), "not_video")
}

// visible returns the files in a folder that are not hidden.
func visible(t testing.TB, folder string) (names []string) {
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestShutdownInMidVideo(t *testing.T) {
	if testing.Short() {
		t.Skip("anonymizes a video of 15 s")
	}
	cfg := newTestConfig(t)
	r := start(t, cfg)
	clip(t, filepath.Join(r.in, "long.mp4"), "-i", "testsrc2=size=640x360:rate=30:duration=15", "-preset", "ultrafast")
	require.Eventually(t, func() bool { return len(r.spans("process_single_frame")) > 30 }, time.Minute,
		5*time.Millisecond)
	began := time.Now()
	require.NoError(t, r.Shutdown(t.Context()))
	assert.Less(t, time.Since(began), 5*time.Second)
	assert.Empty(t, visible(t, r.out))
	left, err := filepath.Glob(filepath.Join(r.out, ".*.mp4"))
	require.NoError(t, err)
	assert.Empty(t, left, "no temporary file is left")
	require.Len(t, r.spans("anonymize_video"), 1)
	outcome, _ := r.spans("anonymize_video")[0].Attributes().Get("anonymizer.video.outcome")
	assert.Equal(t, "interrupted", outcome.Str())
	frames, _ := r.spans("anonymize_video")[0].Attributes().Get("anonymizer.video.frames")
	assert.Len(t, r.spans("process_single_frame"), int(frames.Int()), "no span is lost")

	// The next start processes the video again, from the beginning.
	again := start(t, cfg)
	again.awaitLog(t, "finished", "long.mp4")
	require.NoError(t, again.Shutdown(t.Context()))
	assert.Len(t, again.spans("process_single_frame"), 450)
	assert.Equal(t, reviewed("long_anonymized.mp4"), visible(t, again.out))

	// The start after that does not.
	third := start(t, cfg)
	clip(t, filepath.Join(r.in, "next.mp4"), "-i", "testsrc2=size=320x240:rate=25:duration=1")
	third.awaitLog(t, "finished", "next.mp4")
	require.NoError(t, third.Shutdown(t.Context()))
	assert.Len(t, third.spans("anonymize_video"), 1)
}

func TestSourceDeletedDuringProcessing(t *testing.T) {
	for name, units := range map[string]int{"in one piece": 1, "in units": 2} {
		t.Run(name, func(t *testing.T) {
			cfg := newTestConfig(t)
			cfg.MaxConcurrentUnits, cfg.UnitLength = units, 2*time.Second
			cfg.LookAhead, cfg.Detector.Survey.Interval = 300*time.Millisecond, 500*time.Millisecond
			cfg.Output.Audio = media.AudioCopy
			r := start(t, cfg)
			source := filepath.Join(r.in, "walk.mp4")
			clip(t, source, "-i", "testsrc2=size=320x180:rate=30:duration=6", "-f", "lavfi", "-i", "sine=duration=6",
				"-preset", "ultrafast", "-g", "60")
			require.Eventually(t, func() bool { return len(r.spans("process_single_frame")) > 10 }, time.Minute,
				5*time.Millisecond)
			require.NoError(t, os.Remove(source))
			r.awaitLog(t, "finished", "walk.mp4")
			require.NoError(t, r.Shutdown(t.Context()))
			output := filepath.Join(r.out, "walk_anonymized.mp4")
			assert.Equal(t, reviewed("walk_anonymized.mp4"), visible(t, r.out), "the output is all that is left of the video")
			assert.Len(t, r.spans("process_single_frame"), 180)
			assert.Len(t, r.attempts(), map[int]int{1: 0, 2: 3}[units])
			text, err := os.ReadFile(report.Path(output))
			require.NoError(t, err)
			assert.Contains(t, string(text), `"walk.mp4"`)
		})
	}
}

func TestStartReportsWhatIsMissing(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text.onnx")
	other := filepath.Join(t.TempDir(), "other.onnx")
	for _, file := range []string{text, other} {
		require.NoError(t, os.WriteFile(file, []byte("no model"), 0o600))
	}
	tests := map[string]struct {
		change func(*Config)
		want   []string
	}{
		"model unknown": {
			func(c *Config) { c.Detector.Model = "yolo" },
			[]string{"detector::model", "yolo", "nanodet-m"},
		},
		"model for another task": {
			func(c *Config) { c.Detector.Model = "movenet-lightning" },
			[]string{"detector::model", "movenet-lightning is a model for pose_estimation"},
		},
		"both models missing": {
			func(c *Config) { c.Detector.Model, c.Pose.Model = "missing.onnx", "gone.onnx" },
			[]string{"detector::model", "missing.onnx", "pose::model", "gone.onnx"},
		},
		"both models of another kind": {
			func(c *Config) { c.Detector.Model, c.Pose.Model = other, text },
			[]string{"detector::model", other, "pose::model", text},
		},
		"model of another shape": {
			func(c *Config) { c.Pose.Model = "../../models/nanodet-m.onnx" },
			[]string{"nanodet-m.onnx is not a movenet model"},
		},
		"models not fetched": {
			func(c *Config) {
				c.Models.Directory = t.TempDir()
				c.Inference.Library = "../../models/lib/libonnxruntime.so.1"
			},
			[]string{"make models"},
		},
		"models folder": {
			func(c *Config) { c.Models.Directory = "nowhere" },
			[]string{"models::directory", "nowhere"},
		},
		"runtime library": {
			func(c *Config) { c.Inference.Library = "nowhere/libonnxruntime.so" },
			[]string{"nowhere/libonnxruntime.so", "make models", "inference::library"},
		},
		"provider": {
			func(c *Config) { c.Inference.Provider = "cuda" },
			[]string{"execution provider cuda cannot be used"},
		},
		"ffmpeg": {
			func(c *Config) { c.Tools.FFmpeg = "nowhere/ffmpeg" },
			[]string{"nowhere/ffmpeg"},
		},
		"devices to encode and decode": {
			func(c *Config) {
				c.Output.Encoder, c.Tools.Decoder, c.Tools.VAAPIDevice = "vaapi", "vaapi", "/nowhere/renderD128"
			},
			[]string{"encoder h264_vaapi does not work", "decoder vaapi does not work", "/nowhere/renderD128",
				"tools::vaapi_device"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := newTestConfig(t)
			tt.change(cfg)
			err := startAsCollector(t, cfg)
			require.Error(t, err)
			for _, want := range tt.want {
				assert.ErrorContains(t, err, want)
			}
		})
	}
}

// startAsCollector validates the configuration, then creates and starts the receiver.
func startAsCollector(t *testing.T, cfg *Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	r, err := newReceiver(t.Context(), receivertest.NewNopSettings(metadata.Type), cfg)
	if err != nil {
		return err
	}
	err = r.Start(t.Context(), componenttest.NewNopHost())
	require.NoError(t, r.Shutdown(t.Context()))
	return err
}

// TestVideoTooLargeForDisk uses a disk that is too small for one video, but large enough for another.
func TestVideoTooLargeForDisk(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=24M"); err != nil {
		t.Skip("only root can mount a small file system: ", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(disk, 0)) })
	cfg := newTestConfig(t)
	cfg.Output.Directory = filepath.Join(disk, "out")
	cfg.Output.Codec, cfg.Output.Container = "ffv1", "mkv"
	cfg.Output.MinFreeSpace = 10
	cfg.Retry.InitialInterval, cfg.Retry.MaxInterval, cfg.Retry.MaxAttempts = 10*time.Millisecond, 10*time.Millisecond, 2
	r := start(t, cfg)
	clip(t, filepath.Join(r.in, "long.mkv"), "-i", "testsrc2=size=640x480:rate=25:duration=2")
	failed := r.awaitLog(t, "failed", "long.mkv")
	reason, _ := failed.Attributes().Get("error.type")
	assert.Equal(t, "no_space", reason.Str())
	assert.Contains(t, failed.Body().Str(), "the video needs about")
	clip(t, filepath.Join(r.in, "short.mkv"), "-i", "testsrc2=size=160x120:rate=25:duration=0.4")
	r.awaitLog(t, "finished", "short.mkv")
	left, err := filepath.Glob(filepath.Join(r.out, "*.mkv"))
	require.NoError(t, err)
	assert.Equal(t, []string{filepath.Join(r.out, "short_anonymized.mkv")}, left)
}

// statusHost records the status that components report.
type statusHost struct {
	component.Host
	mu     sync.Mutex
	events []*componentstatus.Event
}

func (h *statusHost) Report(event *componentstatus.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, event)
}

func (h *statusHost) statuses() (all []componentstatus.Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, event := range h.events {
		all = append(all, event.Status())
	}
	return all
}

// TestStatusWhereStateDirectoryIsRemoved checks that the receiver reports to the collector that its state directory was
// removed, and that it has recovered.
func TestStatusWhereStateDirectoryIsRemoved(t *testing.T) {
	cfg := newTestConfig(t)
	host := &statusHost{Host: componenttest.NewNopHost()}
	r, err := newReceiver(t.Context(), receivertest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), host))
	require.NoError(t, os.RemoveAll(cfg.Output.Directory))
	require.Eventually(t, func() bool { return len(host.statuses()) >= 2 }, time.Minute, 10*time.Millisecond)
	require.NoError(t, r.Shutdown(t.Context()))
	statuses := host.statuses()
	assert.Equal(t, componentstatus.StatusRecoverableError, statuses[0])
	assert.Equal(t, componentstatus.StatusOK, statuses[len(statuses)-1])
}
