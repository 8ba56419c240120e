// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/picture"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/pipeline"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// runPicture runs a job whose source is a still picture, and returns the error to pass to end. No neighboring frames
// make up for what is overlooked in a picture, so forPictures searches it.
func (v *video) runPicture(ctx context.Context, noProfile error) error {
	v.Runner = v.forPictures()
	file, err := v.readPicture(ctx)
	v.start(ctx, v.describePicture(file))
	if err := errors.Join(err, noProfile); err != nil {
		return err
	}
	v.logger.Info("picture started", zap.String("format", string(file.Format)), zap.Int("width", file.Width),
		zap.Int("height", file.Height), zap.Int("attempt", v.file.Attempt), zap.String("profile", v.Config.Profile()))
	if len(file.LeftOut) > 0 {
		v.job.KeepSource()
		v.logger.Info("the source is kept: the output has only its picture", zap.Strings("left_out", file.LeftOut))
	}
	return v.convertPicture(ctx, file)
}

// forPictures returns the runner with recall: thorough, which includes a survey in all directions, and with more views
// of large pictures. Keys that are set in the configuration still take precedence.
func (r *Runner) forPictures() *Runner { return r.with(r.Config.AsThorough(), r.Models.pictures) }

// readPicture reads the file and its header. What it reads counts as the number of pixels that take as much memory.
func (v *video) readPicture(ctx context.Context) (*picture.File, error) {
	size, err := picture.Stat(v.file.Path)
	if err != nil {
		return nil, err
	}
	free, err := v.Burst.acquire(ctx, size/bytesPerPixel)
	if err != nil {
		return nil, err
	}
	defer free()
	return twice(ctx, v.file.Path, func() (*picture.File, error) { return picture.Read(v.file.Path, v.Config.Limits) })
}

// describePicture describes the file, which is nil if it cannot be read.
func (v *video) describePicture(file *picture.File) telemetry.Video {
	about := v.describe(media.Info{})
	about.Picture = true
	if file != nil {
		about.Width, about.Height, about.Codec = file.Width, file.Height, string(file.Format)
	}
	return about
}

// convertPicture publishes the masked picture under its final name, or leaves nothing behind.
func (v *video) convertPicture(ctx context.Context, file *picture.File) error {
	if v.job.Resumable() { // a picture is too little work to resume
		if err := v.job.Restart(); err != nil {
			return err
		}
	}
	v.discard = true
	fingerprint, err := v.fingerprint(v.file)
	if err != nil {
		return err
	}
	v.answers = v.Models.Answers()
	free, err := v.Burst.acquire(ctx, max(file.Pixels(), file.Size/bytesPerPixel))
	if err != nil {
		return err
	}
	defer free()
	release, err := v.reserveFor(2 * file.EstimateSize()) // the report is small
	if err != nil {
		return err
	}
	defer release()
	rec, err := v.writePicture(ctx, file)
	if err != nil {
		return err
	}
	companions, err := v.reportPicture(ctx, file, rec)
	if err != nil {
		return err
	}
	v.span.Frame(rec)
	if v.summary.NobodyFound() {
		v.span.NobodyFound()
	}
	if err := v.checkModels(ctx, fingerprint); err != nil {
		return err
	}
	if err := v.job.Unchanged(); err != nil && !errors.Is(err, watch.ErrVanished) {
		return err
	}
	return v.job.Publish(companions...)
}

// writePicture decodes the picture, takes it through the pipeline, and writes it to the job's Temp.
func (v *video) writePicture(ctx context.Context, file *picture.File) (*record.Frame, error) {
	start := time.Now()
	p, err := file.Decode(ctx, v.Tools)
	if err != nil {
		return nil, err
	}
	frames := p.Frames()
	decoded := vision.Interval{Start: start, End: time.Now()}
	rec, err := v.maskPicture(ctx, frames)
	if err != nil {
		return nil, err
	}
	rec.Start, rec.Decode = start, decoded
	encoding := time.Now()
	if err := p.Write(ctx, v.file.Temp, frames, picture.Options{
		WebPQuality: v.Config.Output.WebPQuality, JPEGQuality: v.Config.Output.JPEGQuality, Keep: v.Config.Output.Keep,
	}); err != nil {
		return nil, err
	}
	rec.Encoded(encoding)
	v.summary.Count(rec)
	return rec, nil
}

