// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"context"
	"errors"
	"image"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// faces opens a BlazeFace that always returns these boxes and scores, in pixels of a 64 x 64 input.
func faces(t *testing.T, scores, boxes []float32) FaceDetector {
	return openFaces(t, "blazeface", 64, scores, boxes)
}

// openFaces opens a face detector for inputs of size x size, or of any size if that is -1, which always returns these
// boxes and scores.
func openFaces(t *testing.T, family string, size int64, scores, boxes []float32) FaceDetector {
	n := int64(len(scores))
	g := &graph{}
	g.value(graphInput, "image", uint8s, -1, size, size, 3)
	g.constant("constant_scores", []int64{1, n}, scores)
	g.constant("constant_boxes", []int64{1, n, 4}, boxes)
	var marks []float32
	for i := range scores { // right eye: upper left corner of the box; others: lower right
		b := boxes[4*i:]
		marks = append(marks, b[0], b[1])
		for range blazeFaceLandmarks - 1 {
			marks = append(marks, b[2], b[3])
		}
	}
	g.constant("constant_landmarks", []int64{1, n, blazeFaceLandmarks, 2}, marks)
	for _, name := range []string{"scores", "boxes", "landmarks"} {
		g.node("Identity", name, []string{"constant_" + name})
	}
	g.value(graphOutput, "scores", float, -1, n)
	g.value(graphOutput, "boxes", float, -1, n, 4)
	g.value(graphOutput, "landmarks", float, -1, n, blazeFaceLandmarks, 2)
	opts := FaceOptions{ScoreThreshold: .6, OverlapThreshold: .3, LongSide: 64, Tiles: 1}
	d, err := NewFaceDetector("", g.open(t), opts)
	require.NoError(t, err)
	named, err := NewFaceDetector(family, d.(*blazeFace).session, opts)
	require.NoError(t, err)
	assert.IsType(t, d, named)
	return named
}

// TestFullRangeFacesMapToTheFrame shows the model a frame of 128 x 64 as 64 x 32, without any black.
func TestFullRangeFacesMapToTheFrame(t *testing.T) {
	d := openFaces(t, "blazeface_full_range", -1, []float32{.7, .5}, []float32{10, 4, 20, 14, 40, 20, 50, 30})
	found, _, err := d.DetectFaces(t.Context(), newFrame(128, 64, yuv420p, false, uniform(white)))
	require.NoError(t, err)
	require.Len(t, found, 1)
	assert.Equal(t, Box{X0: 20, Y0: 8, X1: 40, Y1: 28}, found[0].Box)
	assert.Equal(t, [2]float32{20, 8}, [2]float32{found[0].RightEye.X, found[0].RightEye.Y})
	assert.Equal(t, [2]float32{40, 28}, [2]float32{found[0].LeftEye.X, found[0].LeftEye.Y})
}

// TestBlazeFaceMapsFacesToTheFrame shows the model a frame of 128 x 64 as 64 x 32, with 16 black rows above and below.
func TestBlazeFaceMapsFacesToTheFrame(t *testing.T) {
	d := faces(t, []float32{.7, .9, .5, .8}, []float32{
		11, 21, 21, 31, // the next one again, with a lower score
		10, 20, 20, 30,
		40, 20, 50, 30, // too weak
		30, 30, 30, 30, // without area
	})
	found, steps, err := d.DetectFaces(t.Context(), newFrame(128, 64, yuv420p, false, uniform(white)))
	require.NoError(t, err)
	require.Len(t, found, 1)
	assert.Equal(t, Box{X0: 20, Y0: 8, X1: 40, Y1: 28}, found[0].Box)
	assert.InDelta(t, .9, found[0].Score, 1e-6)
	assert.Equal(t, [2]float32{20, 8}, [2]float32{found[0].RightEye.X, found[0].RightEye.Y})
	assert.Equal(t, [2]float32{40, 28}, [2]float32{found[0].LeftEye.X, found[0].LeftEye.Y})
	assert.Equal(t, 1, steps.Batches)
}

func TestBlazeFaceNaN(t *testing.T) {
	nan := float32(math.NaN())
	for name, d := range map[string]FaceDetector{
		"score": faces(t, []float32{nan}, []float32{10, 20, 20, 30}),
		"box":   faces(t, []float32{.9}, []float32{10, nan, 20, 30}),
	} {
		_, _, err := d.DetectFaces(t.Context(), newFrame(128, 64, yuv420p, false, uniform(white)))
		assert.ErrorIs(t, err, ErrNotFinite, name)
	}
}

type fixed struct {
	people []Detection
	err    error
}

func (f fixed) Detect(context.Context, *media.Frame) ([]Detection, Steps, error) {
	return f.people, Steps{Batches: 1}, f.err
}

