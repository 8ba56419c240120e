// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// formatByName returns the pixel format with this ffmpeg name. It must be one in which frames are read: yuv420p,
// yuv422p, yuv444p, gray, and these with 10 or 12 bits (yuv420p10le, gray12le and so on), and yuva420p, yuva422p,
// yuva444p with 8 or 10 bits. Otherwise it fails with ErrUnsupported.
func formatByName(name string) (PixelFormat, error) {
	if f, ok := formats[name]; ok {
		return f.PixelFormat, nil
	}
	return PixelFormat{}, fmt.Errorf("pixel format %q: %w", name, ErrUnsupported)
}

// rawFormat is a pixel format and its code for ffmpeg's rawvideo decoder (libavcodec/raw.c).
type rawFormat struct {
	PixelFormat
	fourCC string
}

var formats = func() map[string]rawFormat {
	m := map[string]rawFormat{}
	add := func(name string, depth, shiftX, shiftY, planes int, fourCC string) {
		m[name] = rawFormat{PixelFormat{
			Name: name, Depth: depth, ChromaShiftX: shiftX, ChromaShiftY: shiftY, Planes: planes,
		}, fourCC}
	}
	add("yuv420p", 8, 1, 1, 3, "I420")
	add("yuv422p", 8, 1, 0, 3, "Y42B")
	add("yuv444p", 8, 0, 0, 3, "444P")
	add("gray", 8, 0, 0, 1, "Y800")
	for _, depth := range []int{10, 12} {
		d := strconv.Itoa(depth) + "le"
		add("yuv420p"+d, depth, 1, 1, 3, "Y3\x0b"+string(rune(depth)))
		add("yuv422p"+d, depth, 1, 0, 3, "Y3\x0a"+string(rune(depth)))
		add("yuv444p"+d, depth, 0, 0, 3, "Y3\x00"+string(rune(depth)))
		add("gray"+d, depth, 0, 0, 1, "Y1\x00"+string(rune(depth)))
	}
	for _, depth := range []int{8, 10} {
		d := map[int]string{8: "", 10: "10le"}[depth]
		addAlpha := func(name string, shiftX, shiftY int, layout string) {
			add(name+d, depth, shiftX, shiftY, 3, "Y4"+layout+string(rune(depth)))
			f := m[name+d]
			f.Alpha = true
			m[name+d] = f
		}
		addAlpha("yuva420p", 1, 1, "\x0b")
		addAlpha("yuva422p", 1, 0, "\x0a")
		addAlpha("yuva444p", 0, 0, "\x00")
	}
	return m
}()

// readFormat returns the format in which frames of a source are read: the source's own if it is one of formats, else
// the nearest that loses no resolution and as little depth as possible. Alpha is dropped, unless a Plan keeps it. RGB
// becomes YUV 4:4:4. Palettes and GIF become 4:2:0: their 256 colors hold no finer detail, and common players support
// it.
func readFormat(codec, source string) (PixelFormat, error) {
	name := source
	switch {
	case codec == "gif":
		name = "yuv420p"
	case strings.HasPrefix(name, "yuvj"): // Info.FullRange marks full range
		name = strings.Replace(name, "yuvj", "yuv", 1)
	case strings.HasPrefix(name, "yuva"):
		name = strings.Replace(name, "yuva", "yuv", 1)
	}
	switch name {
	case "nv12", "nv21", "yuv410p":
		name = "yuv420p"
	case "yuyv422", "uyvy422", "yvyu422", "nv16", "yuv411p", "uyyvyy411":
		name = "yuv422p"
	case "yuv440p", "nv24", "nv42", "ayuv", "vuya", "vuyx":
		name = "yuv444p"
	case "yuv440p10le", "yuv440p12le":
		name = strings.Replace(name, "440", "444", 1)
	case "p010le", "p010be":
		name = "yuv420p10le"
	case "p012le", "p016le", "p012be", "p016be":
		name = "yuv420p12le"
	case "p210le", "y210le", "nv20le":
		name = "yuv422p10le"
	case "p212le", "y212le", "p216le":
		name = "yuv422p12le"
	case "p410le", "xv30le", "y410le":
		name = "yuv444p10le"
	case "p416le", "xv36le", "ayuv64le":
		name = "yuv444p12le"
	case "pal8", "monow", "monob":
		name = "yuv420p"
	case "ya8":
		name = "gray"
	case "ya16le", "ya16be", "gray14le", "gray16le", "gray16be", "gray14be":
		name = "gray12le"
	case "rgb24", "bgr24", "rgba", "bgra", "argb", "abgr", "rgb0", "bgr0", "0rgb", "0bgr", "gbrp", "gbrap",
		"rgb555le", "rgb565le", "bgr555le", "bgr565le", "rgb444le", "rgb8", "bgr8":
		name = "yuv444p"
	case "gbrp9le", "gbrp10le", "gbrap10le", "gbrp10be", "x2rgb10le", "x2bgr10le":
		name = "yuv444p10le"
	case "gbrp12le", "gbrap12le", "gbrp14le", "gbrp16le", "gbrap16le", "gbrp12be", "gbrp16be",
		"rgb48le", "rgb48be", "rgba64le", "rgba64be", "bgr48le", "bgra64le":
		name = "yuv444p12le"
	}
	for _, end := range []string{"9le", "9be", "10be"} {
		if base, ok := strings.CutSuffix(name, end); ok {
			name = base + "10le"
			break
		}
	}
	for _, end := range []string{"12be", "14le", "14be", "16le", "16be"} {
		if base, ok := strings.CutSuffix(name, end); ok {
			name = base + "12le"
			break
		}
	}
	return formatByName(name)
}

// transparent are the formats with alpha whose names do not begin with yuva or gbrap. Gray formats and palettes are
// read without their alpha.
var transparent = []string{"rgba", "bgra", "argb", "abgr", "rgba64le", "rgba64be", "bgra64le",
	"ayuv", "vuya", "ayuv64le"}

func hasAlpha(source string) bool {
	return strings.HasPrefix(source, "yuva") || strings.HasPrefix(source, "gbrap") ||
		slices.Contains(transparent, source)
}

// withAlpha returns the format of the frames, with alpha added if the source has it. The result then has at most 10
// bits, since ffv1 has no format with 12 bits and alpha.
func withAlpha(info Info) PixelFormat {
	if !hasAlpha(info.SourceFormat) {
		return info.Format
	}
	name := strings.Replace(strings.Replace(info.Format.Name, "12le", "10le", 1), "yuv4", "yuva4", 1)
	f, err := formatByName(name)
	if err != nil {
		return info.Format
	}
	return f
}

// isRGB reports whether a source format has no color matrix, so that the conversion to YUV chooses one.
func isRGB(source string) bool {
	for _, s := range []string{"rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "x2rgb", "x2bgr"} {
		if strings.HasPrefix(source, s) {
			return true
		}
	}
	return false
}
