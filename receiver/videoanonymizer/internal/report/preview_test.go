// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"image"
	"image/color"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

var formats = map[string]struct {
	format    media.PixelFormat
	fullRange bool
}{
	"4:2:0": {media.PixelFormat{Name: "yuv420p", Depth: 8, ChromaShiftX: 1, ChromaShiftY: 1, Planes: 3},
		false},
	"4:4:4, full range": {media.PixelFormat{Name: "yuv444p", Depth: 8, Planes: 3}, true},
	"4:2:2, 10 bit":     {media.PixelFormat{Name: "yuv422p10le", Depth: 10, ChromaShiftX: 1, Planes: 3}, false},
	"grey":              {media.PixelFormat{Name: "gray", Depth: 8, Planes: 1}, false},
}

// blankFrame returns a frame whose samples are all zero.
func blankFrame(format media.PixelFormat, width, height int) *media.Frame {
	frame := &media.Frame{Width: width, Height: height, Format: format}
	for i := range format.AllPlanes() {
		w, h := format.PlaneSize(i, width, height)
		frame.Planes[i] = media.Plane{Data: make([]byte, w*h*format.BytesPerSample()), Width: w, Height: h}
	}
	return frame
}

func TestDrawDetections(t *testing.T) {
	for name, f := range formats {
		t.Run(name, func(t *testing.T) {
			frame := blankFrame(f.format, 320, 240)
			frame.FullRange = f.fullRange
			pose := &vision.Pose{}
			for i := range pose {
				pose[i] = vision.Keypoint{X: 160, Y: 100, Score: 0.9}
			}
			pose[vision.LeftHip] = vision.Keypoint{X: 160, Y: 140, Score: 0.1}
			Draw(frame, &record.Frame{
				Found: []vision.Person{{Detection: vision.Detection{Box: vision.Box{X0: 100, Y0: 50, X1: 220, Y1: 200}, Score: 0.5},
					Pose: pose}},
				Heads: []mask.Head{{X: 160, Y: 100, RX: 20, RY: 30, Score: 0.5, Origin: mask.OriginHeld}},
			}, 0, 0.2)
			for what, want := range map[image.Point]color.RGBA{
				{100, 120}: personColor, {219, 120}: personColor, {160, 50}: personColor,
				{159, 99}: keypointColor, {159, 139}: weakColor, {180, 100}: originColors[mask.OriginHeld],
			} {
				got := crop(viewOf(frame), image.Rectangle{what, what.Add(image.Pt(1, 1))}).RGBAAt(what.X, what.Y)
				if f.format.Planes == 1 {
					want = color.RGBA{got.R, got.R, got.R, 255}
					assert.Greater(t, got.R, uint8(40), "at %v", what)
				}
				assert.InDeltaSlice(t, []int{int(want.R), int(want.G), int(want.B)}, []int{int(got.R), int(got.G), int(got.B)}, 8,
					"at %v", what)
			}
		})
	}
}

// TestDrawOutsideTheFrame draws boxes outside the frame and boxes that are not finite.
func TestDrawOutsideTheFrame(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	pose := &vision.Pose{{X: nan, Y: inf, Score: nan}, {X: -1e9, Y: 1e9}}
	rec := &record.Frame{Reason: "timeout"}
	for _, b := range []vision.Box{{X0: nan, Y0: nan, X1: nan, Y1: nan}, {X0: -inf, Y0: -inf, X1: inf, Y1: inf},
		{X0: 9, Y0: 9, X1: 1, Y1: 1}, {X0: 1e9, Y0: 1e9, X1: 2e9, Y1: 2e9}} {
		rec.Found = append(rec.Found, vision.Person{Detection: vision.Detection{Box: b, Score: nan, Candidate: true},
			Pose: pose})
		rec.Faces = append(rec.Faces, vision.Face{Box: b})
	}
	for _, v := range []float32{nan, inf, -5000, 900_000, 1e9} {
		rec.Heads = append(rec.Heads, mask.Head{X: v, Y: v, RX: v, RY: v, Angle: v, Origin: mask.OriginHeld},
			mask.Head{X: v, Y: v, RX: 5, RY: 5, Box: true})
	}
	for name, f := range formats {
		for _, size := range []image.Point{{1, 1}, {3, 5}, {321, 239}, {64, 2160}} {
			frame := blankFrame(f.format, size.X, size.Y)
			before := bytes.Clone(frame.Planes[0].Data)
			Draw(frame, rec, time.Hour, 0.2)
			assert.NotEqual(t, before, frame.Planes[0].Data, "%s of %v: what it is stands on it", name, size)
		}
	}
}
