// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withoutDevices hides NVIDIA's GPUs from children, and returns a path without a VAAPI device.
func withoutDevices(t *testing.T) string {
	t.Helper()
	t.Setenv("CUDA_VISIBLE_DEVICES", "-1")
	return filepath.Join(t.TempDir(), "renderD128")
}

// script returns tools with a shell script instead of ffmpeg.
func script(t *testing.T, text string) Tools {
	t.Helper()
	path := written(t, "ffmpeg", []byte("#!/bin/sh\n"+text))
	require.NoError(t, os.Chmod(path, 0o700))
	tools := testTools(t)
	tools.FFmpeg = path
	return tools
}

// TestCheckMissingDevices checks that a device that does not work is an error that states the reason and a remedy,
// before there is any video.
func TestCheckMissingDevices(t *testing.T) {
	tools, none := testTools(t), withoutDevices(t)
	for _, tc := range []struct{ encoder, codec, name string }{
		{NVENC, "h265", "hevc_nvenc"}, {NVENC, "same", "h264_nvenc"}, {VAAPI, "", "h264_vaapi"},
		{VAAPI, "vp9", "vp9_vaapi"},
	} {
		err := tools.CheckEncoder(t.Context(), WriteOptions{Encoder: tc.encoder, Codec: tc.codec, Device: none})
		require.ErrorIs(t, err, ErrTool)
		require.ErrorContains(t, err, "encoder "+tc.name+" does not work: ")
		require.ErrorContains(t, err, "software")
		assert.NotContains(t, err.Error(), "0x", "addresses help nobody")
	}
	for _, opts := range []ReadOptions{{Decoder: CUDA}, {Decoder: VAAPI, Device: none}} {
		err := tools.CheckDecoder(t.Context(), opts)
		require.ErrorIs(t, err, ErrTool)
		require.ErrorContains(t, err, "decoder "+opts.Decoder+" does not work: ")
		require.ErrorContains(t, err, "Device creation failed")
	}
	require.NoError(t, tools.CheckDecoder(t.Context(), ReadOptions{}))
	require.NoError(t, tools.CheckDecoder(t.Context(), ReadOptions{Decoder: Software}))
	require.ErrorIs(t, tools.CheckEncoder(t.Context(), WriteOptions{Encoder: NVENC, Codec: "ffv1"}), ErrUnsupported)

	bare := script(t, "echo\n") // lists neither encoders nor decoders
	err := bare.CheckEncoder(t.Context(), WriteOptions{Encoder: NVENC, Codec: "av1"})
	require.ErrorIs(t, err, ErrTool)
	require.ErrorContains(t, err, "has no encoder av1_nvenc: install a build with it")
	err = bare.CheckDecoder(t.Context(), ReadOptions{Decoder: CUDA})
	require.ErrorIs(t, err, ErrTool)
	require.ErrorContains(t, err, "has no decoder cuda: install a build with it")
}

// TestDeviceFailsDuringVideo checks that if a device fails later, the error does not blame the video, and the CPU does
// not take over silently.
func TestDeviceFailsDuringVideo(t *testing.T) {
	none := withoutDevices(t)
	in := clip(t, "a.mkv", testVideo("64x48", "5")+quick)
	for _, read := range []ReadOptions{{Decoder: CUDA}, {Decoder: VAAPI, Device: none},
		{Decoder: VAAPI, Device: none, Salvage: true}} {
		out := filepath.Join(t.TempDir(), "out.mkv")
		_, err := transcode(t.Context(), testTools(t), in, out, read, WriteOptions{}, nil)
		require.ErrorIs(t, err, ErrTool)
		require.ErrorContains(t, err, "decoder "+read.Decoder)
		assert.False(t, exists(out))
	}
	for _, write := range []WriteOptions{{Encoder: NVENC}, {Encoder: VAAPI, Device: none}} {
		out := filepath.Join(t.TempDir(), "out.mkv")
		_, err := transcode(t.Context(), testTools(t), in, out, ReadOptions{}, write, nil)
		require.ErrorIs(t, err, ErrTool)
		assert.False(t, exists(out))
	}
}

