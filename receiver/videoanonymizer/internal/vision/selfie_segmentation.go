// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"context"
	"fmt"
	"image"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// selfieSegmentation is MediaPipe's selfie segmentation (Google, 2020): input uint8 [N,S,S,3] RGB, output float32
// [N,S,S], the probability that a pixel shows a person. The crop is a square around the person.
type selfieSegmentation struct {
	session inference.Session
	opts    SegmenterOptions
	size    int
}

func newSelfieSegmentation(session inference.Session, opts SegmenterOptions) (Segmenter, error) {
	size, ok := squareInput(session)
	out := session.Outputs()
	if !ok || len(out) != 1 || out[0].Type != "float" || !hasShape(out[0], anySize, int64(size), int64(size)) {
		return nil, shapeError(session, "selfie_segmentation", "one input uint8 [N,S,S,3] and one output float32 [N,S,S]")
	}
	return &selfieSegmentation{session: session, opts: opts, size: size}, nil
}

// Segment implements Segmenter.
func (m *selfieSegmentation) Segment(
	ctx context.Context, frame *media.Frame, people []Detection,
) ([]Silhouette, Steps, error) {
	return inBatches("find the silhouettes", people, m.opts.MaxPeoplePerBatch,
		func(people []Detection, steps *Steps) ([]Silhouette, error) {
			return m.segmentBatch(ctx, frame, people, steps)
		})
}

func (m *selfieSegmentation) segmentBatch(
	ctx context.Context, frame *media.Frame, people []Detection, steps *Steps,
) ([]Silhouette, error) {
	silhouettes := make([]Silhouette, len(people))
	read := func(output []float32, crops []image.Rectangle) error {
		pixels := m.size * m.size
		if len(output) != len(people)*pixels {
			return fmt.Errorf("%w: %s returned %d values for %d people",
				inference.ErrModel, m.session.Name(), len(output), len(people))
		}
		for i, crop := range crops {
			cells, err := m.read(output[i*pixels:][:pixels])
			if err != nil {
				return err
			}
			box := Box{X0: float32(crop.Min.X), Y0: float32(crop.Min.Y), X1: float32(crop.Max.X), Y1: float32(crop.Max.Y)}
			silhouettes[i] = Silhouette{Box: box, Cells: cells}
		}
		return nil
	}
	if err := runOnCrops(ctx, m.session, frame, people, m.opts.BoxScale, m.size, steps, read); err != nil {
		return nil, err
	}
	return silhouettes, nil
}

// read sets the cells whose probability is high enough.
func (m *selfieSegmentation) read(probabilities []float32) (Bitmap, error) {
	cells := NewBitmap(m.size, m.size)
	for i, p := range probabilities {
		if !finite(p) {
			return cells, ErrNotFinite
		}
		if p >= m.opts.ScoreThreshold {
			cells.Set(i%m.size, i/m.size)
		}
	}
	return cells, nil
}
