// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/pipeline"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/track"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// frameMemory bounds the decoded frames of one video held at once: 80 frames of 1080p, 20 of 2160p.
const frameMemory = 256 << 20

// video is one claimed file on its way to an outcome.
type video struct {
	receiver *videoReceiver
	job      *watch.Job
	span     *telemetry.VideoSpan
	sealed   bool // a part of it is safe, from which another attempt can resume
	// discard tells that this attempt may have failed because of what an earlier one left, or for want of the space that it takes.
	discard bool
}

// anonymize ends the job: done, failed, or given back when the context ends.
func (v *video) anonymize(ctx context.Context) {
	r, job := v.receiver, v.job
	logger := r.set.Logger.With(zap.String("video", job.Path))
	info, err := r.tools.Probe(ctx, job.Path, r.cfg.Limits)
	v.span = r.emitter.VideoStarted(ctx, v.describe(info))
	var summary pipeline.Summary
	if err == nil {
		logger.Info("video started", zap.Int64("frames_estimated", info.EstimatedFrames), zap.Int("attempt", job.Attempt))
		summary, err = v.convert(ctx, info)
	}
	switch {
	case err == nil:
		err = job.Done()
		v.span.Finished(v.result())
		logger.Info("video finished", zap.String("output", job.Output), zap.Int("frames", summary.Frames),
			zap.Int("masks", summary.Masks), zap.Int("people_max", summary.MaxPeople), zap.Int("frames_masked_whole", summary.MaskedWhole))
	case errors.Is(err, watch.ErrChanged), errors.Is(err, watch.ErrVanished):
		v.span.Interrupted()
		logger.Info("video given back: it is begun again once it is complete", zap.NamedError("cause", err))
		job.Abandon()
		return
	case ctx.Err() != nil:
		v.span.Interrupted()
		resumes := v.sealed || job.Resumable() && !v.discard
		logger.Info("video given back unfinished", zap.Bool("goes_on_later", resumes), zap.NamedError("cause", err))
		if resumes {
			job.Suspend()
		} else {
			job.Abandon()
		}
		return
	case errors.Is(err, errPromised):
		v.span.Interrupted()
		logger.Info("video waits for the space that videos under way may take", zap.NamedError("cause", err))
		job.Postpone()
		return
	default:
		reason, retry := classify(err)
		again := retry && job.Attempt < r.cfg.Retry.MaxAttempts
		if again {
			v.span.TriedAgain()
		}
		v.span.Failed(err, reason)
		logger.Error("video failed: its source is untouched and there is no output", zap.String("reason", reason),
			zap.Bool("tried_again", again), zap.Int("attempt", job.Attempt), zap.Error(err))
		if retry {
			keep := job.Resumable() && !v.discard || v.sealed && errors.Is(err, watch.ErrTaken) // under another name the same will do
			err = job.Retry(reason, err, keep)
		} else {
			err = job.Fail(reason, err)
		}
	}
	if err != nil {
		logger.Error("the outcome of the video could not be recorded", zap.Error(err))
	}
}

// convert writes the anonymized video under its final name, or leaves nothing behind but what a later attempt can go on from.
func (v *video) convert(ctx context.Context, info media.Info) (pipeline.Summary, error) {
	made, err := v.made()
	if err != nil {
		return pipeline.Summary{}, err
	}
	from, err := v.load(made)
	if err != nil {
		return pipeline.Summary{}, err
	}
	plan, err := media.NewPlan(info, writeOptions(v.receiver.cfg, v.job))
	if err != nil {
		v.job.Kept = false
		return pipeline.Summary{}, err
	}
	summary, err := v.run(ctx, plan, made, from)
	if errors.Is(err, media.ErrResume) {
		v.receiver.set.Logger.Warn("video begun anew", zap.String("video", v.job.Path), zap.NamedError("cause", err))
		v.sealed = false
		v.span.Resumed(0, 0)
		if err := v.job.Restart(); err != nil {
			return summary, err
		}
		summary, err = v.run(ctx, plan, made, nil)
	}
	return summary, err
}

