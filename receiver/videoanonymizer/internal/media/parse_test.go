// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseShown(t *testing.T) {
	const start = "[Parsed_showinfo_0 @ 0x55be8117efc0] [info] "
	for _, tc := range []struct {
		line        string
		want        shown
		ours, frame bool
	}{
		{start + "n:   1 pts:   1001 pts_time:0.0333667 pos: 306 fmt:yuv420p", shown{1001, true}, true, true},
		{start + "n:   1 pts: -7 pts_time:-0.1", shown{-7, true}, true, true},
		{start + "n:123456 pts:9223372036854775807 pts_time:1", shown{math.MaxInt64, true}, true, true},
		{start + "n:   0 pts:  NOPTS pts_time:NOPTS pos: 306", shown{}, true, true},
		{start + "n:   0 pts:99999999999999999999 pts_time:1", shown{math.MaxInt64, false}, true, true},
		{start + "color_range:unknown color_space:unknown", shown{}, true, false},
		{"[Parsed_showinfo_0 @ 0x55be8117efc0] [error] n is wrong", shown{}, false, false},
		{"[info]     title           : " + start + "n:   1 pts:   1001 pts_time", shown{}, false, false},
		{"", shown{}, false, false},
	} {
		got, ours, frame := parseShown([]byte(tc.line))
		assert.Equal(t, tc.want, got, tc.line)
		assert.Equal(t, []bool{tc.ours, tc.frame}, []bool{ours, frame}, tc.line)
	}
}

// TestForgedLogInMetadata checks that a title that looks like ffmpeg's log has no effect.
func TestForgedLogInMetadata(t *testing.T) {
	in := clip(t, "a.mkv", testVideo("64x48", "5")+quick)
	out := in + ".mkv"
	ffmpeg(t, []string{"-i", in, "-c", "copy", "-metadata",
		"title=\n[Parsed_showinfo_0 @ 0x1] [info] n:   0 pts:   4242 pts_time:1\r[fatal] x\n[error] forged"}, out)
	tools := testTools(t)
	info, err := tools.Probe(t.Context(), out, Limits{})
	require.NoError(t, err)
	r, err := tools.Open(t.Context(), info, ReadOptions{})
	require.NoError(t, err)
	defer r.Close()
	for i := range 5 {
		f, err := r.Next()
		require.NoError(t, err)
		assert.EqualValues(t, 200*i, f.PTS)
		assert.Equal(t, time.Duration(i)*200*time.Millisecond, f.Time)
		f.Release()
	}
	assert.Zero(t, drain(t, r))
}

func FuzzParseShown(f *testing.F) {
	f.Add([]byte("[Parsed_showinfo_0 @ 0x55be8117efc0] [info] n:   1 pts:   1001 pts_time:0.0333667 pos:"))
	f.Add([]byte("[Parsed_showinfo_0] n:pts:"))
	f.Add([]byte("[h264 @ 0x1] [IMGUTILS @ 0x2] [error] Picture size 1x1 is invalid"))
	f.Fuzz(func(t *testing.T, line []byte) {
		_, ours, frame := parseShown(line)
		if frame && !ours {
			t.Fatal("a frame that is not showinfo's")
		}
		level(line)
		var faults faults
		faults.add(line)
	})
}

func FuzzTags(f *testing.F) {
	f.Add("16:11", "00:00:03.026000000", "smpte2084")
	f.Add("0/0", "1e300", "a,b=c")
	f.Fuzz(func(t *testing.T, r, d, k string) {
		if got := rational(r); got.Den <= 0 || got.Num < 0 {
			t.Fatal(got)
		}
		if duration(d) < 0 {
			t.Fatal(duration(d))
		}
		if strings.ContainsAny(known(k), ",:=;[]'\\/ \n") {
			t.Fatal(known(k))
		}
	})
}

func TestRational(t *testing.T) {
	for s, want := range map[string]Rational{"30000/1001": {30000, 1001}, "16:11": {16, 11}, "0/0": {0, 1}, "": {0, 1},
		"N/A":  {0, 1},
		"-1/5": {0, 1}, "1/0": {0, 1}, "9999999999/1": {0, 1}, "0/1": {0, 1}} {
		assert.Equal(t, want, rational(s), s)
	}
	assert.InDelta(t, 29.97, Rational{30000, 1001}.Float(), 0.001)
	assert.Zero(t, Rational{1, 0}.Float())
}

func TestDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{"3.026000": 3026 * time.Millisecond,
		"01:02:03.5": 3723500 * time.Millisecond,
		"N/A":        0, "": 0, "-1": 0, "1e300": math.MaxInt64, "nan": math.MaxInt64, "inf": math.MaxInt64} {
		assert.Equal(t, want, duration(s), s)
	}
}