func TestUnion(t *testing.T) {
	at := func(x, size, score float32) Detection {
		return Detection{Box: Box{X0: x, Y0: 0, X1: x + size, Y1: size}, Score: score}
	}
	finds := func(people ...Detection) Detector { return fixed{people: people} }
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		detectors []Detector
		min       float32
		want      []Detection
		err       error
	}{
		"either finds one": {
			detectors: []Detector{finds(at(0, 50, .5)), finds(at(200, 50, .4))},
			want:      []Detection{at(0, 50, .5), at(200, 50, .4)},
		},
		"both find the same": {
			detectors: []Detector{finds(at(0, 50, .5)), finds(at(1, 50, .9))},
			want:      []Detection{at(1, 50, .9)},
		},
		"small ones dropped": {
			detectors: []Detector{finds(at(0, 50, .5), at(200, 19, .9))}, min: 20,
			want: []Detection{at(0, 50, .5)},
		},
		"one fails": {detectors: []Detector{finds(at(0, 50, .5)), fixed{err: broken}}, err: broken},
	} {
		t.Run(name, func(t *testing.T) {
			got, steps, err := NewUnion(tt.detectors, .6, tt.min).Detect(t.Context(), nil)
			require.ErrorIs(t, err, tt.err)
			assert.Equal(t, tt.want, got)
			assert.Equal(t, len(tt.detectors), steps.Batches)
		})
	}
}

// TestTilesCoverTheFrame checks that whatever is smaller than the overlap is whole in a tile, anywhere in the frame.
func TestTilesCoverTheFrame(t *testing.T) {
	for _, size := range [][2]int{{1920, 1080}, {641, 479}, {64, 64}} {
		for tiles := 2; tiles <= 8; tiles++ {
			frame := newFrame(size[0], size[1], yuv420p, false, uniform(white))
			all := views(frame, tiles, false)
			require.Len(t, all, 1+tiles*tiles)
			large := []Detection{
				{Box: Box{X0: 10, Y0: 10, X1: 11 + .25*float32(size[0]), Y1: 20}},
				{Box: Box{X0: 10, Y0: 10, X1: 20, Y1: 11 + .25*float32(size[1])}},
			}
			require.Len(t, dropPartial(slices.Clone(large), all[0], frame), 2, "the whole view shows large people")
			require.Empty(t, dropPartial(slices.Clone(large), all[1], frame), "tiles are for small ones")
			small := int(tileOverlap*float64(all[1].Dx())) / 2
			for x := 0; x+small <= size[0]; x += max(1, small/2) {
				whole := 0
				for _, view := range all[1:] {
					y := float32(view.Min.Y + view.Dy()/2)
					p := []Detection{{Box: Box{X0: float32(x), Y0: y, X1: float32(x + small), Y1: y + 1}}}
					if view.Min.X <= x && x+small <= view.Max.X && len(dropPartial(p, view, frame)) == 1 {
						whole++
					}
				}
				require.Positive(t, whole, "%v, %d tiles: x %d", size, tiles, x)
			}
		}
	}
}

// TestFineViews checks that smaller parts come in steps from the usual ones down to those of finePart pixels, along
// each side according to its length.
func TestFineViews(t *testing.T) {
	for name, tt := range map[string]struct{ width, height, tiles, want int }{
		"small":           {1000, 750, 0, 1},
		"no larger parts": {1920, 1440, 2, 1 + 4},
		"12 megapixels":   {4000, 3000, 2, 1 + 4 + 4*3},
		"upright":         {3000, 4000, 2, 1 + 4 + 4*3},
		"48 megapixels":   {8000, 6000, 2, 1 + 4 + 4*3 + 8*6},
		"panorama":        {16384, 2000, 2, 1 + 4 + 4*1 + 8*1 + 15*2},
		"more are usual":  {4000, 3000, 6, 1 + 36},
	} {
		t.Run(name, func(t *testing.T) {
			frame := &media.Frame{Width: tt.width, Height: tt.height}
			all := views(frame, tt.tiles, true)
			assert.Len(t, all, tt.want)
			usual := views(frame, tt.tiles, false)
			assert.Equal(t, usual, all[:len(usual)])
		})
	}
	assert.False(t, DetectorOptions{Fine: true, Tiles: 1}.fine(), "who wants no parts gets none")
	assert.True(t, DetectorOptions{Fine: true, Tiles: 2}.fine())
	assert.True(t, DetectorOptions{Detail: true}.fine(), "surveys find people of the same size in frames of any size")
	assert.False(t, DetectorOptions{Tiles: 2}.fine())
}

// TestFineViewsShowEverySize checks that people of any size and at any place in a large picture are whole in a part
// that is not much larger, and count there.
func TestFineViewsShowEverySize(t *testing.T) {
	for _, size := range []image.Point{{4000, 3000}, {6000, 8000}, {16384, 2000}} {
		frame := &media.Frame{Width: size.X, Height: size.Y}
		all := views(frame, 2, true)
		finest := all[len(all)-1].Size()
		for side := 40; side <= min(size.X, size.Y); side = side * 5 / 4 {
			largest := max(finest.X+1, finest.Y+1, 12*side)
			for x := 0; x+side <= size.X; x += max(side/3, 40) {
				for y := 0; y+side <= size.Y; y += max(side/3, 40) {
					box := Box{X0: float32(x), Y0: float32(y), X1: float32(x + side), Y1: float32(y + side)}
					require.True(t, slices.ContainsFunc(all, func(v view) bool {
						return max(v.Dx(), v.Dy()) <= largest && image.Rect(x, y, x+side, y+side).In(v.Rectangle) &&
							len(dropPartial([]Detection{{Box: box}}, v, frame)) == 1
					}), "%v: %d pixels at %d, %d", size, side, x, y)
				}
			}
		}
	}
}
