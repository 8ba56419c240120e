// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// plainInfo describes a video without a file.
func plainInfo(t testing.TB, format string, width, height int) Info {
	t.Helper()
	f, err := formatByName(format)
	require.NoError(t, err)
	return Info{Path: "/none.mp4", Format: f, SourceFormat: format, Width: width, Height: height, SAR: Rational{1, 1},
		TimeBase: Rational{1, 1000}, FrameRate: Rational{25, 1}, limits: Limits{}.withDefaults()}
}

// noise returns a frame that compresses badly.
func noise(t testing.TB, info Info, i int) *Frame {
	t.Helper()
	f, err := newFrame(info.Format, info.Width, info.Height)
	require.NoError(t, err)
	x := uint32(i + 1)
	for j := range f.buffer {
		x = x*1664525 + 1013904223
		f.buffer[j] = byte(x >> 24)
	}
	f.Index, f.PTS = i, int64(i)*40
	return f
}

func TestCreateRefusesExistingFile(t *testing.T) {
	tools, info, taken := testTools(t), plainInfo(t, "yuv420p", 64, 48), filepath.Join(t.TempDir(), ".a.part")
	require.NoError(t, os.WriteFile(taken, []byte("precious"), 0o600))
	_, err := tools.createFor(t.Context(), taken, info, WriteOptions{})
	require.ErrorIs(t, err, ErrExists)
	kept, err := os.ReadFile(taken)
	require.NoError(t, err)
	assert.Equal(t, "precious", string(kept))
}

func TestCreateUnwritable(t *testing.T) {
	tools, info := testTools(t), plainInfo(t, "yuv420p", 64, 48)
	_, err := tools.createFor(t.Context(), filepath.Join(t.TempDir(), "none", ".a.part"), info, WriteOptions{})
	require.ErrorIs(t, err, ErrUnwritable)
	_, err = tools.createFor(t.Context(), "/proc/.a.part", info, WriteOptions{})
	require.ErrorIs(t, err, ErrUnwritable)
}

// TestFullDisk writes to a small file system until it is full, with each container.
func TestFullDisk(t *testing.T) {
	tools, info := testTools(t), plainInfo(t, "yuv420p", 320, 240)
	for _, container := range []string{"mp4", "mkv", "webm", "avi", "ts"} {
		for _, size := range []int{64 << 10, 1 << 20} { // full while writing, or perhaps only in Finish
			t.Run(fmt.Sprint(container, " ", size), func(t *testing.T) {
				dir := t.TempDir()
				if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+strconv.Itoa(size)); err != nil {
					t.Skip("only root can mount a small file system: ", err)
				}
				defer func() { require.NoError(t, unix.Unmount(dir, 0)) }()
				w, err := tools.createFor(t.Context(), filepath.Join(dir, ".a.part"), info,
					WriteOptions{Container: container, Preset: "ultrafast"})
				require.NoError(t, err)
				for i := range 60 {
					if err = w.Write(noise(t, info, i)); err != nil {
						break
					}
				}
				if err == nil {
					err = w.Finish(t.Context())
				}
				require.ErrorIs(t, err, ErrNoSpace)
				require.NoError(t, w.Abort())
				left, err := os.ReadDir(dir)
				require.NoError(t, err)
				assert.Empty(t, left)
			})
		}
	}
}

func TestWriteRefusesBadFrames(t *testing.T) {
	tools, info := testTools(t), plainInfo(t, "yuv420p", 64, 48)
	create := func(t *testing.T) *Writer {
		w, err := tools.createFor(t.Context(), filepath.Join(t.TempDir(), ".a.part"), info, WriteOptions{})
		require.NoError(t, err)
		t.Cleanup(func() { _ = w.Abort() })
		return w
	}
	t.Run("another size", func(t *testing.T) {
		w := create(t)
		require.ErrorIs(t, w.Write(noise(t, plainInfo(t, "yuv420p", 64, 50), 0)), ErrUnsupported)
		require.ErrorIs(t, w.Write(noise(t, info, 0)), ErrUnsupported, "a frame is missing")
		require.Error(t, w.Finish(t.Context()))
	})
	t.Run("another format", func(t *testing.T) {
		require.ErrorIs(t, create(t).Write(noise(t, plainInfo(t, "yuv444p", 64, 48), 0)), ErrUnsupported)
	})
	t.Run("the same time twice", func(t *testing.T) {
		w := create(t)
		require.NoError(t, w.Write(noise(t, info, 3)))
		require.ErrorIs(t, w.Write(noise(t, info, 3)), ErrUnsupported)
	})
	t.Run("no frames", func(t *testing.T) {
		w := create(t)
		require.ErrorIs(t, w.Finish(t.Context()), ErrUnsupported)
		assert.False(t, exists(w.temp))
	})
	t.Run("after abort", func(t *testing.T) {
		w := create(t)
		require.NoError(t, w.Abort())
		require.NoError(t, w.Abort())
		require.Error(t, w.Write(noise(t, info, 0)))
		require.Error(t, w.Finish(t.Context()))
	})
}

