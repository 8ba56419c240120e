// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// previewMark is in the name of each preview, so that nobody mistakes it for the output.
const previewMark = "_PREVIEW"

// PreviewPath returns the name of the preview of an output.
func PreviewPath(output string) string {
	extension := filepath.Ext(output)
	return strings.TrimSuffix(output, extension) + previewMark + extension
}

// CompanionPaths returns the names of the files that may accompany an output.
func CompanionPaths(cfg config.Report, output string) []string {
	var paths []string
	if cfg.Enabled {
		paths = append(paths, report.Path(output))
	}
	if cfg.ContactSheet {
		paths = append(paths, report.SheetPath(output))
	}
	if cfg.Preview == config.PreviewBoxes {
		paths = append(paths, PreviewPath(output))
	}
	return paths
}

// review makes the companion files of one output.
type review struct {
	*attempt
	streams  []media.VideoStream // of the source, if there are several
	repairs  *media.Repairs      // of the source's times, if any
	source   report.File
	written  *media.Writer    // of the output
	recorder *report.Recorder // nil without report and contact sheet
	preview  *media.Writer    // nil without preview
	first    time.Duration    // the first frame's time
}

// openReview starts the configured companion files, or resumes them from a checkpoint. What it returns must be closed,
// even after a failure. The source is hashed before it is decoded: what is published in the end is made from this very
// file, since the job checks that it has not changed.
func (a *attempt) openReview(ctx context.Context) (*review, error) {
	r := &review{attempt: a, written: a.writer, streams: a.plan.Info().Streams}
	cfg := a.Config.Report
	if cfg.Preview == config.PreviewBoxes {
		var sealed *media.Progress
		if a.from != nil {
			sealed, r.first = a.from.Preview, a.from.Begin
		}
		var err error
		if a.unit != nil {
			r.first = a.begin()
		}
		if r.preview, err = a.create(ctx, r.previewTemp(), sealed); err != nil {
			return r, err
		}
	}
	if !cfg.Enabled && !cfg.ContactSheet {
		return r, nil
	}
	if err := r.openRecorder(ctx, a.from); err != nil {
		return r, err
	}
	r.recorder.Expect(spread(int(a.plan.Info().EstimatedFrames), cfg.Tiles))
	return r, nil
}

func (r *review) openRecorder(ctx context.Context, from *checkpoint) (err error) {
	if from != nil { // an attempt that was killed before it published them may have left them
		_, _ = os.Remove(r.reportTemp()), os.Remove(r.sheetTemp())
	}
	if err := r.identifySource(ctx); err != nil {
		return err
	}
	frames := r.temp(framesSuffix)
	if from == nil && r.unit != nil {
		r.recorder, err = report.NewPart(frames, r.begin())
		return err
	}
	if from == nil {
		r.recorder, err = report.NewRecorder(frames)
		return err
	}
	if r.recorder, err = report.ResumeRecorder(frames, *from.Report); err != nil {
		return media.SealedError(frames, err)
	}
	return nil
}

// Suffixes of temporary files: the report, and the file in which its frames are collected.
const (
	reportSuffix = ".report.json"
	framesSuffix = ".frames.json"
)

// identifySource hashes the source for the report, once for all units.
func (r *review) identifySource(ctx context.Context) (err error) {
	if !r.Config.Report.Enabled || r.unit != nil {
		return nil
	}
	if r.source, err = report.Identify(ctx, r.plan.Info().Source()); err != nil {
		return readError(ctx, err)
	}
	r.source.Name = filepath.Base(r.file.Path)
	return nil
}

// readError marks an error as one of the disk or the network, unless the context has ended.
func readError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w: %w", media.ErrIO, err)
}

// seal makes what was written so far durable.
func (r *review) seal() (preview *media.Progress, frames *report.Progress, err error) {
	if r.preview != nil {
		p, err := r.preview.Seal()
		if err != nil {
			return nil, nil, err
		}
		preview = &p
	}
	if r.recorder != nil {
		p, err := r.recorder.Seal()
		if err != nil {
			return nil, nil, err
		}
		frames = &p
	}
	return preview, frames, nil
}

func (r *review) reportTemp() string { return r.job.TempFor(reportSuffix) }

func (r *review) sheetTemp() string { return r.job.TempFor(".review.jpg") }

func (r *review) previewTemp() string { return r.temp(previewMark + filepath.Ext(r.file.Output)) }

// frame adds an anonymized frame to the companion files once it is encoded, and draws on it.
func (r *review) frame(frame *media.Frame, rec *record.Frame) error {
	if r.recorder != nil {
		if err := r.recorder.Add(rec); err != nil {
			return err
		}
	}
	if r.picturesTaken() {
		r.recorder.Picture(frame, r.Config.Report.Tiles)
	}
	if r.preview == nil {
		return nil
	}
	if rec.Index == 0 {
		r.first = rec.PTS
	}
	report.Draw(frame, rec, rec.PTS-r.first, float32(r.Config.Pose.ScoreThreshold))
	return r.preview.Write(frame)
}

