// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import "fmt"

// FormatByName returns the pixel format of ffmpeg's name, one of those that frames are handed out in: yuv420p, yuv422p,
// yuv444p, gray, and these with 10 or 12 bit (yuv420p10le, gray12le and so on).
func FormatByName(name string) (PixelFormat, error) {
	if f, ok := formats[name]; ok {
		return f.PixelFormat, nil
	}
	return PixelFormat{}, fmt.Errorf("pixel format %q: %w", name, ErrUnsupported)
}

// rawFormat is a pixel format with the code that ffmpeg's rawvideo decoder knows it by (libavcodec/raw.c).
type rawFormat struct {
	PixelFormat
	fourCC string
}

var formats = func() map[string]rawFormat {
	m := map[string]rawFormat{}
	add := func(name string, depth, shiftX, shiftY, planes int, fourCC string) {
		m[name] = rawFormat{PixelFormat{Name: name, Depth: depth, ChromaShiftX: shiftX, ChromaShiftY: shiftY, Planes: planes}, fourCC}
	}
	add("yuv420p", 8, 1, 1, 3, "I420")
	add("yuv422p", 8, 1, 0, 3, "Y42B")
	add("yuv444p", 8, 0, 0, 3, "444P")
	add("gray", 8, 0, 0, 1, "Y800")
	for _, depth := range []int{10, 12} {
		add(fmt.Sprintf("yuv420p%dle", depth), depth, 1, 1, 3, "Y3\x0b"+string(rune(depth)))
		add(fmt.Sprintf("yuv422p%dle", depth), depth, 1, 0, 3, "Y3\x0a"+string(rune(depth)))
		add(fmt.Sprintf("yuv444p%dle", depth), depth, 0, 0, 3, "Y3\x00"+string(rune(depth)))
		add(fmt.Sprintf("gray%dle", depth), depth, 0, 0, 1, "Y1\x00"+string(rune(depth)))
	}
	return m
}()