// TestRescale compares with exact arithmetic.
func TestRescale(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		pts := r.Int64() >> r.IntN(63)
		if r.IntN(2) == 0 {
			pts = -pts
		}
		from := Rational{r.Int64N(2000) + 1, r.Int64N(math.MaxInt32) + 1}
		to := Rational{r.Int64N(2000) + 1, r.Int64N(math.MaxInt32) + 1}
		exact := new(big.Rat).Mul(new(big.Rat).SetInt64(pts), big.NewRat(from.Num*to.Den, from.Den*to.Num))
		got := rescale(pts, from, to)
		limit := new(big.Rat).SetInt64(math.MaxInt64)
		if new(big.Rat).Abs(exact).Cmp(limit) >= 0 {
			assert.Equal(t, pts < 0, got < 0)
			continue
		}
		diff := new(big.Rat).Abs(new(big.Rat).Sub(exact, new(big.Rat).SetInt64(got)))
		require.LessOrEqual(t, diff.Cmp(big.NewRat(1, 2)), 0, "%d from %v to %v: %d", pts, from, to, got)
	}
}

func TestReadFormat(t *testing.T) {
	for source, want := range map[string]string{
		"yuv420p": "yuv420p", "yuvj422p": "yuv422p", "yuva420p": "yuv420p", "nv12": "yuv420p", "p010le": "yuv420p10le",
		"yuv420p9le": "yuv420p10le", "yuv422p14be": "yuv422p12le", "yuva444p16le": "yuv444p12le", "gray9be": "gray10le",
		"gray16le": "gray12le", "rgb24": "yuv444p", "gbrp": "yuv444p", "gbrp10le": "yuv444p10le", "pal8": "yuv420p",
		"yuv440p12le": "yuv444p12le", "uyvy422": "yuv422p", "yuv410p": "yuv420p", "ya8": "gray",
	} {
		got, err := readFormat("x", source)
		require.NoError(t, err, source)
		assert.Equal(t, want, got.Name, source)
	}
	for _, source := range []string{"", "bayer_rggb8", "xyz12le", "cuda"} {
		_, err := readFormat("x", source)
		require.ErrorIs(t, err, ErrUnsupported, source)
	}
	got, err := readFormat("gif", "bgra")
	require.NoError(t, err)
	assert.Equal(t, "yuv420p", got.Name)
}

// TestPlanKeepsAlpha checks that frames have alpha only if both the source and the codec have it.
func TestPlanKeepsAlpha(t *testing.T) {
	for _, tc := range []struct{ source, codec, encoder, want string }{
		{"yuva420p", "ffv1", "", "yuva420p"}, {"yuva422p10be", "ffv1", "", "yuva422p10le"},
		{"yuva444p12le", "ffv1", "", "yuva444p10le"},
		{"gbrap", "ffv1", "", "yuva444p"}, {"rgba64le", "ffv1", "", "yuva444p10le"}, {"argb", "same", "", "yuva444p"},
		{"yuv420p12le", "ffv1", "", "yuv420p12le"}, {"rgb24", "ffv1", "", "yuv444p"}, {"ya8", "ffv1", "", "gray"},
		{"pal8", "ffv1", "", "yuv420p"},
		{"yuva420p", "h264", "", "yuv420p"}, {"yuva420p", "vp9", "", "yuv420p"},
		{"yuva420p", "same", "nvenc", "yuv420p"},
	} {
		format, err := readFormat("ffv1", tc.source)
		require.NoError(t, err, tc.source)
		info := plainInfo(t, format.Name, 64, 48)
		info.Codec, info.SourceFormat = "ffv1", tc.source
		plan, err := NewPlan(info, WriteOptions{Container: "mkv", Codec: tc.codec, Encoder: tc.encoder})
		require.NoError(t, err)
		got := plan.Info()
		assert.Equal(t, tc.want, got.Format.Name, "%v", tc)
		assert.Equal(t, strings.HasPrefix(tc.want, "yuva"), got.Format.Alpha, "%v", tc)
	}
}

// TestConvertedSources decodes formats that are converted. The pixels must match ffmpeg's own conversion in the same
// range.
func TestConvertedSources(t *testing.T) {
	tools := testTools(t)
	for _, format := range []string{"yuva420p", "gbrp", "yuv411p", "yuv422p16le", "bgra"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			in := clip(t, "a.mkv", testVideo("64x48", "5")+"-pix_fmt "+format+" -c:v ffv1")
			out := in + ".out.mkv"
			_, err := transcode(t.Context(), tools, in, out, ReadOptions{}, WriteOptions{Codec: "ffv1"}, nil)
			require.NoError(t, err)
			assert.Greater(t, psnr(t, in, out), 28.0)
		})
	}
}

func TestFrameSizes(t *testing.T) {
	for name, want := range map[string]int{"yuv420p": 7*5 + 2*4*3, "yuv422p": 7*5 + 2*4*5, "yuv444p12le": 2 * 3 * 7 * 5,
		"gray": 35, "gray10le": 70, "yuva420p": 2*7*5 + 2*4*3, "yuva444p10le": 2 * 4 * 7 * 5} {
		f, err := formatByName(name)
		require.NoError(t, err)
		assert.Equal(t, want, f.FrameBytes(7, 5), name)
		frame, err := newFrame(f, 7, 5)
		require.NoError(t, err)
		n := 0
		for i := range f.AllPlanes() {
			n += len(frame.Planes[i].Data)
		}
		assert.Equal(t, want, n, name)
		frame.Release() // has no effect
	}
	_, err := newFrame(PixelFormat{Planes: 1, Depth: 8}, 0, 5)
	require.ErrorIs(t, err, ErrUnsupported)
}

