// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const quick = "-c:v libx264 -preset ultrafast "

// written writes bytes to a new file, and returns its path.
func written(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return path
}

// cut returns a copy of a file that is truncated to a fraction of its length.
func cut(t *testing.T, path string, part float64) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return written(t, filepath.Base(path), data[:int(float64(len(data))*part)])
}

// bigHeader is an IVF file whose header claims a frame size.
func bigHeader(width, height uint16) []byte {
	h := append([]byte("DKIF\x00\x00\x20\x00VP80"), make([]byte, 20)...)
	binary.LittleEndian.PutUint16(h[12:], width)
	binary.LittleEndian.PutUint16(h[14:], height)
	binary.LittleEndian.PutUint32(h[16:], 25)
	binary.LittleEndian.PutUint32(h[20:], 1)
	// A VP8 key frame of that size: frame tag, start code, 14 bits of each.
	frame := []byte{0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, byte(width), byte(width >> 8 & 0x3f), byte(height),
		byte(height >> 8 & 0x3f)}
	frame = append(frame, make([]byte, 200)...)
	packet := binary.LittleEndian.AppendUint32(nil, uint32(len(frame)))
	packet = append(packet, make([]byte, 8)...)
	return append(h, append(packet, frame...)...)
}

// TestBadFiles checks that each file is refused with the right cause, in an error that names it, and leaves nothing
// behind.
func TestBadFiles(t *testing.T) {
	movie := testVideo("128x96", "25") + quick
	for _, tc := range []struct {
		name string
		make func(t *testing.T) string
		want error
		says string
	}{
		{"zero bytes", func(t *testing.T) string { return written(t, "a.mp4", nil) }, ErrNotVideo, "empty"},
		{"text", func(t *testing.T) string {
			return written(t, "a.mp4", []byte(strings.Repeat("not a video\n", 999)))
		}, ErrNotVideo, "nvalid data"},
		{"noise", func(t *testing.T) string {
			return written(t, "a.mkv", bytes.Repeat([]byte{7, 250, 93, 128, 11}, 5000))
		}, ErrNotVideo, "nvalid data"},
		{"image", func(t *testing.T) string {
			png := clip(t, "a.png", testVideo("64x48", "1")+"-frames:v 1")
			require.NoError(t, os.Rename(png, png+".mp4"))
			return png + ".mp4"
		}, ErrNotVideo, ""},
		{"directory", func(t *testing.T) string { return t.TempDir() }, ErrNotVideo, "directory"},
		{"named pipe", func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "a.mp4")
			require.NoError(t, syscall.Mkfifo(path, 0o600))
			return path
		}, ErrNotVideo, "named pipe"},
		{"device", func(*testing.T) string { return "/dev/zero" }, ErrNotVideo, "device"},
		{"symbolic link", func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "a.mp4")
			require.NoError(t, os.Symlink(clip(t, "b.mp4", movie), path))
			return path
		}, ErrNotVideo, "symbolic link"},
		{"not there", func(t *testing.T) string { return filepath.Join(t.TempDir(), "a.mp4") }, ErrVanished,
			"no such file"},
		{"audio only", func(t *testing.T) string { return clip(t, "a.mp4", "-f lavfi -i sine=d=1 -c:a aac") },
			ErrNoVideoStream, "1 audio"},
		{"audio with a cover", func(t *testing.T) string {
			cover := clip(t, "a.png", testVideo("64x48", "1")+"-frames:v 1")
			return clip(t, "a.m4a",
				"-f lavfi -i sine=d=1 -i "+cover+" -map 0 -map 1 -c:a aac -c:v copy -disposition:v attached_pic")
		}, ErrNoVideoStream, ""},
		{"mp4 without its index", func(t *testing.T) string { return cut(t, clip(t, "a.mp4", movie), 0.8) }, ErrDamaged,
			"moov"},
		{"mp4 truncated", func(t *testing.T) string {
			return cut(t, clip(t, "a.mp4", movie+"-movflags +faststart"),
				0.7)
		}, ErrDamaged, ""},
		{"mp4 truncated near its end",
			func(t *testing.T) string { return cut(t, clip(t, "a.mp4", movie+"-movflags +faststart"), 0.99) },
			ErrDamaged, ""},
		{"mkv truncated", func(t *testing.T) string { return cut(t, clip(t, "a.mkv", movie), 0.6) }, ErrDamaged, ""},
		{"webm truncated", func(t *testing.T) string {
			return cut(t, clip(t, "a.webm", testVideo("128x96", "25")+"-c:v libvpx-vp9 -deadline realtime -cpu-used 8"),
				0.6)
		}, ErrDamaged, ""},
		{"avi truncated", func(t *testing.T) string {
			return cut(t,
				clip(t, "a.avi", testVideo("128x96", "25")+"-c:v mpeg4"), 0.6)
		}, ErrDamaged, ""},
		{"ts truncated", func(t *testing.T) string { return cut(t, clip(t, "a.ts", movie), 0.6) }, ErrDamaged, ""},
		{"mov of intra frames truncated", func(t *testing.T) string {
			return cut(t, clip(t, "a.mov", testVideo("128x96", "25")+"-c:v prores_ks -movflags +faststart"), 0.5)
		}, ErrDamaged, ""},
		{"overwritten in the middle", func(t *testing.T) string {
			data, err := os.ReadFile(clip(t, "a.mp4", movie+"-movflags +faststart"))
			require.NoError(t, err)
			copy(data[len(data)/2:], bytes.Repeat([]byte{0xff, 0}, 2000))
			return written(t, "a.mp4", data)
		}, ErrDamaged, ""},
		{"unknown codec", func(t *testing.T) string { return clip(t, "a.mkv", testVideo("128x96", "25")+"-c:v zmbv") },
			ErrUnsupported, "zmbv"},
		{"huge", func(t *testing.T) string { return written(t, "a.ivf", bigHeader(16383, 16383)) }, ErrLimit,
			"Picture size"},
		{"huge header", func(t *testing.T) string { return written(t, "a.ivf", bigHeader(65535, 65535)) }, ErrLimit,
			"Picture size"},
		{"absurd rate", func(t *testing.T) string {
			return clip(t, "a.mp4",
				"-f lavfi -i testsrc2=s=32x32:r=100000:d=0.001 -video_track_timescale 100000 "+quick)
		}, ErrLimit, "100000 frames per second"},
		{"many streams", func(t *testing.T) string {
			return clip(t, "a.mkv", testVideo("32x32", "5")+strings.Repeat("-map 0 ", 70)+"-c:v mjpeg")
		}, ErrLimit, "streams"},
		{"too long", func(t *testing.T) string {
			return clip(t, "a.mkv", "-f lavfi -i testsrc2=s=32x32:r=1/100000:d=300000 "+quick)
		}, ErrLimit, "long"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			in, dir := tc.make(t), t.TempDir()
			_, err := transcode(t.Context(), testTools(t), in, filepath.Join(dir, "out.mkv"), ReadOptions{},
				WriteOptions{Container: "mkv"}, nil)
			require.Error(t, err)
			t.Log(err)
			if tc.want != nil {
				require.ErrorIs(t, err, tc.want)
			}
			assert.Contains(t, err.Error(), fmt.Sprintf("%q", in), "the error names the file")
			assert.Contains(t, err.Error(), tc.says)
			assert.NotContains(t, err.Error(), "/proc/self")
			assert.NotEqual(t, "other", Reason(err))
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
}

