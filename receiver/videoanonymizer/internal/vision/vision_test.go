// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"image"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSuppress(t *testing.T) {
	at := func(x, score float32) Detection {
		return Detection{Box: Box{X0: x, Y0: 0, X1: x + 100, Y1: 100}, Score: score}
	}
	candidate := func(d Detection) Detection { d.Candidate = true; return d }
	tests := map[string]struct {
		in, want []Detection
	}{
		"nothing":           {nil, nil},
		"better one kept":   {[]Detection{at(10, .5), at(0, .9)}, []Detection{at(0, .9)}},
		"neighbors kept":    {[]Detection{at(0, .9), at(60, .5)}, []Detection{at(0, .9), at(60, .5)}},
		"dropped ones":      {[]Detection{at(0, .9), at(30, .8), at(60, .7)}, []Detection{at(0, .9), at(60, .7)}},
		"candidate dropped": {[]Detection{candidate(at(0, .4)), at(10, .3)}, []Detection{at(10, .3)}},
		"touching":          {[]Detection{at(0, .9), at(100, .5)}, []Detection{at(0, .9), at(100, .5)}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tt.want, suppressPeople(tt.in, .5))
		})
	}
}

func TestInputSizeAndLetterbox(t *testing.T) {
	tests := map[string]struct {
		opts                    DetectorOptions
		frameWidth, frameHeight int
		width, height           int
		region                  image.Rectangle
	}{
		"wide":                  {DetectorOptions{}, 1920, 1080, 416, 256, image.Rect(0, -51, 1920, 1131)},
		"tall":                  {DetectorOptions{}, 1080, 1920, 256, 416, image.Rect(-51, 0, 1131, 1920)},
		"square":                {DetectorOptions{}, 500, 500, 416, 416, image.Rect(0, 0, 500, 500)},
		"small":                 {DetectorOptions{}, 208, 104, 416, 224, image.Rect(0, -4, 208, 108)},
		"strip":                 {DetectorOptions{}, 4096, 16, 416, 32, image.Rect(0, -150, 4096, 166)},
		"long side":             {DetectorOptions{LongSide: 630}, 1920, 1080, 640, 384, image.Rect(0, -36, 1920, 1116)},
		"enlargement bounded":   {DetectorOptions{LongSide: 640}, 320, 240, 480, 384, image.Rect(0, -8, 320, 248)},
		"not below the default": {DetectorOptions{LongSide: 640}, 208, 104, 416, 224, image.Rect(0, -4, 208, 108)},
		"less than the default": {DetectorOptions{LongSide: 320}, 1920, 1080, 320, 192, image.Rect(0, -36, 1920, 1116)},
		"fixed": {
			DetectorOptions{Width: 300, Height: 300}, 1920, 1080, 320, 320, image.Rect(0, -420, 1920, 1500),
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w, h := inputSize(tt.opts, 416, 32)(tt.frameWidth, tt.frameHeight)
			assert.Equal(t, image.Pt(tt.width, tt.height), image.Pt(w, h))
			got := letterbox(image.Rect(0, 0, tt.frameWidth, tt.frameHeight), w, h)
			assert.Equal(t, tt.region, got)
			assert.True(t, image.Rect(0, 0, tt.frameWidth, tt.frameHeight).In(got), "the whole frame shows")
		})
	}
}

func TestSquareAround(t *testing.T) {
	assert.Equal(t, image.Rect(0, -25, 250, 225), squareAround(Box{X0: 75, Y0: 0, X1: 175, Y1: 200}, 1.25))
	assert.Equal(t, image.Rect(4, 4, 6, 6), squareAround(Box{X0: 5, Y0: 5, X1: 5, Y1: 5}, 1.25), "never empty")
}
