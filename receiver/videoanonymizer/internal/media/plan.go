// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// WriteOptions say how to encode. The zero value writes H.264 in the container that the source has.
type WriteOptions struct {
	// Container is "mp4", "mov", "mkv", "webm", "avi" or "ts"; "" or SameAsSource is the one for the source's name
	// (ContainerFor).
	Container string
	// Codec is "h264" (default), "h265", "vp9", "av1", "ffv1", or SameAsSource for the source's own if it is one of these,
	// else h264. WebM holds no H.264: there "h264" means vp9. Any other pair that does not fit is ErrUnsupported.
	Codec string
	// PixelFormat is PixelFormatAuto (default) or SameAsSource.
	PixelFormat string
	// Quality is the constant rate factor: 0 is best, MaxQuality is worst; ffv1 is lossless and has none. nil takes the
	// codec's default: 23 for h264, 22 for h265, 28 for vp9, 30 for av1.
	Quality *int
	// Preset trades speed for size. It is one of x264's, ultrafast to placebo; other encoders take their nearest speed.
	// Default veryfast.
	Preset string
	// Encoder is Software (default), NVENC or VAAPI; a codec that the device does not write is ErrUnsupported. Codec
	// SameAsSource becomes h264 if the device does not write the source's.
	Encoder string
	// Device is the path of the VAAPI device; "" is DefaultVAAPIDevice.
	Device string
	// Threads is the number of encoder threads; 0 lets ffmpeg choose.
	Threads int
	// Stall is how long Write waits for the encoder to take a frame before it gives up with ErrStalled. Default 5 min.
	Stall time.Duration
	// Audio is AudioDrop (default), AudioCopy, AudioMute or AudioAlter.
	Audio string
	// Keep lists what else from the source goes into the output: KeepChapters, KeepSubtitles, or names of the file's tags,
	// such as creation_time, in any case.
	Keep []string

	_ struct{}
}

// PixelFormatAuto is the value of WriteOptions.PixelFormat that replaces h264 with more than 8 bits or chroma other
// than 4:2:0, which few players decode, with 8 bits and 4:2:0, or, for HDR, with h265 in 10 bits. Odd sizes stay as
// they are. It does not affect other codecs that were asked for, nor h264 if it is asked for as the source's own.
const PixelFormatAuto = "auto"

// PixelFormats returns the values of WriteOptions.PixelFormat.
func PixelFormats() []string { return []string{PixelFormatAuto, SameAsSource} }

// Plan is how one video is written, with every choice made. NewPlan makes it once; it is read-only.
type Plan struct {
	info      Info // the source, with frames in the format that Write takes
	options   WriteOptions
	codec     codec
	encoder   encoder
	container container
	format    PixelFormat // as encoded
	common    bool        // PixelFormatAuto determines it
	timeBase  Rational    // of the frames piped to the encoder
	quality   int
	speed     int    // index into presets
	device    string // path of the VAAPI device
}

// NewPlan chooses how to write a source. It fails with ErrUnsupported, saying which choices do not go together.
func NewPlan(info Info, options WriteOptions) (Plan, error) {
	options.Stall = cmp.Or(options.Stall, defaultStall)
	p := Plan{info: info, options: options, timeBase: info.TimeBase, device: cmp.Or(options.Device, DefaultVAAPIDevice)}
	for _, choose := range []func() error{p.chooseEncoder, p.chooseSpeed, p.chooseFormat, p.chooseTimeBase} {
		if err := choose(); err != nil {
			return Plan{}, fmt.Errorf("%q: %w", info.Path, err)
		}
	}
	return p, nil
}

// Info describes the source as Open should read it: its frames have alpha if the source has it and the codec keeps it.
func (p Plan) Info() Info { return p.info }

// CopiesStreams reports whether audio, subtitles or chapters of the source go into the output with the times that they
// have in the source.
func (p Plan) CopiesStreams() bool {
	info, keep := p.info, p.options.Keep
	return p.keepsSound() || slices.Contains(keep, KeepSubtitles) && info.SubtitleStreams > 0 ||
		slices.Contains(keep, KeepChapters)
}

// keepsSound reports whether audio of the source goes into the output, altered or not.
func (p Plan) keepsSound() bool {
	return (p.options.Audio == AudioCopy || p.options.Audio == AudioAlter) && p.info.AudioStreams > 0
}

