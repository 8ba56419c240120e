// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// models is a detector, pose estimator, face detector and segmenter, all of which work unless fail makes one of them
// fail.
type models struct {
	detector
	fail map[string]func(index int) error
}

func (m *models) Detect(ctx context.Context, f *media.Frame) ([]vision.Detection, vision.Steps, error) {
	if err := m.fails("detector", f); err != nil {
		return nil, vision.Steps{}, err
	}
	return m.detector.Detect(ctx, f)
}

func (m *models) Estimate(_ context.Context, f *media.Frame,
	people []vision.Detection) ([]vision.Pose, vision.Steps, error) {
	err := m.fails("pose", f)
	if errors.Is(err, errTooFew) {
		return nil, vision.Steps{}, nil
	}
	return make([]vision.Pose, len(people)), vision.Steps{}, err
}

func (m *models) DetectFaces(_ context.Context, f *media.Frame) ([]vision.Face, vision.Steps, error) {
	return nil, vision.Steps{}, m.fails("faces", f)
}

func (m *models) Segment(_ context.Context, f *media.Frame,
	people []vision.Detection) ([]vision.Silhouette, vision.Steps, error) {
	err := m.fails("segmentation", f)
	if errors.Is(err, errTooFew) {
		return nil, vision.Steps{}, nil
	}
	silhouettes := make([]vision.Silhouette, len(people))
	for i, p := range people {
		silhouettes[i] = vision.Silhouette{Box: p.Box, Cells: vision.NewBitmap(8, 8)}
	}
	return silhouettes, vision.Steps{}, err
}

// others finds a screen in the lower left corner of each frame.
type others struct{ *models }

func (o others) Detect(_ context.Context, f *media.Frame) ([]vision.Detection, vision.Steps, error) {
	return []vision.Detection{{Box: vision.Box{X0: 10, Y0: 140, X1: 60, Y1: 170}, Score: .5}}, vision.Steps{Batches: 1},
		o.fails("others", f)
}

func (m *models) fails(model string, f *media.Frame) error {
	if fail := m.fail[model]; fail != nil {
		return fail(f.Index)
	}
	return nil
}

// errTooFew makes a model return fewer results than there are people.
var errTooFew = errors.New("too few")

// TestRunFailsClosed checks that whatever goes wrong in any model, the frame is masked entirely, the record gives the
// reason, the video continues, and frames that do not depend on that one are masked as usual.
func TestRunFailsClosed(t *testing.T) {
	const broken, frames = 6, 13
	reasons := map[string]error{
		"inference":     errors.New("session broke"),
		"not_finite":    vision.ErrNotFinite,
		"timeout":       inference.ErrTimeout,
		"out_of_memory": inference.ErrOutOfMemory,
		"panic":         nil,
		"too few":       errTooFew,
	}
	stages := map[string]string{"detector": record.StageDetection, "faces": record.StageDetection,
		"others": record.StageDetection,
		"pose":   record.StagePose, "segmentation": record.StagePose}
	for model, stage := range stages {
		for reason, cause := range reasons {
			if errors.Is(cause, errTooFew) && stage == record.StageDetection {
				continue // no results are valid here
			}
			t.Run(model+"/"+reason, func(t *testing.T) {
				m := &models{detector: detector{seen: map[int]bool{}},
					fail: map[string]func(int) error{model: func(index int) error {
						switch {
						case index != broken:
							return nil
						case cause == nil:
							panic("index out of range")
						}
						return fmt.Errorf("model.onnx: %w", cause)
					}}}
				source := &clip{frames: frames}
				out := &sink{source: source}
				opts := options(t, m)
				opts.PoseModel, opts.Quick.Faces, opts.Segmenter, opts.DetectEvery = m, m, m, 1
				opts.Others = others{m}
				require.NoError(t, Run(t.Context(), source, out, opts))
				assert.Equal(t, frames, out.summary.Frames)
				assert.Equal(t, 1, out.summary.MaskedWhole)
				for i, r := range out.records {
					if i != broken {
						assert.NoError(t, r.Err, "frame %d", i)
						assert.EqualValues(t, gray, out.corner[i], "frame %d is not masked whole", i)
						assert.EqualValues(t, 16, out.middle[i], "the head is masked in frame %d", i)
						continue
					}
					assert.True(t, r.WholeFrameMasked)
					assert.EqualValues(t, 16, out.corner[i])
					assert.Equal(t, stage, r.FailedStage)
					if errors.Is(cause, errTooFew) {
						assert.Equal(t, "inference", r.Reason)
						continue
					}
					assert.Equal(t, reason, r.Reason)
				}
			})
		}
	}
}

// TestUnavailableEndsTheRun checks that without an inference server, no frame is masked entirely: the run fails, and
// neither the frame that failed nor any after it is written.
func TestUnavailableEndsTheRun(t *testing.T) {
	const broken, frames = 40, 80
	for _, model := range []string{"detector", "faces", "pose", "segmentation"} {
		t.Run(model, func(t *testing.T) {
			m := &models{detector: detector{seen: map[int]bool{}},
				fail: map[string]func(int) error{model: func(index int) error {
					if index != broken {
						return nil
					}
					return fmt.Errorf("model.onnx: %w", inference.ErrUnavailable)
				}}}
			source := &clip{frames: frames}
			out := &sink{source: source}
			opts := options(t, m)
			opts.PoseModel, opts.Quick.Faces, opts.Segmenter, opts.DetectEvery = m, m, m, 1
			err := Run(t.Context(), source, out, opts)
			require.ErrorIs(t, err, inference.ErrUnavailable)
			assert.ErrorContains(t, err, "frame 40")
			assert.Zero(t, out.summary.MaskedWhole)
			assert.Less(t, out.summary.Frames, broken)
		})
	}
}

// TestSpansAreMadeBeforeInference checks that models get the span in the frame's record.
func TestSpansAreMadeBeforeInference(t *testing.T) {
	m := &traced{models: models{detector: detector{seen: map[int]bool{}}}, spans: map[*inference.Span]string{}}
	source := &clip{frames: 7}
	out := &sink{source: source}
	opts := options(t, m)
	opts.PoseModel, opts.DetectEvery = m, 3
	opts.Spans = func() (detection, pose *inference.Span) { return &inference.Span{}, &inference.Span{} }
	require.NoError(t, Run(t.Context(), source, out, opts))
	for i, rec := range out.records {
		if !rec.Analyzed {
			assert.Nil(t, rec.DetectionInference, "frame %d", i)
			continue
		}
		assert.Equal(t, "detector", m.spans[rec.DetectionInference], "frame %d", i)
		assert.Equal(t, "pose", m.spans[rec.PoseInference], "frame %d", i)
	}
}

// traced records which model got which span.
type traced struct {
	models
	mu    sync.Mutex
	spans map[*inference.Span]string
}

func (m *traced) Detect(ctx context.Context, f *media.Frame) ([]vision.Detection, vision.Steps, error) {
	m.note(ctx, "detector")
	return m.models.Detect(ctx, f)
}

func (m *traced) Estimate(ctx context.Context, f *media.Frame,
	people []vision.Detection) ([]vision.Pose, vision.Steps, error) {
	m.note(ctx, "pose")
	return m.models.Estimate(ctx, f, people)
}

func (m *traced) note(ctx context.Context, model string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spans[inference.SpanOf(ctx)] = model
}
