// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"fmt"
	"math"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/onnx"
)

const modelsDir = "../../../../models" // filled by `make models`

func openModel(t testing.TB, file string) *onnx.Session {
	t.Helper()
	require.NoError(t, onnx.Initialize(models.RuntimeLibrary(modelsDir)), "run `make models` first")
	session, err := onnx.Open(filepath.Join(modelsDir, file), onnx.Options{Threads: 1, Parallel: 2, Provider: "cpu"})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, session.Close()) })
	return session
}

// figure draws what detectors take for a person: a light head and trunk, and dark legs, on a plain background.
func figure(x, y int) [3]byte {
	dx, dy := float64(x-960), float64(y)
	switch {
	case math.Hypot(dx/70, (dy-250)/90) < 1:
		return [3]byte{170, 110, 150}
	case math.Abs(dx) < 150 && dy > 340 && dy < 640:
		return [3]byte{90, 150, 110}
	case math.Abs(math.Abs(dx)-70) < 55 && dy >= 640 && dy < 1000:
		return [3]byte{40, 128, 128}
	}
	return [3]byte{200, 128, 128}
}

func TestDetectorOnBlankFrames(t *testing.T) {
	for _, model := range []string{"nanodet-m", "movenet-multipose"} {
		detector, err := NewDetector("", openModel(t, model+".onnx"),
			DetectorOptions{ScoreThreshold: .35, OverlapThreshold: .6})
		require.NoError(t, err)
		for _, size := range [][2]int{{1920, 1080}, {1080, 1920}, {33, 17}, {1, 1}} {
			people, steps, err := detector.Detect(t.Context(), newFrame(size[0], size[1], yuv420p, false, uniform(white)))
			require.NoError(t, err)
			assert.Empty(t, people)
			assert.Equal(t, 1, steps.Batches)
			assert.Positive(t, steps.InferenceBusy)
			assert.False(t, steps.Preprocess.End.After(steps.Inference.Start))
			assert.False(t, steps.Inference.End.After(steps.Postprocess.Start))
		}
	}
}

// TestDetectorMapsBoxesToTheFrame maps boxes from pixels of the letterboxed input: a frame of 1920 x 1080 becomes 416 x
// 256, with 11 black rows at the top and at the bottom.
func TestDetectorMapsBoxesToTheFrame(t *testing.T) {
	g := &graph{}
	g.value(graphInput, "image", uint8s, -1, -1, -1, 3)
	g.constant("constant_scores", []int64{1, 5}, []float32{.9, .3, .8, .7, .6})
	g.constant("constant_boxes", []int64{1, 5, 4}, []float32{
		104, 128, 208, 245, // the frame's second quarter from the left, lower half
		0, 0, 100, 100, // score too low
		106, 128, 208, 245, // the first one again
		-20, -20, 40, 400, // beyond the edges
		300, 0, 310, 9, // in the black rows
	})
	g.node("Identity", "scores", []string{"constant_scores"})
	g.node("Identity", "boxes", []string{"constant_boxes"})
	g.value(graphOutput, "scores", float, -1, 5)
	g.value(graphOutput, "boxes", float, -1, 5, 4)
	detector, err := NewDetector("", g.open(t), DetectorOptions{ScoreThreshold: .35, OverlapThreshold: .6})
	require.NoError(t, err)
	people, _, err := detector.Detect(t.Context(), newFrame(1920, 1080, yuv420p, false, uniform(white)))
	require.NoError(t, err)
	require.Len(t, people, 2)
	near := func(want, got Box) {
		t.Helper()
		assert.InDeltaSlice(t, []float32{want.X0, want.Y0, want.X1, want.Y1}, []float32{got.X0, got.Y0, got.X1, got.Y1}, 1)
	}
	assert.InDelta(t, .9, people[0].Score, 1e-6)
	near(Box{X0: 480, Y0: 540, X1: 960, Y1: 1080}, people[0].Box)
	near(Box{X0: 0, Y0: 0, X1: 185, Y1: 1080}, people[1].Box)
}

func TestPoseBatchEqualsSingles(t *testing.T) {
	session := openModel(t, "movenet-lightning.onnx")
	frame := newFrame(1920, 1080, yuv420p, false, figure)
	var people []Detection
	for i := range 11 {
		x := float32(600 + 40*i)
		people = append(people, Detection{Box: Box{X0: x, Y0: 100, X1: x + 400, Y1: 1050}})
	}
	pose := func(batch int, people []Detection) ([]Pose, Steps) {
		estimator, err := NewPoseEstimator("movenet", session, PoseOptions{MaxPeoplePerBatch: batch, BoxScale: 1.25})
		require.NoError(t, err)
		poses, steps, err := estimator.Estimate(t.Context(), frame, people)
		require.NoError(t, err)
		require.Len(t, poses, len(people))
		return poses, steps
	}
	all, steps := pose(4, people)
	assert.Equal(t, 3, steps.Batches)
	for i := range people {
		one, _ := pose(4, people[i:i+1])
		for k := range one[0] {
			assert.InDelta(t, one[0][k].X, all[i][k].X, 1)
			assert.InDelta(t, one[0][k].Y, all[i][k].Y, 1)
			assert.InDelta(t, one[0][k].Score, all[i][k].Score, 1e-3)
		}
	}
	none, steps := pose(4, nil)
	assert.Empty(t, none)
	assert.Zero(t, steps.Batches)
}

func TestModelOfAnotherFamily(t *testing.T) {
	detector, pose := openModel(t, "nanodet-m.onnx"), openModel(t, "movenet-lightning.onnx")
	_, err := NewDetector("nanodet", pose, DetectorOptions{})
	require.ErrorIs(t, err, inference.ErrModel)
	assert.ErrorContains(t, err, "movenet-lightning.onnx is not a nanodet model")
	_, err = NewPoseEstimator("", detector, PoseOptions{})
	require.ErrorIs(t, err, inference.ErrModel)
	_, err = NewDetector("yolo", detector, DetectorOptions{})
	assert.ErrorContains(t, err, `detector family "yolo" is not known: use one of`)
}

// BenchmarkInference measures the time in ONNX Runtime, on one thread; cpu-ms/op is the CPU time of the process.
func BenchmarkInference(b *testing.B) {
	nanodet, movenet := openModel(b, "nanodet-m.onnx"), openModel(b, "movenet-lightning.onnx")
	run := func(name string, session *onnx.Session, n, h, w int) {
		b.Run(name, func(b *testing.B) {
			input := []inference.Tensor{{Shape: []int64{int64(n), int64(h), int64(w), 3}, Uint8: make([]uint8, n*h*w*3)}}
			for i := range input[0].Uint8 {
				input[0].Uint8[i] = uint8(i * 7)
			}
			start := cpuTime()
			for b.Loop() {
				if err := session.Run(b.Context(), input, func([]inference.Tensor) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((cpuTime()-start)*1000/float64(b.N), "cpu-ms/op")
		})
	}
	run("detector=nanodet-m/size=416x256", nanodet, 1, 256, 416)
	for _, n := range []int{1, 2, 3, 4, 8} {
		run(fmt.Sprintf("pose=movenet-lightning/people=%d", n), movenet, n, 192, 192)
	}
}

func cpuTime() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(u.Utime) + seconds(u.Stime)
}
