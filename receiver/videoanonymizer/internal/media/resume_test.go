// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// every returns a function for sealing before each n-th frame.
func every(n int) func(index int) bool {
	return func(index int) bool { return index%n == 0 }
}

// sealedRun writes the frames of a reader, seals before those for which sealAt returns true, and stops before the frame
// with index stop, -1 for none. It returns what was sealed last.
func sealedRun(t testing.TB, r *Reader, w *Writer, sealAt func(index int) bool, stop int) (sealed Progress) {
	t.Helper()
	start := w.frames
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			require.Negative(t, stop, "the video is long enough")
			require.NoError(t, w.Finish(t.Context()))
			return sealed
		}
		require.NoError(t, err)
		if f.Index == stop {
			f.Release()
			require.NoError(t, w.Abort())
			return sealed
		}
		if int64(f.Index) < w.frames { // decoded again
			f.Release()
			continue
		}
		if f.Index > 0 && sealAt(f.Index) && int64(f.Index) > start {
			sealed, err = w.Seal()
			require.NoError(t, err)
		}
		require.NoError(t, w.Write(f))
		f.Release()
	}
}

// TestResumeAfterSeal interrupts a writer twice and resumes from what was sealed, with reading from a little before. It
// compares the output byte for byte with that of an uninterrupted writer.
func TestResumeAfterSeal(t *testing.T) {
	const x264 = "-c:v libx264 -preset ultrafast "
	const long = "-f lavfi -i testsrc2=s=64x48:r=25:d=24 "
	for i, tc := range []struct {
		name, file, args string
		write            WriteOptions
	}{
		{"mp4", "a.mp4", long + x264, WriteOptions{}},
		{"mp4 of variable rate", "a.mp4", long + "-vf setpts='(N+N*N/2000+random(1))*0.04/TB' -fps_mode vfr " + x264,
			WriteOptions{}},
		{"mp4 that begins late", "a.mp4", long + "-output_ts_offset 2.5 " + x264, WriteOptions{}},
		{"mkv with open groups", "a.mkv", long + x264 + "-x264-params open-gop=1:keyint=60:bframes=3 ", WriteOptions{}},
		{"mkv h265", "a.mkv", long + x264, WriteOptions{Codec: "h265", Preset: "ultrafast"}},
		{"ffv1", "a.mkv", long + x264, WriteOptions{Codec: "ffv1"}},
		{"av1", "a.mkv", strings.Replace(long, "64x48", "64x64", 1) + x264,
			WriteOptions{Codec: "av1", Preset: "ultrafast"}},
		{"webm", "a.webm", long + "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 ", WriteOptions{Preset: "ultrafast"}},
		{"avi", "a.avi", long + "-c:v mpeg4 ", WriteOptions{}},
		{"ts", "a.ts", long + x264, WriteOptions{}},
		{"no index", "a.h264", long + x264 + "-f h264 ", WriteOptions{Container: "mkv"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			skipIfShort(t, i%8 == 0)
			t.Parallel()
			tools, in := testTools(t), clip(t, tc.file, tc.args)
			dir := t.TempDir()
			info, err := tools.Probe(t.Context(), in, Limits{})
			require.NoError(t, err)
			plan, err := NewPlan(info, tc.write)
			require.NoError(t, err)
			run := func(name string, stop int, from *Progress) Progress {
				w, err := tools.Create(t.Context(), filepath.Join(dir, name+"."+ContainerFor(in)), plan, from)
				require.NoError(t, err)
				defer func() { require.NoError(t, w.Abort()) }()
				var r *Reader
				if from == nil {
					r, err = tools.Open(t.Context(), info, ReadOptions{})
				} else {
					r, err = tools.Resume(t.Context(), info, ReadOptions{}, w.Shown(), int(from.Frames)-30)
				}
				require.NoError(t, err)
				defer r.Close()
				return sealedRun(t, r, w, every(75), stop)
			}
			run("whole", -1, nil)
			sealed := run("cut", 400, nil)
			require.EqualValues(t, 375, sealed.Frames)
			text, err := json.Marshal(sealed)
			require.NoError(t, err)
			var carried Progress
			require.NoError(t, json.Unmarshal(text, &carried))
			sealed = run("cut", 520, &carried)
			require.EqualValues(t, 450, sealed.Frames)
			extension := "." + ContainerFor(in)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "cut"+extension), []byte("killed while joining"), 0o600))
			run("cut", -1, &sealed)

			want, err := os.ReadFile(filepath.Join(dir, "whole"+extension))
			require.NoError(t, err)
			got, err := os.ReadFile(filepath.Join(dir, "cut"+extension))
			require.NoError(t, err)
			assert.Equal(t, want, got, "the output after interruptions")
			single := filepath.Join(dir, "single"+extension)
			_, err = transcode(t.Context(), tools, in, single, ReadOptions{}, tc.write, nil)
			require.NoError(t, err)
			assert.Equal(t, probeVideo(t, single).times, probeVideo(t, filepath.Join(dir, "cut"+extension)).times,
				"times with and without segment boundaries")
			if tc.name == "mp4" {
				run("cut", -1, &sealed) // as if killed before the output was renamed
				again, err := os.ReadFile(filepath.Join(dir, "cut"+extension))
				require.NoError(t, err)
				assert.Equal(t, want, again)
			}
		})
	}
}

