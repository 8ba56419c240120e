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

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/telemetry"
)

// severalVideos is the number of videos to process, one after another and all at once.
const severalVideos = 4

// severalResult compares both ways of processing the same videos, which are measured in turn.
type severalResult struct {
	conditions
	Rounds []severalRound
}

// severalRound has the times from the claim of the first video until the last output has its final name.
type severalRound struct {
	OneByOne, AtOnce time.Duration
}

// Ratio returns the throughput of all at once, relative to one after another.
func (r severalRound) Ratio() float64 { return r.OneByOne.Seconds() / r.AtOnce.Seconds() }

func measureSeveral(ctx context.Context, b *bench, r *results) error {
	clip, err := footage.Clip("bench-854x480.mp4")
	if err != nil {
		return err
	}
	result, load := &severalResult{}, watchLoad()
	for n := range b.rounds {
		fmt.Printf("bench: %d videos at once, round %d of %d\n", severalVideos, n+1, b.rounds)
		var round severalRound
		if round.OneByOne, err = b.measureBatch(ctx, clip, 1); err != nil {
			return err
		}
		if round.AtOnce, err = b.measureBatch(ctx, clip, severalVideos); err != nil {
			return err
		}
		result.Rounds = append(result.Rounds, round)
	}
	result.conditions = b.conditions(load)
	r.Several = result
	return nil
}

// measureBatch runs copies of a clip through a collector that processes atOnce of them at a time. It has no console,
// because its second look at each output would occupy cores.
func (b *bench) measureBatch(ctx context.Context, clip string, atOnce int) (took time.Duration, err error) {
	dir, err := os.MkdirTemp(b.dir, "several")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	settings := fmt.Sprintf("yaml:{receivers: {videoanonymizer: {console: null, max_concurrent_videos: %d}}}", atOnce)
	options, err := collector.Options{Dir: dir, Output: log, Configs: []string{settings}}.OnFreePorts()
	if err != nil {
		return 0, err
	}
	c, err := collector.Start(ctx, options)
	if err != nil {
		return 0, err
	}
	if err := errors.Join(anonymizeAll(ctx, c, dir, clip), c.Stop(time.Minute)); err != nil {
		output, _ := os.ReadFile(log.Name())
		return 0, fmt.Errorf("%w; the collector printed:\n%s", err, output)
	}
	spans, err := telemetry.ReadSpans(dir)
	if err != nil {
		return 0, err
	}
	videos := spans.Named("anonymize_video")
	if len(videos) != severalVideos {
		return 0, fmt.Errorf("%d spans anonymize_video, want %d", len(videos), severalVideos)
	}
	begin, end := videos[0].StartTimestamp().AsTime(), videos[0].EndTimestamp().AsTime()
	for _, v := range videos {
		if at := v.StartTimestamp().AsTime(); at.Before(begin) {
			begin = at
		}
		if at := v.EndTimestamp().AsTime(); at.After(end) {
			end = at
		}
	}
	return end.Sub(begin), nil
}

// anonymizeAll drops copies of a clip and waits until all outputs exist.
func anonymizeAll(ctx context.Context, c *collector.Collector, dir, clip string) error {
	var outputs []string
	for n := range severalVideos {
		name := fmt.Sprintf("%d-%s", n, filepath.Base(clip))
		source, err := collector.Drop(clip, filepath.Join(dir, "videos", "incoming"), name)
		if err != nil {
			return err
		}
		outputs = append(outputs, filepath.Join(dir, collector.OutputOf(source)))
	}
	return c.Await(ctx, "all anonymized videos", 20*time.Millisecond, func() (bool, error) {
		for _, output := range outputs {
			if _, err := os.Stat(output); err != nil {
				return false, nil
			}
		}
		return true, nil
	})
}
