// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/picture"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/pipeline"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// benchFrames is the number of different pictures in BenchmarkPictures.
const benchFrames = 20

// BenchmarkPictures compares a burst of b.N pictures, from files to files with their reports, with the pipeline alone
// on the same decoded pictures: the same looks with the same models, as many at once. Run it as
//
//	go test ./internal/anonymize -run '^$' -bench BenchmarkPictures/default -benchtime 1000x
//
// It needs `make footage`. If the machine has other users, the CPU time is more reliable than the wall time. Quick sets
// keys that make the models do as little as possible, so that the overhead shows.
func BenchmarkPictures(b *testing.B) {
	b.Run("default", func(b *testing.B) { benchmarkPictures(b, nil) })
	b.Run("quick", func(b *testing.B) {
		benchmarkPictures(b, map[string]any{"survey": map[string]any{"enabled": false}, "tiles": 1, "faces": ""})
	})
}

func benchmarkPictures(b *testing.B, detector map[string]any) {
	made := benchPictures(b)
	runner, cfg := benchRunner(b, detector)
	thorough := runner.forPictures()
	alone := measured(b, func() { analyze(b, thorough, made) })
	in := cfg.Watch.Folders()[0]
	for i := range b.N {
		data, err := os.ReadFile(made[i%benchFrames])
		require.NoError(b, err)
		require.NoError(b, os.WriteFile(filepath.Join(in, fmt.Sprintf("%06d.jpg", i)), data, 0o600))
	}
	b.ResetTimer()
	whole := measured(b, func() { process(b, runner, cfg) })
	b.StopTimer()
	b.ReportMetric(float64(whole.wall)/float64(alone.wall), "times-alone")
	b.ReportMetric(float64(whole.cpu)/float64(alone.cpu), "times-alone-cpu")
	b.ReportMetric((whole.wall-alone.wall).Seconds()*1000/float64(b.N), "ms-more/op")
	b.ReportMetric((whole.cpu-alone.cpu).Seconds()*1000/float64(b.N), "cpu-ms-more/op")
}

// benchPictures makes pictures from the footage.
func benchPictures(b *testing.B) []string {
	b.Helper()
	const footage = "../../../../build/cache/footage/walk.mp4"
	if _, err := os.Stat(footage); err != nil {
		b.Skip("run make footage: ", err)
	}
	folder := b.TempDir()
	out, err := exec.Command("ffmpeg", "-v", "error", "-i", footage, "-vf", "fps=2,scale=1920:-2", "-frames:v",
		fmt.Sprint(benchFrames), "-q:v", "3", filepath.Join(folder, "%02d.jpg")).CombinedOutput()
	require.NoError(b, err, "%s", out)
	made, err := filepath.Glob(filepath.Join(folder, "*.jpg"))
	require.NoError(b, err)
	require.Len(b, made, benchFrames)
	return made
}

func benchRunner(b testing.TB, detector map[string]any) (*Runner, *config.Config) {
	b.Helper()
	cfg := config.Default()
	if detector != nil {
		require.NoError(b, cfg.Unmarshal(confmap.NewFromStringMap(map[string]any{"detector": detector})))
	}
	in := filepath.Join(b.TempDir(), "in")
	require.NoError(b, os.Mkdir(in, 0o700))
	cfg.Watch.Include = []string{in + "/*"}
	cfg.Watch.StableFor = 0
	cfg.Output.Directory = filepath.Join(b.TempDir(), "out")
	cfg.Models.Directory = "../../../../models" // filled by `make models`
	require.NoError(b, CheckModels(cfg))
	models, err := OpenModels(cfg, Remote{Changed: func(error) {}, Failed: func() {}, Logger: zap.NewNop()})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, models.Close()) })
	emitter, err := telemetry.NewEmitter(receivertest.NewNopSettings(metadata.Type), TelemetryOptions(cfg),
		telemetry.Consumers{Traces: consumertest.NewNop(), Logs: consumertest.NewNop(), Metrics: consumertest.NewNop()})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, emitter.Shutdown(context.Background())) })
	return &Runner{Config: cfg, Models: models, Painter: mask.NewPainter(cfg.Mask.PainterOptions()), Emitter: emitter,
		Space: &Space{}, Burst: NewBurst(cfg), Logger: zap.NewNop()}, cfg
}

// analyze takes b.N frames of the pictures through the pipeline, as many at once as a burst does.
func analyze(b *testing.B, r *Runner, made []string) {
	var frames []*media.Frame
	for _, path := range made {
		file, err := picture.Read(path, media.Limits{})
		require.NoError(b, err)
		p, err := file.Decode(b.Context(), media.Tools{})
		require.NoError(b, err)
		frames = append(frames, p.Frames()[0])
	}
	var next atomic.Int64
	var all sync.WaitGroup
	for range parallelInferences(r.Config) + 1 {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= b.N {
					return
				}
				copied, err := vision.Turned(frames[i%benchFrames], 0)
				if err == nil {
					alone := &still{frame: copied}
					options := r.pipelineOptions(1)
					options.Workers = 1
					err = pipeline.Run(b.Context(), alone, alone, options)
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// process turns the files in the watched folder into outputs.
func process(b *testing.B, r *Runner, cfg *config.Config) {
	watcher, err := watch.New(WatchOptions(cfg, zap.NewNop()))
	require.NoError(b, err)
	require.NoError(b, watcher.Start())
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var done atomic.Int64
	_ = r.Work(ctx, watcher, func(*watch.Job) {}, func(*watch.Job) {
		if done.Add(1) == int64(b.N) {
			cancel()
		}
	})
	require.NoError(b, watcher.Stop(context.Background()))
	outputs, err := filepath.Glob(filepath.Join(cfg.Output.Directory, "*.jpg"))
	require.NoError(b, err)
	require.Len(b, outputs, b.N)
}

type spent struct{ wall, cpu time.Duration }

func measured(b testing.TB, do func()) spent {
	b.Helper()
	cpu := func() time.Duration {
		var used unix.Rusage
		require.NoError(b, unix.Getrusage(unix.RUSAGE_SELF, &used))
		return time.Duration(used.Utime.Nano() + used.Stime.Nano())
	}
	start, before := time.Now(), cpu()
	do()
	return spent{time.Since(start), cpu() - before}
}
