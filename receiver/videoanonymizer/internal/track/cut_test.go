// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math"
	"testing"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// newFrame returns a frame whose luma, in 8-bit steps, is a function of the position.
func newFrame(depth, width, height int, luma func(x, y float64) float64) *media.Frame {
	f := &media.Frame{Width: width, Height: height, Format: media.PixelFormat{Depth: depth, Planes: 1}}
	size := f.Format.BytesPerSample()
	data := make([]byte, width*height*size)
	for y := range height {
		for x := range width {
			v := int(max(0, min(255, luma(float64(x), float64(y))))) << (depth - 8)
			at := (y*width + x) * size
			data[at] = byte(v)
			if size == 2 {
				data[at+1] = byte(v >> 8)
			}
		}
	}
	f.Planes[0] = media.Plane{Data: data, Width: width, Height: height}
	return f
}

// scene returns a pattern of waves that depends on the seed.
func scene(seed float64) func(x, y float64) float64 {
	return func(x, y float64) float64 {
		return 128 + 50*math.Sin(x*(0.02+0.004*seed)+seed*2)*math.Cos(y*0.03-seed) + 40*math.Sin((x*seed+y*3)*0.011)
	}
}

func TestCut(t *testing.T) {
	const w, h = 320, 180
	black := func(x, y float64) float64 { return 16 }
	one, two := scene(1), scene(4)
	tests := map[string]struct {
		frames int
		luma   func(i int) func(x, y float64) float64
		cuts   []int
	}{
		"still": {20, func(int) func(x, y float64) float64 { return one }, nil},
		"cut": {20, func(i int) func(x, y float64) float64 {
			if i < 10 {
				return one
			}
			return two
		}, []int{10}},
		"cut in a pan": {20, func(i int) func(x, y float64) float64 {
			s := one
			if i >= 10 {
				s = two
			}
			return func(x, y float64) float64 { return s(x+float64(6*i), y) }
		}, []int{10}},
		"two cuts at once": {20, func(i int) func(x, y float64) float64 {
			return scene([]float64{1, 4, 7}[min(2, max(0, i-8))])
		}, []int{9, 10}},
		"fast pan": {20, func(i int) func(x, y float64) float64 {
			return func(x, y float64) float64 { return one(x+float64(16*i), y) }
		}, nil},
		"flash": {20, func(i int) func(x, y float64) float64 {
			if i == 10 {
				return func(x, y float64) float64 { return one(x, y)*0.6 + 100 }
			}
			return one
		}, nil},
		"lamp goes out": {20, func(i int) func(x, y float64) float64 {
			if i >= 10 {
				return func(x, y float64) float64 { return one(x, y) * 0.3 }
			}
			return one
		}, nil},
		"dissolve": {40, func(i int) func(x, y float64) float64 {
			u := max(0, min(1, (float64(i)-10)/20))
			return func(x, y float64) float64 { return one(x, y)*(1-u) + two(x, y)*u }
		}, nil},
		"from black": {20, func(i int) func(x, y float64) float64 {
			if i < 10 {
				return black
			}
			return one
		}, []int{10}},
		"a large object passes": {20, func(i int) func(x, y float64) float64 {
			return func(x, y float64) float64 {
				if math.Abs(x-float64(20*i)) < 40 {
					return 30
				}
				return one(x, y)
			}
		}, nil},
	}
	for name, tt := range tests {
		for _, depth := range []int{8, 10} {
			t.Run(name, func(t *testing.T) {
				d := NewCutDetector()
				var got []int
				for i := range tt.frames {
					if d.Cut(newFrame(depth, w, h, tt.luma(i))) {
						got = append(got, i)
					}
				}
				if len(got) != len(tt.cuts) {
					t.Fatalf("cuts at %v, want %v", got, tt.cuts)
				}
				for i := range got {
					if got[i] != tt.cuts[i] {
						t.Fatalf("cuts at %v, want %v", got, tt.cuts)
					}
				}
			})
		}
	}
}

func TestCutFrameSizes(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {7, 3}, {3, 700}, {1920, 2}} {
		d := NewCutDetector()
		for range 3 {
			if d.Cut(newFrame(8, size[0], size[1], scene(1))) {
				t.Errorf("a still image of %v has a cut", size)
			}
		}
	}
	d := NewCutDetector()
	d.Cut(&media.Frame{Format: media.PixelFormat{Depth: 8}})
}

func BenchmarkCut(b *testing.B) {
	frame := newFrame(8, 1920, 1080, scene(1))
	d := NewCutDetector()
	for b.Loop() {
		d.Cut(frame)
	}
}
