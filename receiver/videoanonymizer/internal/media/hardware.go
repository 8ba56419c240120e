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

// What encodes and decodes, as WriteOptions.Encoder and ReadOptions.Decoder name it.
const (
	// Software is the processor.
	Software = "software"
	// NVENC encodes on an NVIDIA GPU, and CUDA decodes on one.
	NVENC = "nvenc"
	CUDA  = "cuda"
	// VAAPI does either on a GPU of Intel or AMD.
	VAAPI = "vaapi"
)

// DefaultVAAPIDevice is the first GPU.
const DefaultVAAPIDevice = "/dev/dri/renderD128"

// hardwareEncoders are those of each device, by codec. All of them write 4:2:0.
var hardwareEncoders = map[string]map[string]encoder{
	NVENC: {
		"h264": {name: "h264_nvenc", device: NVENC, quality: 23, depths: []int{8}, args: nvencArgs},
		"h265": {name: "hevc_nvenc", device: NVENC, quality: 22, depths: []int{8, 10}, args: nvencArgs},
		"av1":  {name: "av1_nvenc", device: NVENC, quality: 30, depths: []int{8, 10}, args: nvencArgs},
	},
	VAAPI: {
		"h264": {name: "h264_vaapi", device: VAAPI, quality: 23, depths: []int{8}, args: vaapiArgs,
			filters: "filter_units=remove_types=6"}, // SEI: names of program and driver
		"h265": {name: "hevc_vaapi", device: VAAPI, quality: 22, depths: []int{8, 10}, args: vaapiArgs},
		"vp9":  {name: "vp9_vaapi", device: VAAPI, quality: 28, depths: []int{8, 10}, args: vaapiIndexArgs},
		"av1":  {name: "av1_vaapi", device: VAAPI, quality: 30, depths: []int{8, 10}, args: vaapiIndexArgs},
	},
}

// nvencArgs hold the quality, where 0 would leave it to the encoder.
func nvencArgs(_ Info, quality, speed int) []string {
	return []string{"-preset", fmt.Sprintf("p%d", 1+speed*7/len(presets)), "-rc", "vbr", "-cq", strconv.Itoa(max(1, quality)), "-b:v", "0"}
}

func vaapiArgs(_ Info, quality, _ int) []string {
	return []string{"-rc_mode", "CQP", "-qp", strconv.Itoa(max(1, quality))}
}

// vaapiIndexArgs are for codecs that quantize in 255 steps, four to one of the constant rate factor.
func vaapiIndexArgs(_ Info, quality, _ int) []string {
	return []string{"-rc_mode", "CQP", "-global_quality", strconv.Itoa(max(1, 4*quality))}
}

// encoderFor finds the encoder of a device for a codec. It fails with ErrUnsupported.
func encoderFor(device, codec string) (encoder, error) {
	of := encoders
	if device = cmp.Or(device, Software); device != Software {
		var ok bool
		if of, ok = hardwareEncoders[device]; !ok {
			return encoder{}, fmt.Errorf("%w: encoder %q: use %s, %s or %s", ErrUnsupported, device, Software, NVENC, VAAPI)
		}
	}
	e, ok := of[codec]
	if !ok && device != Software {
		return e, fmt.Errorf("%w: %s does not write %s: use another codec, or encoder %s", ErrUnsupported, device, codec, Software)
	}
	if !ok {
		return e, fmt.Errorf("%w: codec %q", ErrUnsupported, codec)
	}
	return e, nil
}

