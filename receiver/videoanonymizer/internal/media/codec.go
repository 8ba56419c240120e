// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// SameAsSource is the value of Container, Codec and PixelFormat in WriteOptions that stands for the source's own.
const SameAsSource = "same"

const (
	defaultCodec  = "h264"
	defaultPreset = "veryfast"
)

// presets are x264's, fastest first; the speeds of the other encoders are matched to them.
var presets = []string{
	"ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
}

// codec is a video codec that can be written. To add one, add an entry to codecs; everything else is derived from it.
type codec struct {
	name string // as WriteOptions.Codec names it
	// sources are ffmpeg's names for the source codecs that are written in this codec if WriteOptions.Codec is
	// SameAsSource.
	sources []string
	// containers are the names of the containers that can hold it.
	containers []string
	// quality is the default constant rate factor and maxQuality the largest, which is the worst. A lossless codec has
	// neither.
	quality, maxQuality int
	// density predicts the size of the output; a lossless codec has none.
	density density
	// segmentMuxer is ffmpeg's name for the format of segments, "" for mp4.
	segmentMuxer string
	// encoders are the encoders that write it, by value of WriteOptions.Encoder.
	encoders map[string]encoder
}

// encoder is one of ffmpeg's encoders, and how to drive it.
type encoder struct {
	name   string
	device string // as WriteOptions.Encoder names it, "" for the CPU
	depths []int  // bits per sample that it supports, ascending
	alpha  bool   // keeps alpha
	gray   bool   // supports frames without chroma
	even   bool   // supports subsampled chroma only if it divides the frame's size
	// args returns the encoder's own arguments.
	args func(p Plan) []string
	// filters are bitstream filters that remove the encoder's settings from the stream.
	filters string
	// refuses reports whether the encoder cannot encode this video, so that fallback has to.
	refuses  func(info Info) bool
	fallback *encoder
}

// removeSEI drops supplemental enhancement information: x264 puts its whole command line there, and VAAPI the names of
// the program and the driver.
const removeSEI = "filter_units=remove_types=6"

// codecs are the codecs that can be written, in the order in which they are listed for users.
var codecs = []codec{
	{
		name: "h264", sources: []string{"h264"}, containers: []string{"mp4", "mov", "mkv", "avi", "ts"},
		quality: 23, maxQuality: 51, density: density{0.12, 6},
		encoders: map[string]encoder{
			Software: {
				name: "libx264", depths: []int{8, 10}, gray: true, even: true, args: x264Args, filters: removeSEI,
			},
			NVENC: {name: "h264_nvenc", device: NVENC, depths: []int{8}, args: nvencArgs},
			VAAPI: {name: "h264_vaapi", device: VAAPI, depths: []int{8}, args: vaapiArgs, filters: removeSEI},
		},
	},
	{
		name: "h265", sources: []string{"hevc"}, containers: []string{"mp4", "mov", "mkv", "ts"},
		quality: 22, maxQuality: 51, density: density{0.184, 8},
		encoders: map[string]encoder{
			Software: {name: "libx265", depths: []int{8, 10, 12}, gray: true, even: true, args: x265Args},
			NVENC:    {name: "hevc_nvenc", device: NVENC, depths: []int{8, 10}, args: nvencArgs},
			VAAPI:    {name: "hevc_vaapi", device: VAAPI, depths: []int{8, 10}, args: vaapiArgs},
		},
	},
	{
		name: "vp9", sources: []string{"vp9", "vp8"}, containers: []string{"mp4", "mkv", "webm"},
		quality: 28, maxQuality: 63, density: density{0.2, 9},
		encoders: map[string]encoder{
			Software: {name: "libvpx-vp9", depths: []int{8, 10, 12}, args: vp9Args},
			VAAPI:    {name: "vp9_vaapi", device: VAAPI, depths: []int{8, 10}, args: vaapiIndexArgs},
		},
	},
	{
		name: "av1", sources: []string{"av1"}, containers: []string{"mp4", "mkv", "webm"},
		quality: 30, maxQuality: 63, density: density{0.165, 14},
		encoders: map[string]encoder{
			Software: {
				name: "libsvtav1", depths: []int{8, 10}, even: true, args: svtArgs,
				refuses: svtRefuses, fallback: &libaom,
			},
			NVENC: {name: "av1_nvenc", device: NVENC, depths: []int{8, 10}, args: nvencArgs},
			VAAPI: {name: "av1_vaapi", device: VAAPI, depths: []int{8, 10}, args: vaapiIndexArgs},
		},
	},
	{
		name: "ffv1", sources: []string{"ffv1"}, containers: []string{"mkv", "avi"}, segmentMuxer: "mov",
		encoders: map[string]encoder{
			Software: {name: "ffv1", depths: []int{8, 10, 12}, alpha: true, gray: true, args: ffv1Args},
		},
	},
}

// libaom supports what SVT-AV1 does not. It is many times slower.
var libaom = encoder{name: "libaom-av1", depths: []int{8, 10, 12}, args: libaomArgs}