// TestDeviceArguments checks ffmpeg's arguments.
func TestDeviceArguments(t *testing.T) {
	for _, tc := range []struct {
		format string
		write  WriteOptions
		filter string // its suffix
		want   string
	}{
		{"yuv420p", WriteOptions{}, "setsar=1/1",
			"-pix_fmt yuv420p -threads 0 -c:v libx264 -preset veryfast -crf 23 -x264-params fps=25/1:sync-lookahead=0"},
		{"yuv420p", WriteOptions{Encoder: NVENC}, "setsar=1/1",
			"-pix_fmt yuv420p -threads 0 -c:v h264_nvenc -preset p2 -rc vbr -cq 23 -b:v 0"},
		{"yuv422p10le", WriteOptions{Encoder: NVENC, Codec: "h265", Preset: "ultrafast", Quality: new(int)},
			"setsar=1/1,scale=in_range=tv:out_range=tv",
			"-pix_fmt p010le -threads 0 -c:v hevc_nvenc -preset p1 -rc vbr -cq 1 -b:v 0"},
		{"yuv420p10le", WriteOptions{Encoder: NVENC, Codec: "av1", Preset: "placebo"},
			"setsar=1/1,scale=in_range=tv:out_range=tv",
			"-pix_fmt p010le -threads 0 -c:v av1_nvenc -preset p7 -rc vbr -cq 30 -b:v 0"},
		{"yuv420p", WriteOptions{Encoder: VAAPI}, "setsar=1/1,scale=in_range=tv:out_range=tv,format=nv12,hwupload",
			"-pix_fmt vaapi -threads 0 -c:v h264_vaapi -rc_mode CQP -qp 23 -vaapi_device /dev/dri/renderD128"},
		{"yuv420p12le", WriteOptions{Encoder: VAAPI, Codec: "h265", Device: "/dev/dri/renderD129"},
			"setsar=1/1,scale=in_range=tv:out_range=tv,format=p010le,hwupload",
			"-pix_fmt vaapi -threads 0 -c:v hevc_vaapi -rc_mode CQP -qp 22 -vaapi_device /dev/dri/renderD129"},
		{"yuv420p", WriteOptions{Encoder: VAAPI, Codec: "vp9"},
			"setsar=1/1,scale=in_range=tv:out_range=tv,format=nv12,hwupload",
			"-pix_fmt vaapi -threads 0 -c:v vp9_vaapi -rc_mode CQP -global_quality 112 " +
				"-vaapi_device /dev/dri/renderD128"},
	} {
		t.Run(fmt.Sprintf("%s %s %s", tc.write.Encoder, tc.write.Codec, tc.format), func(t *testing.T) {
			info := plainInfo(t, tc.format, 64, 48)
			p, err := NewPlan(info, tc.write)
			require.NoError(t, err)
			args := p.encodeArgs()
			at := slices.Index(args, "-filter:v")
			_, end, _ := strings.Cut(args[at+1], ",")
			assert.Equal(t, tc.filter, end)
			assert.True(t, strings.HasPrefix(strings.Join(args[at+2:], " ")+" ", tc.want+" "), "%q", args[at+2:])
		})
	}

	info := plainInfo(t, "yuv420p", 64, 48)
	for decoder, want := range map[string]string{
		"":       "",
		Software: "",
		CUDA:     "-init_hw_device cuda=device -hwaccel cuda -hwaccel_device device -i " + inputURL,
		VAAPI: "-init_hw_device vaapi=device:/dev/dri/renderD128 -hwaccel vaapi -hwaccel_device device -i " +
			inputURL,
	} {
		args := strings.Join(decodeArgs(info, ReadOptions{Decoder: decoder}), " ")
		assert.Contains(t, args, want)
		assert.Equal(t, want != "", strings.Contains(args, "hwaccel"), args)
		assert.Equal(t, want != "", strings.Contains(args, ":in_range=tv:out_range=tv"), args)
	}
}

