// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"context"
	"errors"
	"path/filepath"

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

	_ struct{}
}

// reportPath is the name of the report on an output.
func reportPath(output string) string { return output + ".report.json" }

// sheetPath is the name of the contact sheet of an output.
func sheetPath(output string) string { return output + ".review.jpg" }

func (c *ReportConfig) validate() []error {
	return []error{inRange("tiles", c.Tiles, 1, 100, "the moments that a contact sheet shows")}
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
	return paths
}

// review is what is made beside one output.
type review struct {
	receiver *videoReceiver
	job      *watch.Job
	source   report.File
	recorder *report.Recorder // nil without report and contact sheet
}

// newReview begins what is configured. The source is identified before it is decoded: what is published in the end is of this very
// file, since the job sees to it that it has not changed.
func newReview(ctx context.Context, r *videoReceiver, job *watch.Job) (*review, error) {
	v := &review{receiver: r, job: job}
	cfg := r.cfg.Report
	if !cfg.Enabled && !cfg.ContactSheet {
		return v, nil
	}
	var err error
	if cfg.Enabled {
		if v.source, err = report.Identify(ctx, job.Path); err != nil {
			return nil, err
		}
	}
	v.recorder, err = report.NewRecorder(job.TempFor(".frames.json"))
	return v, err
}

// frame takes each frame once it is encoded.
func (v *review) frame(_ *media.Frame, rec *telemetry.FrameRecord) error {
	if v.recorder == nil {
		return nil
	}
	return v.recorder.Add(rec)
}

// finish makes the files that are published with the output, which lies complete at the job's Temp.
func (v *review) finish(ctx context.Context) (made []watch.Companion, err error) {
	if v.receiver.cfg.Report.Enabled {
		about, err := v.about(ctx)
		if err != nil {
			return nil, err
		}
		written := watch.Companion{Temp: v.job.TempFor(".report.json"), Path: reportPath(v.job.Output)}
		if err := v.recorder.Write(written.Temp, about); err != nil {
			return nil, err
		}
		made = append(made, written)
	}
	if v.receiver.cfg.Report.ContactSheet {
		drawn := watch.Companion{Temp: v.job.TempFor(".review.jpg"), Path: sheetPath(v.job.Output)}
		switch err := v.drawSheet(ctx, drawn.Temp); {
		case err == nil:
			made = append(made, drawn)
		case ctx.Err() != nil:
			return nil, err
		case !errors.Is(err, report.ErrNothingToShow): // the report tells the same in numbers
			v.receiver.set.Logger.Warn("a video comes without its contact sheet", zap.String("video", v.job.Path), zap.Error(err))
		}
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
