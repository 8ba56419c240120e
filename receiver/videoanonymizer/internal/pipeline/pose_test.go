// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// people is a detector that finds the same people in every frame.
type people []vision.Detection

func (p people) Detect(context.Context, *media.Frame) ([]vision.Detection, vision.Steps, error) {
	return p, vision.Steps{}, nil
}

// noses is a pose model that puts each person's nose at the upper left corner of their box.
type noses struct{ asked []vision.Detection }

func (n *noses) Estimate(
	_ context.Context, _ *media.Frame, found []vision.Detection,
) ([]vision.Pose, vision.Steps, error) {
	n.asked = append(n.asked, found...)
	poses := make([]vision.Pose, len(found))
	for i, d := range found {
		poses[i][vision.Nose] = vision.Keypoint{X: d.Box.X0, Y: d.Box.Y0, Score: .9}
	}
	return poses, vision.Steps{}, nil
}

// TestPosesOfTheDetector checks that a pose from the detector is kept, and that the pose model runs only on the other
// people.
func TestPosesOfTheDetector(t *testing.T) {
	own := &vision.Pose{vision.Nose: {X: 70, Y: 20, Score: .8}}
	found := people{
		{Box: vision.Box{X0: 130, Y0: 40, X1: 190, Y1: 170}, Score: .9},
		{Box: vision.Box{X0: 50, Y0: 10, X1: 90, Y1: 100}, Score: .8, Pose: own},
		{Box: vision.Box{X0: 220, Y0: 30, X1: 280, Y1: 150}, Score: .7},
	}
	source, model := &clip{frames: 1}, &noses{}
	out := &sink{source: source}
	opts := options(t, found)
	opts.PoseModel = model
	require.NoError(t, Run(t.Context(), source, out, opts))
	assert.Equal(t, []vision.Detection{found[0], found[2]}, model.asked)
	rec := out.records[0]
	assert.Equal(t, []int{3, 2}, []int{rec.Detected, rec.PosedPeople})
	require.Len(t, rec.Found, 3)
	assert.InDelta(t, 130, rec.Found[0].Pose[vision.Nose].X, 0)
	assert.Same(t, own, rec.Found[1].Pose)
	assert.InDelta(t, 220, rec.Found[2].Pose[vision.Nose].X, 0)
}
