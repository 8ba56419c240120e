// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

func faceAt(x, y, side float32) vision.Face {
	return vision.Face{Box: vision.Box{X0: x, Y0: y, X1: x + side, Y1: y + side}, Score: .9,
		RightEye: vision.Keypoint{X: x + .3*side, Y: y + .3*side}, LeftEye: vision.Keypoint{X: x + .7*side, Y: y + .3*side}}
}

// The head of a face covers the whole box, and the hair above it.
func TestLocateFace(t *testing.T) {
	head := LocateFace(faceAt(300, 200, 100), 1920, 1080)
	require.True(t, head.Sane())
	assert.Equal(t, OriginFace, head.Origin)
	for x := float32(310); x <= 390; x += 10 {
		for y := float32(200); y <= 300; y += 10 {
			assert.True(t, head.Contains(x, y), "%v, %v", x, y)
		}
	}
	assert.True(t, head.Contains(350, 150), "hair")
	assert.False(t, head.Contains(350, 450), "the trunk")
}

func TestJoinFaces(t *testing.T) {
	heads := []Head{
		{X: 350, Y: 240, RX: 40, RY: 50, Origin: OriginPose},
		{X: 900, Y: 240, RX: 40, RY: 50, Origin: OriginPose},
	}
	before := heads[0]
	nan := faceAt(100, 100, 50)
	nan.Box.X1 = float32(math.NaN())
	lone, has := JoinFaces(heads, []vision.Face{faceAt(300, 200, 100), faceAt(1400, 600, 80), nan}, 1920, 1080)
	assert.Equal(t, []bool{true, false}, has)
	assert.Greater(t, heads[0].RX*heads[0].RY, before.RX*before.RY, "the head is enlarged to cover that of the face")
	assert.True(t, heads[0].Contains(350, 150))
	require.Len(t, lone, 2)
	assert.Equal(t, OriginFace, lone[0].Origin)
	assert.True(t, lone[0].Contains(1440, 640))
	assert.Equal(t, OriginFrame, lone[1].Origin, "a face without a valid position may be anywhere")
}