// maskPicture masks the frames of a picture, which show the same content in different ways. It returns the record of
// the first frame, with what was masked in the others.
func (v *video) maskPicture(ctx context.Context, frames []*media.Frame) (*record.Frame, error) {
	var spans func() (detection, pose *inference.Span)
	if v.Models.client != nil {
		spans = v.span.Inferences
	}
	var all *record.Frame
	for _, frame := range frames {
		rec, err := v.maskStill(ctx, frame, spans)
		if err != nil {
			return nil, err
		}
		numbers := new(trackNumbers)
		if all == nil {
			all = rec
			numbers.renumber(all)
			spans = nil // a picture has the spans of one frame
			continue
		}
		for _, h := range all.Heads {
			numbers.last = max(numbers.last, h.Track)
		}
		numbers.renumber(rec)
		all.Include(rec)
	}
	return all, nil
}

// maskStill masks a frame without neighbors. spans is pipeline.Options.Spans.
func (r *Runner) maskStill(ctx context.Context, frame *media.Frame, spans func() (detection, pose *inference.Span)) (
	*record.Frame, error,
) {
	options := r.pipelineOptions(1)
	options.Workers, options.Spans = 1, spans
	still := &still{frame: frame}
	err := pipeline.Run(ctx, still, still, options)
	return &still.record, err
}

// still is a video of one frame: source and sink of the pipeline.
type still struct {
	frame  *media.Frame
	given  bool
	record record.Frame
}

// Next returns the frame, and then io.EOF.
func (s *still) Next() (*media.Frame, error) {
	if s.given {
		return nil, io.EOF
	}
	s.given = true
	return s.frame, nil
}

// Write keeps the record of the frame, which is masked in place.
func (s *still) Write(_ *media.Frame, rec *record.Frame) error {
	rec.Encoded(time.Now())
	s.record = *rec
	return nil
}

// reportPicture writes the report, if one is configured. A contact sheet of one picture would be that picture.
func (v *video) reportPicture(ctx context.Context, file *picture.File, rec *record.Frame) ([]watch.Companion, error) {
	if !v.Config.Report.Enabled {
		return nil, nil
	}
	source, err := report.Identify(ctx, v.file.Path)
	if err != nil {
		return nil, readError(ctx, err)
	}
	output, err := report.Identify(ctx, v.file.Temp)
	if err != nil {
		return nil, err
	}
	output.Name = filepath.Base(v.file.Output)
	recorder, err := report.NewRecorder(v.job.TempFor(framesSuffix))
	if err != nil {
		return nil, err
	}
	defer recorder.Close()
	if err := recorder.Add(rec); err != nil {
		return nil, err
	}
	if v.summary.NobodyFound() {
		recorder.NobodyFound(0, 0)
	}
	written := watch.Companion{Temp: v.job.TempFor(reportSuffix), Path: report.Path(v.file.Output)}
	return []watch.Companion{written}, recorder.Write(written.Temp, report.About{
		Program: v.Program, Source: source, Output: output, Models: v.Models.identify(), Settings: settings(v.Config),
		Picture: &report.StillPicture{
			Format: string(file.Format), Width: file.Width, Height: file.Height, LeftOut: file.LeftOut,
		},
	})
}

// reserveFor makes sure that files of the given total size will fit on the disk before any of them is written.
func (v *video) reserveFor(bytes int64) (release func(), err error) {
	if v.Config.Output.MinFreeSpace == config.NoSpaceCheck {
		return func() {}, nil
	}
	release, err = v.Space.reserve(v.file.Temp, writtenAt, bytes, v.Config.Output.MinFreeSpace<<20)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", v.file.Path, err)
	}
	return release, nil
}

// MeasurePictures takes pictures through the pipeline, as many at once as in a burst. It returns how long each took on
// average, and how many were measured. It skips pictures that cannot be read, and writes nothing.
func (r *Runner) MeasurePictures(ctx context.Context, paths []string) (each time.Duration, measured int, err error) {
	as := r.forPictures()
	var frames []*media.Frame
	start := time.Now()
	for _, path := range paths {
		file, err := picture.Read(path, r.Config.Limits)
		if err != nil {
			continue
		}
		if p, err := file.Decode(ctx, r.Tools); err == nil {
			frames = append(frames, p.Frames()...)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelInferences(r.Config) + 1)
	for _, frame := range frames {
		group.Go(func() error {
			_, err := as.maskStill(ctx, frame, nil)
			return err
		})
	}
	if err := group.Wait(); err != nil || len(frames) == 0 {
		return 0, 0, err
	}
	return time.Since(start) / time.Duration(len(frames)), len(frames), nil
}