// svtRefuses reports whether SVT-AV1 cannot encode a video: it supports no finer chroma than 4:2:0, and no 12 bits, odd
// sizes, or sides below 64 pixels.
func svtRefuses(info Info) bool {
	f := info.Format
	return f.Depth > 10 || min(info.Width, info.Height) < 64 || info.Width%2 != 0 || info.Height%2 != 0 ||
		f.Planes == 3 && f.ChromaShiftX+f.ChromaShiftY < 2
}

// findCodec returns the codec with this name in WriteOptions.
func findCodec(name string) (codec, bool) {
	i := slices.IndexFunc(codecs, func(c codec) bool { return c.name == name })
	if i < 0 {
		return codec{}, false
	}
	return codecs[i], true
}

// codecForSource returns the name of the codec to write for a source's codec, given by ffmpeg's name; "" if there is
// none.
func codecForSource(source string) string {
	for _, c := range codecs {
		if slices.Contains(c.sources, source) {
			return c.name
		}
	}
	return ""
}

// encoderFor returns a codec and its encoder on a device. It fails with ErrUnsupported.
func encoderFor(device, name string) (codec, encoder, error) {
	device = cmp.Or(device, Software)
	if !slices.Contains(Encoders(), device) {
		return codec{}, encoder{}, fmt.Errorf("%w: encoder %q: use %s, %s or %s",
			ErrUnsupported, device, Software, NVENC, VAAPI)
	}
	c, _ := findCodec(name)
	e, ok := c.encoders[device]
	switch {
	case ok:
		return c, e, nil
	case device != Software:
		return c, e, fmt.Errorf("%w: %s does not write %s: use another codec, or encoder %s",
			ErrUnsupported, device, name, Software)
	}
	return c, e, fmt.Errorf("%w: codec %q", ErrUnsupported, name)
}

// Codecs returns the values of WriteOptions.Codec.
func Codecs() []string { return withSame(codecs, func(c codec) string { return c.name }) }

// withSame returns SameAsSource and the names of all other choices.
func withSame[T any](all []T, name func(T) string) []string {
	names := []string{SameAsSource}
	for _, each := range all {
		names = append(names, name(each))
	}
	return names
}

// Encoders returns the values of WriteOptions.Encoder.
func Encoders() []string { return []string{Software, NVENC, VAAPI} }

// Presets returns the values of WriteOptions.Preset, fastest first.
func Presets() []string { return slices.Clone(presets) }

// EncoderCodecs returns the values of WriteOptions.Codec that go with a value of WriteOptions.Encoder; nil if there is
// no such encoder.
func EncoderCodecs(encoder string) []string {
	var names []string
	for _, c := range codecs {
		if _, ok := c.encoders[encoder]; ok {
			names = append(names, c.name)
		}
	}
	if names == nil {
		return nil
	}
	return append([]string{SameAsSource}, names...)
}

// MaxQuality returns the largest WriteOptions.Quality, which is the worst, of a codec and an encoder; for codec
// SameAsSource, it is the largest that every codec allows. It is 0 for codecs without a quality: lossless ones, and
// those that cannot be written.
func MaxQuality(codec, encoder string) int {
	most := 0
	for _, c := range codecs {
		if c.maxQuality > 0 && (codec == c.name || codec == SameAsSource) && (most == 0 || c.maxQuality < most) {
			most = c.maxQuality
		}
	}
	if encoder == NVENC {
		most = min(most, nvencMaxQuality)
	}
	return most
}

func x264Args(p Plan) []string {
	args := []string{"-preset", presets[p.speed], "-crf", strconv.Itoa(p.quality)}
	// Without its lookahead thread, x264 holds about 10 fewer frames, and writes the same.
	return appendParams(args, "-x264-params", rateParam(p.info), "sync-lookahead=0")
}

func x265Args(p Plan) []string {
	args := []string{"-preset", presets[p.speed], "-crf", strconv.Itoa(p.quality)}
	mastering, light := x265Light(p.info)
	return appendParams(args, "-x265-params", "log-level=error:info=0", rateParam(p.info), mastering, light)
}

func vp9Args(p Plan) []string {
	deadline, cpu := "good", max(0, 8-p.speed)
	if p.speed < 3 {
		deadline = "realtime"
	} else {
		cpu = min(cpu, 5)
	}
	return []string{
		"-deadline", deadline, "-cpu-used", strconv.Itoa(cpu), "-row-mt", "1",
		"-b:v", "0", "-crf", strconv.Itoa(p.quality),
	}
}

func svtArgs(p Plan) []string {
	args := []string{"-preset", strconv.Itoa(12 - p.speed), "-crf", strconv.Itoa(p.quality)}
	rate := ""
	if r := p.info.FrameRate; r.Num > 0 {
		rate = fmt.Sprintf("fps-num=%d:fps-denom=%d", r.Num, r.Den)
	}
	mastering, light := svtLight(p.info)
	return appendParams(args, "-svtav1-params", rate, mastering, light)
}

func libaomArgs(p Plan) []string {
	return []string{
		"-cpu-used", strconv.Itoa(min(8, 9-p.speed)), "-row-mt", "1", "-b:v", "0", "-crf", strconv.Itoa(p.quality),
	}
}

func ffv1Args(Plan) []string { return []string{"-level", "3", "-slicecrc", "1", "-g", "1"} }

// rateParam tells an encoder the mean frame rate. Otherwise the encoder guesses it from the time base, and the stream
// claims a level that only powerful players support.
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
