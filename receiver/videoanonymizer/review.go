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

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// ReportConfig says what comes beside an output, so that a person can check it.
type ReportConfig struct {
	// Enabled writes an audit report: <output>.report.json.
	Enabled bool `mapstructure:"enabled"`
	// ContactSheet makes a picture of the weakest moments, from the output: <output>.review.jpg.
	ContactSheet bool `mapstructure:"contact_sheet"`
	// Tiles is the most moments that a contact sheet shows.
	Tiles int `mapstructure:"tiles"`
	// Preview is none or boxes: a copy of the output with everything drawn on it that was found, <name>_PREVIEW.<extension>.
	Preview Preview `mapstructure:"preview"`

	_ struct{}
}

// Preview is what a preview shows.
type Preview string

// The previews.
const (
	NoPreview    Preview = "none"
	PreviewBoxes Preview = "boxes"
)

var previews = []Preview{NoPreview, PreviewBoxes}

// previewMark is in the name of each preview, so that nobody takes it for the output.
const previewMark = "_PREVIEW"

// reportPath is the name of the report on an output.
func reportPath(output string) string { return output + ".report.json" }

// sheetPath is the name of the contact sheet of an output.
func sheetPath(output string) string { return output + ".review.jpg" }

// previewPath is the name of the preview of an output.
func previewPath(output string) string {
	extension := filepath.Ext(output)
	return strings.TrimSuffix(output, extension) + previewMark + extension
}

func (c *ReportConfig) validate() []error {
	return []error{oneOf("preview", c.Preview, previews), inRange("tiles", c.Tiles, 1, 100, "the moments that a contact sheet shows")}
}

// beside are the files that may come with an output.
func (c *ReportConfig) beside(output string) []string {
	var paths []string
	if c.Enabled {
		paths = append(paths, reportPath(output))
	}
	if c.ContactSheet {
		paths = append(paths, sheetPath(output))
	}
	if c.Preview == PreviewBoxes {
		paths = append(paths, previewPath(output))
	}
	return paths
}

// review is what is made beside one output.
type review struct {
	receiver *videoReceiver
	job      *watch.Job
	source   report.File
	recorder *report.Recorder // nil without report and contact sheet
	preview  *media.Writer    // nil without preview
	first    time.Duration    // the first frame's time
}

// newReview begins what is configured, or goes on with it from a checkpoint; it is to be closed on failure, too. The source is
// identified before it is decoded: what is published in the end is of this very file, since the job sees to it that it has not changed.
func newReview(ctx context.Context, r *videoReceiver, job *watch.Job, plan media.Plan, from *checkpoint) (*review, error) {
	v := &review{receiver: r, job: job}
	var err error
	cfg := r.cfg.Report
	if cfg.Preview == PreviewBoxes {
		var sealed *media.Progress
		if from != nil {
			sealed, v.first = from.Preview, from.Begin
		}
		if v.preview, err = r.tools.Create(ctx, v.previewTemp(), plan, sealed); err != nil {
			return v, err
		}
	}
	if !cfg.Enabled && !cfg.ContactSheet {
		return v, nil
	}
	if from != nil { // an attempt that was killed before it published them may have left them
		_, _ = os.Remove(v.reportTemp()), os.Remove(v.sheetTemp())
	}
	if cfg.Enabled {
		if v.source, err = report.Identify(ctx, job.Path); err != nil {
			return v, err
		}
	}
	frames := job.TempFor(".frames.json")
	if from == nil {
		v.recorder, err = report.NewRecorder(frames)
	} else if v.recorder, err = report.ResumeRecorder(frames, *from.Report); err != nil {
		err = fmt.Errorf("%w: %w", media.ErrResume, err)
	}
	return v, err
}

// seal makes safe what was made so far.
func (v *review) seal() (preview *media.Progress, frames *report.Progress, err error) {
	if v.preview != nil {
		p, err := v.preview.Seal()
		if err != nil {
			return nil, nil, err
		}
		preview = &p
	}
	if v.recorder != nil {
		p, err := v.recorder.Seal()
		if err != nil {
			return nil, nil, err
		}
		frames = &p
	}
	return preview, frames, nil
}

func (v *review) reportTemp() string { return v.job.TempFor(".report.json") }

func (v *review) sheetTemp() string { return v.job.TempFor(".review.jpg") }

