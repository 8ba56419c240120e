// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"image"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// drawn returns the bitmap given by rows, in which # is set.
func drawn(rows ...string) bitmap {
	b := newBitmap(len(rows[0]), len(rows))
	for y, row := range rows {
		for x, c := range row {
			b.set[y*b.width+x] = c == '#'
		}
	}
	return b
}

// filled returns a bitmap with the given rectangles set.
func filled(width, height int, rects ...image.Rectangle) bitmap {
	b := newBitmap(width, height)
	for _, r := range rects {
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				b.set[y*width+x] = true
			}
		}
	}
	return b
}

// gray returns a frame with one gray level.
func gray(width, height int, luma byte) *image.YCbCr {
	frame := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
	copy(frame.Y, bytes.Repeat([]byte{luma}, len(frame.Y)))
	copy(frame.Cb, bytes.Repeat([]byte{128}, len(frame.Cb)))
	copy(frame.Cr, bytes.Repeat([]byte{128}, len(frame.Cr)))
	return frame
}

// paint fills pixels with luma 100, and colors every chroma sample that they belong to.
func paint(frame *image.YCbCr, r image.Rectangle) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			frame.Y[frame.YOffset(x, y)] = 100
			frame.Cb[frame.COffset(x, y)], frame.Cr[frame.COffset(x, y)] = 200, 220
		}
	}
}

func TestMaskedPixels(t *testing.T) {
	rect := image.Rect(3, 3, 9, 10) // odd, so that chroma reaches beyond it
	for name, luma := range map[string]byte{"dark": 20, "bright": 235} {
		t.Run(name, func(t *testing.T) {
			source, output := gray(16, 14, luma), gray(16, 14, luma)
			paint(output, rect)
			assert.Equal(t, filled(16, 14, rect), masked(source, output), "chroma beyond the mask does not count")
		})
	}
	t.Run("pixels of the mask's own luma", func(t *testing.T) {
		source, output := gray(16, 14, 20), gray(16, 14, 20)
		source.Y[source.YOffset(6, 6)], output.Y[output.YOffset(6, 6)] = 100, 100
		source.Y[source.YOffset(14, 2)], output.Y[output.YOffset(14, 2)] = 100, 100
		paint(output, rect)
		assert.Equal(t, filled(16, 14, rect), masked(source, output))
	})
	t.Run("pixels of the mask's own color", func(t *testing.T) {
		source, output := gray(24, 14, 20), gray(24, 14, 20)
		for _, own := range []image.Rectangle{image.Rect(5, 4, 7, 9), image.Rect(18, 0, 20, 14), image.Rect(0, 12, 24, 14)} {
			paint(source, own)
			paint(output, own)
		}
		paint(output, rect)
		assert.Equal(t, filled(24, 14, rect), masked(source, output), "only those that the mask encloses")
	})
	t.Run("nothing", func(t *testing.T) {
		assert.Equal(t, newBitmap(16, 14), masked(gray(16, 14, 90), gray(16, 14, 90)))
	})
}

func TestCoverage(t *testing.T) {
	b := box{10, 20, 50, 80}
	tests := map[string]struct {
		mask bitmap
		want float64
	}{
		"all":           {filled(100, 100, image.Rect(0, 0, 100, 100)), 1},
		"none":          {filled(100, 100, image.Rect(50, 0, 100, 100), image.Rect(0, 80, 100, 100)), 0},
		"left half":     {filled(100, 100, image.Rect(0, 0, 30, 100)), 0.5},
		"upper half":    {filled(100, 100, image.Rect(0, 0, 100, 50)), 0.5},
		"corners alone": {filled(100, 100, image.Rect(10, 20, 15, 28), image.Rect(45, 72, 50, 80)), 0},
		// The unmasked part is a circular segment of 1/10 of the height.
		"lower tenth open": {filled(100, 100, image.Rect(0, 0, 100, 74)), 0.948},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { assert.InDelta(t, tt.want, coverage(tt.mask, b), 0.005) })
	}
	assert.InDelta(t, 1, coverage(filled(100, 100, image.Rect(0, 0, 20, 20)), box{-20, 0, 20, 20}), 1e-9,
		"only the part of a box within the frame counts")
	assert.Zero(t, coverage(newBitmap(10, 10), box{20, 20, 30, 30}))
}

