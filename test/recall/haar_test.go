// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"image"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// darkAboveBright accepts windows whose upper half is darker than the lower half by a standard deviation.
const darkAboveBright = `<?xml version="1.0"?>
<opencv_storage><cascade type_id="opencv-cascade-classifier">
  <stageType>BOOST</stageType><featureType>HAAR</featureType><height>8</height><width>8</width>
  <stages>
    <_><maxWeakCount>1</maxWeakCount><stageThreshold>0.5</stageThreshold><weakClassifiers>
      <_><internalNodes>0 -1 0 0.5</internalNodes><leafValues>0. 1.</leafValues></_></weakClassifiers></_></stages>
  <features>
    <_><rects><_>0 0 8 8 -1.</_><_>0 4 8 4 2.</_></rects></_></features></cascade></opencv_storage>`

func TestCascadeFindsFaces(t *testing.T) {
	c, err := parseCascade([]byte(darkAboveBright))
	require.NoError(t, err)
	assert.Equal(t, [2]int{8, 8}, [2]int{c.width, c.height})

	frame := gray(64, 64, 128)
	for y := 20; y < 44; y++ {
		for x := 20; x < 44; x++ {
			frame.Y[frame.YOffset(x, y)] = map[bool]byte{true: 20, false: 240}[y < 32]
		}
	}
	faces := c.faces(frame)
	require.NotEmpty(t, faces)
	best := 0.0
	for _, face := range faces {
		best = max(best, overlap(face, box{20, 20, 44, 44}))
	}
	assert.Greater(t, best, 0.5)

	heads := []head{{Box: box{20, 20, 44, 44}, FaceVisible: true}}
	found := c.found(frame, heads)
	require.NotEmpty(t, found)
	assert.Equal(t, len(found), c.foundAgain(frame, found))
	assert.Zero(t, c.foundAgain(gray(64, 64, 128), found), "a masked face is not found")
	assert.Empty(t, c.found(frame, []head{{Box: box{50, 50, 64, 64}, FaceVisible: true}}), "a face outside all heads")
	assert.Empty(t, c.found(frame, []head{{Box: box{20, 20, 44, 44}}}), "no face is visible")
}

func TestCascadeRejectsFlatAndInvertedFrames(t *testing.T) {
	c, err := parseCascade([]byte(darkAboveBright))
	require.NoError(t, err)
	upsideDown := gray(64, 64, 240)
	for i := 32 * 64; i < 64*64; i++ {
		upsideDown.Y[i] = 20
	}
	assert.Empty(t, c.faces(upsideDown))
	assert.Empty(t, c.faces(gray(64, 64, 128)))
}

func TestInvalidCascadeFiles(t *testing.T) {
	for name, text := range map[string]string{
		"not XML":    "<opencv",
		"no cascade": "<opencv_storage></opencv_storage>",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseCascade([]byte(text))
			assert.Error(t, err)
		})
	}
}

func TestIntegralSums(t *testing.T) {
	frame := image.NewYCbCr(image.Rect(0, 0, 4, 2), image.YCbCrSubsampleRatio420)
	copy(frame.Y, []byte{1, 2, 3, 4, 5, 6, 7, 8})
	in := newIntegral(frame, 4, 2)
	assert.InDelta(t, 36, in.sum(0, 0, 4, 2), 1e-9)
	assert.InDelta(t, 2+3+6+7, in.sum(1, 0, 2, 2), 1e-9)
	assert.InDelta(t, 64, in.squareSum(3, 1, 1, 1), 1e-9)
	assert.InDelta(t, (1+2+5+6)/4.0, newIntegral(frame, 2, 1).sum(0, 0, 1, 1), 1e-9)
}

func TestFacesNeedNeighboringWindows(t *testing.T) {
	a, b := box{10, 10, 20, 20}, box{50, 50, 60, 60}
	assert.Equal(t, []box{a}, grouped([]box{a, b, a, b, a}))
	assert.InDelta(t, 1.0/3, overlap(box{0, 0, 2, 2}, box{1, 0, 3, 2}), 1e-9)
	assert.Zero(t, overlap(a, b))
}