// TestPlaylists checks that a file that names other files or addresses is not a video, whatever its name, and that no
// server is contacted.
func TestPlaylists(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer server.Close()
	movie := clip(t, "secret.ts", testVideo("64x48", "5")+quick)
	for name, text := range map[string]string{
		"hls over http": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n" + server.URL + "/a.ts\n#EXT-X-ENDLIST\n",
		"hls of a file": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile://" + movie + "\n#EXT-X-ENDLIST\n",
		"hls of a path": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n" + movie + "\n#EXT-X-ENDLIST\n",
		"ffconcat":      "ffconcat version 1.0\nfile '" + movie + "'\n",
		"ffconcat http": "ffconcat version 1.0\nfile '" + server.URL + "/a.ts'\n",
		"sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n" +
			"m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
		"dash": `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" ` +
			`profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period>` +
			`<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1">` +
			`<BaseURL>` + server.URL + `/a.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>`,
		"real text":     "<window><a href=\"" + server.URL + "\"/></window>\n",
		"microsoft asx": "<asx version=\"3.0\"><entry><ref href=\"" + server.URL + "/a\"/></entry></asx>\n",
		"rtsp redirect": "RTSPtext\nrtsp://127.0.0.1/a\n",
		"imf cpl": `<?xml version="1.0"?>` +
			`<CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"></CompositionPlaylist>`,
		"avs script":    "AVISource(\"" + movie + "\")\n",
		"ffmetadata":    ";FFMETADATA1\ntitle=x\n",
		"lrc subtitles": "[00:01.00]hello\n[00:02.00]hello\n",
		"webvtt":        "WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n",
	} {
		for _, ext := range []string{".mp4", ".m3u8"} {
			t.Run(name+ext, func(t *testing.T) {
				t.Parallel()
				in := written(t, "a"+ext, []byte(text))
				_, err := testTools(t).Probe(t.Context(), in, Limits{})
				require.ErrorIs(t, err, ErrNotVideo)
			})
		}
	}
	t.Cleanup(func() { assert.Zero(t, asked.Load(), "a server was asked") })
}