func TestTears(t *testing.T) {
	head, other := image.Rect(10, 10, 20, 22), image.Rect(40, 10, 50, 22)
	move := func(r image.Rectangle, x int) image.Rectangle { return r.Add(image.Pt(x, 0)) }
	type rects = []image.Rectangle
	tests := map[string]struct {
		before, now, after rects
		want               []tear
	}{
		"steady": {rects{head, other}, rects{head, other}, rects{head, other}, nil},
		"one blinks": {rects{head, other}, rects{head}, rects{head, other},
			[]tear{{box{40, 10, 50, 22}, true}}},
		"moving":                {rects{head}, rects{move(head, 3)}, rects{move(head, 6)}, nil},
		"moving and blinking":   {rects{head}, nil, rects{move(head, 6)}, []tear{{box{16, 10, 20, 22}, true}}},
		"beside itself":         {rects{head}, rects{other}, rects{head}, []tear{{box{10, 10, 20, 22}, true}}},
		"coming":                {nil, nil, rects{head}, nil},
		"going":                 {rects{head}, nil, nil, nil},
		"shrinking by a little": {rects{head}, rects{image.Rect(10, 10, 20, 21)}, rects{head}, nil},
		"shrinking by a half": {rects{head}, rects{image.Rect(10, 10, 20, 16)}, rects{head},
			[]tear{{box{10, 16, 20, 22}, false}}},
		"one of two that touch": {rects{head, move(head, 10)}, rects{head}, rects{head, move(head, 10)},
			[]tear{{box{20, 10, 30, 22}, false}}},
		"too small to tell": {rects{image.Rect(0, 0, 3, 3)}, nil, rects{image.Rect(0, 0, 3, 3)}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tt.want, tears(filled(60, 30, tt.before...), filled(60, 30, tt.now...),
				filled(60, 30, tt.after...)))
		})
	}
}

func TestComponents(t *testing.T) {
	found := components(drawn(
		"##..#",
		".#.#.",
		"...##"))
	assert.Equal(t, []int{3, 1, 3}, found.sizes)
	assert.Equal(t, []int32{1, 1, 0, 0, 2, 0, 1, 0, 3, 0, 0, 0, 0, 3, 3}, found.labels)
	assert.Equal(t, []box{{0, 0, 2, 2}, {4, 0, 5, 1}, {3, 1, 5, 3}}, found.boxes())
}

func TestGroups(t *testing.T) {
	frame := annotatedFrame{Heads: []head{
		{Box: box{10, 10, 20, 20}, View: "frontal", FaceVisible: true},
		{Box: box{25, 12, 35, 23}, View: "away", Occluded: true},
		{Box: box{80, 40, 100, 70}, View: "profile"},
	}}
	assert.Equal(t, []string{"all heads", "face visible", "frontal", "small", "crowd"}, frame.groups(0, 100, 100))
	assert.Equal(t, []string{"all heads", "away", "small", "occluded", "crowd"}, frame.groups(1, 100, 100))
	assert.Equal(t, []string{"all heads", "profile", "edge"}, frame.groups(2, 100, 100))
}

func TestAnnotations(t *testing.T) {
	annotations, err := readAnnotations()
	require.NoError(t, err)
	frames, heads, views := 0, 0, map[string]int{}
	for _, a := range annotations {
		frames += len(a.Frames)
		for _, frame := range a.Frames {
			heads += len(frame.Heads)
			for _, h := range frame.Heads {
				views[h.View]++
			}
		}
	}
	t.Logf("%d heads in %d frames: %v", heads, frames, views)
	assert.GreaterOrEqual(t, heads, 250)
	assert.GreaterOrEqual(t, frames, 80)
	for _, view := range []string{"frontal", "profile", "away"} {
		assert.GreaterOrEqual(t, views[view], heads/5, "a fair share of each view: %s", view)
	}
}

func TestInvalidAnnotations(t *testing.T) {
	good := head{Box: box{1, 1, 9, 9}, View: "away"}
	assert.NoError(t, annotation{Clip: "a", Frames: []annotatedFrame{{Frame: 0, Heads: []head{good}},
		{Frame: 3}}}.validate())
	bad := map[string]annotation{
		"clip is missing":    {},
		"frames must ascend": {Clip: "a", Frames: []annotatedFrame{{Frame: 3}, {Frame: 3}}},
		"left, top, right": {Clip: "a", Frames: []annotatedFrame{{Heads: []head{{Box: box{9, 1, 1, 9},
			View: "away"}}}}},
		"frontal, profile or ": {Clip: "a", Frames: []annotatedFrame{{Heads: []head{{Box: box{1, 1, 9, 9},
			View: "up"}}}}},
	}
	for want, a := range bad {
		assert.ErrorContains(t, a.validate(), want)
	}
}
