// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/telemetry"
)

// pass is one run of a video through its own collector, with the default configuration.
type pass struct {
	Frames int
	Found  float64       // mean number of detections in a frame
	Start  time.Duration // from starting the program until it is ready
	Wall   time.Duration // from claiming the video until the output has its final name
	Finish time.Duration // part of Wall after the last frame
	CPU    time.Duration // of the collector and its child processes, from readiness until the output exists
	Parts  parts         // CPU by part of the work
	Kernel kernel        // part of CPU, inside the kernel
	Peak   int64         // bytes of resident memory of all processes; shared pages count in each process

	begin, end time.Time // from claiming the video until the output has its final name
	settings   settings  // of the decoder and the encoder
}

// kernel is CPU time inside the kernel.
type kernel struct{ Collector, Decoder, Encoder, Others time.Duration }

// FPS returns the frames per second.
func (p pass) FPS() float64 { return float64(p.Frames) / p.Wall.Seconds() }

// PerFrame returns a time divided by the number of frames, in milliseconds.
func (p pass) PerFrame(d time.Duration) float64 { return d.Seconds() * 1000 / float64(p.Frames) }

// measurePipeline runs one video through a collector.
func (b *bench) measurePipeline(ctx context.Context, clip string) (p pass, err error) {
	dir, err := os.MkdirTemp(b.dir, "pipeline")
	if err != nil {
		return pass{}, err
	}
	defer os.RemoveAll(dir)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return pass{}, err
	}
	defer log.Close()
	options, err := b.options(dir, log)
	if err != nil {
		return pass{}, err
	}
	began := time.Now()
	c, err := collector.Start(ctx, options)
	if err != nil {
		return pass{}, err
	}
	p.Start = time.Since(began)
	started, _, _ := cpuOf(c.PID())
	watched := watchTree(c.PID())
	err = anonymize(ctx, c, dir, clip)
	children := watched.end()
	p.Peak = watched.peak
	if err := errors.Join(err, c.Stop(time.Minute)); err != nil {
		output, _ := os.ReadFile(log.Name())
		return pass{}, fmt.Errorf("%w; the collector printed:\n%s", err, output)
	}
	if err := p.readSpans(dir); err != nil {
		return pass{}, err
	}
	if p.settings, err = settingsOf(children); err != nil {
		return pass{}, err
	}
	own := watched.own.minus(started)
	p.Parts, err = divide(children, own.total(), filepath.Join(dir, profileFile))
	p.CPU, p.Kernel = p.Parts.total(), kernelOf(children, own)
	return p, err
}

func kernelOf(children []child, own cpu) kernel {
	k := kernel{Collector: own.System}
	for _, c := range children {
		switch c.part() {
		case decoding:
			k.Decoder += c.used.System
		case encoding:
			k.Encoder += c.used.System
		default:
			k.Others += c.used.System
		}
	}
	return k
}

// profileFile is the name of the CPU profile in the collector's directory.
const profileFile = "cpu.pprof"

// options returns options with which the collector records its inferences and writes a CPU profile.
func (b *bench) options(dir string, log *os.File) (collector.Options, error) {
	address, err := collector.FreeAddresses(1)
	if err != nil {
		return collector.Options{}, err
	}
	profile := fmt.Sprintf(`yaml:{extensions: {pprof: {endpoint: "%s", save_to_file: %s}}, service: {extensions: [
		health_check, zpages, file_storage, anonymizer_console, pprof]}}`, address[0], profileFile)
	return collector.Options{Dir: dir, Output: log, Configs: []string{profile}, Env: []string{
		"ONNXRUNTIME_LIBRARY=" + b.recorder, "BENCH_ONNXRUNTIME=" + runtimeLibrary(),
		"BENCH_RECORDING=" + b.recording(),
	}}.OnFreePorts()
}

// recording returns the path of the recorded inferences of the last run of the pipeline.
func (b *bench) recording() string { return filepath.Join(b.dir, "recording") }

func runtimeLibrary() string { return models.RuntimeLibrary(filepath.Join(collector.Root(), "models")) }

// readSpans sets the figures that spans contain.
func (p *pass) readSpans(dir string) error {
	spans, err := telemetry.ReadSpans(dir)
	if err != nil {
		return err
	}
	videos, frames := spans.Named("anonymize_video"), spans.Named("process_single_frame")
	if len(videos) != 1 || len(frames) == 0 {
		return fmt.Errorf("%d spans anonymize_video and %d process_single_frame, want 1 and more",
			len(videos), len(frames))
	}
	p.begin, p.end = videos[0].StartTimestamp().AsTime(), videos[0].EndTimestamp().AsTime()
	p.Frames, p.Wall, p.Finish = len(frames), p.end.Sub(p.begin), p.end.Sub(p.begin)
	for _, frame := range frames {
		p.Finish = min(p.Finish, p.end.Sub(frame.EndTimestamp().AsTime()))
		p.Found += float64(frame.Int("bbox.count")) / float64(len(frames))
	}
	return nil
}

func anonymize(ctx context.Context, c *collector.Collector, dir, clip string) error {
	source, err := collector.Drop(clip, filepath.Join(dir, "videos", "incoming"), filepath.Base(clip))
	if err != nil {
		return err
	}
	output := filepath.Join(dir, collector.OutputOf(source))
	return c.Await(ctx, "the anonymized video", 20*time.Millisecond, func() (bool, error) {
		_, err := os.Stat(output)
		return err == nil, nil
	})
}
