// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"context"
	"path/filepath"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// ReportConfig says what comes beside an output, so that a person can check it.
type ReportConfig struct {
	// Enabled writes an audit report: <output>.report.json.
	Enabled bool `mapstructure:"enabled"`

	_ struct{}
}

// reportPath is the name of the report on an output.
func reportPath(output string) string { return output + ".report.json" }

// beside are the files that may come with an output.
func (c *ReportConfig) beside(output string) []string {
	var paths []string
	if c.Enabled {
		paths = append(paths, reportPath(output))
	}
	return paths
}

// review is what is made beside one output.
type review struct {
	receiver *videoReceiver
	job      *watch.Job
	source   report.File
	recorder *report.Recorder // nil without a report
}

// newReview begins what is configured. The source is identified before it is decoded: what is published in the end is of this very
// file, since the job sees to it that it has not changed.
func newReview(ctx context.Context, r *videoReceiver, job *watch.Job) (*review, error) {
	v := &review{receiver: r, job: job}
	if !r.cfg.Report.Enabled {
		return v, nil
	}
	var err error
	if v.source, err = report.Identify(ctx, job.Path); err != nil {
		return nil, err
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
func (v *review) finish(ctx context.Context) ([]watch.Companion, error) {
	if v.recorder == nil {
		return nil, nil
	}
	about, err := v.about(ctx)
	if err != nil {
		return nil, err
	}
	written := watch.Companion{Temp: v.job.TempFor(".report.json"), Path: reportPath(v.job.Output)}
	return []watch.Companion{written}, v.recorder.Write(written.Temp, about)
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