// TestDeviceLayouts checks that frames from a device are unchanged: devices interleave chroma, and store 10 bits in the
// high bits. A filter replaces the device.
func TestDeviceLayouts(t *testing.T) {
	for format, layout := range map[string]string{"yuv420p": "nv12", "yuvj420p": "nv12", "yuv420p10le": "p010le",
		"yuv444p": "yuv444p"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			rng := map[bool]string{true: "pc", false: "tv"}[format == "yuvj420p"]
			in := clip(t, "a.mkv",
				testVideo("98x62", "5")+"-vf scale=out_range="+rng+" -color_range "+rng+" -pix_fmt "+
					strings.Replace(format, "yuvj", "yuv", 1)+" -c:v ffv1")
			raw, err := exec.Command("ffmpeg", "-nostdin", "-v", "error", "-i", in, "-f", "rawvideo", "-").Output()
			require.NoError(t, err)

			// The script drops the device's options, and converts to its layout before the filters.
			tools := script(t, `for a; do
	shift
	case $a in -init_hw_device|-hwaccel|-hwaccel_device) skip=1; continue;; esac
	if [ "$skip" ]; then skip=; continue; fi
	case $a in showinfo*) a="scale=in_range=`+rng+`:out_range=`+rng+`,format=`+layout+`,$a";; esac
	set -- "$@" "$a"
done
exec ffmpeg "$@"
`)
			info, err := tools.Probe(t.Context(), in, Limits{})
			require.NoError(t, err)
			r, err := tools.Open(t.Context(), info, ReadOptions{Decoder: CUDA})
			require.NoError(t, err)
			defer r.Close()
			for i := range 5 {
				f, err := r.Next()
				require.NoError(t, err)
				for p := range f.Format.Planes {
					data := f.Planes[p].Data
					require.True(t, slices.Equal(raw[:len(data)], data), "frame %d plane %d", i, p)
					raw = raw[len(data):]
				}
				f.Release()
			}
			assert.Empty(t, raw)
		})
	}
}

// TestCheckDecoderFrame checks that the frame for checking decoders decodes, and that the check fails if no device
// decodes it.
func TestCheckDecoderFrame(t *testing.T) {
	out, err := exec.Command("ffmpeg", "-v", "error", "-f", "h264", "-i", "data:video/h264;base64,"+grayFrame, "-f",
		"rawvideo", "-").Output()
	require.NoError(t, err)
	assert.Len(t, out, 128*128*3/2)
	software := script(t, `case "$*" in *-hwaccels*) echo cuda; exit;; esac
for a; do
	shift
	case $a in -init_hw_device|-hwaccel|-hwaccel_device|-hwaccel_output_format) skip=1; continue;; esac
	if [ "$skip" ]; then skip=; continue; fi
	set -- "$@" "$a"
done
exec ffmpeg "$@"
`)
	require.ErrorContains(t, software.CheckDecoder(t.Context(), ReadOptions{Decoder: CUDA}), "Impossible to convert")
}

// TestDeviceFaults distinguishes what a device does not support from its failures.
func TestDeviceFaults(t *testing.T) {
	for _, tc := range []struct{ line, damage, fault string }{
		{"[h264 @ 0x1] [error] Failed setup for format cuda: hwaccel initialisation returned error.", "", ""},
		{"[vp9 @ 0x1] [error] Hardware is lacking required capabilities", "", ""},
		{"[h264 @ 0x1] [error] No support for codec h264 profile 110.", "", ""},
		{"[h264 @ 0x1] [error] decoder->cvdl->cuvidCreateDecoder(&decoder->decoder, params) failed " +
			"-> CUDA_ERROR_OUT_OF_MEMORY: out of memory", "", "CUDA_ERROR_OUT_OF_MEMORY"},
		{"[hevc @ 0x1] [error] hardware accelerator failed to decode picture", "", "failed to decode picture"},
		{"[AVHWFramesContext @ 0x1] [error] Failed to sync surface 0x4: 2 (resource allocation failed).", "",
			"Failed to sync surface"},
		{"[h264 @ 0x1] [error] error while decoding MB 3 4", "error while decoding MB", ""},
		{"[h264 @ 0x1] [warning] Using more than 32 (33) decode surfaces might cause nvdec to fail.", "", ""},
	} {
		f := newFaults(Info{}, ReadOptions{Decoder: CUDA})
		f.add([]byte(tc.line))
		assert.Contains(t, f.text(), tc.damage, tc.line)
		failure, _ := f.failure()
		assert.Contains(t, failure, tc.fault, tc.line)
		assert.Equal(t, tc.damage == "", f.text() == "", tc.line)
		assert.Equal(t, tc.fault == "", failure == "", tc.line)
		software := newFaults(Info{}, ReadOptions{})
		software.add([]byte(tc.line))
		failure, _ = software.failure()
		assert.Empty(t, failure, tc.line)
	}
}
