// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// The values of WriteOptions.Encoder and ReadOptions.Decoder.
const (
	// Software runs on the CPU.
	Software = "software"
	// NVENC encodes on an NVIDIA GPU, and CUDA decodes on one.
	NVENC = "nvenc"
	CUDA  = "cuda"
	// VAAPI does both on an Intel or AMD GPU.
	VAAPI = "vaapi"
)

// DefaultVAAPIDevice is the first GPU.
const DefaultVAAPIDevice = "/dev/dri/renderD128"

// nvencMaxQuality is the worst quality of NVENC, whatever the codec.
const nvencMaxQuality = 51

// nvencArgs keep the quality constant. A quality of 0 would let the encoder choose.
func nvencArgs(p Plan) []string {
	preset := fmt.Sprintf("p%d", 1+p.speed*7/len(presets))
	return []string{"-preset", preset, "-rc", "vbr", "-cq", strconv.Itoa(max(1, p.quality)), "-b:v", "0"}
}

func vaapiArgs(p Plan) []string {
	return []string{"-rc_mode", "CQP", "-qp", strconv.Itoa(max(1, p.quality))}
}

// vaapiIndexArgs are for codecs that quantize in 255 steps, four for each step of the constant rate factor.
func vaapiIndexArgs(p Plan) []string {
	return []string{"-rc_mode", "CQP", "-global_quality", strconv.Itoa(max(1, 4*p.quality))}
}

// Decoders returns the values of ReadOptions.Decoder.
func Decoders() []string { return []string{Software, CUDA, VAAPI} }

// pixelFormat is the encoder's name for the plan's format, and the filters that upload frames to its device.
func (p Plan) pixelFormat() (name, upload string) {
	deep := p.format.Depth > 8
	switch {
	case p.encoder.device == VAAPI && deep:
		return "vaapi", "format=p010le,hwupload"
	case p.encoder.device == VAAPI:
		return "vaapi", "format=nv12,hwupload"
	case p.encoder.device == NVENC && deep:
		return "p010le", ""
	}
	return p.format.Name, ""
}

// encoderArgs are the encoder's arguments, including its device.
func (p Plan) encoderArgs() []string {
	args := p.encoder.args(p)
	if p.encoder.device == VAAPI {
		args = append(args, "-vaapi_device", p.device)
	}
	return args
}

// inHardware reports whether a device decodes.
func (o ReadOptions) inHardware() bool { return cmp.Or(o.Decoder, Software) != Software }

// decoderArgs make a device decode what it can, into main memory. They come before the -i.
func (o ReadOptions) decoderArgs() []string {
	if !o.inHardware() {
		return nil
	}
	device := o.Decoder + "=device"
	if o.Decoder == VAAPI {
		device += ":" + cmp.Or(o.Device, DefaultVAAPIDevice)
	}
	return []string{"-init_hw_device", device, "-hwaccel", o.Decoder, "-hwaccel_device", "device"}
}

// maxDeviceThreads bounds the decoder's threads: each holds surfaces of the device, which has 32 of them.
const maxDeviceThreads = 8

func (o ReadOptions) threads() int {
	if o.inHardware() && o.Threads == 0 {
		return min(maxDeviceThreads, runtime.GOMAXPROCS(0))
	}
	return o.Threads
}

// bounds are the decoder's. It writes no file, but the libraries of a device may.
func (o ReadOptions) bounds(l Limits) bounds {
	if o.inHardware() {
		return l.writing().onDevice(true)
	}
	return l.reading()
}

// bounds are the encoder's.
func (p Plan) bounds() bounds { return p.info.limits.writing().onDevice(p.encoder.device != "") }

// refusals are parts of ffmpeg's messages about a codec, profile or size that a device does not decode, so that the CPU
// does.
var refusals = []string{
	"Failed setup for format",
	"Hardware is lacking required capabilities",
	"Video width", "Video height", "Video macroblock count",
	"Unsupported chroma format", "Unsupported codec ID",
	"No support for codec", "not supported for hardware decode",
	"Hardware does not support image size", "Hardware does not offer any usable surface formats",
}

