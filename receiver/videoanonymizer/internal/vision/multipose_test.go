// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// multiPose opens a MultiPose that always sees one person in the cell (5, 4) of a grid of 16 x 8, with a box 8 cells
// wide around it that reaches far beyond the upper edge. change modifies its answer first.
func multiPose(t *testing.T, change func(a *multiPoseAnswer)) Detector {
	const w, h, n = multiPoseWidth, multiPoseHeight, multiPoseWidth * multiPoseHeight
	a := &multiPoseAnswer{scores: make([]float32, n), boxes: make([]float32, 4*n),
		heatmaps: make([]float32, KeypointCount*n), regressions: make([]float32, 2*KeypointCount*n),
		offsets: make([]float32, 2*KeypointCount*n)}
	a.scores[multiPoseCell(5, 4)] = .5
	copy(a.boxes[4*multiPoseCell(5, 4):], []float32{4, -72, 36, 28})
	change(a)
	g := &graph{}
	g.value(graphInput, "image", uint8s, -1, -1, -1, 3)
	for _, out := range []struct {
		name   string
		values []float32
		shape  []int64
	}{
		{"scores", a.scores, []int64{1, n}}, {"boxes", a.boxes, []int64{1, n, 4}},
		{"heatmaps", a.heatmaps, []int64{1, KeypointCount, h, w}},
		{"regressions", a.regressions, []int64{1, 2 * KeypointCount, h, w}},
		{"offsets", a.offsets, []int64{1, 2 * KeypointCount, h, w}},
	} {
		g.constant("constant_"+out.name, out.shape, out.values)
		g.node("Identity", out.name, []string{"constant_" + out.name})
		g.value(graphOutput, out.name, float, append([]int64{-1}, out.shape[1:]...)...)
	}
	d, err := NewDetector("", g.open(t), DetectorOptions{
		ScoreThreshold: .4, CandidateThreshold: .2, OverlapThreshold: .6, LongSide: 4 * w,
	})
	require.NoError(t, err)
	return d
}

const multiPoseWidth, multiPoseHeight = 16, 8

func multiPoseCell(x, y int) int { return y*multiPoseWidth + x }

type multiPoseAnswer struct{ scores, boxes, heatmaps, regressions, offsets []float32 }

// at returns the index of the value of a channel in a cell.
func (*multiPoseAnswer) at(channel, x, y int) int {
	return channel*multiPoseWidth*multiPoseHeight + multiPoseCell(x, y)
}

// TestMultiPose shows the model a frame of 128 x 64 as 64 x 32: a cell of the grid is 8 pixels of the frame.
func TestMultiPose(t *testing.T) {
	expect := func(a *multiPoseAnswer, k, x, y int) { // relative to the center
		a.regressions[a.at(2*k, 5, 4)], a.regressions[a.at(2*k+1, 5, 4)] = float32(y-4), float32(x-5)
	}
	for name, tt := range map[string]struct {
		change    func(a *multiPoseAnswer)
		nose      Keypoint
		candidate bool
	}{
		"where it is expected": {
			change: func(a *multiPoseAnswer) {
				expect(a, Nose, 6, 2)
				a.heatmaps[a.at(Nose, 6, 2)] = .8
				a.offsets[a.at(2*Nose, 6, 2)], a.offsets[a.at(2*Nose+1, 6, 2)] = .25, .5
			},
			nose: Keypoint{X: 52, Y: 18, Score: .8},
		},
		"nearby": {
			change: func(a *multiPoseAnswer) {
				expect(a, Nose, 6, 2)
				a.heatmaps[a.at(Nose, 7, 2)] = .8
			},
			nose: Keypoint{X: 56, Y: 16, Score: .8 * float32(math.Exp(-1/(.3*multiPoseHeight)))},
		},
		"another person's": {
			change: func(a *multiPoseAnswer) {
				expect(a, Nose, 8, 2)
				a.heatmaps[a.at(Nose, 7, 2)], a.heatmaps[a.at(Nose, 9, 2)] = .6, .9 // x = 9 is beyond the box
			},
			nose: Keypoint{X: 56, Y: 16, Score: .6 * float32(math.Exp(-1/(.3*multiPoseHeight)))},
		},
		"hidden": {
			change: func(a *multiPoseAnswer) { expect(a, Nose, 6, 2) },
			nose:   Keypoint{X: 48, Y: 16},
		},
		"candidate": {
			change:    func(a *multiPoseAnswer) { a.scores[multiPoseCell(5, 4)] = .3 },
			nose:      Keypoint{X: 40, Y: 32},
			candidate: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			people, steps, err := multiPose(t, tt.change).Detect(t.Context(),
				newFrame(128, 64, yuv420p, false, uniform(white)))
			require.NoError(t, err)
			require.Len(t, people, 1)
			assert.Equal(t, Box{X0: 8, Y0: 0, X1: 72, Y1: 56}, people[0].Box)
			assert.Equal(t, tt.candidate, people[0].Candidate)
			require.NotNil(t, people[0].Pose)
			got := people[0].Pose[Nose]
			assert.InDeltaSlice(t, []float32{tt.nose.X, tt.nose.Y, tt.nose.Score}, []float32{got.X, got.Y, got.Score}, 1e-5)
			assert.Equal(t, 1, steps.Batches)
		})
	}
}

// TestMultiPoseOfSmallPeople checks that keypoints of people small in the model's input are left to the pose model.
func TestMultiPoseOfSmallPeople(t *testing.T) {
	for top, posed := range map[float32]bool{28 - 96: true, 28 - 95: false, 4: false} {
		people, _, err := multiPose(t, func(a *multiPoseAnswer) { a.boxes[4*multiPoseCell(5, 4)+1] = top }).
			Detect(t.Context(), newFrame(128, 64, yuv420p, false, uniform(white)))
		require.NoError(t, err)
		require.Len(t, people, 1)
		assert.Equal(t, posed, people[0].Pose != nil, "a box from %v to 28", top)
	}
}

func TestMultiPoseNaN(t *testing.T) {
	nan := float32(math.NaN())
	for name, change := range map[string]func(a *multiPoseAnswer){
		"score":      func(a *multiPoseAnswer) { a.scores[multiPoseCell(5, 4)] = nan },
		"box":        func(a *multiPoseAnswer) { a.boxes[4*multiPoseCell(5, 4)] = nan },
		"regression": func(a *multiPoseAnswer) { a.regressions[a.at(3, 5, 4)] = nan },
		"offset": func(a *multiPoseAnswer) {
			a.heatmaps[a.at(Nose, 5, 4)], a.offsets[a.at(2*Nose, 5, 4)] = 1, nan
		},
	} {
		_, _, err := multiPose(t, change).Detect(t.Context(), newFrame(128, 64, yuv420p, false, uniform(white)))
		assert.ErrorIs(t, err, ErrNotFinite, name)
	}
}
