// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"context"
	"fmt"
	"image"
	"math/bits"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/onnx"
)

// Silhouette marks what shows people in a part of the frame.
type Silhouette struct {
	// Box is the part, which the cells divide evenly.
	Box   Box
	Cells Bitmap
}

// Bitmap is a set of cells in rows.
type Bitmap struct {
	Width, Height int
	words         []uint64 // whole words for each row
}

// NewBitmap returns an empty set of width x height cells, both 1 or more.
func NewBitmap(width, height int) Bitmap {
	return Bitmap{Width: width, Height: height, words: make([]uint64, (width+63)/64*height)}
}

// Set adds a cell.
func (b Bitmap) Set(x, y int) { b.row(y)[x/64] |= 1 << (x % 64) }

// Clear removes a cell.
func (b Bitmap) Clear(x, y int) { b.row(y)[x/64] &^= 1 << (x % 64) }

// At reports whether a cell is in the set.
func (b Bitmap) At(x, y int) bool { return b.row(y)[x/64]>>(x%64)&1 == 1 }

// Clone returns a copy.
func (b Bitmap) Clone() Bitmap {
	b.words = append([]uint64(nil), b.words...)
	return b
}

// Runs calls use with each longest range x0 to before x1 of cells that are set in any of the rows y0 to before y1.
func (b Bitmap) Runs(y0, y1 int, use func(x0, x1 int)) {
	n := (b.Width + 63) / 64
	start := -1
	for i := range n {
		var word uint64
		for y := y0; y < y1; y++ {
			word |= b.words[y*n+i]
		}
		for x := 0; x < 64; {
			rest := word >> x
			if start >= 0 {
				rest = ^rest
			}
			step := bits.TrailingZeros64(rest)
			if x += step; x >= 64 {
				break
			}
			if start < 0 {
				start = i*64 + x
				continue
			}
			use(start, i*64+x)
			start = -1
		}
	}
	if start >= 0 {
		use(start, b.Width)
	}
}

func (b Bitmap) row(y int) []uint64 {
	n := (b.Width + 63) / 64
	return b.words[y*n:][:n]
}

// selfieSegmentation is MediaPipe's selfie segmentation (Google, 2020): input uint8 [N,S,S,3] RGB, output float32 [N,S,S], the
// probability that a pixel shows a person. The crop is a square around the person.
type selfieSegmentation struct {
	session *onnx.Session
	opts    SegmenterOptions
	size    int
}

// SegmenterOptions say how people are segmented.
type SegmenterOptions struct {
	// ScoreThreshold 0..1: what is less likely a person is none.
	ScoreThreshold float32
	// MaxPeoplePerBatch and BoxScale are as for poses.
	MaxPeoplePerBatch int
	BoxScale          float32
}

func newSelfieSegmentation(session *onnx.Session, opts SegmenterOptions) (Segmenter, error) {
	in, out := session.Inputs(), session.Outputs()
	if len(in) != 1 || in[0].Type != "uint8" || len(in[0].Shape) != 4 || in[0].Shape[1] <= 0 || in[0].Shape[1] != in[0].Shape[2] ||
		in[0].Shape[3] != 3 || len(out) != 1 || out[0].Type != "float" || len(out[0].Shape) != 3 ||
		out[0].Shape[1] != in[0].Shape[1] || out[0].Shape[2] != in[0].Shape[2] {
		return nil, shapeError(session, "selfie_segmentation", "one input uint8 [N,S,S,3] and one output float32 [N,S,S]")
	}
	return &selfieSegmentation{session: session, opts: opts, size: int(in[0].Shape[1])}, nil
}

// Segment implements Segmenter.
func (m *selfieSegmentation) Segment(ctx context.Context, frame *media.Frame, people []Detection) ([]Silhouette, Steps, error) {
	return inBatches("find the silhouette", people, m.opts.MaxPeoplePerBatch, func(people []Detection, steps *Steps) ([]Silhouette, error) {
		return m.segmentBatch(ctx, frame, people, steps)
	})
}

func (m *selfieSegmentation) segmentBatch(ctx context.Context, frame *media.Frame, people []Detection, steps *Steps) ([]Silhouette, error) {
	watch := newStopwatch(steps)
	picture := m.size * m.size
	input := borrowBytes(len(people) * picture * 3)
	defer returnBytes(input)
	crops := make([]image.Rectangle, len(people))
	for i, person := range people {
		crops[i] = squareAround(person.Box, m.opts.BoxScale)
		if err := samplePicture(frame, crops[i], (*input)[i*picture*3:][:picture*3], m.size, m.size); err != nil {
			return nil, err
		}
	}
	watch.preprocessed()
	silhouettes := make([]Silhouette, len(people))
	err := m.session.Run(ctx, []onnx.Tensor{{Shape: []int64{int64(len(people)), int64(m.size), int64(m.size), 3}, Uint8: *input}},
		func(outputs []onnx.Tensor) error {
			watch.inferred()
			if len(outputs[0].Float32) != len(people)*picture {
				return fmt.Errorf("%w: %s gave %d values for %d people", onnx.ErrModel, m.session.Name(), len(outputs[0].Float32), len(people))
			}
			for i, crop := range crops {
				cells, err := m.read(outputs[0].Float32[i*picture:][:picture])
				if err != nil {
					return err
				}
				silhouettes[i] = Silhouette{Cells: cells, Box: Box{X0: float32(crop.Min.X), Y0: float32(crop.Min.Y),
					X1: float32(crop.Max.X), Y1: float32(crop.Max.Y)}}
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	watch.postprocessed()
	return silhouettes, nil
}

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
