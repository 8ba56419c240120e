// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPixelFormatAuto checks that h264 is written in a format that plays everywhere, unless the source's is to be kept.
func TestPixelFormatAuto(t *testing.T) {
	for _, tc := range []struct {
		name, format, transfer, source string
		width                          int
		write                          WriteOptions
		codec, want                    string
	}{
		{"plain", "yuv420p", "", "hevc", 64, WriteOptions{}, "h264", "yuv420p"},
		{"10 bit", "yuv420p10le", "bt709", "hevc", 64, WriteOptions{}, "h264", "yuv420p"},
		{"4:2:2", "yuv422p", "", "hevc", 64, WriteOptions{}, "h264", "yuv420p"},
		{"4:2:2 of 10 bit", "yuv422p10le", "bt709", "hevc", 64, WriteOptions{Codec: "h264"}, "h264", "yuv420p"},
		{"4:4:4", "yuv444p", "", "hevc", 64, WriteOptions{}, "h264", "yuv420p"},
		{"gray", "gray", "", "hevc", 64, WriteOptions{}, "h264", "yuv420p"},
		{"named", "yuv422p10le", "", "hevc", 64, WriteOptions{PixelFormat: "auto"}, "h264", "yuv420p"},
		{"to be kept", "yuv422p10le", "", "hevc", 64, WriteOptions{PixelFormat: "same"}, "h264", "yuv422p10le"},
		{"odd size", "yuv420p10le", "", "hevc", 63, WriteOptions{}, "h264", "yuv444p10le"},
		{"odd size of 4:2:2", "yuv422p", "", "hevc", 63, WriteOptions{}, "h264", "yuv444p"},
		{"the source's own codec", "yuv422p10le", "", "h264", 64, WriteOptions{Codec: "same"}, "h264", "yuv422p10le"},
		{"in place of a codec that is not written", "yuv422p10le", "", "prores", 64, WriteOptions{Codec: "same"}, "h264",
			"yuv420p"},
		{"another codec", "yuv422p10le", "", "prores", 64, WriteOptions{Codec: "h265"}, "h265", "yuv422p10le"},
		{"pq", "yuv420p10le", "smpte2084", "hevc", 64, WriteOptions{}, "h265", "yuv420p10le"},
		{"hlg of 4:2:2", "yuv422p10le", "arib-std-b67", "hevc", 64, WriteOptions{}, "h265", "yuv420p10le"},
		{"hlg of 12 bit", "yuv422p12le", "arib-std-b67", "hevc", 64, WriteOptions{}, "h265", "yuv420p10le"},
		{"hlg of 8 bit", "yuv420p", "arib-std-b67", "hevc", 64, WriteOptions{}, "h264", "yuv420p"},
		{"pq to be kept", "yuv420p10le", "smpte2084", "hevc", 64, WriteOptions{PixelFormat: "same"}, "h264", "yuv420p10le"},
		{"pq in avi, which holds no h265", "yuv420p10le", "smpte2084", "hevc", 64, WriteOptions{Container: "avi"}, "h264",
			"yuv420p10le"},
		{"pq by a GPU", "yuv420p10le", "smpte2084", "hevc", 64, WriteOptions{Encoder: NVENC}, "h265", "yuv420p10le"},
		{"webm", "yuv422p10le", "", "vp9", 64, WriteOptions{Container: "webm"}, "vp9", "yuv422p10le"},
	} {
		info := plainInfo(t, tc.format, tc.width, 48)
		info.ColorTransfer, info.Codec = tc.transfer, tc.source
		plan, err := NewPlan(info, tc.write)
		require.NoError(t, err, tc.name)
		assert.Equal(t, []string{tc.codec, tc.want}, []string{plan.codec.name, plan.format.Name}, tc.name)
	}
}

// TestPhoneVideos checks that 10 bits and 4:2:2 from cameras become what players decode, that HDR stays HDR, and that
// nothing else changes.
func TestPhoneVideos(t *testing.T) {
	const movie = "-f lavfi -i testsrc2=s=128x96:r=25:d=1 "
	const x265 = "-c:v libx265 -preset ultrafast -crf 10 -x265-params log-level=error "
	const hlg = "-pix_fmt yuv420p10le -color_range tv -colorspace bt2020nc -color_trc arib-std-b67 " +
		"-color_primaries bt2020 "
	for _, tc := range []struct {
		name, file, args, pixelFormat, codec, want string
		verdict                                    Verdict
	}{
		{"4:2:2 of 10 bit", "a.mp4", movie + "-pix_fmt yuv422p10le " + x265, "", "h264", "yuv420p", Expected},
		{"4:2:2 of 10 bit to be kept", "a.mp4", movie + "-pix_fmt yuv422p10le " + x265, "same", "h264", "yuv422p10le", Same},
		{"10 bit", "a.mkv", movie + "-pix_fmt yuv420p10le " + x265, "", "h264", "yuv420p", Expected},
		{"full range of 10 bit", "a.mkv", movie + "-vf scale=out_range=pc,format=yuv420p10le -color_range pc " + x265, "",
			"h264", "yuvj420p", Expected},
		{"interlaced 4:2:2", "a.mov", "-f lavfi -i testsrc2=s=128x96:r=50:d=1 -vf interlace=scan=tff,format=yuv422p " +
			"-flags +ildct+ilme -c:v libx264 -crf 10 ", "", "h264", "yuv420p", Expected},
		{"hlg", "a.mov", movie + hlg + x265 + "-tag:v hvc1 ", "", "hevc", "yuv420p10le", Same},
		{"hlg of 4:2:2", "a.mkv", movie + hlg + "-pix_fmt yuv422p10le " + x265, "", "hevc", "yuv420p10le", Expected},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tools := testTools(t)
			in, out := clip(t, tc.file, tc.args), filepath.Join(t.TempDir(), tc.file)
			quality := 5
			_, err := transcode(t.Context(), tools, in, out, ReadOptions{},
				WriteOptions{PixelFormat: tc.pixelFormat, Quality: &quality}, nil)
			require.NoError(t, err)
			info, err := tools.Probe(t.Context(), out, Limits{})
			require.NoError(t, err)
			assert.Equal(t, []string{tc.codec, tc.want}, []string{info.Codec, info.SourceFormat})
			assert.Greater(t, psnr(t, in, out), 28.0)
			c, err := tools.Compare(t.Context(), in, out)
			require.NoError(t, err)
			assert.Empty(t, c.Changed())
			assert.Equal(t, tc.verdict, row(t, c, "pixel format").Verdict)
		})
	}
}