// TestStalledEncoderAndMuxer checks that an encoder or a muxer that neither exits nor writes is killed.
func TestStalledEncoderAndMuxer(t *testing.T) {
	tools, info := testTools(t), plainInfo(t, "yuv420p", 64, 48)
	hanging := tools
	hanging.FFmpeg = filepath.Join(t.TempDir(), "hanging")
	require.NoError(t, os.WriteFile(hanging.FFmpeg, []byte("#!/bin/sh\nexec sleep 60\n"), 0o700))
	w, err := hanging.createFor(t.Context(), filepath.Join(t.TempDir(), ".a.mp4"), info,
		WriteOptions{Stall: 200 * time.Millisecond})
	require.NoError(t, err)
	require.NoError(t, w.Write(noise(t, info, 0)))
	require.ErrorIs(t, w.Finish(t.Context()), ErrStalled)

	w, err = tools.createFor(t.Context(), filepath.Join(t.TempDir(), ".a.mp4"), info,
		WriteOptions{Stall: 5 * time.Second})
	require.NoError(t, err)
	require.NoError(t, w.Write(noise(t, info, 0)))
	_, err = w.Seal()
	require.NoError(t, err)
	w.tools.FFmpeg, w.plan.options.Stall = hanging.FFmpeg, 200*time.Millisecond
	require.ErrorIs(t, w.Finish(t.Context()), ErrStalled)
}

