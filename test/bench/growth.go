// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
)

// series shows how the cost grows with one property of clips.
type series struct {
	conditions
	Points []point
}

// point is the measurement of a clip.
type point struct {
	Name       string
	Minutes    float64 // of video
	Megapixels float64 // of a frame
	People     float64 // mean number in the clip's frames, counted by eye
	Pass       pass
}

// target is a clip and its name in a table.
type target struct {
	name, clip    string
	width, height int
	minutes       float64
	people        float64
}

// measureSeries runs clips through the pipeline, once each.
func (b *bench) measureSeries(ctx context.Context, targets []target) (*series, error) {
	s, load := &series{}, watchLoad()
	for _, t := range targets {
		fmt.Printf("bench: %s\n", t.clip)
		clip, err := footage.Clip(t.clip)
		if err != nil {
			return nil, err
		}
		p, err := b.measurePipeline(ctx, clip)
		if err != nil {
			return nil, err
		}
		s.Points = append(s.Points, point{t.name, t.minutes, float64(t.width*t.height) / 1e6, t.people, p})
	}
	s.conditions = b.conditions(load)
	return s, nil
}

const (
	short       = 10. / 60 // minutes
	pedestrians = 2.5      // mean number of people in the clips' frames
)

func measurePeople(ctx context.Context, b *bench, r *results) (err error) {
	var targets []target
	for n, name := range []string{"no quarter", "one quarter", "two quarters", "three quarters", "four quarters"} {
		targets = append(targets, target{name, fmt.Sprintf("bench-people-%d.mp4", n), 1920, 1080, short,
			pedestrians * float64(n)})
	}
	r.People, err = b.measureSeries(ctx, targets)
	return err
}

func measureResolution(ctx context.Context, b *bench, r *results) (err error) {
	var targets []target
	for _, size := range [][2]int{{854, 480}, {1280, 720}, {1920, 1080}, {2560, 1440}, {3840, 2160}} {
		name := fmt.Sprintf("%dx%d", size[0], size[1])
		targets = append(targets, target{name, "bench-" + name + ".mp4", size[0], size[1], short,
			pedestrians})
	}
	r.Resolution, err = b.measureSeries(ctx, targets)
	return err
}

func measureLength(ctx context.Context, b *bench, r *results) (err error) {
	r.Length, err = b.measureSeries(ctx, []target{
		{"30 s", "bench-480p-30s.mp4", 854, 480, .5, pedestrians},
		{"1 min", "bench-480p-1min.mp4", 854, 480, 1, pedestrians},
		{"5 min", "bench-480p-5min.mp4", 854, 480, 5, pedestrians},
	})
	return err
}

func measureHour(ctx context.Context, b *bench, r *results) (err error) {
	r.Hour, err = b.measureSeries(ctx, []target{{"60 min", "bench-480p-60min.mp4", 854, 480, 60, pedestrians}})
	return err
}