// pixelFormat is what the encoder calls the plan's format, and the filters that bring frames to its device.
func (p plan) pixelFormat() (name, upload string) {
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

// encoderArgs are the encoder's own, with its device.
func (p plan) encoderArgs(info Info) []string {
	args := p.encoder.args(info, p.quality, p.speed)
	if p.encoder.device == VAAPI {
		args = append(args, "-vaapi_device", p.device)
	}
	return args
}

// inHardware tells whether a device decodes.
func (o ReadOptions) inHardware() bool { return cmp.Or(o.Decoder, Software) != Software }

// decoderArgs have a device decode what it can, into this machine's memory. They stand before the -i.
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

// maxDeviceThreads of the decoder: each holds pictures of the device, which has 32 of them.
const maxDeviceThreads = 8

func (o ReadOptions) threads() int {
	if o.inHardware() && o.Threads == 0 {
		return min(maxDeviceThreads, runtime.NumCPU())
	}
	return o.Threads
}

// bounds of the decoder. It writes no file, but the libraries of a device may.
func (o ReadOptions) bounds(l Limits) bounds {
	if o.inHardware() {
		return l.writing()
	}
	return l.reading()
}

// refusals are what ffmpeg says of a codec, profile or size that a device does not decode, before the processor does.
var refusals = []string{
	"Failed setup for format",
	"Hardware is lacking required capabilities",
	"Video width", "Video height", "Video macroblock count",
	"Unsupported chroma format", "Unsupported codec ID",
	"No support for codec", "not supported for hardware decode",
	"Hardware does not support image size", "Hardware does not offer any usable surface formats",
}

// deviceFaults are parts of what ffmpeg says when a device fails, which is no fault of the file.
var deviceFaults = []string{"Device creation failed", "Device setup failed", "No device available", "CUDA_ERROR", "hwaccel", "hw_frames", "hwframe",
	"hardware accelerator", "data to output frame", "surface", "decode context", "decode configuration", "decode issue", "Failed to upload"}

// remedies say what to do about a device that does not work.
var remedies = map[string]string{
	NVENC: "it takes an NVIDIA GPU that encodes and its driver, in a container with the capability video " +
		"(NVIDIA_DRIVER_CAPABILITIES=compute,utility,video); or write output::encoder: software",
	CUDA: "it takes an NVIDIA GPU that decodes and its driver, in a container with the capability video " +
		"(NVIDIA_DRIVER_CAPABILITIES=compute,utility,video); or write tools::decoder: software",
	VAAPI: "it takes a GPU at tools::vaapi_device that this user may open (group render) and its driver (Debian: intel-media-va-driver or " +
		"mesa-va-drivers; vainfo lists what it can do); or write software for output::encoder and tools::decoder",
}

// quietly has ffmpeg say nothing but what is wrong.
var quietly = []string{"-nostdin", "-hide_banner", "-nostats", "-loglevel", "repeat+level+warning"}

// tryEncoder encodes a grey picture.
func (t Tools) tryEncoder(ctx context.Context, p plan) error {
	name, upload := p.pixelFormat()
	args := append(slices.Clone(quietly), "-f", "lavfi", "-i", "color=gray:s=640x480:r=25", "-frames:v", "1",
		"-filter:v", strings.Trim("null,"+upload, ","), "-pix_fmt", name, "-c:v", p.encoder.name)
	args = append(append(args, p.encoderArgs(Info{})...), "-f", "null", "-")
	if _, err := output(ctx, t.FFmpeg, args, nil, DefaultLimits().writing(), nil); err != nil {
		return fmt.Errorf("%w: encoder %s does not work: %s: %s", ErrTool, p.encoder.name, tidy(err.Error()), remedies[p.encoder.device])
	}
	return nil
}

// grey is a picture of 128 x 128 pixels in H.264.
const grey = "AAAAAWdkAAus2UIEbARAAAADAEAAAAyDxQplgAAAAAFo6+PLIsAAAAFliIQAK//+9nN8JXJY43mS9yy/LoTaFF8LcB6fF3AofDEAAAc4DGnHwDk="

// CheckDecoder tells whether the decoder of opts works, by decoding a picture that only its device may decode. It fails
// with ErrTool, saying what to do.
func (t Tools) CheckDecoder(ctx context.Context, opts ReadOptions) error {
	if !opts.inHardware() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, toolTimeout)
	defer cancel()
	listed, err := output(ctx, t.FFmpeg, []string{"-hide_banner", "-v", "error", "-hwaccels"}, nil, bounds{}, nil)
	if err != nil {
		return fmt.Errorf("%w: %s -hwaccels: %w", ErrTool, t.FFmpeg, err)
	}
	if !slices.Contains(strings.Fields(string(bytes.ToLower(listed))), opts.Decoder) {
		return fmt.Errorf("%w: %s has no decoder %s: install a build with it, or write tools::decoder: software", ErrTool, t.FFmpeg, opts.Decoder)
	}
	args := append(slices.Clone(quietly), opts.decoderArgs()...)
	args = append(args, "-hwaccel_output_format", opts.Decoder, "-f", "h264", "-i", "data:video/h264;base64,"+grey,
		"-filter:v", "hwdownload,format=nv12", "-f", "null", "-")
	if _, err := output(ctx, t.FFmpeg, args, nil, DefaultLimits().writing(), nil); err != nil {
		return fmt.Errorf("%w: decoder %s does not work: %s: %s", ErrTool, opts.Decoder, tidy(err.Error()), remedies[opts.Decoder])
	}
	return nil
}
