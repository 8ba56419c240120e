// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	defaultCodec  = "h264"
	defaultPreset = "veryfast"
	same          = "same"
)

// presets are x264's, fastest first; the other encoders' speeds are matched to them.
var presets = []string{"ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"}

// encoder is one of ffmpeg's, and how to drive it.
type encoder struct {
	name    string
	device  string // as WriteOptions.Encoder names it, "" for the processor
	quality int    // default
	depths  []int
	alpha   bool // keeps it
	grey    bool // takes pictures without chroma as they are
	even    bool // takes subsampled chroma only where the picture divides by it
	// args returns the encoder's own arguments; speed is an index into presets.
	args func(info Info, quality, speed int) []string
	// filters are bitstream filters that take the encoder's settings out of the stream.
	filters string
}

var encoders = map[string]encoder{
	"h264": {
		name: "libx264", quality: 23, depths: []int{8, 10}, grey: true, even: true,
		args: func(info Info, quality, speed int) []string {
			args := []string{"-preset", presets[speed], "-crf", strconv.Itoa(quality)}
			return appendParams(args, "-x264-params", rateParam(info))
		},
		filters: "filter_units=remove_types=6", // SEI: x264 leaves its whole command line in one
	},
	"h265": {
		name: "libx265", quality: 22, depths: []int{8, 10, 12}, grey: true, even: true,
		args: func(info Info, quality, speed int) []string {
			args := []string{"-preset", presets[speed], "-crf", strconv.Itoa(quality)}
			mastering, light := x265Light(info)
			return appendParams(args, "-x265-params", "log-level=error:info=0", rateParam(info), mastering, light)
		},
	},
	"vp9": {
		name: "libvpx-vp9", quality: 28, depths: []int{8, 10, 12},
		args: func(_ Info, quality, speed int) []string {
			deadline, cpu := "good", max(0, 8-speed)
			if speed < 3 {
				deadline = "realtime"
			} else {
				cpu = min(cpu, 5)
			}
			return []string{"-deadline", deadline, "-cpu-used", strconv.Itoa(cpu), "-row-mt", "1", "-b:v", "0", "-crf", strconv.Itoa(quality)}
		},
	},
	"av1": {
		name: "libsvtav1", quality: 30, depths: []int{8, 10}, even: true,
		args: func(info Info, quality, speed int) []string {
			args := []string{"-preset", strconv.Itoa(12 - speed), "-crf", strconv.Itoa(quality)}
			rate := ""
			if info.FrameRate.Num > 0 {
				rate = fmt.Sprintf("fps-num=%d:fps-denom=%d", info.FrameRate.Num, info.FrameRate.Den)
			}
			mastering, light := svtLight(info)
			return appendParams(args, "-svtav1-params", rate, mastering, light)
		},
	},
	"ffv1": {
		name: "ffv1", depths: []int{8, 10, 12}, alpha: true, grey: true,
		args: func(Info, int, int) []string { return []string{"-level", "3", "-slicecrc", "1", "-g", "1"} },
	},
}

// libaom takes what SVT-AV1 does not: more chroma than 4:2:0, 12 bit, odd sizes, and less than 64 pixels to a side. It is many times slower.
var libaom = encoder{
	name: "libaom-av1", quality: 30, depths: []int{8, 10, 12},
	args: func(_ Info, quality, speed int) []string {
		return []string{"-cpu-used", strconv.Itoa(min(8, 9-speed)), "-row-mt", "1", "-b:v", "0", "-crf", strconv.Itoa(quality)}
	},
}

// rateParam tells an encoder the mean frame rate, which it otherwise guesses from the time base: the stream would claim
// a level that only large machines play.
func rateParam(info Info) string {
	if info.FrameRate.Num <= 0 {
		return ""
	}
	return fmt.Sprintf("fps=%d/%d", info.FrameRate.Num, info.FrameRate.Den)
}

func appendParams(args []string, key string, params ...string) []string {
	params = slices.DeleteFunc(params, func(p string) bool { return p == "" })
	if len(params) == 0 {
		return args
	}
	return append(args, key, strings.Join(params, ":"))
}

