// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
)

// TestInBatches checks that a batch that does not fit into memory is halved and retried, and that it is an error if a
// single person does not fit.
func TestInBatches(t *testing.T) {
	broken := errors.New("broken")
	tests := map[string]struct {
		people, largest int
		fits            int // people that fit into memory
		fail            error
		want            []int // the sizes tried
		err             error
	}{
		"nobody":            {people: 0, largest: 4, fits: 4},
		"one batch":         {people: 3, largest: 4, fits: 4, want: []int{3}},
		"batches":           {people: 9, largest: 4, fits: 4, want: []int{4, 4, 1}},
		"no bound":          {people: 2, largest: 0, fits: 4, want: []int{1, 1}},
		"too large":         {people: 8, largest: 8, fits: 2, want: []int{8, 4, 2, 2, 2, 2}},
		"odd":               {people: 7, largest: 7, fits: 3, want: []int{7, 3, 3, 1}},
		"not even one fits": {people: 5, largest: 4, fits: 0, want: []int{4, 2, 1}, err: inference.ErrOutOfMemory},
		"another error":     {people: 5, largest: 4, fits: 4, fail: broken, want: []int{4}, err: broken},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			people := make([]Detection, tt.people)
			for i := range people {
				people[i].Score = float32(i)
			}
			var tried []int
			got, _, err := inBatches("estimate", people, tt.largest, func(batch []Detection, _ *Steps) ([]float32, error) {
				tried = append(tried, len(batch))
				if tt.fail != nil {
					return nil, tt.fail
				}
				if len(batch) > tt.fits {
					return nil, fmt.Errorf("model.onnx: %w", inference.ErrOutOfMemory)
				}
				var scores []float32
				for _, d := range batch {
					scores = append(scores, d.Score)
				}
				return scores, nil
			})
			assert.Equal(t, tt.want, tried)
			if tt.err != nil {
				require.ErrorIs(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.Len(t, got, tt.people)
			for i, score := range got {
				assert.EqualValues(t, i, score, "results are in the order of the people")
			}
		})
	}
}

// TestNaNOutput checks that the default models reject output that is not finite, wherever it occurs.
func TestNaNOutput(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	frame := newFrame(64, 64, yuv420p, false, uniform(white))
	for name, values := range map[string][5]float32{ // score, box
		"score":       {nan, 1, 1, 9, 9},
		"side":        {.9, 1, nan, 9, 9},
		"infinite":    {.9, 1, 1, inf, 9},
		"minus score": {-inf, 1, 1, 9, 9},
	} {
		t.Run("detector/"+name, func(t *testing.T) {
			g := &graph{}
			g.value(graphInput, "image", uint8s, -1, -1, -1, 3)
			g.constant("s", []int64{1, 1}, values[:1])
			g.constant("b", []int64{1, 1, 4}, values[1:])
			g.node("Identity", "scores", []string{"s"})
			g.node("Identity", "boxes", []string{"b"})
			g.value(graphOutput, "scores", float, -1, 1)
			g.value(graphOutput, "boxes", float, -1, 1, 4)
			d, err := NewDetector("nanodet", g.open(t), DetectorOptions{ScoreThreshold: .35, OverlapThreshold: .6})
			require.NoError(t, err)
			_, _, err = d.Detect(t.Context(), frame)
			if name == "minus score" { // below any threshold
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrNotFinite)
		})
	}
	for k := range 3 * KeypointCount {
		triples := make([]float32, 3*KeypointCount)
		triples[k] = nan
		g := &graph{}
		g.value(graphInput, "image", uint8s, -1, 8, 8, 3)
		g.constant("k", []int64{1, KeypointCount, 3}, triples)
		g.node("Identity", "keypoints", []string{"k"})
		g.value(graphOutput, "keypoints", float, -1, KeypointCount, 3)
		p, err := NewPoseEstimator("movenet", g.open(t), PoseOptions{MaxPeoplePerBatch: 1, BoxScale: 1})
		require.NoError(t, err)
		_, _, err = p.Estimate(t.Context(), frame, []Detection{{Box: Box{X1: 64, Y1: 64}}})
		require.ErrorIs(t, err, ErrNotFinite, "value %d", k)
	}
}

// TestOutOfMemory makes ONNX Runtime allocate more memory per person than there is, and checks that the error is the
// one that makes batches smaller.
func TestOutOfMemory(t *testing.T) {
	g := &graph{}
	g.value(graphInput, "image", uint8s, -1, 8, 8, 3)
	g.node("Cast", "pixels", []string{"image"})
	g.node("ReduceMean", "mean", []string{"pixels"}, 3)
	g.node("Squeeze", "grey", []string{"mean"}, 3)
	g.shape("huge", 1<<46, 1, 1, 1) // larger than any address space, even if the host overcommits
	g.node("Expand", "vast", []string{"grey", "huge"})
	g.node("ReduceMean", "one", []string{"vast"}, 0)
	g.node("Squeeze", "again", []string{"one"}, 0)
	g.node("Add", "mask", []string{"grey", "again"})
	g.value(graphOutput, "mask", float, -1, 8, 8)
	s, err := NewSegmenter("selfie_segmentation", g.open(t), SegmenterOptions{MaxPeoplePerBatch: 2, BoxScale: 1})
	require.NoError(t, err)
	_, steps, err := s.Segment(t.Context(), newFrame(64, 64, yuv420p, false, uniform(white)), make([]Detection, 4))
	require.ErrorIs(t, err, inference.ErrOutOfMemory)
	require.ErrorContains(t, err, "find the silhouettes of 1 people", "after two")
	assert.Zero(t, steps.Batches)
}
