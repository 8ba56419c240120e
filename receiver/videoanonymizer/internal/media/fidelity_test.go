// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bytes"
	"math"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// testVideo is a lavfi source of one second of moving images.
func testVideo(size, rate string) string {
	return "-f lavfi -i testsrc2=s=" + size + ":r=" + rate + ":d=1 "
}

// probedVideo is what ffprobe says about a video stream, and the times in seconds at which its frames are shown.
type probedVideo struct {
	fields map[string]string
	times  []float64
}

func probeVideo(t *testing.T, path string) probedVideo {
	t.Helper()
	v := probedVideo{fields: map[string]string{}}
	for _, line := range ffprobe(t, path,
		"stream=codec_name,width,height,pix_fmt,sample_aspect_ratio,color_range,color_space,"+
			"color_transfer,color_primaries,chroma_location,field_order,r_frame_rate:stream_side_data=rotation:"+
			"frame=best_effort_timestamp_time", "-select_streams", "V:0") {
		kind, rest, _ := strings.Cut(line, "|")
		for _, field := range strings.Split(rest, "|") {
			key, value, _ := strings.Cut(field, "=")
			if kind == "frame" && key == "best_effort_timestamp_time" {
				s, err := strconv.ParseFloat(value, 64)
				require.NoError(t, err)
				v.times = append(v.times, s)
			} else if kind == "stream" {
				v.fields[key] = value
			}
		}
	}
	return v
}

var psnrLine = regexp.MustCompile(`average:(\S+) min:(\S+)`)

// psnr returns the worst frame's peak signal-to-noise ratio in dB, infinite if all are equal.
func psnr(t *testing.T, a, b string) float64 {
	t.Helper()
	out, err := exec.Command("ffmpeg", "-nostdin", "-hide_banner", "-copyts", "-i", a, "-i", b, "-lavfi",
		"[0:V:0][1:V:0]psnr",
		"-fps_mode", "passthrough", "-f", "null", "-").CombinedOutput()
	require.NoError(t, err, "%s", out)
	m := psnrLine.FindSubmatch(out)
	require.NotNil(t, m, "%s", out)
	db, err := strconv.ParseFloat(string(m[2]), 64)
	require.NoError(t, err)
	return db
}

