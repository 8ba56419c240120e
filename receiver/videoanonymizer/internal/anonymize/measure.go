// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/pipeline"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
)

// Measured is how long processing the first frames of a video took.
type Measured struct {
	Frames int
	// Shown is how long the frames play. Took is how long decoding, analysis, masking and encoding took.
	Shown, Took time.Duration
}

// Measure takes the first frames of a video through the pipeline: those that play within length, or fewer if they take
// longer than most. The output goes to a temporary folder, which is removed.
func (r *Runner) Measure(ctx context.Context, info media.Info, container string, length,
	most time.Duration) (m Measured, err error) {
	folder, err := os.MkdirTemp("", "otelcol-anonymizer-")
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	options := encoding(r.Config, 1)
	options.Container = container
	plan, err := media.NewPlan(info, options)
	if err != nil {
		return m, err
	}
	ctx, cancel := context.WithCancel(ctx) // ends the decoder and the encoder
	defer cancel()
	writer, err := r.Tools.Create(ctx, filepath.Join(folder, "sample."+container), plan, nil)
	if err != nil {
		return m, err
	}
	defer func() { _ = writer.Abort() }()
	reader, err := r.Tools.Open(ctx, plan.Info(), readOptions(r.Config, 1))
	if err != nil {
		return m, err
	}
	defer reader.Close()
	sample := &sample{reader: reader, writer: writer, length: length, most: most, start: time.Now()}
	if err := pipeline.Run(ctx, sample, sample, r.pipelineOptions(1)); err != nil {
		return m, err
	}
	if _, err := writer.Seal(); err != nil {
		return m, err
	}
	sample.measured.Took = time.Since(sample.start)
	return sample.measured, nil
}

// sample is the beginning of a video.
type sample struct {
	reader       *media.Reader
	writer       *media.Writer
	length, most time.Duration
	start        time.Time
	first        *time.Duration // the first frame's time
	measured     Measured
}

// Next returns the next frame, and io.EOF after the sample's last one.
func (s *sample) Next() (*media.Frame, error) {
	if s.first != nil && time.Since(s.start) >= s.most {
		return nil, io.EOF
	}
	frame, err := s.reader.Next()
	if err != nil {
		return nil, err
	}
	if s.first == nil {
		first := frame.Time
		s.first = &first
	}
	if frame.Time-*s.first >= s.length {
		frame.Release()
		return nil, io.EOF
	}
	return frame, nil
}

// Write encodes a frame.
func (s *sample) Write(frame *media.Frame, rec *record.Frame) error {
	start := time.Now()
	if err := s.writer.Write(frame); err != nil {
		return err
	}
	rec.Encoded(start)
	s.measured.Frames++
	s.measured.Shown = frame.Time - *s.first
	return nil
}
