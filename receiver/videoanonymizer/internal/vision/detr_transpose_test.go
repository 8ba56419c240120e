// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"image"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// detrGraph returns a model that answers every image with the given queries: a class, its logit (the others are 0) and
// a box. The logits are multiplied by the mask's mean, so that a mask of anything but ones ruins them.
func detrGraph(t *testing.T, withMask bool, queries ...struct {
	class int
	logit float32
	box   [4]float32
}) *graph {
	const classes = 92
	logits, boxes := make([]float32, len(queries)*classes), []float32{}
	for q, query := range queries {
		logits[q*classes+query.class] = query.logit
		boxes = append(boxes, query.box[:]...)
	}
	n := int64(len(queries))
	g := &graph{}
	g.value(graphInput, "pixel_values", float, -1, 3, -1, -1)
	g.constant("constant_logits", []int64{1, n, classes}, logits)
	g.constant("constant_boxes", []int64{1, n, 4}, boxes)
	if withMask {
		g.value(graphInput, "pixel_mask", int64s, -1, 64, 64)
		g.node("Cast", "mask", []string{"pixel_mask"})
		g.node("ReduceMean", "mean", []string{"mask"}, 1, 2)
		g.node("Mul", "logits", []string{"constant_logits", "mean"})
	} else {
		g.node("Identity", "logits", []string{"constant_logits"})
	}
	g.node("Identity", "pred_boxes", []string{"constant_boxes"})
	g.value(graphOutput, "logits", float, -1, n, classes)
	g.value(graphOutput, "pred_boxes", float, -1, n, 4)
	return g
}

func TestDETR(t *testing.T) {
	type query = struct {
		class int
		logit float32
		box   [4]float32
	}
	queries := []query{
		{class: 1, logit: 9, box: [4]float32{.5, .5, .2, .4}},   // a person: 768..1152 x 324..756
		{class: 1, logit: 9, box: [4]float32{.5, .5, .2, .4}},   // another one in the same place is kept
		{class: 1, logit: 5, box: [4]float32{.1, .1, .1, .1}},   // e^5/(e^5+91) = .62 is below .70
		{class: 18, logit: 9, box: [4]float32{.3, .3, .1, .1}},  // a dog
		{class: 91, logit: 9, box: [4]float32{.3, .3, .1, .1}},  // no object
		{class: 1, logit: 7, box: [4]float32{.99, .99, .1, .1}}, // at the edge: clipped
		{class: 1, logit: 7, box: [4]float32{1.5, 1.5, .1, .1}}, // outside
	}
	frame := newFrame(1920, 1080, yuv420p, false, uniform(white))
	for _, withMask := range []bool{true, false} {
		d, err := NewDetector("", detrGraph(t, withMask, queries...).open(t), DetectorOptions{ScoreThreshold: .7})
		require.NoError(t, err)
		people, _, err := d.Detect(t.Context(), frame)
		require.NoError(t, err)
		require.Len(t, people, 3)
		assert.Equal(t, people[0], people[1])
		p := float32(math.Exp(9) / (math.Exp(9) + 91))
		assert.InDelta(t, p, people[0].Score, 1e-4)
		assertBox(t, Box{X0: 768, Y0: 324, X1: 1152, Y1: 756}, people[0].Box)
		assertBox(t, Box{X0: 1804.8, Y0: 1015.2, X1: 1920, Y1: 1080}, people[2].Box)
	}
	nan := query{class: 1, logit: 9, box: [4]float32{float32(math.NaN()), .5, .2, .4}}
	d, err := NewDetector("detr", detrGraph(t, true, nan).open(t), DetectorOptions{ScoreThreshold: .7})
	require.NoError(t, err)
	_, _, err = d.Detect(t.Context(), frame)
	assert.ErrorIs(t, err, ErrNotFinite)
}