func TestPlan(t *testing.T) {
	for _, tc := range []struct {
		name, format  string
		width, height int
		opts          WriteOptions
		encoder, pix  string
		says          string
	}{
		{name: "default", format: "yuv420p", width: 64, height: 48, encoder: "libx264", pix: "yuv420p"},
		{name: "webm", format: "yuv420p", width: 64, height: 48, opts: WriteOptions{Container: "webm", Codec: "h264"},
			encoder: "libvpx-vp9", pix: "yuv420p"},
		{name: "odd width", format: "yuv420p", width: 63, height: 48, encoder: "libx264", pix: "yuv444p"},
		{name: "odd height in 4:2:2", format: "yuv422p10le", width: 64, height: 47, encoder: "libx264",
			pix: "yuv422p10le"},
		{name: "odd height", format: "yuv420p10le", width: 64, height: 47, encoder: "libx264", pix: "yuv444p10le"},
		{name: "odd av1", format: "yuv420p", width: 63, height: 48, opts: WriteOptions{Codec: "av1"},
			encoder: "libaom-av1", pix: "yuv420p"},
		{name: "small av1", format: "yuv420p", width: 64, height: 48, opts: WriteOptions{Codec: "av1"},
			encoder: "libaom-av1", pix: "yuv420p"},
		{name: "gray av1", format: "gray", width: 64, height: 64, opts: WriteOptions{Codec: "av1"},
			encoder: "libsvtav1", pix: "yuv420p"},
		{name: "12 bit", format: "yuv444p12le", width: 64, height: 48, opts: WriteOptions{PixelFormat: "same"},
			encoder: "libx264", pix: "yuv444p10le"},
		{name: "nvenc", format: "yuv420p", width: 64, height: 48, opts: WriteOptions{Encoder: "nvenc"},
			encoder: "h264_nvenc", pix: "yuv420p"},
		{name: "nvenc h264 of 10 bit", format: "yuv422p10le", width: 64, height: 48,
			opts: WriteOptions{Encoder: "nvenc"}, encoder: "h264_nvenc", pix: "yuv420p"},
		{name: "nvenc h265 of 12 bit", format: "yuv444p12le", width: 64, height: 48,
			opts: WriteOptions{Encoder: "nvenc", Codec: "h265"}, encoder: "hevc_nvenc", pix: "yuv420p10le"},
		{name: "vaapi of gray", format: "gray", width: 64, height: 48, opts: WriteOptions{Encoder: "vaapi"},
			encoder: "h264_vaapi", pix: "yuv420p"},
		{name: "vaapi av1 of 4:4:4", format: "yuv444p", width: 64, height: 48,
			opts: WriteOptions{Encoder: "vaapi", Codec: "av1"}, encoder: "av1_vaapi", pix: "yuv420p"},
		{name: "vaapi in webm", format: "yuv420p", width: 64, height: 48,
			opts: WriteOptions{Encoder: "vaapi", Container: "webm"}, encoder: "vp9_vaapi", pix: "yuv420p"},
		{name: "same, which nvenc does not write", format: "yuv420p", width: 64, height: 48,
			opts: WriteOptions{Encoder: "nvenc", Codec: "same"}, encoder: "h264_nvenc", pix: "yuv420p"},
		{name: "nvenc in webm", format: "yuv420p", width: 64, height: 48,
			opts: WriteOptions{Encoder: "nvenc", Container: "webm"}, says: "nvenc does not write vp9"},
		{name: "nvenc ffv1", format: "yuv420p", width: 64, height: 48,
			opts: WriteOptions{Encoder: "nvenc", Container: "mkv", Codec: "ffv1"}, says: "nvenc does not write ffv1"},
		{name: "nvenc of an odd size", format: "yuv420p", width: 63, height: 48, opts: WriteOptions{Encoder: "nvenc"},
			says: "cannot write an odd size such as 63 x 48"},
		{name: "no such encoder", format: "yuv420p", width: 64, height: 48, opts: WriteOptions{Encoder: "gpu"},
			says: "use software, nvenc or vaapi"},
		{name: "no such container", format: "gray", width: 64, height: 48, opts: WriteOptions{Container: "gif"},
			says: `container "gif"`},
		{name: "no such codec", format: "gray", width: 64, height: 48, opts: WriteOptions{Codec: "divx"},
			says: `codec "divx"`},
		{name: "no such preset", format: "gray", width: 64, height: 48, opts: WriteOptions{Preset: "warp"},
			says: "ultrafast, superfast"},
		{name: "does not go together", format: "gray", width: 64, height: 48,
			opts: WriteOptions{Container: "mp4", Codec: "ffv1"},
			says: "use h264 or h265 or vp9 or av1, or container mkv"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			info := plainInfo(t, tc.format, tc.width, tc.height)
			info.Codec = "vp9"
			p, err := NewPlan(info, tc.opts)
			if tc.says != "" {
				require.ErrorIs(t, err, ErrUnsupported)
				require.ErrorContains(t, err, tc.says)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, []string{tc.encoder, tc.pix}, []string{p.encoder.name, p.format.Name})
		})
	}
}

// TestEveryContainerAndCodec writes each codec to each container that can hold it.
func TestEveryContainerAndCodec(t *testing.T) {
	tools, info := testTools(t), plainInfo(t, "yuv420p", 64, 64)
	for _, c := range containers {
		name := c.name
		for _, codec := range c.codecs() {
			t.Run(name+" "+codec, func(t *testing.T) {
				skipIfShort(t, name == "mkv")
				t.Parallel()
				require.NoError(t, tools.CheckEncoder(t.Context(), WriteOptions{Codec: codec}))
				dir := t.TempDir()
				final := filepath.Join(dir, "a."+name)
				w, err := tools.createFor(t.Context(), final, info, WriteOptions{Container: name, Codec: codec})
				require.NoError(t, err)
				for i := range 12 {
					require.NoError(t, w.Write(noise(t, info, i)))
				}
				require.NoError(t, w.Finish(t.Context()))
				require.NoError(t, w.Abort())
				assert.True(t, exists(final), "Abort after Finish keeps the video")
			})
		}
	}
}

// TestWriteSeparatePlanes checks that the planes of a frame need not be in one buffer.
func TestWriteSeparatePlanes(t *testing.T) {
	tools, info, dir := testTools(t), plainInfo(t, "yuv420p", 64, 48), t.TempDir()
	var sums [2]string
	for i := range sums {
		f := noise(t, info, 0)
		if i == 1 {
			separate := &Frame{Width: f.Width, Height: f.Height, Format: f.Format, PTS: f.PTS}
			for p, plane := range f.Planes {
				separate.Planes[p] = Plane{Data: slices.Clone(plane.Data), Width: plane.Width, Height: plane.Height}
			}
			f = separate
		}
		out := filepath.Join(dir, fmt.Sprint(i, ".mkv"))
		w, err := tools.createFor(t.Context(), out, info, WriteOptions{Container: "mkv", Codec: "ffv1"})
		require.NoError(t, err)
		require.NoError(t, w.Write(f))
		require.NoError(t, w.Finish(t.Context()))
		sum, err := exec.Command("ffmpeg", "-v", "error", "-i", out, "-f", "md5", "-").Output()
		require.NoError(t, err)
		sums[i] = string(sum)
	}
	assert.Equal(t, sums[0], sums[1])
}

