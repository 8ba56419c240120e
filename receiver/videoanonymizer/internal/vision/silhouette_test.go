// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBitmapRuns(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, width := range []int{1, 7, 63, 64, 65, 130, 256} {
		for _, density := range []int{0, 1, 5, 9, 10} {
			b := NewBitmap(width, 3)
			want := make([]bool, width)
			for y := range 3 {
				for x := range width {
					if rng.IntN(10) < density {
						b.Set(x, y)
						want[x] = want[x] || y < 2
						assert.True(t, b.At(x, y))
					}
				}
			}
			got, end := make([]bool, width), -1
			b.Runs(0, 2, func(x0, x1 int) {
				require.Greater(t, x0, end, "runs are maximal")
				require.Greater(t, x1, x0)
				end = x1
				for x := x0; x < x1; x++ {
					got[x] = true
				}
			})
			assert.Equal(t, want, got, "width %d, density %d", width, density)
		}
	}
	b := NewBitmap(70, 1)
	b.Set(69, 0)
	c := b.Clone()
	c.Clear(69, 0)
	assert.True(t, b.At(69, 0), "a clone shares no cells")
	assert.False(t, c.At(69, 0))
}

// brightness opens a segmentation of 8 x 8 pixels that takes light for people: it returns the mean color, times factor.
func brightness(t *testing.T, factor float32, opts SegmenterOptions) Segmenter {
	g := &graph{}
	g.value(graphInput, "image", uint8s, -1, 8, 8, 3)
	g.constant("factor", []int64{1}, []float32{factor / 255})
	g.node("Cast", "pixels", []string{"image"})
	g.node("ReduceMean", "mean", []string{"pixels"}, 3)
	g.node("Squeeze", "grey", []string{"mean"}, 3)
	g.node("Mul", "mask", []string{"grey", "factor"})
	g.value(graphOutput, "mask", float, -1, 8, 8)
	s, err := NewSegmenter("", g.open(t), opts)
	require.NoError(t, err)
	return s
}

// TestSelfieSegmentation segments a frame whose right half is light: a person in the middle shows in the right half of
// the crop, and a person farther right in all of it. Beyond the frame there are no people.
func TestSelfieSegmentation(t *testing.T) {
	half := func(x, _ int) [3]byte {
		if x >= 64 {
			return white
		}
		return [3]byte{16, 128, 128}
	}
	frame := newFrame(128, 64, yuv420p, false, half)
	people := []Detection{
		{Box: Box{X0: 48, Y0: 16, X1: 80, Y1: 48}},
		{Box: Box{X0: 80, Y0: 16, X1: 112, Y1: 48}},
		{Box: Box{X0: 112, Y0: 16, X1: 144, Y1: 48}},
	}
	s := brightness(t, 1, SegmenterOptions{ScoreThreshold: .5, MaxPeoplePerBatch: 2, BoxScale: 1})
	silhouettes, steps, err := s.Segment(t.Context(), frame, people)
	require.NoError(t, err)
	require.Len(t, silhouettes, 3)
	assert.Equal(t, 2, steps.Batches)
	for i, shown := range []func(x int) bool{
		func(x int) bool { return x >= 4 }, func(int) bool { return true }, func(x int) bool { return x < 4 },
	} {
		assert.Equal(t, people[i].Box, silhouettes[i].Box)
		for y := range 8 {
			for x := range 8 {
				assert.Equal(t, shown(x), silhouettes[i].Cells.At(x, y), "person %d, cell (%d, %d)", i, x, y)
			}
		}
	}
}

func TestSelfieSegmentationNaN(t *testing.T) {
	s := brightness(t, float32(math.NaN()), SegmenterOptions{ScoreThreshold: .5, MaxPeoplePerBatch: 1, BoxScale: 1})
	frame := newFrame(64, 64, yuv420p, false, uniform(white))
	_, _, err := s.Segment(t.Context(), frame, []Detection{{Box: Box{X1: 64, Y1: 64}}})
	require.ErrorIs(t, err, ErrNotFinite)
}

// TestSilhouetteBatchEqualsSingles runs the real model, whose values the tests of module models compare with published
// ones.
func TestSilhouetteBatchEqualsSingles(t *testing.T) {
	opts := SegmenterOptions{ScoreThreshold: .01, MaxPeoplePerBatch: 4, BoxScale: 1.25}
	s, err := NewSegmenter("", openModel(t, "selfie-segmentation.onnx"), opts)
	require.NoError(t, err)
	frame := newFrame(1920, 1080, yuv420p, false, figure)
	people := []Detection{
		{Box: Box{X0: 800, Y0: 150, X1: 1120, Y1: 1010}},
		{Box: Box{X0: 860, Y0: 100, X1: 1060, Y1: 420}},
		{Box: Box{X1: 100, Y1: 100}},
	}
	all, steps, err := s.Segment(t.Context(), frame, people)
	require.NoError(t, err)
	assert.Equal(t, 1, steps.Batches)
	shown := 0
	for i := range people {
		alone, _, err := s.Segment(t.Context(), frame, people[i:i+1])
		require.NoError(t, err)
		assert.Equal(t, alone[0], all[i])
		all[i].Cells.Runs(0, 256, func(x0, x1 int) { shown += x1 - x0 })
	}
	assert.Positive(t, shown)
}