func (v *review) previewTemp() string { return v.job.TempFor(previewMark + filepath.Ext(v.job.Output)) }

// frame takes each frame once it is encoded, anonymized as it is, and draws on it.
func (v *review) frame(frame *media.Frame, rec *telemetry.FrameRecord) error {
	if v.recorder != nil {
		if err := v.recorder.Add(rec); err != nil {
			return err
		}
	}
	if v.preview == nil {
		return nil
	}
	if rec.Index == 0 {
		v.first = rec.PTS
	}
	report.Draw(frame, rec, rec.PTS-v.first, float32(v.receiver.cfg.Pose.ScoreThreshold))
	return v.preview.Write(frame)
}

// finish makes the files that are published with the output, which lies complete at the job's Temp.
func (v *review) finish(ctx context.Context) (made []watch.Companion, err error) {
	if v.receiver.cfg.Report.Enabled {
		about, err := v.about(ctx)
		if err != nil {
			return nil, err
		}
		written := watch.Companion{Temp: v.reportTemp(), Path: reportPath(v.job.Output)}
		if err := v.recorder.Write(written.Temp, about); err != nil {
			return nil, err
		}
		made = append(made, written)
	}
	if v.receiver.cfg.Report.ContactSheet {
		drawn := watch.Companion{Temp: v.sheetTemp(), Path: sheetPath(v.job.Output)}
		switch err := v.drawSheet(ctx, drawn.Temp); {
		case err == nil:
			made = append(made, drawn)
		case ctx.Err() != nil:
			return nil, err
		case !errors.Is(err, report.ErrNothingToShow): // the report tells the same in numbers
			v.receiver.set.Logger.Warn("a video comes without its contact sheet", zap.String("video", v.job.Path), zap.Error(err))
		}
	}
	if v.preview != nil {
		if err := v.preview.Finish(ctx); err != nil {
			return nil, err
		}
		made = append(made, watch.Companion{Temp: v.previewTemp(), Path: previewPath(v.job.Output)})
	}
	return made, nil
}

func (v *review) drawSheet(ctx context.Context, path string) error {
	return report.WriteSheet(ctx, v.receiver.tools, v.job.Temp, path, v.recorder.Weakest(), v.receiver.cfg.Report.Tiles)
}

// close ends what was begun, finished or not. The job removes the files.
func (v *review) close() {
	if v.recorder != nil {
		v.recorder.Close()
	}
	if v.preview != nil {
		_ = v.preview.Abort()
	}
}

func (v *review) about(ctx context.Context) (report.About, error) {
	output, err := report.Identify(ctx, v.job.Temp)
	if err != nil {
		return report.About{}, err
	}
	output.Name = filepath.Base(v.job.Output)
	build := v.receiver.set.BuildInfo
	return report.About{
		Program:  report.Program{Name: build.Command, Version: build.Version},
		Source:   v.source,
		Output:   output,
		Models:   v.receiver.models.used,
		Settings: settings(v.receiver.cfg),
	}, nil
}

// settings are those in force that decide what is masked.
func settings(cfg *Config) report.Settings {
	s := report.Settings{
		Recall:             string(cfg.Recall),
		DetectEvery:        cfg.DetectEvery,
		LookAhead:          cfg.LookAhead.Seconds(),
		ScoreThreshold:     cfg.Detector.ScoreThreshold,
		CandidateThreshold: cfg.Detector.CandidateThreshold,
		FaceThreshold:      cfg.Detector.FaceThreshold,
		OverlapThreshold:   cfg.Detector.OverlapThreshold,
		Tiles:              cfg.Detector.Tiles,
		MinPersonSize:      cfg.Detector.MinPersonSize,
		PoseThreshold:      cfg.Pose.ScoreThreshold,
		Method:             string(cfg.Mask.Method),
		Shape:              string(cfg.Mask.Shape),
		Fill:               string(cfg.Mask.Fill),
		Scale:              cfg.Mask.Scale,
		MaxSize:            cfg.Mask.MaxSize,
		OnUncertain:        string(cfg.Mask.OnUncertain),
		Regions:            []report.Region{},
		Provider:           cfg.Inference.Provider,
	}
	for _, r := range cfg.Mask.regions() {
		s.Regions = append(s.Regions, report.Region{
			Action: string(r.Action), Polygon: r.Polygon, From: r.From.Seconds(), To: r.To.Seconds(),
		})
	}
	return s
}