// run takes the video through the pipeline, from a checkpoint on if there is one.
func (v *video) run(ctx context.Context, plan media.Plan, made string, from *checkpoint) (pipeline.Summary, error) {
	r, cfg, job := v.receiver, v.receiver.cfg, v.job
	// The tools end with this context, so that neither waits for the other when one fails.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var sealed *media.Progress
	if from != nil {
		sealed = &from.Video
		v.sealed = true
	}
	release, err := v.reserveSpace(plan)
	if err != nil {
		if !errors.Is(err, errPromised) {
			v.discard = true // others that wait for space get what its parts take
		}
		return pipeline.Summary{}, err
	}
	defer release()
	writer, err := r.tools.Create(ctx, job.Temp, plan, sealed)
	if err != nil {
		return pipeline.Summary{}, err
	}
	defer writer.Abort()
	reader, resume, err := v.open(ctx, plan.Info(), from, writer.Shown())
	if err != nil {
		return pipeline.Summary{}, err
	}
	defer reader.Close()
	review, err := newReview(ctx, r, job, plan, from)
	defer review.close()
	if err != nil {
		return pipeline.Summary{}, err
	}
	v.discard = true // what fails from here on may be due to it
	sink := &sealer{video: v, made: made, reader: reader, writer: writer, review: review}
	if from != nil {
		sink.begin, sink.done, sink.heads, sink.whole = from.Begin, from.Done, from.Heads, from.Whole
	}
	progress := newProgressLog(r.set.Logger.With(zap.String("video", job.Path)), v.span.Progress)
	summary, err := pipeline.Run(ctx, reader, sink, pipeline.Options{
		Detector:    r.models.detector,
		PoseModel:   r.models.pose,
		Faces:       r.models.faces,
		Segmenter:   r.models.segment,
		DetectEvery: cfg.DetectEvery,
		Workers:     parallelInferences(cfg),
		FrameMemory: frameMemory,
		Track: track.Options{
			LookAhead: cfg.LookAhead,
			Geometry: mask.GeometryOptions{
				MinScore: float32(cfg.Pose.ScoreThreshold), OnUncertain: cfg.Mask.OnUncertain, NoseDisc: cfg.Mask.Shape == mask.NoseDisc,
			},
		},
		Painter: r.painter,
		Review:  sink.reviewed,
		Observe: func(rec *telemetry.FrameRecord) {
			v.span.Frame(rec)
			progress.frame(time.Now())
		},
		Resume: resume,
	})
	if err != nil {
		return summary, err
	}
	if damage := reader.Damage(); damage != nil {
		v.span.Damaged(damage)
		writer.EndUnknown()
		r.set.Logger.Warn("video salvaged: parts of it do not decode, and are missing in the output",
			zap.String("video", job.Path), zap.Int("frames", summary.Frames), zap.Error(damage))
	}
	if err := writer.Finish(ctx); err != nil {
		return summary, err
	}
	companions, err := review.finish(ctx)
	if err != nil {
		return summary, err
	}
	// A source deleted meanwhile leaves this output as all that there is of the video.
	if err := job.Unchanged(); err != nil && !errors.Is(err, watch.ErrVanished) {
		return summary, err
	}
	return summary, job.Publish(companions...)
}

// open begins to decode: with the first frame, or, with a checkpoint, some seconds before those that are missing. shown are the PTS of
// those that are not.
func (v *video) open(ctx context.Context, info media.Info, from *checkpoint, shown []int64) (*media.Reader, *pipeline.Resume, error) {
	r := v.receiver
	options := readOptions(r.cfg)
	if from == nil {
		reader, err := r.tools.Open(ctx, info, options)
		return reader, nil, err
	}
	reader, err := r.tools.Resume(ctx, info, options, shown, v.resumeAt(shown, info))
	if err != nil {
		return nil, nil, err
	}
	v.span.Resumed(info.TimeOf(shown[len(shown)-1])-from.Begin, from.Done.Frames)
	r.set.Logger.Info("video goes on where an earlier attempt ended", zap.String("video", v.job.Path), zap.Int("frames_done", from.Done.Frames))
	return reader, &pipeline.Resume{First: from.Done.Frames, Begin: from.Begin, Before: from.seam, Done: from.Done}, nil
}

func readOptions(cfg *Config) media.ReadOptions {
	return media.ReadOptions{Salvage: cfg.OnDamaged == OnDamagedSalvage, Decoder: cfg.Tools.Decoder, Device: cfg.Tools.VAAPIDevice}
}

func writeOptions(cfg *Config, job *watch.Job) media.WriteOptions {
	opts := encoding(cfg)
	opts.Container = strings.TrimPrefix(filepath.Ext(job.Output), ".")
	return opts
}

// encoding is what the options of all outputs have in common.
func encoding(cfg *Config) media.WriteOptions {
	return media.WriteOptions{
		Codec:   cfg.Output.Codec,
		Quality: cfg.Output.Quality,
		Preset:  cfg.Output.Preset,
		Encoder: cfg.Output.Encoder,
		Device:  cfg.Tools.VAAPIDevice,
		Audio:   cfg.Output.Audio,
		Keep:    cfg.Output.Keep,
	}
}

func (v *video) describe(info media.Info) telemetry.Video {
	cfg := v.receiver.cfg
	return telemetry.Video{
		Name: filepath.Base(v.job.Path), Path: v.job.Path, Output: v.job.Output, Size: v.job.Size,
		Width: info.Width, Height: info.Height, FrameRate: info.FrameRate.Float(), Duration: info.Duration, Codec: info.Codec,
		Detector: cfg.Detector.Model, Pose: cfg.Pose.Model, Provider: cfg.Inference.Provider,
	}
}

func (v *video) result() telemetry.Result {
	result := telemetry.Result{Output: v.job.Output}
	if stat, err := os.Stat(v.job.Output); err == nil {
		result.Size = stat.Size()
	}
	return result
}

// classify says in a word why a video failed, and whether another attempt may pass: what the file itself is at fault for does
// not change by trying again.
func classify(err error) (reason string, retry bool) {
	if errors.Is(err, watch.ErrTaken) {
		return "exists", true
	}
	reason = media.Reason(err)
	for _, cause := range []error{media.ErrNotVideo, media.ErrNoVideoStream, media.ErrDamaged, media.ErrUnsupported, media.ErrLimit} {
		if errors.Is(err, cause) {
			return reason, false
		}
	}
	return reason, true
}

// fileName is the output's path below the output directory, for a source's path below the watched folder.
func (c *OutputConfig) fileName(source string) string {
	extension := filepath.Ext(source)
	stem := strings.TrimSuffix(filepath.Base(source), extension)
	container := c.Container
	if container == media.SameAsSource {
		container = media.ContainerFor(source)
	}
	name := strings.ReplaceAll(c.Name, "{name}", stem)
	return filepath.Join(filepath.Dir(source), fmt.Sprintf("%s.%s", name, container))
}
