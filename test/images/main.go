// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Command images runs the built collector on a clip of real people and plots its telemetry for docs/telemetry.md: the
// trace of a frame, and the first panels of the dashboards. Run it with `make docs-images`.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/telemetry"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	spans, err := record(ctx)
	if err != nil {
		return err
	}
	all, err := framesOf(spans)
	if err != nil {
		return err
	}
	for name, plot := range map[string]func(frames) (*chart, error){
		"waterfall.svg": waterfall, "people.svg": people, "stages.svg": stages, "masks.svg": masks,
	} {
		c, err := plot(all)
		if err == nil {
			err = c.save(filepath.Join(collector.Root(), "docs", "images", name))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// record runs the collector on walk.mp4 and returns its spans.
func record(ctx context.Context) (telemetry.Spans, error) {
	dir, err := os.MkdirTemp("", "otelcol-anonymizer-images-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	clip, err := footage.Clip("walk.mp4")
	if err != nil {
		return nil, err
	}
	options, err := collector.Options{Dir: dir, Output: os.Stderr}.OnFreePorts()
	if err != nil {
		return nil, err
	}
	c, err := collector.Start(ctx, options)
	if err != nil {
		return nil, err
	}
	defer c.Kill()
	if _, err := collector.Drop(clip, filepath.Join(dir, "videos", "incoming"), "walk.mp4"); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := c.Await(ctx, "the video", 200*time.Millisecond, func() (bool, error) {
		_, err := os.Stat(filepath.Join(dir, collector.OutputOf("walk.mp4")))
		return err == nil, nil
	}); err != nil {
		return nil, err
	}
	if err := c.Stop(time.Minute); err != nil {
		return nil, err
	}
	return telemetry.ReadSpans(dir)
}
