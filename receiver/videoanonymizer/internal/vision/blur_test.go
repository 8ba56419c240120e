// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// TestBlurred blurs a picture of patches as a moving camera does, and as one that is out of focus does.
func TestBlurred(t *testing.T) {
	const patch = 24
	rng := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 1<<20)
	for i := range random {
		random[i] = byte(rng.IntN(256))
	}
	patches := func(x, y int) int { return int(random[(x+1000)/patch*1009+(y+1000)/patch]) }
	noise := func(x, y int) int { return int(random[(x*1013+y)%len(random)]) }
	// blur is the mean over the given number of pixels along rows and columns.
	blur := func(of func(x, y int) int, along, down int) func(x, y int) int {
		return func(x, y int) int {
			sum := 0
			for dy := range down {
				for dx := range along {
					sum += of(x+dx, y+dy)
				}
			}
			return sum / along / down
		}
	}
	for name, tt := range map[string]struct {
		width, height int
		format        media.PixelFormat
		luma          func(x, y int) int
		want          bool
	}{
		"sharp":                  {960, 320, yuv420p, patches, false},
		"moved along rows":       {960, 320, yuv420p, blur(patches, 21, 1), true},
		"moved along columns":    {960, 320, gray, blur(patches, 1, 21), true},
		"10 bits":                {960, 320, yuv420p10le, blur(patches, 21, 1), true},
		"out of focus":           {480, 320, yuv420p, blur(patches, 15, 15), true},
		"moved a little":         {960, 320, yuv420p, blur(patches, 4, 1), false},
		"a large frame, as much": {3840, 240, yuv420p, blur(patches, 21, 1), false},
		"noise":                  {960, 320, yuv420p, noise, false},
		"one color":              {960, 320, yuv420p, func(int, int) int { return 90 }, false},
		"a small frame":          {2, 2, yuv420p, patches, false},
	} {
		t.Run(name, func(t *testing.T) {
			frame := newFrame(tt.width, tt.height, tt.format, false, func(x, y int) [3]byte {
				return [3]byte{byte(tt.luma(x, y)), 128, 128}
			})
			assert.Equal(t, tt.want, Blurred(frame), "%.2f", sharpness(frame))
		})
	}
	assert.False(t, Blurred(&media.Frame{Width: 9, Height: 9, Format: gray,
		Planes: [4]media.Plane{{Width: 9, Height: 9}}}), "without pixels")
}
