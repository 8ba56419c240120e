// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// distinct returns a frame in which neighboring samples differ in both bytes.
func distinct(format media.PixelFormat, width, height int) *media.Frame {
	f := &media.Frame{Index: 7, PTS: 70, Time: 700, Width: width, Height: height, Format: format, FullRange: true}
	for i := range format.AllPlanes() {
		w, h := format.PlaneSize(i, width, height)
		f.Planes[i] = media.Plane{Data: make([]byte, w*h*format.BytesPerSample()), Width: w, Height: h}
		for j := range f.Planes[i].Data {
			f.Planes[i].Data[j] = byte((j*2654435761 + i) >> 7)
		}
	}
	return f
}

var turnFormats = []media.PixelFormat{
	{Name: "yuv420p", Depth: 8, ChromaShiftX: 1, ChromaShiftY: 1, Planes: 3},
	{Name: "yuv422p", Depth: 8, ChromaShiftX: 1, Planes: 3},
	{Name: "yuv444p", Depth: 8, Planes: 3},
	{Name: "gray", Depth: 8, Planes: 1},
	{Name: "yuva420p", Depth: 8, ChromaShiftX: 1, ChromaShiftY: 1, Planes: 3, Alpha: true},
	{Name: "yuv420p10le", Depth: 10, ChromaShiftX: 1, ChromaShiftY: 1, Planes: 3},
	{Name: "yuv422p12le", Depth: 12, ChromaShiftX: 1, Planes: 3},
	{Name: "yuva444p10le", Depth: 10, Planes: 3, Alpha: true},
	{Name: "gray16le", Depth: 16, Planes: 1},
}

// TestTurnedAndBack checks that quarter turns that add up to a whole turn change nothing, in all formats and odd sizes.
func TestTurnedAndBack(t *testing.T) {
	for _, format := range turnFormats {
		for _, size := range [][2]int{{64, 36}, {33, 17}, {2, 5}, {1, 1}} {
			frame := distinct(format, size[0], size[1])
			for quarters := -4; quarters <= 5; quarters++ {
				turned, err := Turned(frame, quarters)
				require.NoError(t, err)
				for i := range format.AllPlanes() {
					w, h := turned.Format.PlaneSize(i, turned.Width, turned.Height)
					require.Equal(t, [2]int{w, h}, [2]int{turned.Planes[i].Width, turned.Planes[i].Height})
				}
				back, err := Turned(turned, -quarters)
				require.NoError(t, err)
				require.Equal(t, frame, back, "%s, %v, %d quarters", format.Name, size, quarters)
			}
		}
	}
}

// TestTurnedPixel checks that, clockwise, the upper left corner goes to the upper right one, and so on.
func TestTurnedPixel(t *testing.T) {
	const width, height, x, y = 5, 3, 1, 0
	for quarters, want := range [][2]int{{1, 0}, {2, 1}, {3, 2}, {0, 3}} {
		for _, bytesPerSample := range []int{1, 2} {
			frame := distinct(media.PixelFormat{Name: "gray", Depth: 8 * bytesPerSample, Planes: 1}, width, height)
			clear(frame.Planes[0].Data)
			marked := []byte{200, 100}[:bytesPerSample]
			copy(frame.Planes[0].Data[(y*width+x)*bytesPerSample:], marked)
			turned, err := Turned(frame, quarters)
			require.NoError(t, err)
			p := turned.Planes[0]
			assert.Equal(t, marked, p.Data[(want[1]*p.Width+want[0])*bytesPerSample:][:bytesPerSample], quarters)
		}
	}
}

// TestTurnBack checks that what is found at a sample of a turned frame is turned back to where the sample came from.
func TestTurnBack(t *testing.T) {
	const width, height = 37, 21
	frame := distinct(media.PixelFormat{Name: "gray16le", Depth: 16, Planes: 1}, width, height)
	for i := range width * height {
		binary.LittleEndian.PutUint16(frame.Planes[0].Data[2*i:], uint16(i))
	}
	for quarters := range 4 {
		turned, err := Turned(frame, quarters)
		require.NoError(t, err)
		back := TurnBack{Quarters: quarters, Width: width, Height: height}
		for i := range width * height {
			from := int(binary.LittleEndian.Uint16(turned.Planes[0].Data[2*i:]))
			u, v := float32(i%turned.Width), float32(i/turned.Width)
			x, y := float32(from%width), float32(from/width)
			box, middle := Box{X0: u, Y0: v, X1: u + 1, Y1: v + 1}, Keypoint{X: u + .5, Y: v + .5, Score: .5}
			wantBox, wantMiddle := Box{X0: x, Y0: y, X1: x + 1, Y1: y + 1}, Keypoint{X: x + .5, Y: y + .5, Score: .5}

			require.Equal(t, wantBox, back.Box(box))
			require.Equal(t, wantMiddle, back.Pose(Pose{LeftEar: middle})[LeftEar])

			faces := back.Faces([]Face{{Box: box, Score: .7, LeftEye: middle, RightEye: Keypoint{X: u, Y: v}}})
			require.Equal(t, wantBox, faces[0].Box)
			require.Equal(t, wantMiddle, faces[0].LeftEye)
			require.InDelta(t, .7, faces[0].Score, 1e-6)
			require.NotEqual(t, faces[0].LeftEye, faces[0].RightEye)
		}
	}
}

func BenchmarkTurned(b *testing.B) {
	for _, format := range turnFormats[:6] {
		frame := distinct(format, 1920, 1080)
		for quarters := 1; quarters <= 3; quarters++ {
			b.Run(fmt.Sprintf("format=%s/quarters=%d", format.Name, quarters), func(b *testing.B) {
				for b.Loop() {
					if _, err := Turned(frame, quarters); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
