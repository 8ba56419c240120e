// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"image"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRegion checks that a part of a frame has the frame's pixels, and that what is found in it, including keypoints,
// is placed correctly in the frame.
func TestRegion(t *testing.T) {
	frame := newFrame(641, 359, yuv420p, false, uniform(white))
	for i := range frame.Planes {
		for j := range frame.Planes[i].Data {
			frame.Planes[i].Data[j] = byte(i*7 + j%251)
		}
	}
	region := RegionAround(frame, Box{X0: 301, Y0: 101, X1: 311, Y1: 121}, 100)
	assert.Equal(t, image.Rect(256, 60, 357, 161), region.Bounds)
	part := region.Frame()
	for i := range 3 {
		x, y := region.Bounds.Min.X, region.Bounds.Min.Y
		if i > 0 {
			x, y = x/2, y/2
		}
		require.Len(t, part.Planes[i].Data, part.Planes[i].Width*part.Planes[i].Height)
		at, in := part.Planes[i], frame.Planes[i]
		for _, p := range [][2]int{{0, 0}, {3, 5}, {at.Width - 1, at.Height - 1}} {
			assert.Equal(t, in.Data[(y+p[1])*in.Width+x+p[0]], at.Data[p[1]*at.Width+p[0]], "plane %d at %v", i, p)
		}
	}

	pose := &Pose{Nose: {X: 50, Y: 30, Score: .9}}
	found := region.Detections([]Detection{{Box: Box{X0: 40, Y0: 20, X1: 60, Y1: 80}, Score: .8, Pose: pose},
		{Box: Box{X0: 0, Y0: 20, X1: 20, Y1: 80}, Score: .8}})
	require.Len(t, found, 1, "the other one may be shown in part")
	assert.Equal(t, Box{X0: 296, Y0: 80, X1: 316, Y1: 140}, found[0].Box)
	assert.Equal(t, Keypoint{X: 306, Y: 90, Score: .9}, found[0].Pose[Nose])
	assert.Equal(t, Keypoint{X: 50, Y: 30, Score: .9}, pose[Nose], "what was given stays")
	faces := region.Faces([]Face{{Box: Box{X0: 45, Y0: 25, X1: 55, Y1: 35}, LeftEye: Keypoint{X: 52, Y: 28}}})
	assert.Equal(t, Box{X0: 301, Y0: 85, X1: 311, Y1: 95}, faces[0].Box)
	assert.Equal(t, Keypoint{X: 308, Y: 88}, faces[0].LeftEye)
}