// finish makes the files that are published with the output, which is complete at the job's Temp.
func (r *review) finish(ctx context.Context) (companions []watch.Companion, err error) {
	if r.Config.Report.Enabled {
		written := watch.Companion{Temp: r.reportTemp(), Path: report.Path(r.file.Output)}
		if err := r.writeReport(ctx, written.Temp); err != nil {
			return nil, err
		}
		companions = append(companions, written)
	}
	if r.Config.Report.ContactSheet {
		drawn := watch.Companion{Temp: r.sheetTemp(), Path: report.SheetPath(r.file.Output)}
		switch err := r.drawSheet(ctx, drawn.Temp); {
		case err == nil:
			companions = append(companions, drawn)
		case ctx.Err() != nil:
			return nil, err
		case !errors.Is(err, report.ErrNothingToShow): // the report has the same information in numbers
			r.logger.Warn("the video is published without its contact sheet", zap.Error(err))
		}
	}
	if r.preview != nil {
		if err := r.preview.Finish(ctx); err != nil {
			return nil, err
		}
		companions = append(companions, watch.Companion{Temp: r.previewTemp(), Path: PreviewPath(r.file.Output)})
	}
	return companions, nil
}

// sheetAttempts is how often drawing a contact sheet is tried: what ended its decoder, such as a signal, may be gone
// the next time.
const sheetAttempts = 3

// drawSheet draws the contact sheet from pictures of frames as they were encoded if the output shows the same, and
// otherwise from frames of the output.
func (r *review) drawSheet(ctx context.Context, path string) (err error) {
	if err := r.written.Compared(); err != nil && ctx.Err() == nil {
		r.logger.Warn("the contact sheet is drawn from the decoded output, which may differ from what was encoded",
			zap.Error(err))
		r.recorder.Forget()
	}
	for range sheetAttempts {
		err = report.WriteSheet(ctx, r.Tools, r.file.Temp, path, r.recorder.Weakest(), r.Config.Report.Tiles)
		if err == nil || ctx.Err() != nil || errors.Is(err, report.ErrNothingToShow) || media.Permanent(err) {
			return err
		}
		_ = os.Remove(path)
	}
	return err
}

func (r *review) writeReport(ctx context.Context, path string) error {
	output, err := report.Identify(ctx, r.file.Temp)
	if err != nil {
		return err
	}
	output.Name = filepath.Base(r.file.Output)
	return r.recorder.Write(path, report.About{
		Program:      r.Program,
		Source:       r.source,
		VideoStreams: r.streams,
		Repairs:      r.repairs,
		Output:       output,
		Models:       r.Models.identify(),
		Settings:     settings(r.Config),
		Salvage:      r.salvage,
		SecondPass:   r.second,
		Encoding:     encodingOf(writeOptions(r.Config, r.file, 1)),
		Segments:     r.written.Segments(),
	})
}

// encodingOf returns how an output was encoded, so that parts of it can be encoded the same way again.
func encodingOf(o media.WriteOptions) *report.Encoding {
	return &report.Encoding{
		Container: o.Container, Codec: o.Codec, PixelFormat: o.PixelFormat, Quality: o.Quality, Preset: o.Preset,
		Encoder: o.Encoder, Audio: o.Audio, Keep: o.Keep,
	}
}

// close closes everything that is open, finished or not. The job removes the files.
func (r *review) close() {
	if r.recorder != nil {
		r.recorder.Close()
	}
	if r.preview != nil {
		_ = r.preview.Abort()
	}
}

// settings returns the effective values that decide what is masked.
func settings(cfg *config.Config) report.Settings {
	s := report.Settings{
		Profile:            cfg.Profile(),
		Recall:             string(cfg.Recall),
		DetectEvery:        cfg.DetectEvery,
		LookAhead:          cfg.LookAhead.Seconds(),
		ScoreThreshold:     cfg.Detector.ScoreThreshold,
		BlurredThreshold:   cfg.Detector.BlurredThreshold,
		CandidateThreshold: cfg.Detector.CandidateThreshold,
		FaceThreshold:      cfg.Detector.FaceThreshold,
		OverlapThreshold:   cfg.Detector.OverlapThreshold,
		Tiles:              cfg.Detector.Tiles,
		MinPersonSize:      cfg.Detector.MinPersonSize,
		Survey:             cfg.Detector.Survey.Enabled,
		SurveyInterval:     cfg.Detector.Survey.Interval.Seconds(),
		SurveyTurned:       cfg.Detector.Survey.Turned,
		PoseThreshold:      cfg.Pose.ScoreThreshold,
		Method:             string(cfg.Mask.Method),
		Shape:              string(cfg.Mask.Shape),
		Fill:               string(cfg.Mask.Fill),
		Color:              cfg.Mask.Color,
		Scale:              cfg.Mask.Scale,
		MaxSize:            cfg.Mask.MaxSize,
		OnUncertain:        string(cfg.Mask.OnUncertain),
		Regions:            []report.Region{},
		Provider:           cfg.Inference.Provider,
	}
	for _, thing := range cfg.Mask.Also {
		s.Also = append(s.Also, string(thing))
	}
	for _, r := range cfg.Mask.PainterOptions().Regions {
		s.Regions = append(s.Regions, report.Region{
			Action: string(r.Action), Polygon: r.Polygon, From: r.From.Seconds(), To: r.To.Seconds(),
		})
	}
	return s
}