// TestFidelity passes videos of many kinds through unchanged, and compares what ffprobe says about source and output.
func TestFidelity(t *testing.T) {
	const x264 = "-c:v libx264 -preset ultrafast -crf 10 "
	const x265 = "-c:v libx265 -preset ultrafast -crf 10 -x265-params log-level=error "
	meanRate := map[string]string{"r_frame_rate": ""} // Matroska's headers have the mean rate
	const vfr = "-vf setpts='(N*N/4+N)*0.02/TB' -fps_mode vfr "
	for i, tc := range []struct {
		name, file, args string
		write            WriteOptions
		// differs are fields that may or must differ: "" means any value.
		differs map[string]string
	}{
		{name: "mp4 h264", file: "a.mp4", args: testVideo("128x96", "25") + x264},
		{name: "mkv h264", file: "a.mkv", args: testVideo("128x96", "25") + x264},
		{name: "mov h264", file: "a.mov", args: testVideo("128x96", "25") + x264},
		{name: "ts h264", file: "a.ts", args: testVideo("128x96", "25") + x264},
		{name: "avi mpeg4", file: "a.avi", args: testVideo("128x96", "25") + "-c:v mpeg4 -q:v 2 "},
		{name: "avi mjpeg full range", file: "a.avi", args: testVideo("128x96", "25") + "-c:v mjpeg -q:v 2 "},
		{name: "webm vp9", file: "a.webm",
			args: testVideo("128x96", "25") + "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -crf 10 -b:v 0 "},
		{name: "mkv ffv1 exact", file: "a.mkv", args: testVideo("128x96", "25") + "-c:v ffv1 ",
			write: WriteOptions{Codec: "same"}},
		{name: "mp4 hevc to hevc", file: "a.mp4", args: testVideo("128x96", "25") + x265,
			write: WriteOptions{Codec: "same"}},
		{name: "mkv to vp9", file: "a.mkv", args: testVideo("128x96", "25") + x264, write: WriteOptions{Codec: "vp9"}},
		{name: "mp4 to av1", file: "a.mp4", args: testVideo("128x96", "25") + x264, write: WriteOptions{Codec: "av1"}},
		{name: "ts mpeg2", file: "a.ts", args: testVideo("128x96", "25") + "-c:v mpeg2video -q:v 2 "},
		{name: "fractional rate", file: "a.mp4", args: testVideo("128x96", "30000/1001") + x264},
		{name: "fractional rate in avi", file: "a.avi", args: testVideo("128x96", "24000/1001") + "-c:v mpeg4 -q:v 2 "},
		{name: "fractional rate in ts", file: "a.ts", args: testVideo("128x96", "60000/1001") + x264},
		{name: "low rate", file: "a.mp4", args: "-f lavfi -i testsrc2=s=128x96:r=1/2:d=10 " + x264},
		{name: "variable rate mp4", file: "a.mp4", args: testVideo("128x96", "25") + vfr + x264},
		{name: "variable rate mkv", file: "a.mkv", args: testVideo("128x96", "25") + vfr + x264, differs: meanRate},
		{name: "last frame is shown for long", file: "a.mp4",
			args: testVideo("128x96", "25") +
				"-vf setpts='if(eq(N,24),5,N/25)/TB',setpts=PTS -fps_mode vfr " +
				"-bsf:v setts=duration='if(gt(PTS*TB\\,4)\\,3/TB\\,DURATION)' " + x264},
		{name: "variable rate webm", file: "a.webm",
			args:    testVideo("128x96", "25") + vfr + "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -crf 10 -b:v 0 ",
			differs: meanRate},
		{name: "start offset mp4", file: "a.mp4", args: testVideo("128x96", "25") + "-output_ts_offset 2.5 " + x264},
		{name: "start offset mkv", file: "a.mkv", args: testVideo("128x96", "25") + "-output_ts_offset 2.5 " + x264},
		{name: "start offset ts", file: "a.ts", args: testVideo("128x96", "25") + "-output_ts_offset 3000 " + x264},
		{name: "cut by an edit list", file: "a.mp4", args: "-f lavfi -i testsrc2=s=128x96:r=25:d=3 -ss 1.28 " + x264},
		{name: "odd size 4:4:4", file: "a.mkv",
			args: testVideo("128x96", "25") + "-vf scale=127:95,format=yuv444p " + x264},
		{name: "odd size 4:2:0", file: "a.mkv",
			args:    testVideo("128x96", "25") + "-vf scale=127:95,format=yuv420p -c:v ffv1 ",
			differs: map[string]string{"pix_fmt": "yuv444p", "chroma_location": ""}},
		{name: "odd size vp9", file: "a.webm",
			args: testVideo("128x96", "25") +
				"-vf scale=127:95,format=yuv420p -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -crf 10 -b:v 0 "},
		{name: "tiny", file: "a.mkv", args: testVideo("16x16", "25") + x264},
		{name: "one pixel", file: "a.mkv",
			args: "-f lavfi -i color=red:s=16x16:d=0.4 -vf scale=1:1,format=yuv444p -c:v ffv1 "},
		{name: "anamorphic", file: "a.mp4", args: testVideo("128x96", "25") + "-vf setsar=16/11 " + x264},
		{name: "full range", file: "a.mp4",
			args: testVideo("128x96", "25") + "-vf scale=out_range=pc,format=yuvj420p " + x264},
		{name: "full range 10 bit", file: "a.mkv",
			args:  testVideo("128x96", "25") + "-vf scale=out_range=pc,format=yuv420p10le -color_range pc " + x265,
			write: WriteOptions{Codec: "h265"}},
		{name: "limited range and bt709", file: "a.mp4",
			args: testVideo("128x96", "25") +
				"-color_range tv -colorspace bt709 -color_trc bt709 -color_primaries bt709 " + x264},
		{name: "bt2020 and pq", file: "a.mkv",
			args: testVideo("128x96", "25") +
				"-pix_fmt yuv420p10le -color_range tv -colorspace bt2020nc -color_trc smpte2084 " +
				"-color_primaries bt2020 " +
				x265, write: WriteOptions{Codec: "same"}},
		{name: "10 bit h264", file: "a.mp4", args: testVideo("128x96", "25") + "-pix_fmt yuv420p10le " + x264},
		{name: "10 bit 4:2:2", file: "a.mov", args: testVideo("128x96", "25") + "-c:v prores_ks -pix_fmt yuv422p10le "},
		{name: "12 bit", file: "a.mkv", args: testVideo("128x96", "25") + "-pix_fmt yuv420p12le " + x265,
			write: WriteOptions{Codec: "same"}},
		{name: "12 bit to h264", file: "a.mkv", args: testVideo("128x96", "25") + "-pix_fmt yuv422p12le -c:v ffv1 ",
			differs: map[string]string{"pix_fmt": "yuv422p10le", "chroma_location": ""}},
		{name: "4:2:2", file: "a.mp4", args: testVideo("128x96", "25") + "-pix_fmt yuv422p " + x264},
		{name: "4:4:4", file: "a.mp4", args: testVideo("128x96", "25") + "-pix_fmt yuv444p " + x264},
		{name: "gray", file: "a.mp4", args: testVideo("128x96", "25") + "-pix_fmt gray " + x264},
		{name: "gray 10 bit", file: "a.mkv", args: testVideo("128x96", "25") + "-pix_fmt gray10le " + x264},
		{name: "gray to vp9", file: "a.mkv", args: testVideo("128x96", "25") + "-pix_fmt gray -color_range tv " + x264,
			write: WriteOptions{Codec: "vp9"}, differs: map[string]string{"pix_fmt": "yuv420p", "chroma_location": ""}},
		{name: "interlaced", file: "a.mp4",
			args: testVideo("128x96", "50") + "-vf interlace=scan=tff -flags +ildct+ilme " + x264},
		{name: "several streams", file: "a.mkv",
			args: testVideo("128x96", "25") + "-f lavfi -i sine=d=1 -map 0:v -map 1:a -c:a aac " + x264},
	} {
		t.Run(tc.name, func(t *testing.T) {
			skipIfShort(t, i%8 == 0)
			t.Parallel()
			in := clip(t, tc.file, tc.args)
			out := filepath.Join(t.TempDir(), tc.file)
			tools := testTools(t)
			tc.write.PixelFormat = SameAsSource
			pts, err := transcode(t.Context(), tools, in, out, ReadOptions{}, tc.write, nil)
			require.NoError(t, err)

			want, got := probeVideo(t, in), probeVideo(t, out)
			assert.Equal(t, want.times, got.times, "times of the frames")
			assert.Len(t, pts, len(want.times))
			wantCodec := newCodecName(t, tools, in, tc.write)
			assert.Equal(t, wantCodec, got.fields["codec_name"])
			for field, value := range want.fields {
				if expected, ok := tc.differs[field]; ok {
					value = expected
				}
				switch {
				case field == "codec_name":
				case field == "chroma_location" && (value == "unspecified" || wantCodec != want.fields["codec_name"]):
				case field == "color_range" && value != "pc": // players treat unknown as limited
				case field == "field_order" && value == "unknown":
				case field == "sample_aspect_ratio" && value == "N/A":
				case value != "":
					assert.Equal(t, value, got.fields[field], field)
				}
			}

			before, err := tools.Probe(t.Context(), in, Limits{})
			require.NoError(t, err)
			after, err := tools.Probe(t.Context(), out, Limits{})
			require.NoError(t, err)
			assert.InDelta(t, fileDuration(t, in), fileDuration(t, out), 1/before.FrameRate.Float()+0.001, "duration")
			assert.Equal(t, before.FullRange, after.FullRange)

			db := psnr(t, in, out)
			if wantCodec == "ffv1" {
				assert.True(t, math.IsInf(db, 1), "a lossless codec differs: %.1f dB", db)
			}
			assert.Greater(t, db, 30.0)

			c, err := tools.Compare(t.Context(), in, out)
			require.NoError(t, err)
			assert.Empty(t, c.Changed(), "what the comparison finds")
			assert.Less(t, c.Pixels.MaskedShare, 0.01, "nothing is masked")
		})
	}
}