// TestAVISubtitlePlaylist checks that a subtitle file in an AVI is not opened as a playlist. Old versions of ffmpeg
// opened such a file by its content, even as a playlist.
func TestAVISubtitlePlaylist(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer server.Close()
	playlist := "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n" + server.URL + "/a.ts\n#EXT-X-ENDLIST\n"
	data, err := os.ReadFile(clip(t, "a.avi",
		"-f lavfi -i testsrc2=s=64x48:r=5:d=1 -f lavfi -i sine=d=1 -c:v mjpeg -c:a pcm_s16le"))
	require.NoError(t, err)
	// The audio's stream header becomes that of a text stream, and its first packet the subtitle file.
	i := bytes.Index(data, []byte("auds"))
	require.Positive(t, i)
	copy(data[i:], "txts")
	j := bytes.Index(data, []byte("movi"))
	require.Positive(t, j)
	j += bytes.Index(data[j:], []byte("01wb"))
	gab2 := append([]byte("GAB2\x00\x02\x00\x02\x00\x00\x00a\x00\x04\x00"),
		binary.LittleEndian.AppendUint32(nil, uint32(len(playlist)))...)
	gab2 = append(gab2, playlist...)
	copy(data[j:], "01tx")
	require.Less(t, len(gab2), int(binary.LittleEndian.Uint32(data[j+4:])))
	copy(data[j+8:], gab2)
	out := filepath.Join(t.TempDir(), "out.avi")
	_, err = transcode(t.Context(), testTools(t), written(t, "a.avi", data), out, ReadOptions{}, WriteOptions{}, nil)
	t.Log(err)
	assert.Zero(t, asked.Load(), "a server was asked")
	if err == nil {
		assert.Equal(t, []string{"stream|codec_type=video"}, ffprobe(t, out, "stream=codec_type"))
	}
}

// TestStrangeFileNames checks that nothing in a name has a meaning to ffmpeg.
func TestStrangeFileNames(t *testing.T) {
	tools := testTools(t)
	movie := clip(t, "a.mp4", testVideo("64x48", "5")+quick)
	for _, name := range []string{"-i.mp4", "%03d.mp4", "concat:a|b.mp4", "file:a.mp4", "http:__127.0.0.1.mp4",
		"a\nb.mp4", "\xff\xfe.mp4",
		"a b'c\"d;$(e).mp4", "[0:v]null.mp4", strings.Repeat("n", 240) + ".mp4"} {
		t.Run(fmt.Sprintf("%.20q", name), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			in, out := filepath.Join(dir, name), filepath.Join(dir, "out_"+name[len(name)-min(len(name), 200):])
			require.NoError(t, os.Link(movie, in))
			_, err := transcode(t.Context(), tools, in, out, ReadOptions{}, WriteOptions{}, nil)
			require.NoError(t, err)
			assert.True(t, exists(out))
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Len(t, left, 3, "the source, the output, and its one segment")
		})
	}
}

func TestSourceReplaced(t *testing.T) {
	tools := testTools(t)
	movie := clip(t, "a.mp4", testVideo("64x48", "5")+quick)
	info, err := tools.Probe(t.Context(), movie, Limits{})
	require.NoError(t, err)
	data, err := os.ReadFile(movie)
	require.NoError(t, err)
	require.NoError(t, os.Remove(movie))
	require.NoError(t, os.WriteFile(movie, data, 0o600))
	_, err = tools.Open(t.Context(), info, ReadOptions{})
	require.ErrorIs(t, err, ErrVanished)
	require.NoError(t, os.Remove(movie))
	_, err = tools.Open(t.Context(), info, ReadOptions{})
	require.ErrorIs(t, err, ErrVanished)
}

// TestSourceDeletedWhileReading checks that an open file is read to its end.
func TestSourceDeletedWhileReading(t *testing.T) {
	tools := testTools(t)
	movie := clip(t, "a.mp4", testVideo("128x96", "25")+quick)
	info, err := tools.Probe(t.Context(), movie, Limits{})
	require.NoError(t, err)
	r, err := tools.Open(t.Context(), info, ReadOptions{})
	require.NoError(t, err)
	defer r.Close()
	require.NoError(t, os.Remove(movie))
	assert.Equal(t, 25, drain(t, r))
}