// TestJoinShortSegments joins segments of one and two frames with longer ones, which encoders that reorder frames
// describe differently.
func TestJoinShortSegments(t *testing.T) {
	tools := testTools(t)
	in := clip(t, "a.mkv", "-f lavfi -i testsrc2=s=64x64:r=25:d=2.12 -c:v ffv1")
	info, err := tools.Probe(t.Context(), in, Limits{})
	require.NoError(t, err)
	for _, codec := range []string{"h264", "h265", "vp9", "av1", "ffv1"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			r, err := tools.Open(t.Context(), info, ReadOptions{})
			require.NoError(t, err)
			defer r.Close()
			out := filepath.Join(t.TempDir(), "out.mkv")
			w, err := tools.createFor(t.Context(), out, info,
				WriteOptions{Container: "mkv", Codec: codec, Preset: "ultrafast"})
			require.NoError(t, err)
			defer func() { _ = w.Abort() }()
			sealedRun(t, r, w, func(index int) bool { return index == 1 || index == 51 }, -1)
			require.EqualValues(t, 53, w.frames)
		})
	}
}

// flip changes bytes in the middle of a file.
func flip(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data[len(data)/2] ^= 0x55
	return os.WriteFile(path, data, 0o600)
}

// TestJoinRefusesChanges checks that joining detects segments that changed after they were sealed or resumed.
func TestJoinRefusesChanges(t *testing.T) {
	tools, info := testTools(t), plainInfo(t, "yuv420p", 64, 48)
	for name, harm := range map[string]func(stem string) error{
		"other bytes": func(stem string) error { return flip(stem + ".00000.segment") },
		"shorter":     func(stem string) error { return os.Truncate(stem+".00000.segment", 3000) },
	} {
		t.Run(name, func(t *testing.T) {
			stem := filepath.Join(t.TempDir(), ".a")
			w, err := tools.createFor(t.Context(), stem+".mp4", info, WriteOptions{})
			require.NoError(t, err)
			for i := range 20 {
				require.NoError(t, w.Write(noise(t, info, i)))
				if i == 10 {
					_, err = w.Seal()
					require.NoError(t, err)
				}
			}
			require.NoError(t, harm(stem))
			require.ErrorIs(t, w.Finish(t.Context()), ErrResume)
			assert.False(t, exists(stem+".mp4"))
		})
	}
}

// TestResumeRefusesChanges checks that files that changed since they were sealed are not resumed.
func TestResumeRefusesChanges(t *testing.T) {
	tools, in := testTools(t), clip(t, "a.mp4", testVideo("64x48", "25")+"-c:v libx264 -preset ultrafast ")
	other := clip(t, "b.mp4", "-f lavfi -i testsrc2=s=64x48:r=24:d=1 -c:v libx264 -preset ultrafast ")
	info, err := tools.Probe(t.Context(), in, Limits{})
	require.NoError(t, err)
	plan, err := NewPlan(info, WriteOptions{})
	require.NoError(t, err)
	for name, harm := range map[string]func(*Progress, string) error{
		"a segment is shorter":      func(_ *Progress, stem string) error { return os.Truncate(stem+".00000.segment", 100) },
		"a segment has other bytes": func(_ *Progress, stem string) error { return flip(stem + ".00000.segment") },
		"times have other bytes":    func(_ *Progress, stem string) error { return flip(stem + ".times") },
		"a segment is missing":      func(_ *Progress, stem string) error { return os.Remove(stem + ".00000.segment") },
		"times are missing":         func(_ *Progress, stem string) error { return os.Truncate(stem+".times", 3) },
		"no times":                  func(_ *Progress, stem string) error { return os.Remove(stem + ".times") },
		"another count":             func(p *Progress, _ string) error { p.Frames++; return nil },
	} {
		t.Run(name, func(t *testing.T) {
			stem := filepath.Join(t.TempDir(), ".a")
			w, err := tools.Create(t.Context(), stem+".mp4", plan, nil)
			require.NoError(t, err)
			r, err := tools.Open(t.Context(), info, ReadOptions{})
			require.NoError(t, err)
			defer r.Close()
			sealed := sealedRun(t, r, w, every(10), 15)
			require.NoError(t, harm(&sealed, stem))
			_, err = tools.Create(t.Context(), stem+".mp4", plan, &sealed)
			require.ErrorIs(t, err, ErrResume)
		})
	}
	t.Run("frames at other times", func(t *testing.T) {
		info, err := tools.Probe(t.Context(), other, Limits{})
		require.NoError(t, err)
		for _, known := range [][]int64{{-5, -4, -3}, {0, 1, 2}} {
			_, err = tools.Resume(t.Context(), info, ReadOptions{}, known, 2)
			require.ErrorIs(t, err, ErrResume)
		}
		r, err := tools.Resume(t.Context(), info, ReadOptions{}, []int64{0, 512, 1025}, 1)
		require.NoError(t, err)
		defer r.Close()
		f, err := r.Next()
		require.NoError(t, err)
		assert.Equal(t, 1, f.Index)
		f.Release()
		_, err = r.Next()
		require.ErrorIs(t, err, ErrResume)
	})
}
