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

// TestLocateFace checks that the head of a face covers the whole box, and the hair above it.
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
	faces := []vision.Face{faceAt(300, 200, 100), faceAt(1400, 600, 80), nan}
	lone, has := JoinFaces(heads, faces, 1920, 1080, GeometryOptions{})
	assert.Equal(t, []bool{true, false}, has)
	assert.Greater(t, heads[0].RX*heads[0].RY, before.RX*before.RY, "the head is enlarged to cover that of the face")
	assert.True(t, heads[0].Contains(350, 150))
	require.Len(t, lone, 2)
	assert.Equal(t, OriginFace, lone[0].Origin)
	assert.True(t, lone[0].Contains(1440, 640))
	assert.Equal(t, OriginFrame, lone[1].Origin, "a face without a valid position may be anywhere")
}

// TestJoinFacesSettlesGuesses checks that a face settles the head of a close-up that was guessed from its box, unless
// the face may be a hand, or someone else's, or the whole person is to be masked. A head that is sure and covers the
// face stays unchanged.
func TestJoinFacesSettlesGuesses(t *testing.T) {
	guess := Head{X: 400, Y: 300, RX: 250, RY: 200, Box: true, Score: .5, Origin: OriginBox}
	sure := Head{X: 350, Y: 250, RX: 90, RY: 110, Score: .6, Origin: OriginPose}
	unsure := sure
	unsure.Score = .3
	face := faceAt(300, 200, 100)
	weak := face
	weak.Score = .7
	around := LocateFace(face, 1920, 1080)
	for name, tt := range map[string]struct {
		heads []Head
		face  vision.Face
		opts  GeometryOptions
		// smaller and same say how the first head changes.
		smaller, same bool
	}{
		"guess":                  {[]Head{guess}, face, GeometryOptions{}, true, false},
		"face with a low score":  {[]Head{guess}, weak, GeometryOptions{}, false, true},
		"face too small":         {[]Head{guess}, faceAt(300, 200, 60), GeometryOptions{}, false, true},
		"whole person":           {[]Head{guess}, face, GeometryOptions{OnUncertain: WholePerson}, false, true},
		"face of a neighbor":     {[]Head{guess, sure}, face, GeometryOptions{}, false, true},
		"sure head":              {[]Head{sure}, face, GeometryOptions{}, false, true},
		"head that is not sure":  {[]Head{unsure}, face, GeometryOptions{}, false, false},
		"two faces in one guess": {[]Head{guess}, face, GeometryOptions{}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			before := tt.heads[0]
			faces := []vision.Face{tt.face}
			if name == "two faces in one guess" {
				faces = append(faces, faceAt(500, 250, 110))
			}
			lone, _ := JoinFaces(tt.heads, faces, 1920, 1080, tt.opts)
			assert.Equal(t, tt.same, tt.heads[0] == before)
			assert.Equal(t, tt.smaller, tt.heads[0].RX < before.RX)
			assert.Len(t, lone, len(faces)-1, "each face has a head")
			if tt.smaller {
				assert.True(t, tt.heads[0].covers(around), "the head around the face")
			}
		})
	}
}

// TestPoseEvidence checks that a neighbor's keypoints are evidence, too: the box may also show a person.
func TestPoseEvidence(t *testing.T) {
	assert.Equal(t, float32(1), PoseEvidence(vision.Person{}), "without a pose")
	pose := &vision.Pose{vision.LeftHip: {X: -500, Score: .7}, vision.LeftAnkle: {Score: .9}}
	assert.Equal(t, float32(.7), PoseEvidence(vision.Person{Pose: pose}))
}