// TestPersonalDataIsDropped puts personal data wherever a container can hold it, and checks that the output has none of
// it.
func TestPersonalDataIsDropped(t *testing.T) {
	const secret = "Frau Beispiel"
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	subs := write("s.srt", "1\n00:00:00,000 --> 00:00:01,000\n"+secret+" was here\n")
	chapters := write("c.txt",
		";FFMETADATA1\ntitle="+secret+"\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle="+secret+"\n")
	cover := clip(t, "cover.png", testVideo("64x48", "1")+"-frames:v 1")
	tags := []string{"-metadata", "title=" + secret, "-metadata", "artist=" + secret, "-metadata", "comment=" + secret,
		"-metadata", "location=+35.6581+139.7414/", "-metadata", "creation_time=2021-03-04T05:06:07Z",
		"-metadata", "make=" + secret,
		"-metadata:s:v:0", "title=" + secret, "-metadata:s:v:0", "handler_name=" + secret, "-metadata:s:a:0", "title=" +
			secret}
	for file, more := range map[string][]string{
		"a.mp4": {"-c:s", "mov_text", "-movflags", "+use_metadata_tags"},
		"a.mov": {"-c:s", "mov_text", "-movflags", "+use_metadata_tags"},
		"a.mkv": {"-c:s", "srt", "-attach", subs, "-metadata:s:t", "mimetype=text/plain"},
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			args := append(strings.Fields("-y "+testVideo("128x96", "25")+"-f lavfi -i sine=d=1 -i"), subs, "-i", cover,
				"-i", chapters)
			args = append(args, strings.Fields("-map 0 -map 1 -map 2 -map 3 -map_metadata 4 -map_chapters 4 "+
				"-c:v:0 libx264 -c:v:1 png -disposition:v:1 attached_pic -c:a aac")...)
			in, out := filepath.Join(t.TempDir(), file), filepath.Join(t.TempDir(), file)
			ffmpeg(t, append(append(args, tags...), more...), in)
			source, err := os.ReadFile(in)
			require.NoError(t, err)
			require.Contains(t, string(source), secret)
			require.Contains(t, string(source), "x264 - core")

			_, err = transcode(t.Context(), testTools(t), in, out, ReadOptions{}, WriteOptions{}, nil)
			require.NoError(t, err)
			data, err := os.ReadFile(out)
			require.NoError(t, err)
			for _, trace := range []string{secret, "Beispiel", "35.65", "x264 - core", "options: ", "Lavc5", "Lavf5",
				"Lavc6", "Lavf6"} {
				assert.NotContains(t, string(data), trace)
			}
			assert.Equal(t, []string{"stream|codec_type=video"}, ffprobe(t, out, "stream=codec_type"))
			for _, line := range ffprobe(t, out, "format_tags:stream_tags:chapter=start") {
				assert.NotContains(t, line, "chapter")
				assert.NotContains(t, line, "creation_time")
			}
		})
	}
}

// TestEncoderSettingsAreRemoved searches every codec's stream for encoder settings.
func TestEncoderSettingsAreRemoved(t *testing.T) {
	tools, info := testTools(t), plainInfo(t, "yuv420p", 64, 64)
	for _, c := range codecs {
		codec := c.name
		t.Run(codec, func(t *testing.T) {
			dir := t.TempDir()
			w, err := tools.createFor(t.Context(), filepath.Join(dir, "a.mkv"), info,
				WriteOptions{Container: "mkv", Codec: codec})
			require.NoError(t, err)
			for i := range 5 {
				require.NoError(t, w.Write(noise(t, info, i)))
			}
			require.NoError(t, w.Finish(t.Context()))
			data, err := os.ReadFile(filepath.Join(dir, "a.mkv"))
			require.NoError(t, err)
			for _, trace := range []string{"crf=", "core 1", "options:", "x265 (build", "Lavc5", "Lavc6"} {
				assert.NotContains(t, string(data), trace)
			}
		})
	}
}