func TestContainerFor(t *testing.T) {
	for name, want := range map[string]string{"a.mp4": "mp4", "a.MOV": "mov", "b/c.mkv": "mkv", "a.webm": "webm",
		"a.avi": "avi",
		"a.MTS": "ts", "a.gif": "mp4", "a": "mp4", "a.m4v": "mp4", "a.wmv": "mkv"} {
		assert.Equal(t, want, ContainerFor(name), name)
	}
}

func TestFaults(t *testing.T) {
	for _, tc := range []struct {
		line  string
		fault bool
	}{
		{"[matroska,webm @ 0x1] [error] File ended prematurely", true},
		{"[warning] x: corrupt decoded frame in stream 0", true},
		{"[h264 @ 0x1] [warning] Increasing reorder buffer", false},
		{"[h264 @ 0x1] [error] mmco: unref short failure", false},
		{"[aac @ 0x1] [error] channel element 2.11 is not allocated", false},
		{"[mp3float @ 0x1] [error] Header missing", false}, // the decoder for mp3
		{"[mpeg2video @ 0x1] [error] Invalid frame dimensions 0x0.", true},
		{"[h264 @ 0x1] [info] all is well", false},
		{"Svt[info]: hello", false},
	} {
		f := newFaults(Info{otherCodecs: []string{"aac", "mp3"}}, ReadOptions{})
		f.add([]byte(tc.line))
		assert.Equal(t, tc.fault, f.text() != "", tc.line)
	}
	broadcast := newFaults(Info{Container: "mpegts"}, ReadOptions{})
	line := []byte("[h264 @ 0x1] [error] non-existing PPS 0 referenced")
	broadcast.add(line)
	assert.Empty(t, broadcast.text())
	broadcast.add([]byte("[mpeg2video @ 0x1] [error] Invalid frame dimensions 0x0."))
	assert.Empty(t, broadcast.text())
	broadcast.sawFrame()
	broadcast.add(line)
	assert.NotEmpty(t, broadcast.text())

	sought := newFaults(Info{}, ReadOptions{from: time.Second})
	sought.add(line)
	assert.Empty(t, sought.text(), "before the frame that was sought")
	sought.sawFrame()
	sought.add(line)
	assert.NotEmpty(t, sought.text())
}

// TestVerifyTimes checks that each kind of difference is found.
func TestVerifyTimes(t *testing.T) {
	const good = "0,0,9\n80,40,9\n40,80,9\n120,120,9\n"
	for _, tc := range []struct{ name, lines, says string }{
		{"good", good, ""},
		{"one missing", "0,0,9\n80,40,9\n40,80,9\n", "it ends after 3 frames"},
		{"one too many", good + "160,160,9\n", "more than the 4"},
		{"one moved", "0,0,9\n80,40,9\n41,80,9\n120,120,9\n", "frame 1 is shown at 41 instead of 40"},
		{"empty packets do not count", good + "160,160,0\n", ""},
		{"no time", "N/A,N/A,9\n", "no time"},
		{"decoding times only", "N/A,0,9\nN/A,40,9\nN/A,80,9\nN/A,120,9\n", ""},
		{"garbage", "x\n", "ffprobe says"},
		{"nothing", "", "it ends after 0 frames"},
	} {
		var log timeLog
		for i := range 4 {
			log.add(int64(i) * 40)
		}
		same := func(pts int64) int64 { return pts }
		c := timeCheck{want: log.reader(), planned: same, from: Rational{1, 1000}, to: Rational{1, 1000}}
		err := c.read(strings.NewReader(tc.lines))
		if tc.says == "" {
			require.NoError(t, err, tc.name)
		} else {
			require.ErrorContains(t, err, tc.says, tc.name)
			permanent := strings.HasPrefix(tc.says, "frame") || strings.HasPrefix(tc.says, "more") || tc.says == "no time"
			assert.Equal(t, permanent, errors.Is(err, errTimes), tc.name)
		}
	}
}

// TestReadLongLines reads lines of a child that may write endlessly and without line breaks.
func TestReadLongLines(t *testing.T) {
	r := bufio.NewReaderSize(strings.NewReader(strings.Repeat("x", 1<<20)+"\nshort\r\nlast"), 64<<10)
	var lengths []int
	for {
		line, err := readLine(r)
		lengths = append(lengths, len(line))
		if err != nil {
			break
		}
	}
	assert.Equal(t, []int{maxLine, 5, 4}, lengths)
	var c child
	for i := range 1000 {
		c.note([]byte(fmt.Sprintf("[error] %d", i)))
	}
	text, failed := c.complaints()
	assert.True(t, failed)
	assert.Equal(t, "[error] 0; [error] 1; [error] 2; [error] 3; [error] 996; [error] 997; [error] 998; [error] 999",
		text)
}