func fileDuration(t *testing.T, path string) float64 {
	t.Helper()
	_, value, _ := strings.Cut(ffprobe(t, path, "format=duration")[0], "duration=")
	seconds, err := strconv.ParseFloat(value, 64)
	require.NoError(t, err)
	return seconds
}

// newCodecName is ffmpeg's name for the codec that NewPlan chooses.
func newCodecName(t *testing.T, tools Tools, in string, opts WriteOptions) string {
	t.Helper()
	info, err := tools.Probe(t.Context(), in, Limits{})
	require.NoError(t, err)
	p, err := NewPlan(info, opts)
	require.NoError(t, err)
	if p.codec.name == "h265" {
		return "hevc"
	}
	return p.codec.name
}

// TestRotation checks that a video that is stored rotated is upright in the output, without the tag.
func TestRotation(t *testing.T) {
	for _, degrees := range []string{"90", "180", "270"} {
		t.Run(degrees, func(t *testing.T) {
			t.Parallel()
			lying := clip(t, "lying.mp4", testVideo("128x96", "25")+"-vf setsar=4/3 -c:v libx264 -crf 10")
			in := clip(t, "in.mp4", "-i "+lying+" -c copy -metadata:s:v:0 rotate="+degrees)
			out := filepath.Join(t.TempDir(), "out.mp4")
			tools := testTools(t)
			_, err := transcode(t.Context(), tools, in, out, ReadOptions{}, WriteOptions{}, nil)
			require.NoError(t, err)
			before, err := tools.Probe(t.Context(), in, Limits{})
			require.NoError(t, err)
			after, err := tools.Probe(t.Context(), out, Limits{})
			require.NoError(t, err)
			assert.NotZero(t, before.Rotation)
			assert.Zero(t, after.Rotation)
			assert.Equal(t, before.SAR, after.SAR)
			assert.Equal(t, degrees == "180", after.Width == 128)
			assert.Equal(t, []int{before.Width, before.Height}, []int{after.Width, after.Height})
			assert.Greater(t, psnr(t, in, out), 30.0) // ffmpeg rotates the source like a player
			assert.Equal(t, probeVideo(t, in).times, probeVideo(t, out).times)
		})
	}
}