// children returns the processes whose parent is pid.
func children(t *testing.T, pid int) []int {
	t.Helper()
	var found []int
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // has exited meanwhile
		}
		fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
		if parent, _ := strconv.Atoi(fields[1]); parent == pid && fields[0] != "Z" {
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			found = append(found, child)
		}
	}
	return found
}

// TestCancel checks that everything ends at once while the decoder and encoder are busy.
func TestCancel(t *testing.T) {
	tools := testTools(t)
	in := clip(t, "a.mkv", "-f lavfi -i testsrc2=s=640x480:r=25:d=20 "+quick)
	dir := t.TempDir()
	for _, frames := range []int{1, 30} {
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("enough")
		n := 0
		_, err := transcode(ctx, tools, in, filepath.Join(dir, "out.mkv"), ReadOptions{}, WriteOptions{}, func(*Frame) {
			if n++; n == frames {
				cancel(stop)
			}
		})
		require.ErrorIs(t, err, stop)
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		assert.Empty(t, left)
		assert.Empty(t, children(t, os.Getpid()))
	}
}

// TestCancelBlockedCalls checks that the context, Close and Abort end a Next and a Write that wait for a child.
func TestCancelBlockedCalls(t *testing.T) {
	testCancelBlockedCalls(t, "exec sleep 1000")
}

// TestCancelWrapper is TestCancelBlockedCalls with a wrapper that keeps running, and ffmpeg as its child.
func TestCancelWrapper(t *testing.T) {
	duration := fmt.Sprintf("1000.%d", os.Getpid()) // no other process sleeps as long
	testCancelBlockedCalls(t, "sleep "+duration+"\nexit $?")
	assert.Eventually(t, func() bool { return !runs(t, "sleep\x00"+duration+"\x00") }, 10*time.Second,
		10*time.Millisecond, "what the wrapper started ends with it")
}

// TestCancelDetachedChild checks that a process that a wrapper starts in another session, out of reach, does not block
// anything for long.
func TestCancelDetachedChild(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip(err)
	}
	testCancelBlockedCalls(t, "setsid -w sleep 30")
}

// runs reports whether a process with this command line exists. The command lines of zombies are empty.
func runs(t *testing.T, command string) bool {
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	return slices.ContainsFunc(paths, func(path string) bool {
		text, err := os.ReadFile(path)
		return err == nil && string(text) == command
	})
}

func testCancelBlockedCalls(t *testing.T, script string) {
	tools := freeTools(t)
	hangs := written(t, "hangs", []byte("#!/bin/sh\n"+script+"\n"))
	require.NoError(t, os.Chmod(hangs, 0o700))
	info, err := tools.Probe(t.Context(), clip(t, "a.mkv", testVideo("640x480", "5")+quick), Limits{})
	require.NoError(t, err)
	tools.FFmpeg = hangs

	for _, by := range []string{"context", "close", "stall"} {
		t.Run(by, func(t *testing.T) {
			start := time.Now()
			defer func() { assert.Less(t, time.Since(start), 20*time.Second) }()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stall := time.Hour
			if by == "stall" {
				stall = 50 * time.Millisecond
			}
			r, err := tools.Open(ctx, info, ReadOptions{Stall: stall})
			require.NoError(t, err)
			w, err := tools.createFor(ctx, filepath.Join(t.TempDir(), ".part"), info, WriteOptions{Stall: stall})
			require.NoError(t, err)
			ends := make(chan error, 2)
			go func() {
				_, err := r.Next()
				ends <- err
			}()
			go func() {
				for i := 0; ; i++ { // until the pipe is full
					if err := w.Write(noise(t, info, i)); err != nil {
						ends <- err
						return
					}
				}
			}()
			switch by {
			case "context":
				cancel()
			case "close":
				r.Close()
				require.NoError(t, w.Abort())
			}
			for range 2 {
				err := <-ends
				switch by {
				case "context":
					require.ErrorIs(t, err, context.Canceled)
					assert.Equal(t, "cancelled", Reason(err))
				case "stall":
					require.ErrorIs(t, err, ErrStalled)
				default:
					require.Error(t, err)
				}
			}
			r.Close()
			r.Close()
			require.NoError(t, w.Abort())
			assert.Empty(t, children(t, os.Getpid()))
		})
	}
}

