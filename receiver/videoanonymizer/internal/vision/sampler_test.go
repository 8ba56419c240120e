// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"encoding/binary"
	"image"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	yuv420p     = media.PixelFormat{Name: "yuv420p", Depth: 8, ChromaShiftX: 1, ChromaShiftY: 1, Planes: 3}
	yuv444p     = media.PixelFormat{Name: "yuv444p", Depth: 8, Planes: 3}
	yuv420p10le = media.PixelFormat{Name: "yuv420p10le", Depth: 10, ChromaShiftX: 1, ChromaShiftY: 1, Planes: 3}
	gray        = media.PixelFormat{Name: "gray", Depth: 8, Planes: 1}
)

// newFrame returns a frame painted by a function of the position that returns Y, U and V in 8 bits.
func newFrame(width, height int, format media.PixelFormat, fullRange bool, at func(x, y int) [3]byte) *media.Frame {
	f := &media.Frame{Width: width, Height: height, Format: format, FullRange: fullRange}
	for i := range format.Planes {
		w, h, sx, sy := width, height, 0, 0
		if i > 0 {
			sx, sy = format.ChromaShiftX, format.ChromaShiftY
			w, h = (width+1<<sx-1)>>sx, (height+1<<sy-1)>>sy
		}
		p := media.Plane{Width: w, Height: h, Data: make([]byte, w*h*format.BytesPerSample())}
		for y := range h {
			for x := range w {
				v := at(min(x<<sx, width-1), min(y<<sy, height-1))[i]
				if format.BytesPerSample() == 2 {
					binary.LittleEndian.PutUint16(p.Data[(y*w+x)*2:], uint16(v)<<(format.Depth-8))
				} else {
					p.Data[y*w+x] = v
				}
			}
		}
		f.Planes[i] = p
	}
	return f
}

// Colors in limited-range BT.709.
var (
	red   = [3]byte{63, 102, 240}
	green = [3]byte{173, 42, 26}
	white = [3]byte{235, 128, 128}
)

func uniform(c [3]byte) func(int, int) [3]byte { return func(int, int) [3]byte { return c } }

func TestSampleColors(t *testing.T) {
	tests := map[string]struct {
		format        media.PixelFormat
		width, height int
		full          bool
		yuv           [3]byte
		want          [3]byte
	}{
		"red HD":       {format: yuv420p, width: 1280, height: 720, yuv: red, want: [3]byte{255, 0, 0}},
		"green 4:4:4":  {format: yuv444p, width: 1280, height: 720, yuv: green, want: [3]byte{0, 255, 0}},
		"white 10 bit": {format: yuv420p10le, width: 1280, height: 720, yuv: white, want: [3]byte{255, 255, 255}},
		"red SD":       {format: yuv420p, width: 640, height: 480, yuv: [3]byte{81, 90, 240}, want: [3]byte{255, 0, 0}},
		"full range": {format: yuv420p, width: 640, height: 480, full: true, yuv: [3]byte{255, 128, 128},
			want: [3]byte{255, 255, 255}},
		"gray":     {format: gray, width: 640, height: 480, full: true, yuv: [3]byte{77}, want: [3]byte{77, 77, 77}},
		"odd size": {format: yuv420p, width: 641, height: 481, yuv: [3]byte{81, 90, 240}, want: [3]byte{255, 0, 0}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			frame := newFrame(tt.width, tt.height, tt.format, tt.full, uniform(tt.yuv))
			dst := make([]uint8, 64*48*3)
			s := newSampler()
			require.NoError(t, s.sample(frame, image.Rect(0, 0, tt.width, tt.height), dst, 64, 48))
			for i := 0; i < len(dst); i += 3 {
				for c := range 3 {
					require.InDelta(t, tt.want[c], dst[i+c], 3, "pixel %d channel %d", i/3, c)
				}
			}
		})
	}
}

