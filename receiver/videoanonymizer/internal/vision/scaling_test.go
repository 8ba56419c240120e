// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference/inferencetest"
)

const latency = 100 * time.Millisecond

// fakePose returns a MoveNet that answers after the latency, with each person's keypoints at the crop's upper left.
func fakePose(opts inferencetest.Options) *inferencetest.Session {
	opts.Inputs = []inference.TensorInfo{{Type: "uint8", Shape: []int64{-1, 8, 8, 3}}}
	opts.Outputs = []inference.TensorInfo{{Type: "float", Shape: []int64{-1, KeypointCount, 3}}}
	opts.Latency = latency
	opts.Answer = func(inputs []inference.Tensor) []inference.Tensor {
		return []inference.Tensor{{Float32: make([]float32, inputs[0].Shape[0]*KeypointCount*3)}}
	}
	return inferencetest.New(opts)
}

// TestParallelSessionsOverlap checks that the session's bound on parallel runs sets the time for concurrent frames.
func TestParallelSessionsOverlap(t *testing.T) {
	const frames = 8
	for _, parallel := range []int{1, 2, 4, 8} {
		t.Run(fmt.Sprint(parallel), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				session := fakePose(inferencetest.Options{Parallel: parallel})
				estimator, err := NewPoseEstimator("", session, PoseOptions{MaxPeoplePerBatch: 4, BoxScale: 1})
				require.NoError(t, err)
				start := time.Now()
				var group sync.WaitGroup
				for range frames {
					group.Go(func() {
						frame := newFrame(64, 64, yuv420p, false, uniform(white))
						poses, _, err := estimator.Estimate(t.Context(), frame, make([]Detection, 3))
						assert.NoError(t, err)
						assert.Len(t, poses, 3)
					})
				}
				group.Wait()
				assert.Equal(t, frames/time.Duration(parallel)*latency, time.Since(start))
				assert.Equal(t, parallel, session.Peak())
			})
		})
	}
}

// TestBatchTimesAddUp checks that a frame's batches run one after the other, and that its steps add up their times.
func TestBatchTimesAddUp(t *testing.T) {
	for name, tt := range map[string]struct {
		maxBatch int64 // that fits into memory
		want     []int64
		runs     int
	}{
		"all fit":      {maxBatch: 4, want: []int64{4, 4, 2}, runs: 3},
		"halved batch": {maxBatch: 2, want: []int64{4, 2, 2, 2, 2, 2}, runs: 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				session := fakePose(inferencetest.Options{Parallel: 8, MaxBatch: tt.maxBatch})
				estimator, err := NewPoseEstimator("movenet", session, PoseOptions{MaxPeoplePerBatch: 4, BoxScale: 1})
				require.NoError(t, err)
				frame := newFrame(64, 64, yuv420p, false, uniform(white))
				start := time.Now()
				poses, steps, err := estimator.Estimate(t.Context(), frame, make([]Detection, 10))
				require.NoError(t, err)
				assert.Len(t, poses, 10)
				assert.Equal(t, tt.want, session.Batches())
				assert.Equal(t, 1, session.Peak())
				assert.Equal(t, time.Duration(len(tt.want))*latency, time.Since(start))
				assert.Equal(t, tt.runs, steps.Batches)
				assert.Equal(t, time.Duration(tt.runs)*latency, steps.InferenceBusy)
			})
		})
	}
}

// TestEstimateContextCanceled checks that running inferences and those that wait for their turn end with the context.
func TestEstimateContextCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		estimator, err := NewPoseEstimator("", fakePose(inferencetest.Options{}), PoseOptions{BoxScale: 1})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), latency/2)
		defer cancel()
		start := time.Now()
		var group sync.WaitGroup
		for range 2 {
			group.Go(func() {
				frame := newFrame(64, 64, yuv420p, false, uniform(white))
				_, _, err := estimator.Estimate(ctx, frame, make([]Detection, 1))
				assert.ErrorIs(t, err, context.DeadlineExceeded)
			})
		}
		group.Wait()
		assert.Equal(t, latency/2, time.Since(start))
	})
}
