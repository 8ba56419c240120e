// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/pipeline"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

const (
	// A sample has one frame per sampleDense of a short video, and at least minSample. A longer video has fullSample
	// frames, or one per sampleSparse if that is more, up to maxSample: they cost little compared with the video itself.
	sampleDense, sampleSparse        = 500 * time.Millisecond, 30 * time.Second
	minSample, fullSample, maxSample = 3, 20, 100
)

// errOverlooked means that nobody was found in a video, but that someone may have been overlooked.
var errOverlooked = errors.New("nobody was found, but somebody may be there")

// checkNobody searches a sample of the frames thoroughly if nobody was found in the video. If it finds someone, or
// cannot search, it sets the video's second pass and fails with errOverlooked. Otherwise it selects frames from all
// over the video for the reviewer.
func (a *attempt) checkNobody(ctx context.Context) error {
	if !a.summary.NobodyFound() {
		return nil
	}
	shown := a.writer.Shown()
	if a.Config.Recall != config.Thorough {
		second, err := a.searchSample(ctx, shown)
		if err != nil {
			return err
		}
		if second != nil {
			a.second = second
			return errOverlooked
		}
	}
	a.span.NobodyFound()
	if a.review.recorder != nil {
		frames := spread(len(shown), a.Config.Report.Tiles)
		for i, at := range a.timesOf(shown, frames) {
			a.review.recorder.NobodyFound(frames[i], at)
		}
	}
	return nil
}

// searchSample searches a sample of the source's frames as recall: thorough does. It returns why the whole video must
// be searched that way, or nil if it need not be.
func (a *attempt) searchSample(ctx context.Context, shown []int64) (*report.SecondPass, error) {
	info := a.plan.Info()
	length := info.TimeOf(shown[len(shown)-1]) - info.TimeOf(shown[0])
	frames := spread(len(shown), sampleSize(length))
	times := a.timesOf(shown, frames)
	second := &report.SecondPass{FirstFrames: len(shown)}
	errFound := errors.New("found")
	err := a.asThorough().search(ctx, info, times, func(i int, heads []mask.Head, err error) error {
		second.Frame, second.Time = frames[i], times[i].Seconds()
		if err == nil && len(heads) > 0 {
			err = errFound
		}
		return err
	})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, media.ErrVanished): // whether the output counts is decided as for any other video
		return nil, nil
	case errors.Is(err, inference.ErrUnavailable):
		return nil, err
	case errors.Is(err, errFound):
		second.Reason = report.SampleShowsPeople
	case err != nil:
		second.Reason = report.SampleFailed
		a.logger.Warn("a sample of the video could not be searched", zap.Error(err))
	default:
		return nil, nil
	}
	return second, nil
}

// search searches the frames of a video at the given times, as many at once as there are workers. It calls use in
// order, with the heads found in each frame or the error of its search, and stops at the first error that use returns.
func (r *Runner) search(ctx context.Context, info media.Info, times []time.Duration,
	use func(i int, heads []mask.Head, err error) error) error {
	type result struct {
		heads []mask.Head
		err   error
	}
	options := r.pipelineOptions(1)
	results := make(chan chan result, max(1, options.Workers-1))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(results)
		return r.Tools.Stills(ctx, info, times, func(_ int, frame *media.Frame) error {
			frame, err := vision.Turned(frame, 0) // a copy
			if err != nil {
				return err
			}
			found := make(chan result, 1)
			select {
			case results <- found:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			group.Go(func() error {
				heads, err := pipeline.Search(ctx, frame, options)
				found <- result{heads, err}
				return nil
			})
			return nil
		})
	})
	group.Go(func() error {
		i := 0
		for found := range results {
			of := <-found
			if err := use(i, of.heads, of.err); err != nil {
				return err
			}
			i++
		}
		return nil
	})
	return group.Wait()
}

// timesOf returns the times of frames since the first frame, given the PTS of all frames.
func (a *attempt) timesOf(shown []int64, frames []int) []time.Duration {
	info := a.plan.Info()
	times := make([]time.Duration, len(frames))
	for i, frame := range frames {
		times[i] = info.TimeOf(shown[frame]) - info.TimeOf(shown[0])
	}
	return times
}

// sampleSize returns the number of frames to sample from a video.
func sampleSize(length time.Duration) int {
	dense := min(fullSample, max(minSample, int(length/sampleDense)))
	return min(maxSample, max(dense, int(length/sampleSparse)+1))
}

// spread returns count indices below total, or all of them, in the middles of count equal parts.
func spread(total, count int) []int {
	count = min(count, total)
	indices := make([]int, count)
	for i := range indices {
		indices[i] = (2*i + 1) * total / (2 * count)
	}
	return indices
}

// asThorough returns the runner with recall: thorough.
func (r *Runner) asThorough() *Runner { return r.with(r.Config.AsThorough(), r.Models.thorough) }

// with returns the runner with another configuration and its looks.
func (r *Runner) with(cfg *config.Config, l looks) *Runner {
	as := *r
	as.Config, as.Models = cfg, r.Models.with(profileLooks{l, r.Models.thorough, r.Models.pictures})
	return &as
}

// passAgain makes the video's next pass, or the rest of it, use recall: thorough.
func (v *video) passAgain(second *report.SecondPass) {
	v.Runner, v.second = v.asThorough(), second
	v.span.SecondPass(second.Reason)
}