func TestSampleRegion(t *testing.T) {
	// The rectangle 100..200 x 50..150 is white, the rest black.
	frame := newFrame(400, 300, yuv444p, true, func(x, y int) [3]byte {
		if x >= 100 && x < 200 && y >= 50 && y < 150 {
			return [3]byte{255, 128, 128}
		}
		return [3]byte{0, 128, 128}
	})
	tests := map[string]struct {
		region image.Rectangle
		white  image.Rectangle // in an image of 100 x 100
	}{
		"inside":                {image.Rect(100, 50, 200, 150), image.Rect(0, 0, 100, 100)},
		"twice as large":        {image.Rect(50, 0, 250, 200), image.Rect(25, 25, 75, 75)},
		"beyond the left":       {image.Rect(-100, 50, 200, 350), image.Rect(67, 0, 100, 33)},
		"beyond the right":      {image.Rect(150, 50, 550, 450), image.Rect(0, 0, 13, 25)},
		"larger than the frame": {image.Rect(-400, -400, 800, 800), image.Rect(42, 38, 50, 46)},
		"outside":               {image.Rect(500, 500, 600, 600), image.Rectangle{}},
		"magnified":             {image.Rect(95, 45, 105, 55), image.Rect(50, 50, 100, 100)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dst := make([]uint8, 100*100*3)
			for i := range dst {
				dst[i] = 99 // left over from the previous call
			}
			s := newSampler()
			require.NoError(t, s.sample(frame, tt.region, dst, 100, 100))
			for y := range 100 {
				for x := range 100 {
					p := image.Pt(x, y)
					v := dst[(y*100+x)*3]
					if p.In(tt.white.Inset(7)) {
						require.Greater(t, v, uint8(250), "%v is white", p)
					}
					if !p.In(tt.white.Inset(-8)) {
						require.Less(t, v, uint8(5), "%v is black", p)
					}
				}
			}
		})
	}
}

func TestSampleErrors(t *testing.T) {
	frame := newFrame(64, 64, yuv420p, false, uniform(white))
	s := newSampler()
	assert.Error(t, s.sample(frame, image.Rectangle{}, make([]uint8, 300), 10, 10))
	assert.Error(t, s.sample(frame, image.Rect(0, 0, 5, 5), make([]uint8, 299), 10, 10))
}

// TestSpareSamplers checks that a garbage collection drops no spare sampler, whose memory would never be freed, and
// that one sampler too many frees its own memory.
func TestSpareSamplers(t *testing.T) {
	var all []*sampler
	for range cap(spareSamplers) + 1 {
		s := newSampler()
		frame := newFrame(64, 64, yuv420p, false, uniform(white))
		require.NoError(t, s.sample(frame, image.Rect(0, 0, 64, 64), make([]uint8, 300), 10, 10))
		all = append(all, s)
	}
	for len(spareSamplers) > 0 { // left over from other tests
		(<-spareSamplers).close()
	}
	for _, s := range all {
		returnSampler(s)
	}
	runtime.GC()
	runtime.GC()
	for i, s := range all[:len(all)-1] {
		assert.Same(t, s, borrowSampler(), "%d", i)
		require.False(t, s.planes[0].Empty())
		s.close()
	}
	tooMany := all[len(all)-1]
	assert.True(t, tooMany.planes[0].Closed())
	assert.True(t, tooMany.halves[1].Closed())
}

func FuzzSample(f *testing.F) {
	f.Add(100, 60, -5, -5, 300, 200)
	f.Add(1, 1, 0, 0, 1, 1)
	f.Fuzz(func(t *testing.T, width, height, x0, y0, x1, y1 int) {
		width, height = 1+abs(width)%300, 1+abs(height)%300
		region := image.Rect(x0%2000, y0%2000, x1%2000, y1%2000)
		if region.Empty() {
			return
		}
		frame := newFrame(width, height, yuv420p, false, uniform(white))
		dst := make([]uint8, 32*32*3)
		require.NoError(t, newSampler().sample(frame, region, dst, 32, 32))
	})
}

func abs(v int) int { return max(v, -max(v, -1<<62)) }

func BenchmarkSample(b *testing.B) {
	frame := newFrame(1920, 1080, yuv420p, false, func(x, y int) [3]byte { return [3]byte{byte(x ^ y), byte(x), byte(y)} })
	for name, bb := range map[string]struct {
		region        image.Rectangle
		width, height int
	}{
		"frame to 416x256":  {letterbox(image.Rect(0, 0, 1920, 1080), 416, 256), 416, 256},
		"person to 192x192": {image.Rect(700, 100, 1500, 900), 192, 192},
	} {
		b.Run(name, func(b *testing.B) {
			s, dst := newSampler(), make([]uint8, bb.width*bb.height*3)
			b.ReportAllocs()
			for b.Loop() {
				if err := s.sample(frame, bb.region, dst, bb.width, bb.height); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