// chooseEncoder chooses container, codec and encoder.
func (p *Plan) chooseEncoder() error {
	options := p.options
	name := options.Container
	if name == "" || name == SameAsSource {
		name = ContainerFor(p.info.Path)
	}
	var ok bool
	if p.container, ok = findContainer(name); !ok {
		return fmt.Errorf("%w: container %q", ErrUnsupported, name)
	}
	written := cmp.Or(options.Codec, defaultCodec)
	if written == SameAsSource {
		written = cmp.Or(codecForSource(p.info.Codec), defaultCodec)
		if _, _, err := encoderFor(options.Encoder, written); err != nil {
			written = defaultCodec
		}
	}
	written = p.container.codecFor(written)
	if p.common = p.wantsCommon(written); p.common && p.info.isHDR() {
		if _, _, err := encoderFor(options.Encoder, hdrCodec); err == nil && slices.Contains(p.container.codecs(), hdrCodec) {
			written = hdrCodec
		}
	}
	var err error
	if p.codec, p.encoder, err = encoderFor(options.Encoder, written); err != nil {
		return err
	}
	if can := p.container.codecs(); !slices.Contains(can, written) {
		return fmt.Errorf("%w: %s does not go into %s: use %s, or container mkv",
			ErrUnsupported, written, name, strings.Join(can, " or "))
	}
	if p.encoder.refuses != nil && p.encoder.refuses(p.info) {
		p.encoder = *p.encoder.fallback
	}
	return nil
}

// hdrCodec is the codec in which players expect HDR.
const hdrCodec = "h265"

// wantsCommon reports whether PixelFormatAuto applies to a video that is written in this codec.
func (p *Plan) wantsCommon(written string) bool {
	own := p.options.Codec == SameAsSource && written == codecForSource(p.info.Codec)
	return cmp.Or(p.options.PixelFormat, PixelFormatAuto) == PixelFormatAuto && written == defaultCodec && !own
}

// isHDR reports whether a video needs more than 8 bits for its transfer function, PQ or HLG.
func (i Info) isHDR() bool {
	return i.Format.Depth > 8 && (i.ColorTransfer == pqTransfer || i.ColorTransfer == hlgTransfer)
}

// chooseSpeed chooses speed and quality.
func (p *Plan) chooseSpeed() error {
	if p.speed = slices.Index(presets, cmp.Or(p.options.Preset, defaultPreset)); p.speed < 0 {
		return fmt.Errorf("%w: preset %q: use one of %s", ErrUnsupported, p.options.Preset, strings.Join(presets, ", "))
	}
	p.quality = p.codec.quality
	if p.options.Quality != nil {
		p.quality = *p.options.Quality
	}
	return nil
}

// chooseFormat chooses the pixel formats in which frames are read and encoded.
func (p *Plan) chooseFormat() (err error) {
	if p.encoder.alpha {
		p.info.Format = withAlpha(p.info)
	}
	info := p.info
	if p.common && info.Width%2 == 0 && info.Height%2 == 0 {
		f := &info.Format
		f.Planes, f.ChromaShiftX, f.ChromaShiftY = 3, 1, 1
		f.Depth = 8
		if p.info.isHDR() {
			f.Depth = 10
		}
	}
	p.format, err = p.encoder.format(info)
	return err
}

// chooseTimeBase makes the time base one frame for AVI, which stores no times, only frames at a fixed rate, some of
// them empty.
func (p *Plan) chooseTimeBase() error {
	if p.container.name != "avi" {
		return nil
	}
	if !strings.HasPrefix(p.info.Container, "avi") {
		p.timeBase = Rational{p.info.FrameRate.Den, p.info.FrameRate.Num}
	}
	if p.timeBase.Num <= 0 {
		return fmt.Errorf("%w: avi needs a known frame rate: use container mkv", ErrUnsupported)
	}
	return nil
}

// format returns the format nearest to the frames' that the encoder supports. If a frame's size is not divisible by its
// chroma subsampling, chroma gets full resolution so that the frame does not lose a row; devices cannot do that.
func (e encoder) format(info Info) (PixelFormat, error) {
	f := info.Format
	if !slices.Contains(e.depths, f.Depth) {
		f.Depth = e.depths[len(e.depths)-1]
	}
	if f.Planes == 1 && !e.gray {
		f.Planes, f.ChromaShiftX, f.ChromaShiftY = 3, 1, 1
	}
	if e.device != "" {
		f.Planes, f.ChromaShiftX, f.ChromaShiftY = 3, 1, 1
		if info.Width%2 != 0 || info.Height%2 != 0 {
			return f, fmt.Errorf("%w: %s cannot write an odd size such as %d x %d: use encoder %s",
				ErrUnsupported, e.device, info.Width, info.Height, Software)
		}
	}
	odd := f.ChromaShiftX == 1 && info.Width%2 != 0 || f.ChromaShiftY == 1 && info.Height%2 != 0
	if e.even && f.Planes == 3 && odd {
		f.ChromaShiftX, f.ChromaShiftY = 0, 0
	}
	name := "gray"
	if f.Planes == 3 {
		shifts := [2]int{f.ChromaShiftX, f.ChromaShiftY}
		name = map[[2]int]string{{1, 1}: "yuv420p", {1, 0}: "yuv422p", {0, 0}: "yuv444p"}[shifts]
	}
	if f.Alpha && e.alpha {
		name = strings.Replace(name, "yuv", "yuva", 1)
	}
	if f.Depth > 8 {
		name += strconv.Itoa(f.Depth) + "le"
	}
	return formatByName(name)
}
