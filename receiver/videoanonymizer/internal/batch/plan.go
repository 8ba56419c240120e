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
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/picture"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/resources"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// Video is the information in the headers of a file.
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
	// Seconds is 0 if there is nothing to do, or nothing to base an estimate on.
	Seconds float64
	// Samples is how many videos were measured, and Frames how many frames of them.
	Samples, Frames int
}

const (
	// sampleLength is how much of a video is measured, and sampleTime how long the measurement may take.
	sampleLength, sampleTime = 4 * time.Second, 20 * time.Second
	// maxSamples is how many videos are measured: the longest ones of the most frequent frame sizes and profiles.
	maxSamples = 3
)

// Plan returns what Run would do, and estimates how long it would take, by measuring the first seconds of up to three
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
	var stills []plannedStill
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
		case watch.IsPicture(f.Path):
			file, err := picture.Read(f.Path, cfg.Limits)
			if err != nil {
				r.Outcome, r.Reason, r.Error = Failed, media.Reason(err), err.Error()
				break
			}
			r.Video = &Video{Codec: string(file.Format), Width: file.Width, Height: file.Height, Frames: 1}
			r.Profile = cfg.For(f.Path, f.Rel).Profile()
			stills = append(stills, plannedStill{len(results), f.Path})
		default:
			info, err := tools.Probe(ctx, f.Path, cfg.Limits)
			if ctx.Err() != nil {
				return nil, Estimate{}, ctx.Err()
			}
			if err != nil {
				r.Outcome, r.Reason, r.Error = Failed, media.Reason(err), err.Error()
				break
			}
			r.Video, r.Profile = describe(info), cfg.For(f.Path, f.Rel).Profile()
			container := strings.TrimPrefix(filepath.Ext(cfg.Output.FileName(f.Rel)), ".")
			planned = append(planned, plannedVideo{len(results), info, f.Rel, container,
				kind{info.Width * info.Height, r.Profile}})
		}
		results = append(results, r)
	}
	estimate, err := estimate(ctx, opts, planned, stills, results)
	return results, estimate, err
}

// plannedStill is a picture that a run would anonymize.
type plannedStill struct {
	result int // index of its result
	path   string
}

// plannedVideo is a video that a run would anonymize.
type plannedVideo struct {
	result         int // index of its result
	info           media.Info
	rel, container string
	kind
}

// kind is what the time per frame depends on: the area in pixels, and the profile.
type kind struct {
	size    int
	profile string
}

func describe(info media.Info) *Video {
	return &Video{
		Codec: info.Codec, Width: info.Width, Height: info.Height, Duration: info.Duration.Seconds(),
		FrameRate: math.Round(info.FrameRate.Float()*1000) / 1000, Frames: info.EstimatedFrames,
	}
}

// speed is how long a kind of video takes to process. share is in seconds per second of video.
type speed struct {
	kind
	share float64
}

// far returns how different two kinds are.
func (s speed) far(k kind) float64 {
	ratio := float64(max(s.size, k.size)) / float64(max(1, min(s.size, k.size)))
	if s.profile != k.profile {
		ratio += otherProfile
	}
	return ratio
}

// otherProfile is larger than the ratio of any two frame sizes.
const otherProfile = 1e9

// estimate measures some of the videos, and estimates the time of each video from the measured one of the most similar
// kind, in proportion to duration and frame area.
func estimate(ctx context.Context, opts Options, planned []plannedVideo, stills []plannedStill,
	results []Result) (e Estimate, err error) {
	samples := samplesOf(planned)
	if len(samples) == 0 && len(stills) == 0 {
		return e, nil
	}
	lift, err := resources.Claim(opts.Config.Resources.Limits())
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, lift()) }()
	start := time.Now()
	runner, models, err := open(ctx, opts)
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, models.Close()) }()
	e.Seconds = time.Since(start).Seconds()
	if err := e.addStills(ctx, runner, stills, results); err != nil || len(samples) == 0 {
		return e, err
	}
	var speeds []speed
	for _, p := range samples {
		as, err := runner.For(p.info.Path, p.rel)
		if err != nil {
			return e, err
		}
		measured, err := as.Measure(ctx, p.info, p.container, sampleLength, sampleTime)
		if ctx.Err() != nil {
			return Estimate{}, ctx.Err()
		}
		if err != nil || measured.Frames < 2 || measured.Shown <= 0 {
			continue // the run will report what is wrong with it
		}
		shown := measured.Shown.Seconds() * float64(measured.Frames) / float64(measured.Frames-1)
		speeds = append(speeds, speed{p.kind, measured.Took.Seconds() / shown})
		e.Samples, e.Frames = e.Samples+1, e.Frames+measured.Frames
	}
	if len(speeds) == 0 {
		return e, nil
	}
	for _, p := range planned {
		nearest := slices.MinFunc(speeds, func(a, b speed) int {
			return cmp.Compare(a.far(p.kind), b.far(p.kind))
		})
		r := &results[p.result]
		r.Seconds = nearest.share * p.info.Duration.Seconds() * float64(p.size) / float64(nearest.size)
		e.Seconds += r.Seconds
	}
	return e, nil
}

// addStills measures a burst of the first few pictures, and assigns the mean time to each picture: most of the time
// does not depend on the size.
func (e *Estimate) addStills(ctx context.Context, runner *anonymize.Runner, stills []plannedStill,
	results []Result) error {
	var paths []string
	for _, s := range stills[:min(len(stills), maxStills)] {
		paths = append(paths, s.path)
	}
	each, measured, err := runner.MeasurePictures(ctx, paths)
	if err != nil || measured == 0 {
		return err
	}
	e.Samples, e.Frames = e.Samples+measured, e.Frames+measured
	for _, s := range stills {
		results[s.result].Seconds = each.Seconds()
		e.Seconds += each.Seconds()
	}
	return nil
}

// maxStills is how many pictures are measured.
const maxStills = 6

// samplesOf returns the videos to measure.
func samplesOf(planned []plannedVideo) []plannedVideo {
	total := map[kind]time.Duration{}
	longest := map[kind]plannedVideo{}
	for _, p := range planned {
		if p.info.Duration <= 0 {
			continue
		}
		total[p.kind] += p.info.Duration
		if p.info.Duration > longest[p.kind].info.Duration {
			longest[p.kind] = p
		}
	}
	var samples []plannedVideo
	for _, p := range longest {
		samples = append(samples, p)
	}
	slices.SortFunc(samples, func(a, b plannedVideo) int {
		return cmp.Or(cmp.Compare(total[b.kind], total[a.kind]), cmp.Compare(a.size, b.size),
			cmp.Compare(a.profile, b.profile))
	})
	return samples[:min(len(samples), maxSamples)]
}
