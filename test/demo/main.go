// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Command demo starts the collector with its default configuration, drops in two short videos of people, waits until
// they are anonymized, and prints the outputs and measurements. `make demo` runs it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

const logFile = "telemetry/demo.log"

func run(ctx context.Context) (err error) {
	if err := os.Chdir(collector.Root()); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(logFile), 0o755); err != nil {
		return err
	}
	log, err := os.Create(logFile)
	if err != nil {
		return err
	}
	defer log.Close()

	began := time.Now()
	c, err := collector.Start(ctx, collector.Options{Dir: ".", Addresses: collector.DefaultAddresses, Output: log,
		Configs: []string{"yaml:connectors::span_metrics::metrics_flush_interval: 1s"}}) // to count frames promptly
	if err != nil {
		return fmt.Errorf("%w; see %s for the reason", err, logFile)
	}
	defer func() { err = errors.Join(err, c.Stop(30*time.Second)) }()
	fmt.Printf("The collector is ready after %.1f s.\n", time.Since(began).Seconds())

	clips, err := dropClips(ctx)
	if err != nil {
		return err
	}
	show := progress{collector: c, clips: clips}
	if err := show.awaitOutputs(ctx); err != nil {
		return fmt.Errorf("%w; %s may show the reason", err, logFile)
	}
	return show.summary(ctx)
}

// clip is a video being anonymized.
type clip struct {
	source, output string
	frames         int
	seconds        float64
}

// dropClips copies the clips into the incoming directory under new names, since no video is processed twice.
func dropClips(ctx context.Context) ([]clip, error) {
	var clips []clip
	for _, name := range []string{"walk", "talk"} {
		footage := filepath.Join("build", "cache", "footage", name+".mp4")
		frames, seconds, err := probe(ctx, footage)
		if err != nil {
			return nil, err
		}
		source, err := collector.Drop(footage, filepath.Join("videos", "incoming"),
			name+time.Now().Format("-20060102-150405")+".mp4")
		if err != nil {
			return nil, err
		}
		fmt.Printf("Dropped %s: %d frames, %.0f s.\n", source, frames, seconds)
		clips = append(clips, clip{source: source, output: collector.OutputOf(source), frames: frames,
			seconds: seconds})
	}
	return clips, nil
}

func probe(ctx context.Context, path string) (frames int, seconds float64, err error) {
	output, err := exec.CommandContext(ctx, "ffprobe", "-v", "error", "-select_streams", "v:0",
		"-show_entries", "stream=duration,nb_frames", "-of", "csv=p=0", path).Output()
	if err != nil {
		return 0, 0, fmt.Errorf("ffprobe %s: %w", path, err)
	}
	duration, count, _ := strings.Cut(strings.TrimSpace(string(output)), ",")
	if seconds, err = strconv.ParseFloat(duration, 64); err == nil {
		frames, err = strconv.Atoi(count)
	}
	return frames, seconds, err
}

// progress follows the clips through the collector's metrics.
type progress struct {
	collector *collector.Collector
	clips     []clip
	people    float64 // maximum number of people in any sample
	elapsed   time.Duration
}

func (p *progress) awaitOutputs(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	began, lastPrinted := time.Now(), -1
	err := p.collector.Await(ctx, "the anonymized videos", 500*time.Millisecond, func() (bool, error) {
		metrics, err := p.collector.Scrape(ctx)
		if err != nil {
			return false, err
		}
		if failed := metrics.Sum("anonymizer_videos_total",
			collector.Labels{"anonymizer_video_outcome": "failed"}); failed > 0 {
			return false, errors.New("a video failed")
		}
		p.notePeople(metrics)
		if done := metrics.SpanCount("process_single_frame"); done != lastPrinted {
			lastPrinted = done
			fmt.Printf("  %3d of %d frames\n", done, p.frames())
		}
		return p.done(), nil
	})
	p.elapsed = time.Since(began)
	return err
}

func (p *progress) notePeople(metrics collector.Metrics) {
	for _, series := range metrics.Series("detected_people_count", nil) {
		p.people = max(p.people, series.GetGauge().GetValue())
	}
}

func (p *progress) done() bool {
	for _, clip := range p.clips {
		if _, err := os.Stat(clip.output); err != nil {
			return false
		}
	}
	return true
}

func (p *progress) frames() int {
	total := 0
	for _, clip := range p.clips {
		total += clip.frames
	}
	return total
}

// summary prints the paths of the outputs and the figures, once the spans of all frames are counted.
func (p *progress) summary(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var metrics collector.Metrics
	err := p.collector.Await(ctx, "the metrics of the last frames", 200*time.Millisecond,
		func() (done bool, err error) {
			metrics, err = p.collector.Scrape(ctx)
			return err == nil && metrics.SpanCount("process_single_frame") >= p.frames(), err
		})
	if err != nil {
		return err
	}
	p.notePeople(metrics)

	fmt.Printf("\nAnonymized in %.1f s:\n", p.elapsed.Seconds())
	for _, clip := range p.clips {
		fmt.Println("  " + clip.output)
	}
	fmt.Printf("\n%d frames, up to %.0f people at once. "+
		"Time by stage in ms, as Prometheus would scrape it at http://%s/metrics:\n\n",
		p.frames(), p.people, collector.DefaultAddresses.Prometheus)
	fmt.Printf("  %-22s %8s %8s %8s\n", "span", "count", "mean", "p95")
	for _, stage := range []string{"process_single_frame", "decode", "person_detection", "pose_estimation",
		"visualization", "encode"} {
		durations := metrics.SpanDurations(stage)
		if durations.GetSampleCount() == 0 {
			return fmt.Errorf("no span %s was counted", stage)
		}
		fmt.Printf("  %-22s %8d %8.1f %8.1f\n", stage, durations.GetSampleCount(),
			durations.GetSampleSum()/float64(durations.GetSampleCount()), collector.Quantile(durations, 0.95))
	}
	fmt.Println("\nEvery span is in telemetry/traces.json. " +
		"`make run` keeps running: drop your own videos into videos/incoming,\n" +
		"and watch and review them in the console. It prints the address that signs you in: " +
		"http://localhost:8090/#token=...")
	return nil
}
