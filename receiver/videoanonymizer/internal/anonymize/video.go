// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/pipeline"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/track"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

const (
	// frameMemory limits the decoded frames of one video that are held at once: 80 frames of 1080p, 20 of 2160p.
	frameMemory = 256 << 20
	// queueMemory is the memory for each worker, and for one more, so that none waits for another: 12 frames of 1080p.
	// With two workers it is part of frameMemory.
	queueMemory = 36 << 20
)

// video is a claimed file on its way to an outcome.
type video struct {
	*Runner
	job     job
	file    file
	shared  *sealer // nil unless several machines process the video
	kind    string  // "video" or "picture"
	span    *telemetry.VideoSpan
	about   telemetry.Video
	trace   string // trace parent of a video that several machines process; otherwise empty
	logger  *zap.Logger
	summary record.Summary
	repairs media.Repairs      // of the source's times
	salvage *report.Salvage    // nil if all of the source is in the output
	second  *report.SecondPass // nil in the first pass

	division division
	// patient makes it an error if an index takes too long: on another machine of a share, it may not.
	patient bool

	verifying sync.Mutex
	answers   uint64 // servers were verified up to this number of their answers

	saving sync.Mutex    // guards the next two while units are processed
	sealed bool          // another attempt can resume from a checkpoint on disk
	safe   map[int]int64 // frames on disk, by unit
	// discard means that this attempt may have failed because of what an earlier one left, or for lack of the space that
	// this takes up.
	discard bool
}

// convert publishes the anonymized video under its final name, or leaves nothing behind except what a later attempt can
// resume from.
func (v *video) convert(ctx context.Context, info media.Info) error {
	// Units and a second pass reopen the source, which may be deleted by then: the output is then all that is left of the
	// video.
	info, release, err := info.Hold()
	if err != nil {
		return err
	}
	defer release()
	from, err := v.loadCheckpoint()
	if err != nil {
		return err
	}
	if v.division, err = v.divide(ctx, info); err != nil {
		return err
	}
	return v.again(ctx, v.run(ctx, info, from), func() error { return v.restart(ctx, info) })
}

// again restarts the video as long as another pass avoids the error of the last one: in one piece if units do not fit
// together, once per pass if resuming fails, and with recall: thorough if nobody was found.
func (v *video) again(ctx context.Context, err error, restart func() error) error {
	for anew := false; ctx.Err() == nil; err = restart() {
		switch {
		case errors.Is(err, errUndivided) && !v.division.undivided:
			v.logger.Warn("video is processed in one piece, since its units do not fit together", zap.NamedError("cause", err))
			v.division.undivided = true
		case errors.Is(err, media.ErrResume) && !anew:
			v.logger.Warn("video restarted from the beginning", zap.NamedError("cause", err))
			anew = true
		case errors.Is(err, errOverlooked):
			v.logger.Warn("nobody was found in the video, but a thorough search of some of its frames does not confirm that: "+
				"it is processed again with recall: thorough", zap.String("reason", v.second.Reason),
				zap.Float64("time_s", v.second.Time))
			v.passAgain(v.second)
			anew = false
		default:
			return err
		}
	}
	return err
}

// restart discards what was done and takes the video through the pipeline from the beginning.
func (v *video) restart(ctx context.Context, info media.Info) error {
	v.sealed, v.division.saved = false, nil
	v.span.Restarted()
	if err := v.job.Restart(); err != nil {
		return err
	}
	return v.run(ctx, info, nil)
}

// run takes the video through the pipeline once, starting from a checkpoint if there is one, and publishes it.
func (v *video) run(ctx context.Context, info media.Info, from *checkpoint) error {
	fingerprint, err := v.fingerprint(v.file)
	if err != nil {
		return err
	}
	a := &attempt{video: v, fingerprint: fingerprint, from: from, progress: newProgressLog(v.logger, v.span.Progress)}
	a.atOnce = v.unitsAtOnce(from)
	if a.plan, err = media.NewPlan(info, writeOptions(v.Config, v.file, a.atOnce)); err != nil {
		v.discard = true
		return err
	}
	// The tools end with this context, so that neither waits for the other when one fails.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	v.answers, v.safe = v.Models.Answers(), map[int]int64{}
	defer a.close()
	if err := a.takeAll(ctx); err != nil {
		return err
	}
	if err := a.checkNobody(ctx); err != nil {
		return err
	}
	companions, err := a.finish(ctx)
	if a.joined && errors.Is(err, media.ErrResume) {
		return undividedIf(err)
	}
	if err != nil {
		return err
	}
	if err := v.checkModels(ctx, fingerprint); err != nil {
		return err
	}
	// If the source was deleted meanwhile, this output is all that is left of the video.
	if err := v.job.Unchanged(); err != nil && !errors.Is(err, watch.ErrVanished) {
		return err
	}
	return v.job.Publish(companions...)
}