// TestReaderMatchesFFmpeg compares the planes byte by byte with ffmpeg's own raw output.
func TestReaderMatchesFFmpeg(t *testing.T) {
	for _, format := range []string{"yuv420p", "yuvj420p", "yuv422p", "yuv444p", "gray", "yuv420p10le", "yuv422p12le",
		"gray10le"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			in := clip(t, "a.mkv",
				testVideo("128x96", "10")+"-vf scale=99:61"+
					map[bool]string{true: ":out_range=pc -color_range pc"}[format == "yuvj420p"]+
					" -pix_fmt "+strings.Replace(format, "yuvj", "yuv", 1)+" -c:v ffv1")
			raw, err := exec.Command("ffmpeg", "-nostdin", "-v", "error", "-i", in, "-f", "rawvideo", "-").Output()
			require.NoError(t, err)
			tools := testTools(t)
			info, err := tools.Probe(t.Context(), in, Limits{})
			require.NoError(t, err)
			r, err := tools.Open(t.Context(), info, ReadOptions{})
			require.NoError(t, err)
			defer r.Close()
			for i := range 10 {
				f, err := r.Next()
				require.NoError(t, err)
				assert.Equal(t, i, f.Index)
				fullRange := format == "yuvj420p" || strings.HasPrefix(format, "gray") // ffv1 makes gray full range
				assert.Equal(t, fullRange, f.FullRange)
				for p := range f.Format.Planes {
					plane := f.Planes[p]
					n := plane.Width * plane.Height * f.Format.BytesPerSample()
					require.Len(t, plane.Data, n)
					require.True(t, bytes.Equal(raw[:n], plane.Data), "frame %d plane %d", i, p)
					raw = raw[n:]
				}
				f.Release()
			}
			assert.Empty(t, raw)
		})
	}
}

