// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package anonymize runs one job, from claim to outcome: it takes a video that watch has claimed through the pipeline,
// writes the output in segments that survive a crash, and ends the job as done, failed, or released.
package anonymize

import (
	"context"
	"errors"
	"slices"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// Runner runs jobs. It is safe for concurrent use.
type Runner struct {
	Config  *config.Config
	Tools   media.Tools
	Models  *Models
	Painter *mask.Painter
	Emitter *telemetry.Emitter
	Space   *Space
	Burst   *Burst // nil for one picture at a time
	// Program is what reports name as the program that made an output.
	Program report.Program
	Logger  *zap.Logger
}

// Run runs the job and ends it as done, failed, canceled, or released. It is released if the context ends, the source
// changes, or someone asks for that.
func (r *Runner) Run(ctx context.Context, job *watch.Job) {
	r, noProfile := r.For(job.Path, job.Rel())
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	job.OnStop(stop)
	v := &claim{newVideo(r, job, fileOf(job)), job}
	if watch.IsPicture(job.Path) {
		err := v.runPicture(ctx, noProfile)
		v.conclude(ctx, err)
		return
	}
	info, err := r.probe(ctx, job.Path)
	err = errors.Join(err, noProfile)
	v.start(ctx, v.describe(info))
	if err == nil {
		v.logger.Info("video started", zap.Int64("frames_estimated", info.EstimatedFrames), zap.Int("attempt", job.Attempt),
			zap.String("profile", r.Config.Profile()))
		if streams := streamTexts(info); len(streams) > 0 {
			v.logger.Info("video has several video streams, of which one is used", zap.Strings("streams", streams))
		}
		if info.LeavesOutVideo() {
			job.KeepSource()
			v.logger.Info("the source is kept: a stream that is left out may be something other than a preview of the video")
		}
		err = v.convert(ctx, info)
	}
	v.conclude(ctx, err)
}

// newVideo returns the video to process for a file, or the picture, by its extension.
func newVideo(r *Runner, job job, f file) *video {
	return &video{Runner: r, job: job, file: f, kind: kindOf(f.Path), logger: r.Logger.With(zap.String("video", f.Path))}
}

// kindOf returns "picture" or "video", by the extension of a file.
func kindOf(path string) string {
	if watch.IsPicture(path) {
		return "picture"
	}
	return "video"
}

// start starts the telemetry of the video.
func (v *video) start(ctx context.Context, about telemetry.Video) {
	v.about = about
	if v.trace != "" {
		v.span = v.Emitter.VideoShared(ctx, about, v.trace)
		return
	}
	v.span = v.Emitter.VideoStarted(ctx, about)
}

// claim is a file that the watcher handed out. Its job receives the outcome.
type claim struct {
	*video
	job *watch.Job
}

// conclude is end, but logs errors.
func (v *claim) conclude(ctx context.Context, err error) {
	if err := v.end(ctx, err); err != nil {
		v.logger.Error("the outcome of the "+v.kind+" could not be recorded", zap.Error(err))
	}
}

func (r *Runner) probe(ctx context.Context, path string) (media.Info, error) {
	return twice(ctx, path, func() (media.Info, error) { return r.Tools.Probe(ctx, path, r.Config.Limits) })
}

// twice reads a file, and reads it again if the file seems to be at fault: a disk or network that fails for a moment
// must not make a video count as broken.
func twice[T any](ctx context.Context, path string, read func() (T, error)) (T, error) {
	result, err := read()
	if !media.Permanent(err) {
		return result, err
	}
	if err := media.CheckReadable(ctx, path); err != nil {
		return result, err
	}
	return read()
}

// end ends the job according to the error of its conversion.
func (v *claim) end(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return v.finished()
	case errors.Is(err, watch.ErrChanged), errors.Is(err, watch.ErrVanished):
		v.span.Interrupted()
		v.logger.Info(v.kind+" released: it will be processed again once it is complete", zap.NamedError("cause", err))
		v.job.Abandon()
	case errors.Is(context.Cause(ctx), watch.ErrCanceled):
		v.span.Interrupted()
		v.logger.Info(v.kind + " canceled: its source is untouched and there is no output")
		return v.job.Cancel()
	case ctx.Err() != nil:
		v.interrupted(err)
	case errors.Is(err, media.ErrVanished) && v.job.Unchanged() != nil:
		v.interrupted(err)
	case errors.Is(err, errReserved):
		v.span.Interrupted()
		v.logger.Info(v.kind+" is waiting for space that is reserved for videos in progress", zap.NamedError("cause", err))
		v.job.Postpone()
	case errors.Is(err, inference.ErrUnavailable):
		v.unavailable(err)
	default:
		return v.failed(err)
	}
	return nil
}

func (v *claim) finished() error {
	err := v.job.Done()
	v.span.Finished(v.result())
	logFinished(v.logger, v.kind, v.file.Output, v.summary)
	return err
}

func logFinished(logger *zap.Logger, kind, output string, summary record.Summary) {
	if summary.NobodyFound() {
		logger.Warn("nobody was found in the " + kind + ": make sure that nobody is there before you share it")
	}
	logger.Info(kind+" finished", zap.String("output", output), zap.Int("frames", summary.Frames),
		zap.Int("masks", summary.Masks), zap.Int("people_max", summary.MaxPeople),
		zap.Int("frames_masked_whole", summary.MaskedWhole))
}

// unavailable ends an attempt that got no answer from an inference server. That says nothing about the video, so the
// attempt does not count toward the limit.
func (v *claim) unavailable(cause error) {
	v.span.Unavailable(cause)
	v.logger.Error(v.kind+" is waiting for an inference server: its source is untouched and there is no output",
		zap.Bool("resumes_later", v.resumable()), zap.Error(cause))
	v.job.Await(v.resumable())
}

// resumable reports whether another attempt can continue where this one ended.
func (v *claim) resumable() bool { return v.sealed || v.job.Resumable() && !v.discard }

func (v *claim) interrupted(cause error) {
	v.span.Interrupted()
	resumable := v.resumable()
	v.logger.Info(v.kind+" released unfinished", zap.Bool("resumes_later", resumable), zap.NamedError("cause", cause))
	if resumable {
		v.job.Suspend()
	} else {
		v.job.Abandon()
	}
}

// LogFailed is the end of the log message about a video or picture that failed.
const LogFailed = " failed: its source is untouched and there is no output"

func (v *claim) failed(cause error) error {
	reason, temporary := classify(cause)
	retried := temporary && !v.job.LastAttempt()
	v.span.Failed(cause, reason, retried)
	v.logger.Error(v.kind+LogFailed, zap.String("reason", reason),
		zap.Bool("retried", retried), zap.Int("attempt", v.job.Attempt), zap.Error(cause))
	if !temporary {
		return v.job.Fail(reason, cause)
	}
	keep := v.job.Resumable() && !v.discard || v.sealed && leavesSegments(cause)
	return v.job.Retry(reason, cause, keep)
}

// leavesSegments reports whether a failure leaves the finished segments as good as they were.
func leavesSegments(cause error) bool {
	return slices.ContainsFunc([]error{watch.ErrTaken, media.ErrIO, media.ErrInterrupted, media.ErrStalled},
		func(harmless error) bool { return errors.Is(cause, harmless) })
}

// classify returns a one-word reason for a failure, and whether another attempt may succeed: what is wrong with the
// file itself does not change on a retry.
func classify(err error) (reason string, temporary bool) {
	if errors.Is(err, watch.ErrTaken) {
		return "exists", true
	}
	return media.Reason(err), !media.Permanent(err) || errors.Is(err, media.ErrNoHEVC) // support can be installed
}