// checkModels fails if servers no longer serve what they served when the video began.
func (v *video) checkModels(ctx context.Context, fingerprint string) error {
	v.verifying.Lock() // units are processed concurrently
	defer v.verifying.Unlock()
	answers, err := v.Models.Verify(ctx, v.answers)
	if err != nil {
		return err
	}
	v.answers = answers
	again, err := v.fingerprint(v.file)
	if err == nil && again != fingerprint {
		err = fmt.Errorf("%w: one serves a different model than when the video began: the video is processed again",
			inference.ErrUnavailable)
	}
	return err
}

// attempt is one pass over a video, or over one of its units: what it reads and writes.
type attempt struct {
	*video
	plan        media.Plan
	fingerprint string
	from        *checkpoint // nil starts from the beginning
	atOnce      int         // units processed at once
	unit        *unitWork   // nil for the whole video
	joined      bool        // from units
	progress    *progressLog

	release func() // releases the reserved space
	writer  *media.Writer
	reader  *media.Reader
	review  *review
	resume  *pipeline.Resume
}

// takeAll reserves space and takes all frames through the pipeline.
func (a *attempt) takeAll(ctx context.Context) (err error) {
	if a.release, err = a.reserveSpace(a.plan); err != nil {
		// Unless space is only reserved, this video's segments make room for other videos that wait for space.
		a.discard = a.discard || !errors.Is(err, errReserved)
		return err
	}
	a.sealed = a.from != nil || len(a.division.saved) > 0
	if a.divided() {
		a.discard = true
		return a.processUnits(ctx)
	}
	if err := a.open(ctx); err != nil {
		return err
	}
	a.discard = true // whatever fails from here on may fail because of what an earlier attempt left
	_, err = a.process(ctx)
	return err
}

// open opens everything that the pipeline reads and writes. close closes what was opened, even after a failure.
func (a *attempt) open(ctx context.Context) (err error) {
	var sealed *media.Progress
	if a.from != nil {
		sealed = &a.from.Video
	}
	if a.writer, err = a.create(ctx, a.temp(filepath.Ext(a.file.Temp)), sealed); err != nil {
		return err
	}
	if a.picturesTaken() {
		a.writer.CompareKeyFrames()
	}
	if err = a.openReader(ctx); err != nil {
		return err
	}
	a.review, err = a.openReview(ctx)
	return err
}

// create creates the writer of the frames, or of their preview.
func (a *attempt) create(ctx context.Context, path string, sealed *media.Progress) (*media.Writer, error) {
	if a.unit != nil {
		return a.Tools.CreatePart(ctx, path, a.plan, sealed, a.division.times[0])
	}
	return a.Tools.Create(ctx, path, a.plan, sealed)
}

// temp returns the path of a temporary file of the video, or of its unit. The suffix includes the extension.
func (a *attempt) temp(suffix string) string {
	if a.unit != nil {
		suffix = a.unit.mark() + suffix
	}
	return a.job.TempFor(suffix)
}

// picturesTaken reports whether the contact sheet gets pictures of frames as they are written. With units or several
// machines, the output is decoded for it instead: which frames are weakest is known only once everything is joined.
func (a *attempt) picturesTaken() bool {
	return a.Config.Report.ContactSheet && a.unit == nil && a.shared == nil
}

// openReader starts decoding at the first frame or, with a checkpoint, some seconds before the first missing frame.
func (a *attempt) openReader(ctx context.Context) (err error) {
	info, options := a.plan.Info(), readOptions(a.Config, a.atOnce)
	options.OneClock = a.plan.CopiesStreams()
	if a.unit != nil {
		return a.openUnitReader(ctx, info, options)
	}
	if a.from == nil {
		a.reader, err = a.Tools.Open(ctx, info, options)
		return err
	}
	shown := a.writer.Shown()
	if a.reader, err = a.Tools.Resume(ctx, info, options, shown, a.resumeAt(shown, info, 1)); err != nil {
		return err
	}
	done := a.from.Done.Frames
	a.span.Resumed(info.TimeOf(shown[len(shown)-1])-a.from.Begin, done)
	a.logger.Info("video resumes where an earlier attempt ended", zap.Int("frames_done", done))
	a.resume = &pipeline.Resume{First: done, Begin: a.from.Begin}
	return nil
}