// TestChildrenDieWithParent kills a process in the middle of a video, and waits for its children to exit.
func TestChildrenDieWithParent(t *testing.T) {
	if in := os.Getenv("MEDIA_TEST_VICTIM"); in != "" {
		_, _ = transcode(t.Context(), testTools(t), in, os.Getenv("MEDIA_TEST_OUT"), ReadOptions{}, WriteOptions{},
			func(f *Frame) {
				if f.Index == 3 {
					fmt.Println("busy")
					select {}
				}
			})
		return
	}
	in := clip(t, "a.mkv", "-f lavfi -i testsrc2=s=640x480:r=25:d=20 "+quick)
	victim := exec.Command(os.Args[0], "-test.run=^TestChildrenDieWithParent$", "-test.v")
	victim.Env = append(os.Environ(), "MEDIA_TEST_VICTIM="+in, "MEDIA_TEST_OUT="+filepath.Join(t.TempDir(), "out.mkv"))
	stdout, err := victim.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, victim.Start())
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && lines.Text() != "busy" {
	}
	orphans := children(t, victim.Process.Pid)
	require.Len(t, orphans, 2, "a decoder and an encoder")
	var fds []unix.PollFd
	for _, pid := range orphans {
		fd, err := unix.PidfdOpen(pid, 0)
		require.NoError(t, err)
		defer unix.Close(fd)
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	require.NoError(t, victim.Process.Kill())
	require.Error(t, victim.Wait())
	for i := range fds { // readable once the process has exited
		n, err := 0, error(unix.EINTR)
		for errors.Is(err, unix.EINTR) { // the runtime's own signals
			n, err = unix.Poll(fds[i:i+1], 10_000)
		}
		require.NoError(t, err)
		require.Equal(t, 1, n, "process %d is still running", orphans[i])
	}
}

// TestSteadyStateAllocations checks that frames and lines are read into existing memory.
func TestSteadyStateAllocations(t *testing.T) {
	tools := testTools(t)
	info, err := tools.Probe(t.Context(), clip(t, "a.mkv", "-f lavfi -i testsrc2=s=320x240:r=25:d=16 "+quick), Limits{})
	require.NoError(t, err)
	r, err := tools.Open(t.Context(), info, ReadOptions{})
	require.NoError(t, err)
	defer r.Close()
	w, err := tools.createFor(t.Context(), filepath.Join(t.TempDir(), ".part"), info, WriteOptions{Preset: "ultrafast"})
	require.NoError(t, err)
	defer func() { _ = w.Abort() }()
	pass := func() {
		for range 50 {
			f, err := r.Next()
			require.NoError(t, err)
			require.NoError(t, w.Write(f))
			f.Release()
			f.Release() // harmless
		}
	}
	pass()
	assert.Less(t, testing.AllocsPerRun(5, pass)/50, 4.0, "allocations per frame")
	assert.Len(t, r.pool.frames, 1)
}

func TestFindTools(t *testing.T) {
	_, err := FindTools("/none/ffmpeg", "no-such-ffprobe")
	require.ErrorIs(t, err, ErrTool)
	require.ErrorContains(t, err, "apt-get install ffmpeg")
	require.ErrorContains(t, err, "no-such-ffprobe")
	for version, ok := range map[string]bool{
		"ffmpeg version 5.1.9-0+deb12u1 Copyright": true,
		"ffmpeg version 7.0 Copyright":             true,
		"ffmpeg version n8.0.1 Copyright":          true,
		"ffprobe version N-112233-gabcdef":         true,
		"ffmpeg version 5.0.3 Copyright":           false,
		"ffmpeg version 4.4.2-0ubuntu0 Copyright":  false,
		"GNU bash, version 5.2":                    false,
		"":                                         false,
	} {
		assert.Equal(t, ok, recent([]byte(version)), version)
	}
	old := written(t, "ffmpeg", []byte("#!/bin/sh\necho ffmpeg version 4.4\n"))
	require.NoError(t, os.Chmod(old, 0o700))
	_, err = FindTools(old, "")
	require.ErrorIs(t, err, ErrTool)
	require.ErrorContains(t, err, "too old")
	require.ErrorIs(t, testTools(t).CheckEncoder(t.Context(), WriteOptions{Codec: "divx"}), ErrUnsupported)
	require.ErrorIs(t, Tools{FFmpeg: old}.CheckEncoder(t.Context(), WriteOptions{Codec: "h264"}), ErrTool)
}

func TestReason(t *testing.T) {
	assert.Equal(t, "", Reason(nil))
	assert.Equal(t, "other", Reason(errors.New("x")))
	for _, r := range reasons {
		assert.Equal(t, r.word, Reason(fileError("a", r.err, "x")))
	}
}