// container is a file format to write.
type container struct {
	muxer  string
	codecs []string // the first is what "h264" means where it is not among them
	encode []string // further arguments of the encoder: no B-pictures where there is no room for their order
	args   func(info Info, p plan) []string
	// coarse: it rounds times to its own unit.
	coarse bool
	// signed: it keeps times before zero, which sound may begin with.
	signed  bool
	silence string // the encoder of silent sound
	// fromZero: its times begin at zero. Otherwise they are the source's, but for late: then a video that begins so near
	// zero that its decoding would begin before is shown a little later as a whole.
	fromZero, late bool
}

var containers = map[string]container{
	"mp4":  {muxer: "mp4", codecs: []string{"h264", "h265", "vp9", "av1"}, args: movArgs, signed: true, silence: "aac"},
	"mov":  {muxer: "mov", codecs: []string{"h264", "h265"}, args: movArgs, signed: true, silence: "aac"},
	"mkv":  {muxer: "matroska", codecs: []string{"h264", "h265", "vp9", "av1", "ffv1"}, coarse: true, silence: "flac"},
	"webm": {muxer: "webm", codecs: []string{"vp9", "av1"}, coarse: true, silence: "libopus"},
	"avi":  {muxer: "avi", codecs: []string{"h264", "ffv1"}, encode: []string{"-bf", "0"}, args: aviArgs, fromZero: true, silence: "ac3"},
	"ts":   {muxer: "mpegts", codecs: []string{"h264", "h265"}, args: tsArgs, coarse: true, late: true, signed: true, silence: "aac"},
}

// aviArgs tell the rate at which frames follow each other.
func aviArgs(_ Info, p plan) []string {
	return []string{"-r", fmt.Sprintf("%d/%d", p.timeBase.Den, p.timeBase.Num)}
}

// tsArgs keep the source's clock.
func tsArgs(Info, plan) []string { return []string{"-muxdelay", "0", "-muxpreload", "0"} }

// movArgs keep the source's clock, and put the index first so that players can start before the whole file is there.
func movArgs(info Info, p plan) []string {
	args := []string{"-movflags", "+faststart", "-video_track_timescale", strconv.FormatInt(info.TimeBase.Den, 10)}
	if p.codec == "h265" {
		args = append(args, "-tag:v", "hvc1") // what Apple's players ask for
	}
	return args
}

var extensions = map[string]string{
	"mp4": "mp4", "m4v": "mp4", "mov": "mov", "qt": "mov", "mkv": "mkv", "webm": "webm", "avi": "avi", "divx": "avi",
	"ts": "ts", "mts": "ts", "m2ts": "ts", "m2t": "ts", "mxf": "mkv", "nut": "mkv", "ogv": "mkv", "wmv": "mkv", "asf": "mkv",
}

// ContainerFor returns the container that an output should have for a source of this name, as WriteOptions.Container
// names it and without a dot, so that it serves as the file's extension too: that of the name's extension where such
// files can be written, else mkv for formats that keep time in milliseconds or finer, and mp4 for all others.
func ContainerFor(path string) string {
	ext := strings.ToLower(strings.TrimPrefix(filepath.Ext(path), "."))
	return cmp.Or(extensions[ext], "mp4")
}

// sameCodec maps a source's codec to the one to write; what is not there becomes the default.
var sameCodec = map[string]string{"h264": "h264", "hevc": "h265", "vp8": "vp9", "vp9": "vp9", "av1": "av1", "ffv1": "ffv1"}

// plan is how to encode, with every choice made.
type plan struct {
	codec     string // as in WriteOptions
	encoder   encoder
	container container
	format    PixelFormat // as encoded
	timeBase  Rational    // of what is piped to the encoder
	quality   int
	speed     int
	device    string // path of VAAPI's
}