// process takes every frame through the pipeline into the sink.
func (a *attempt) process(ctx context.Context) (*sink, error) {
	sink, err := a.pass(ctx)
	if errors.Is(err, media.ErrDamaged) || errors.Is(err, media.ErrNotVideo) {
		a.reader.Close()
		if passing := a.confirm(ctx, err, -1); passing != nil {
			return nil, passing
		}
	}
	return sink, err
}

// pass runs the pipeline once. The sink knows what was written.
func (a *attempt) pass(ctx context.Context) (*sink, error) {
	options := a.pipelineOptions(a.atOnce)
	options.Resume = a.resume
	if a.Models.client != nil {
		options.Spans = a.span.Inferences
	}
	if a.unit != nil {
		options.Until = a.unit.until
	}
	s := newSink(ctx, a)
	err := pipeline.Run(ctx, a.reader, s, options)
	if a.unit == nil { // join adds up the units
		a.summary, a.repairs = s.summary, s.repairs
	}
	return s, err
}

// pipelineOptions returns how to analyze and mask videos of which the given number of units are processed at once.
// These share the slots for frames in analysis, so that memory does not grow with their number. They do not share the
// frames held for the look-ahead, which decide what is masked.
func (r *Runner) pipelineOptions(units int) pipeline.Options {
	cfg := r.Config
	workers := (parallelInferences(cfg) + units - 1) / units
	return pipeline.Options{
		Quick:          r.Models.quick,
		Full:           r.Models.full,
		Region:         r.Models.region,
		Turned:         r.Models.turned,
		SurveyInterval: cfg.Detector.Survey.Interval,
		Overlap:        float32(cfg.Detector.OverlapThreshold),
		PoseModel:      r.Models.pose,
		Segmenter:      r.Models.segmenter,
		Others:         r.Models.others,
		DetectEvery:    cfg.DetectEvery,
		Workers:        workers,
		Pool:           r.Models.pool,
		FrameMemory:    frameMemory,
		QueueMemory:    queueMemory * int64(workers+1),
		Track: track.Options{
			LookAhead: cfg.LookAhead,
			Geometry: mask.GeometryOptions{
				MinScore:    float32(cfg.Pose.ScoreThreshold),
				OnUncertain: cfg.Mask.OnUncertain,
				NoseDisc:    cfg.Mask.Shape == mask.NoseDisc,
			},
		},
		Painter: r.Painter,
	}
}

// confirm fails if something other than the file is to blame for the damage. frames is the number of frames of an
// output to be published, negative for none.
func (a *attempt) confirm(ctx context.Context, damage error, frames int) error {
	a.logger.Info("video seems damaged: it is read and decoded again, to tell damage from a temporary fault",
		zap.NamedError("damage", damage))
	err := a.Tools.ConfirmDamage(ctx, a.plan.Info(), readOptions(a.Config, 1), frames)
	if err != nil {
		return fmt.Errorf("%w (at first: %s)", err, damage.Error())
	}
	return nil
}

// finish completes the output and its companion files under their temporary names, the latter while the output is
// verified.
func (a *attempt) finish(ctx context.Context) (companions []watch.Companion, err error) {
	if damage := a.damage(); damage != nil {
		if err := a.confirm(ctx, damage, a.summary.Frames); err != nil {
			return nil, err
		}
		a.salvaged(damage)
	}
	if repairs := a.repairs; repairs != (media.Repairs{}) {
		a.span.Repaired(repairs.Times, repairs.ClockSteps)
		a.logger.Warn("video has frame times that do not increase: they are repaired", zap.Stringer("repairs", repairs))
		if repairs.ClockSteps > 0 {
			a.writer.EndUnknown()
		}
		a.review.repairs = &repairs
	}
	err = a.writer.FinishBeside(ctx, func(ctx context.Context) (err error) {
		companions, err = a.review.finish(ctx)
		return err
	})
	return companions, err
}

// damage returns what could not be decoded; nil for a video that was joined from units.
func (a *attempt) damage() error {
	if a.reader == nil {
		return nil
	}
	return a.reader.Damage()
}

// salvaged records that parts of the source are missing from the output. The source may then be all that is left of
// them, and a better decoder may find more, so it stays unless the configuration says otherwise.
func (a *attempt) salvaged(damage error) {
	a.writer.EndUnknown()
	a.span.Damaged(damage)
	a.salvage = &report.Salvage{Damage: damage.Error(), SourceKept: a.keepsSource()}
	if a.salvage.SourceKept {
		a.job.KeepSource()
	}
	message := "video salvaged: parts of it cannot be decoded, and are missing from the output or incomplete"
	if a.salvage.SourceKept {
		message += ", so its source is kept"
	}
	a.logger.Warn(message, zap.Int("frames", a.summary.Frames), zap.Error(damage))
}

