// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"cmp"
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/anonymize"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// Video is what the headers of a file say.
type Video struct {
	Codec     string  `json:"codec"`
	Width     int     `json:"width"`
	Height    int     `json:"height"`
	FrameRate float64 `json:"frame_rate,omitempty"`
	Duration  float64 `json:"duration_s,omitempty"`
	Frames    int64   `json:"frames,omitempty"`
}

// Estimate is how long a run would take.
type Estimate struct {
	// Seconds is 0 if there is nothing to do, or nothing to judge by.
	Seconds float64
	// Samples and Frames are how many videos were measured, and how many frames of them.
	Samples, Frames int
}

const (
	// sampleLength is how much of a video is measured, and sampleTime how long that may take.
	sampleLength, sampleTime = 4 * time.Second, 20 * time.Second
	// maxSamples is how many videos are measured: the longest of each of the most frequent sizes.
	maxSamples = 3
)

// Plan says what Run would do, and about how long it would take, by a measurement of the first seconds of up to three
// of the videos. It leaves nothing behind.
func Plan(ctx context.Context, opts Options) ([]Result, Estimate, error) {
	cfg := opts.Config
	files, err := list(cfg)
	if err != nil {
		return nil, Estimate{}, err
	}
	ledger, err := watch.ReadLedger(cfg.Output.StatePath())
	if err != nil {
		return nil, Estimate{}, err
	}
	tools, err := anonymize.OpenTools(ctx, cfg)
	if err != nil {
		return nil, Estimate{}, err
	}
	var results []Result
	var planned []plannedVideo
	for _, f := range files {
		r := Result{Source: f.Path, Outcome: Planned}
		known, ok := ledger.Outcome(f.Path)
		switch {
		case f.Held != "":
			r.Outcome, r.Reason, r.Error = Skipped, reasonOf(f), f.Held
		case ok && known.Phase == watch.PhaseDone && !opts.Again && exists(known.Output.Path):
			r.Outcome = AlreadyDone
			r.describe(known.Output.Path)
		case ok && known.Phase == "":
			r.Outcome, r.Reason, r.Error = Skipped, ReasonIgnored, known.Error
		default:
			info, err := tools.Probe(ctx, f.Path, cfg.Limits)
			if ctx.Err() != nil {
				return nil, Estimate{}, ctx.Err()
			}
			if err != nil {
				r.Outcome, r.Reason, r.Error = Failed, media.Reason(err), err.Error()
				break
			}
			r.Video = describe(info)
			container := strings.TrimPrefix(filepath.Ext(cfg.Output.FileName(f.Rel)), ".")
			planned = append(planned, plannedVideo{len(results), info, container})
		}
		results = append(results, r)
	}
	estimate, err := estimate(ctx, opts, planned, results)
	return results, estimate, err
}

// plannedVideo is a video that a run would anonymize.
type plannedVideo struct {
	result    int // its index
	info      media.Info
	container string
}

func describe(info media.Info) *Video {
	return &Video{
		Codec: info.Codec, Width: info.Width, Height: info.Height, Duration: info.Duration.Seconds(),
		FrameRate: math.Round(info.FrameRate.Float()*1000) / 1000, Frames: info.EstimatedFrames,
	}
}

// size is the area of a frame in pixels.
func (p plannedVideo) size() int { return p.info.Width * p.info.Height }

// speed is how long a video of some frame size takes, for each second that it is shown.
type speed struct {
	size  int
	share float64
}

// estimate measures some of the videos, and gives each the time that those of the next frame size took, in proportion
// to its duration and the area of its frames.
func estimate(ctx context.Context, opts Options, planned []plannedVideo, results []Result) (e Estimate, err error) {
	samples := samplesOf(planned)
	if len(samples) == 0 {
		return e, nil
	}
	start := time.Now()
	runner, models, err := open(ctx, opts)
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, models.Close()) }()
	e.Seconds = time.Since(start).Seconds()
	var speeds []speed
	for _, p := range samples {
		measured, err := runner.Measure(ctx, p.info, p.container, sampleLength, sampleTime)
		if ctx.Err() != nil {
			return Estimate{}, ctx.Err()
		}
		if err != nil || measured.Frames < 2 || measured.Shown <= 0 {
			continue // the run will say what is wrong with it
		}
		shown := measured.Shown.Seconds() * float64(measured.Frames) / float64(measured.Frames-1)
		speeds = append(speeds, speed{p.size(), measured.Took.Seconds() / shown})
		e.Samples, e.Frames = e.Samples+1, e.Frames+measured.Frames
	}
	if len(speeds) == 0 {
		return Estimate{}, nil
	}
	for _, p := range planned {
		nearest := slices.MinFunc(speeds, func(a, b speed) int {
			return cmp.Compare(ratio(a.size, p.size()), ratio(b.size, p.size()))
		})
		r := &results[p.result]
		r.Seconds = nearest.share * p.info.Duration.Seconds() * float64(p.size()) / float64(nearest.size)
		e.Seconds += r.Seconds
	}
	return e, nil
}

// ratio is how many times as large the larger one is.
func ratio(a, b int) float64 { return float64(max(a, b)) / float64(max(1, min(a, b))) }

// samplesOf returns the videos to measure.
func samplesOf(planned []plannedVideo) []plannedVideo {
	total := map[int]time.Duration{}
	longest := map[int]plannedVideo{}
	for _, p := range planned {
		if p.info.Duration <= 0 {
			continue
		}
		total[p.size()] += p.info.Duration
		if p.info.Duration > longest[p.size()].info.Duration {
			longest[p.size()] = p
		}
	}
	var samples []plannedVideo
	for _, p := range longest {
		samples = append(samples, p)
	}
	slices.SortFunc(samples, func(a, b plannedVideo) int {
		return cmp.Or(cmp.Compare(total[b.size()], total[a.size()]), cmp.Compare(a.size(), b.size()))
	})
	return samples[:min(len(samples), maxSamples)]
}