func TestDETRSize(t *testing.T) {
	for frame, want := range map[image.Point]image.Point{
		{X: 1920, Y: 1080}: {X: 1333, Y: 750},
		{X: 640, Y: 480}:   {X: 1067, Y: 800},
		{X: 480, Y: 640}:   {X: 800, Y: 1067},
		{X: 4000, Y: 1}:    {X: 1333, Y: 1},
	} {
		w, h := detrSize(frame.X, frame.Y)
		assert.Equal(t, want, image.Pt(w, h))
	}
}

func TestTransPose(t *testing.T) {
	const w, h = 48, 64
	maps := make([]float32, KeypointCount*w*h)
	for k := range KeypointCount {
		maps[k*w*h+(2*k)*w+k] = float32(k+1) / 20 // keypoint k at column k, row 2k
	}
	g := &graph{}
	g.value(graphInput, "input", float, -1, 3, 256, 192)
	g.constant("maps", []int64{1, KeypointCount, h, w}, maps)
	g.constant("zero", []int64{1}, []float32{0})
	g.node("ReduceMean", "mean", []string{"input"}, 1, 2, 3)
	g.node("Mul", "nothing", []string{"mean", "zero"})
	g.node("Add", "heatmaps", []string{"maps", "nothing"}) // broadcast to the batch
	g.value(graphOutput, "heatmaps", float, -1, KeypointCount, h, w)
	estimator, err := NewPoseEstimator("", g.open(t), PoseOptions{MaxPeoplePerBatch: 2})
	require.NoError(t, err)
	people := []Detection{
		{Box: Box{X0: 100, Y0: 200, X1: 148, Y1: 264}},
		{Box: Box{X0: 0, Y0: 0, X1: 480, Y1: 320}},
		{Box: Box{X0: -50.5, Y0: 10, X1: -2.5, Y1: 73.5}},
	}
	poses, steps, err := estimator.Estimate(t.Context(), newFrame(640, 480, yuv420p, false, uniform(white)), people)
	require.NoError(t, err)
	require.Len(t, poses, 3)
	assert.Equal(t, 2, steps.Batches)
	for k := range KeypointCount {
		score := float32(k+1) / 20
		x, y := float32(k), float32(2*k)
		assertKeypoint(t, Keypoint{X: 100 + x, Y: 200 + y, Score: score}, poses[0][k])
		assertKeypoint(t, Keypoint{X: 10 * x, Y: 5 * y, Score: score}, poses[1][k])
		assertKeypoint(t, Keypoint{X: -51 + x*49/48, Y: 10 + y, Score: score}, poses[2][k])
	}
}

func TestReadHeatMapsNaN(t *testing.T) {
	maps := slices.Repeat([]float32{float32(math.NaN())}, KeypointCount*4)
	assert.ErrorIs(t, readHeatMaps(&Pose{}, maps, 2, 2, image.Rect(0, 0, 2, 2)), ErrNotFinite)
}

func TestSampleNormalized(t *testing.T) {
	dst := make([]float32, 3*8*6)
	frame := newFrame(1280, 720, yuv420p, false, uniform(red))
	require.NoError(t, sampleNormalized(frame, image.Rect(0, 0, 1280, 720), dst, 8, 6))
	for i := range 8 * 6 {
		assert.InDelta(t, (1-.485)/.229, dst[i], .03)
		assert.InDelta(t, -.456/.224, dst[48+i], .03)
		assert.InDelta(t, -.406/.225, dst[96+i], .03)
	}
}

func assertBox(t *testing.T, want, got Box) {
	t.Helper()
	assert.InDeltaSlice(t, []float32{want.X0, want.Y0, want.X1, want.Y1}, []float32{got.X0, got.Y0, got.X1, got.Y1}, .1)
}

func assertKeypoint(t *testing.T, want, got Keypoint) {
	t.Helper()
	assert.InDelta(t, want.X, got.X, .01)
	assert.InDelta(t, want.Y, got.Y, .01)
	assert.InDelta(t, want.Score, got.Score, 1e-5)
}
