// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Command bench compares the built program on 1080p footage with the cost of the same decoding, encoding and inference
// without it, all in one run, and writes docs/benchmarks.md. `make bench` runs it; nothing else should run on the
// machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/telemetry"
)

func main() {
	short := flag.Bool("short", false, "skip the five-minute clip, and print the report instead of writing it")
	// Other guests on the host slow down single rounds, of the references as well as of the pipeline, but never speed
	// them up. So the best of each is the most meaningful.
	rounds := flag.Int("rounds", 3, "number of measurements of the 30 s clip; the best of each figure counts")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *short, *rounds)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// result holds all measurements.
type result struct {
	Cores     int
	Rounds    int
	FFmpeg    time.Duration // CPU time of ffmpeg alone, for the 30 s clip
	Inference time.Duration // CPU time of ONNX Runtime alone, for the 30 s clip
	Clip      pass          // the pipeline, with the 30 s clip
	Long      *pass         // the pipeline, with the five-minute clip
}

// Ideal is the wall time of the 30 s clip if all cores only decoded, encoded and inferred.
func (r result) Ideal() time.Duration {
	return (r.FFmpeg + r.Inference) / time.Duration(r.Cores)
}

// pass is one run of a video through the collector.
type pass struct {
	Frames  int
	Start   time.Duration // from starting the program until it is ready
	Wall    time.Duration // from claiming the video until the output has its final name
	Finish  time.Duration // part of Wall after the last frame
	CPU     time.Duration // of the whole process tree, from start to end
	PeakRSS int64         // bytes, maximum over the whole process tree; shared pages count in each process
	spans   telemetry.Spans
}

// FPS is frames per second.
func (p pass) FPS() float64 { return float64(p.Frames) / p.Wall.Seconds() }

func run(ctx context.Context, short bool, rounds int) error {
	r := result{Cores: runtime.NumCPU(), Rounds: rounds}
	clip, err := footage.Clip("bench-30s.mp4")
	if err != nil {
		return err
	}
	for round := range rounds {
		fmt.Printf("bench: round %d of %d: ffmpeg alone, the pipeline, ONNX Runtime alone\n", round+1, rounds)
		if err := r.round(ctx, clip); err != nil {
			return err
		}
	}
	if short {
		return writeReport(os.Stdout, r)
	}
	fmt.Println("bench: the pipeline, 5 min")
	long, err := footage.Clip("bench-5min.mp4")
	if err != nil {
		return err
	}
	p, err := measurePipeline(ctx, long)
	if err != nil {
		return err
	}
	r.Long = &p
	return saveReport(r)
}

// round measures everything on the 30 s clip once, and keeps the best figures.
func (r *result) round(ctx context.Context, clip string) error {
	ffmpeg, err := measureFFmpeg(ctx, clip)
	if err != nil {
		return err
	}
	p, err := measurePipeline(ctx, clip)
	if err != nil {
		return err
	}
	inference, err := measureInference(ctx, p.spans)
	if err != nil {
		return err
	}
	if r.Clip.Frames == 0 {
		r.FFmpeg, r.Inference, r.Clip = ffmpeg, inference, p
		return nil
	}
	r.FFmpeg, r.Inference, r.Clip = min(r.FFmpeg, ffmpeg), min(r.Inference, inference), r.Clip.best(p)
	return nil
}

// best takes the better of each figure; for memory, the worse.
func (p pass) best(other pass) pass {
	p.Start, p.Wall, p.CPU, p.Finish = min(p.Start, other.Start), min(p.Wall, other.Wall), min(p.CPU, other.CPU),
		min(p.Finish, other.Finish)
	p.PeakRSS = max(p.PeakRSS, other.PeakRSS)
	return p
}

// measureFFmpeg decodes and encodes a video as the receiver's defaults do, in a single ffmpeg.
func measureFFmpeg(ctx context.Context, clip string) (time.Duration, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	command := exec.CommandContext(ctx, "ffmpeg", "-nostdin", "-v", "error", "-i", clip,
		"-an", "-c:v", "libx264", "-preset", "veryfast", "-crf", "23", filepath.Join(dir, "out.mp4"))
	command.Stderr = os.Stderr
	if err := command.Run(); err != nil {
		return 0, fmt.Errorf("ffmpeg: %w", err)
	}
	return command.ProcessState.UserTime() + command.ProcessState.SystemTime(), nil
}

// measurePipeline runs one video through a collector of its own, with the default configuration.
func measurePipeline(ctx context.Context, clip string) (p pass, err error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return pass{}, err
	}
	defer os.RemoveAll(dir)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return pass{}, err
	}
	defer log.Close()
	options, err := collector.Options{Dir: dir, Output: log}.OnFreePorts()
	if err != nil {
		return pass{}, err
	}

	began := time.Now()
	c, err := collector.Start(ctx, options)
	if err != nil {
		return pass{}, err
	}
	p.Start = time.Since(began)
	peak := watchMemory(c.PID())
	err = anonymize(ctx, c, dir, clip)
	p.PeakRSS = peak()
	if err := errors.Join(err, c.Stop(time.Minute)); err != nil {
		output, _ := os.ReadFile(log.Name())
		return pass{}, fmt.Errorf("%w; the collector printed:\n%s", err, output)
	}
	p.CPU = c.CPUTime()

	if p.spans, err = telemetry.ReadSpans(dir); err != nil {
		return pass{}, err
	}
	frames := p.spans.Named("process_single_frame")
	p.Frames = len(frames)
	videos := p.spans.Named("anonymize_video")
	if len(videos) != 1 {
		return pass{}, fmt.Errorf("%d spans anonymize_video, want 1", len(videos))
	}
	p.Wall = videos[0].EndTimestamp().AsTime().Sub(videos[0].StartTimestamp().AsTime())
	p.Finish = p.Wall
	for _, frame := range frames {
		p.Finish = min(p.Finish, videos[0].EndTimestamp().AsTime().Sub(frame.EndTimestamp().AsTime()))
	}
	return p, nil
}

func anonymize(ctx context.Context, c *collector.Collector, dir, clip string) error {
	source, err := collector.Drop(clip, filepath.Join(dir, "videos", "incoming"), filepath.Base(clip))
	if err != nil {
		return err
	}
	output := filepath.Join(dir, collector.OutputOf(source))
	return c.Await(ctx, "the anonymized video", 250*time.Millisecond, func() (bool, error) {
		_, err := os.Stat(output)
		return err == nil, nil
	})
}