// drain reads to the end of an undamaged video, and returns the number of frames.
func drain(t *testing.T, r *Reader) int {
	t.Helper()
	for n := 0; ; n++ {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			return n
		}
		require.NoError(t, err)
		f.Release()
	}
}

// TestSizeChangesInMidStream checks that frames keep the size that Probe returned.
func TestSizeChangesInMidStream(t *testing.T) {
	tools := testTools(t)
	var data []byte
	for _, size := range []string{"128x96", "64x48", "128x96"} {
		b, err := os.ReadFile(clip(t, "a.ts", testVideo(size, "25")+quick))
		require.NoError(t, err)
		data = append(data, b...)
	}
	info, err := tools.Probe(t.Context(), written(t, "a.ts", data), Limits{})
	require.NoError(t, err)
	r, err := tools.Open(t.Context(), info, ReadOptions{Salvage: true}) // the transition may count as damage
	require.NoError(t, err)
	defer r.Close()
	last := int64(-1)
	for n := 0; ; n++ {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			assert.Equal(t, 75, n)
			break
		}
		require.NoError(t, err)
		assert.Equal(t, []int{128, 96}, []int{f.Width, f.Height})
		assert.Greater(t, f.PTS, last)
		last = f.PTS
		f.Release()
	}
}

// TestSalvage checks that what decodes is read, and that the damage is reported.
func TestSalvage(t *testing.T) {
	tools := testTools(t)
	in := cut(t, clip(t, "a.mkv", testVideo("128x96", "25")+quick), 0.6)
	info, err := tools.Probe(t.Context(), in, Limits{})
	require.NoError(t, err)
	r, err := tools.Open(t.Context(), info, ReadOptions{Salvage: true})
	require.NoError(t, err)
	defer r.Close()
	n := drain(t, r)
	assert.Greater(t, n, 5)
	assert.Less(t, n, 25)
	require.ErrorIs(t, r.Damage(), ErrDamaged)
}

// TestRecordingStartsInMidStream checks that a part of a broadcast counts as undamaged from its first key frame on.
func TestRecordingStartsInMidStream(t *testing.T) {
	tools := testTools(t)
	for name, tc := range map[string]struct {
		encoder string
		least   int
	}{
		"h264":  {quick, 25},
		"mpeg2": {"-c:v mpeg2video -bf 2 ", 24}, // without a B-frame before the first key frame
	} {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(clip(t, "a.ts", "-f lavfi -i testsrc2=s=128x96:r=25:d=3 -g 25 "+tc.encoder))
			require.NoError(t, err)
			skip := len(data) / 2 / 188 * 188
			info, err := tools.Probe(t.Context(), written(t, "b.ts", data[skip:]), Limits{})
			require.NoError(t, err)
			r, err := tools.Open(t.Context(), info, ReadOptions{})
			require.NoError(t, err)
			defer r.Close()
			assert.GreaterOrEqual(t, drain(t, r), tc.least)
		})
	}
}

func TestMaxFrames(t *testing.T) {
	tools := testTools(t)
	// A transport stream does not state its number of frames.
	info, err := tools.Probe(t.Context(), clip(t, "a.ts", testVideo("64x48", "25")+quick), Limits{})
	require.NoError(t, err)
	info.limits.MaxFrames = 7
	r, err := tools.Open(t.Context(), info, ReadOptions{})
	require.NoError(t, err)
	defer r.Close()
	for range 7 {
		f, err := r.Next()
		require.NoError(t, err)
		f.Release()
	}
	for range 2 {
		_, err = r.Next()
		require.ErrorIs(t, err, ErrLimit)
	}
}

// TestProbeTimeout checks that a tool that hangs is killed, even if a wrapper started it.
func TestProbeTimeout(t *testing.T) {
	in := clip(t, "a.mp4", testVideo("64x48", "5")+quick)
	for _, script := range []string{"exec sleep 100", "sleep 100\nexit $?", "setsid -w sleep 20"} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			tools := freeTools(t)
			tools.FFprobe = written(t, "ffprobe", []byte("#!/bin/sh\n"+script+"\n"))
			require.NoError(t, os.Chmod(tools.FFprobe, 0o700))
			start := time.Now()
			_, err := tools.Probe(t.Context(), in, Limits{ProbeTimeout: 200 * time.Millisecond})
			require.ErrorIs(t, err, ErrStalled)
			assert.Less(t, time.Since(start), 15*time.Second)
		})
	}
}