// keepsSource reports whether the source stays in place after its salvage.
func (a *attempt) keepsSource() bool {
	return a.Config.Output.OnSalvage != config.OnSalvageAsSuccess || a.Config.Output.OnSuccess == watch.OnSuccessKeep
}

// decoded returns how many frames were decoded.
func (a *attempt) decoded() int {
	if a.reader == nil {
		return 0
	}
	return a.reader.Decoded()
}

func (a *attempt) close() {
	if a.review != nil {
		a.review.close()
	}
	if a.reader != nil {
		a.reader.Close()
	}
	if a.writer != nil {
		_ = a.writer.Abort()
	}
	if a.release != nil {
		a.release()
	}
}

func (v *video) describe(info media.Info) telemetry.Video {
	return telemetry.Video{
		Key:  v.file.Path,
		Name: filepath.Base(v.file.Path), Path: v.file.Path, Output: v.file.Output, Size: v.file.Size,
		Width: info.Width, Height: info.Height, FrameRate: info.FrameRate.Float(), Duration: info.Duration, Codec: info.Codec,
		Streams:  streamTexts(info),
		Profile:  v.Config.Profile(),
		Detector: v.Config.Detector.Model, Pose: v.Config.Pose.Model, Provider: v.Config.Inference.Provider,
		DetectorServed: v.served("detector::model"), PoseServed: v.served("pose::model"), Served: v.servedTexts(),
	}
}

// streamTexts returns descriptions of the video streams of a source that has several.
func streamTexts(info media.Info) (texts []string) {
	for _, s := range info.Streams {
		texts = append(texts, s.String())
	}
	return texts
}

func (v *video) result() telemetry.Result {
	result := telemetry.Result{Output: v.file.Output}
	if stat, err := os.Stat(v.file.Output); err == nil {
		result.Size = stat.Size()
	}
	return result
}

// readOptions returns how to decode a video of which the given number of units are processed at once.
func readOptions(cfg *config.Config, units int) media.ReadOptions {
	decoder, _ := videoThreads(runtime.GOMAXPROCS(0), runtime.NumCPU(), units*cfg.MaxConcurrentVideos)
	return media.ReadOptions{
		Threads: decoder,
		Salvage: cfg.OnDamaged == config.OnDamagedSalvage,
		Decoder: cfg.Tools.Decoder,
		Device:  cfg.Tools.VAAPIDevice,
	}
}

// videoThreads divides the cores that this process may use among the videos, or units of them, that are processed at
// once, for ffmpeg's decoder and encoder. By itself, ffmpeg counts the cores of the machine for each video, whatever
// the quota of a container, and starts one and a half times as many encoder threads; 0 leaves the number to ffmpeg.
func videoThreads(usable, all, videos int) (decoder, encoder int) {
	if videos == 1 && usable >= all {
		return 0, 0
	}
	return max(1, usable/videos), max(1, 3*usable/2/videos)
}

func writeOptions(cfg *config.Config, f file, units int) media.WriteOptions {
	options := encoding(cfg, units)
	options.Container = strings.TrimPrefix(filepath.Ext(f.Output), ".")
	return options
}

// encoding returns the options that all outputs have in common.
func encoding(cfg *config.Config, units int) media.WriteOptions {
	_, encoder := videoThreads(runtime.GOMAXPROCS(0), runtime.NumCPU(), units*cfg.MaxConcurrentVideos)
	return media.WriteOptions{
		Threads:     encoder,
		Codec:       cfg.Output.Codec,
		PixelFormat: cfg.Output.PixelFormat,
		Quality:     cfg.Output.Quality,
		Preset:      cfg.Output.Preset,
		Encoder:     cfg.Output.Encoder,
		Device:      cfg.Tools.VAAPIDevice,
		Audio:       cfg.Output.Audio,
		Keep:        cfg.Output.Keep,
	}
}

// OpenTools finds ffmpeg and ffprobe, confines them, and tries the configured decoder and encoder, so that what does
// not work shows at once rather than with the first video.
func OpenTools(ctx context.Context, cfg *config.Config) (media.Tools, error) {
	tools, err := media.FindTools(cfg.Tools.FFmpeg, cfg.Tools.FFprobe)
	if err != nil {
		return tools, err
	}
	return tools.Confine(ctx, cfg.Tools.Confine, func(t media.Tools) error {
		return errors.Join(t.CheckDecoder(ctx, readOptions(cfg, 1)), t.CheckEncoder(ctx, encoding(cfg, 1)))
	})
}