// TestAlpha checks that every sample is unchanged if the codec can keep alpha; otherwise the colors are.
func TestAlpha(t *testing.T) {
	const transparency = "-vf format=yuva444p,geq=lum='lum(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)'" +
		":a='mod(3*X+5*Y+7*N,256)',format="
	tools := testTools(t)
	raw := func(path, format string) []byte {
		out, err := exec.Command("ffmpeg", "-nostdin", "-v", "error", "-i", path, "-pix_fmt", format, "-f", "rawvideo",
			"-").Output()
		require.NoError(t, err)
		return out
	}
	for _, tc := range []struct {
		source, codec, to, want string
		exact                   bool
	}{
		{"yuva420p", "ffv1", "ffv1", "yuva420p", true},
		{"yuva422p", "ffv1", "same", "yuva422p", true},
		{"yuva420p10le", "ffv1", "ffv1", "yuva420p10le", true},
		{"yuva422p10le", "ffv1", "ffv1", "yuva422p10le", true},
		{"yuva444p10le", "prores_ks", "ffv1", "yuva444p10le", true},
		{"bgra", "ffv1", "ffv1", "yuva444p", false}, // colors are converted
		{"yuva444p16le", "ffv1", "ffv1", "yuva444p10le", false},
		{"yuva420p", "ffv1", "h264", "yuv420p", false},
	} {
		t.Run(tc.source+" "+tc.codec+" "+tc.to, func(t *testing.T) {
			t.Parallel()
			in := clip(t, "a.mkv", "-f lavfi -i testsrc2=s=66x50:r=5:d=1 "+transparency+tc.source+" -c:v "+tc.codec)
			out := filepath.Join(t.TempDir(), "out.mkv")
			_, err := transcode(t.Context(), tools, in, out, ReadOptions{}, WriteOptions{Codec: tc.to}, nil)
			require.NoError(t, err)
			assert.Equal(t, tc.want, probeVideo(t, out).fields["pix_fmt"])
			switch {
			case tc.exact:
				assert.True(t, bytes.Equal(raw(in, tc.source), raw(out, tc.source)))
			case strings.HasPrefix(tc.want, "yuva"):
				alpha := func(path string) []byte {
					b, err := exec.Command("ffmpeg", "-nostdin", "-v", "error", "-i", path, "-vf",
						"alphaextract,format=gray", "-f", "rawvideo", "-").Output()
					require.NoError(t, err)
					return b
				}
				a, b := alpha(in), alpha(out)
				require.Len(t, b, 5*66*50)
				for i := range a {
					require.InDelta(t, a[i], b[i], 1, "alpha of sample %d", i)
				}
			}
		})
	}
}

// TestEditChangesNoOtherPixels checks that the output has what the caller paints, and no other change.
func TestEditChangesNoOtherPixels(t *testing.T) {
	in := clip(t, "a.mkv", testVideo("128x96", "10")+"-pix_fmt yuv420p -c:v ffv1")
	out := filepath.Join(t.TempDir(), "out.mkv")
	tools := testTools(t)
	_, err := transcode(t.Context(), tools, in, out, ReadOptions{}, WriteOptions{Codec: "ffv1"}, func(f *Frame) {
		for y := 16; y < 32; y++ {
			copy(f.Planes[0].Data[y*f.Width+20:], slices.Repeat([]byte{16}, 30))
		}
	})
	require.NoError(t, err)
	decode := func(path string) []byte {
		raw, err := exec.Command("ffmpeg", "-nostdin", "-v", "error", "-i", path, "-f", "rawvideo", "-").Output()
		require.NoError(t, err)
		return raw
	}
	a, b := decode(in), decode(out)
	require.Len(t, b, len(a))
	size := 128 * 96 * 3 / 2
	for i := range a {
		x, y := i%size%128, i%size/128
		if i%size < 128*96 && y >= 16 && y < 32 && x >= 20 && x < 50 {
			require.EqualValues(t, 16, b[i])
		} else if a[i] != b[i] {
			t.Fatalf("byte %d differs: frame %d, %d, %d", i, i/size, x, y)
		}
	}
}