// newPlan fails with ErrUnsupported, saying which choice does not go with which.
func newPlan(info Info, opts WriteOptions) (plan, error) {
	p := plan{timeBase: info.TimeBase, device: cmp.Or(opts.Device, DefaultVAAPIDevice)}
	name := opts.Container
	if name == "" || name == same {
		name = ContainerFor(info.Path)
	}
	var ok bool
	if p.container, ok = containers[name]; !ok {
		return p, fmt.Errorf("%w: container %q", ErrUnsupported, name)
	}
	p.codec = cmp.Or(opts.Codec, defaultCodec)
	if p.codec == same {
		p.codec = cmp.Or(sameCodec[info.Codec], defaultCodec)
		if _, err := encoderFor(opts.Encoder, p.codec); err != nil {
			p.codec = defaultCodec
		}
	}
	if p.codec == defaultCodec && !slices.Contains(p.container.codecs, p.codec) {
		p.codec = p.container.codecs[0]
	}
	var err error
	if p.encoder, err = encoderFor(opts.Encoder, p.codec); err != nil {
		return p, err
	}
	if !slices.Contains(p.container.codecs, p.codec) {
		return p, fmt.Errorf("%w: %s does not go into %s: use %s, or container mkv",
			ErrUnsupported, p.codec, name, strings.Join(p.container.codecs, " or "))
	}
	if p.speed = slices.Index(presets, cmp.Or(opts.Preset, defaultPreset)); p.speed < 0 {
		return p, fmt.Errorf("%w: preset %q: use one of %s", ErrUnsupported, opts.Preset, strings.Join(presets, ", "))
	}
	if p.encoder.name == "libsvtav1" && (info.Format.Depth > 10 || min(info.Width, info.Height) < 64 || info.Width%2 != 0 || info.Height%2 != 0 ||
		info.Format.Planes == 3 && info.Format.ChromaShiftX+info.Format.ChromaShiftY < 2) {
		p.encoder = libaom
	}
	p.quality = p.encoder.quality
	if opts.Quality != nil {
		p.quality = *opts.Quality
	}
	if p.format, err = p.encoder.format(info); err != nil {
		return p, err
	}
	if name == "avi" {
		if p.timeBase = aviTimeBase(info); p.timeBase.Num <= 0 {
			return p, fmt.Errorf("%w: avi needs a known frame rate: use container mkv", ErrUnsupported)
		}
	}
	return p, nil
}

// format returns the format nearest to the frames' that the encoder takes. Where a picture of odd size does not divide
// by its chroma, chroma goes to full resolution rather than the picture losing a row; devices cannot do that.
func (e encoder) format(info Info) (PixelFormat, error) {
	f := info.Format
	if !slices.Contains(e.depths, f.Depth) {
		f.Depth = e.depths[len(e.depths)-1]
	}
	if f.Planes == 1 && !e.grey {
		f.Planes, f.ChromaShiftX, f.ChromaShiftY = 3, 1, 1
	}
	if e.device != "" {
		f.Planes, f.ChromaShiftX, f.ChromaShiftY = 3, 1, 1
		if info.Width%2 != 0 || info.Height%2 != 0 {
			return f, fmt.Errorf("%w: %s writes no odd size such as %d x %d: use encoder %s", ErrUnsupported, e.device, info.Width, info.Height, Software)
		}
	}
	if e.even && f.Planes == 3 && (f.ChromaShiftX == 1 && info.Width%2 != 0 || f.ChromaShiftY == 1 && info.Height%2 != 0) {
		f.ChromaShiftX, f.ChromaShiftY = 0, 0
	}
	name := "gray"
	if f.Planes == 3 {
		name = map[[2]int]string{{1, 1}: "yuv420p", {1, 0}: "yuv422p", {0, 0}: "yuv444p"}[[2]int{f.ChromaShiftX, f.ChromaShiftY}]
	}
	if f.Alpha && e.alpha {
		name = strings.Replace(name, "yuv", "yuva", 1)
	}
	if f.Depth > 8 {
		name += strconv.Itoa(f.Depth) + "le"
	}
	return FormatByName(name)
}

// aviTimeBase is one frame: AVI stores no times, only frames at a fixed rate, some of them empty.
func aviTimeBase(info Info) Rational {
	if strings.HasPrefix(info.Container, "avi") {
		return info.TimeBase
	}
	return Rational{info.FrameRate.Den, info.FrameRate.Num}
}