// deviceFaults are parts of ffmpeg's messages about a device that fails, which is not the file's fault.
var deviceFaults = []string{"Device creation failed", "Device setup failed", "No device available", "CUDA_ERROR",
	"hwaccel", "hw_frames", "hwframe", "hardware accelerator", "data to output frame", "surface", "decode context",
	"decode configuration", "decode issue", "Failed to upload"}

// remedies say what to do if a device does not work.
var remedies = map[string]string{
	NVENC: "it needs an NVIDIA GPU that can encode, its driver, and in a container the capability video " +
		"(NVIDIA_DRIVER_CAPABILITIES=compute,utility,video); or write output::encoder: software",
	CUDA: "it needs an NVIDIA GPU that can decode, its driver, and in a container the capability video " +
		"(NVIDIA_DRIVER_CAPABILITIES=compute,utility,video); or write tools::decoder: software",
	VAAPI: "it needs a GPU at tools::vaapi_device that this user can open (group render), and its driver " +
		"(Debian: intel-media-va-driver or mesa-va-drivers; vainfo lists what it can do); " +
		"or write software for output::encoder and tools::decoder",
}

// quietArgs make ffmpeg print nothing but warnings and errors.
var quietArgs = []string{"-nostdin", "-hide_banner", "-nostats", "-loglevel", "repeat+level+warning"}

// tryEncoder tests an encoder on a gray frame.
func (t Tools) tryEncoder(ctx context.Context, p Plan) error {
	name, upload := p.pixelFormat()
	args := append(slices.Clone(quietArgs), "-f", "lavfi", "-i", "color=gray:s=640x480:r=25", "-frames:v", "1",
		"-filter:v", strings.Trim("null,"+upload, ","), "-pix_fmt", name, "-c:v", p.encoder.name)
	args = append(append(args, p.encoderArgs()...), "-f", "null", "-")
	if _, err := t.output(ctx, t.FFmpeg, args, streams{}, DefaultLimits().writing().onDevice(true), nil); err != nil {
		return fmt.Errorf("%w: encoder %s does not work: %s: %s",
			ErrTool, p.encoder.name, tidy(err.Error()), remedies[p.encoder.device])
	}
	return nil
}

// grayFrame is a frame of 128 x 128 pixels in H.264, in base64.
const grayFrame = "AAAAAWdkAAus2UIEbARAAAADAEAAAAyDxQplgAAAAAFo6+PLIsAAAAFliIQAK//+9nN8JXJY43mS9yy/" +
	"LoTaFF8LcB6fF3AofDEAAAc4DGnHwDk="

// CheckDecoder checks that the decoder of opts works, by decoding a frame that only its device may decode. It fails
// with ErrTool, saying what to do.
func (t Tools) CheckDecoder(ctx context.Context, opts ReadOptions) error {
	if !opts.inHardware() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, toolTimeout)
	defer cancel()
	query := []string{"-hide_banner", "-v", "error", "-hwaccels"}
	listed, err := t.output(ctx, t.FFmpeg, query, streams{}, bounds{}, nil)
	if err != nil {
		return fmt.Errorf("%w: %s -hwaccels: %w", ErrTool, t.FFmpeg, err)
	}
	if !slices.Contains(strings.Fields(string(bytes.ToLower(listed))), opts.Decoder) {
		return fmt.Errorf("%w: %s has no decoder %s: install a build with it, or write tools::decoder: software",
			ErrTool, t.FFmpeg, opts.Decoder)
	}
	args := append(slices.Clone(quietArgs), opts.decoderArgs()...)
	args = append(args, "-hwaccel_output_format", opts.Decoder, "-f", "h264", "-i", "data:video/h264;base64,"+grayFrame,
		"-filter:v", "hwdownload,format=nv12", "-f", "null", "-")
	if _, err := t.output(ctx, t.FFmpeg, args, streams{}, DefaultLimits().writing().onDevice(true), nil); err != nil {
		return fmt.Errorf("%w: decoder %s does not work: %s: %s",
			ErrTool, opts.Decoder, tidy(err.Error()), remedies[opts.Decoder])
	}
	return nil
}
