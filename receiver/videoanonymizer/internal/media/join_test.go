// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// keysApart returns the numbers of key frames that are at least the given number of frames apart.
func keysApart(t *testing.T, index Index, apart int) (frames []int) {
	t.Helper()
	for _, key := range index.Keys {
		i, found := slices.BinarySearch(index.Times, key)
		require.True(t, found, "a key frame is shown")
		if i > 0 && i-slices.Max(append(frames, 0)) >= apart {
			frames = append(frames, i)
		}
	}
	return frames
}

// writePart writes the frames from..to of a video in segments of 75 frames, and starts reading some frames before them.
func writePart(ctx context.Context, tools Tools, plan Plan, path string, times []int64, from, to int) (Part, error) {
	w, err := tools.CreatePart(ctx, path, plan, nil, times[0])
	if err != nil {
		return Part{}, err
	}
	defer func() { _ = w.Abort() }()
	r, err := tools.OpenAt(ctx, plan.Info(), ReadOptions{}, times, max(0, from-40))
	if err != nil {
		return Part{}, err
	}
	defer r.Close()
	for next := max(0, from-40); next < min(to+20, len(times)); next++ {
		f, err := r.Next()
		if err != nil {
			return Part{}, err
		}
		if f.Index != next || f.PTS != times[next] {
			return Part{}, fmt.Errorf("frame %d at %d instead of frame %d at %d", f.Index, f.PTS, next, times[next])
		}
		if next > from && next < to && (next-from)%75 == 0 {
			if _, err := w.Seal(); err != nil {
				return Part{}, err
			}
		}
		if next >= from && next < to {
			err = w.Write(f)
		}
		f.Release()
		if err != nil {
			return Part{}, err
		}
	}
	sealed, err := w.Seal()
	return Part{path, sealed}, err
}

// TestJoinParts writes the parts of a video concurrently, each read from a little before its first frame, and joins
// them. The output must be byte for byte that of a single writer with segments of the same frames.
func TestJoinParts(t *testing.T) {
	const x264 = "-c:v libx264 -preset ultrafast "
	const long = "-f lavfi -i testsrc2=s=64x48:r=25:d=24 "
	const sound = "-f lavfi -i sine=d=24 -c:a aac "
	for i, tc := range []struct {
		name, file, args string
		write            WriteOptions
	}{
		{"mp4 with sound and frames that are reordered", "a.mp4",
			long + sound + "-c:v libx264 -preset veryfast -bf 3 -g 100 ", WriteOptions{Audio: AudioCopy}},
		{"mp4 of variable rate", "a.mp4", long + "-vf setpts='(N+N*N/2000+random(1))*0.04/TB' -fps_mode vfr -g 100 " + x264,
			WriteOptions{}},
		{"mp4 that begins late", "a.mp4", long + "-g 100 -output_ts_offset 2.5 " + x264, WriteOptions{}},
		{"mkv with open groups", "a.mkv", long + x264 + "-x264-params open-gop=1:keyint=60:bframes=3 ", WriteOptions{}},
		{"h265 with open groups", "a.mp4",
			long + "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=60:open-gop=1 ",
			WriteOptions{Codec: "h265", Preset: "ultrafast"}},
		{"webm", "a.webm", long + "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 100 ",
			WriteOptions{Preset: "ultrafast"}},
		{"into ts", "a.mp4", long + "-g 100 " + x264, WriteOptions{Container: "ts"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			skipIfShort(t, i%8 == 0)
			t.Parallel()
			tools, in := testTools(t), clip(t, tc.file, tc.args)
			info, err := tools.Probe(t.Context(), in, Limits{})
			require.NoError(t, err)
			tc.write.Threads = 1
			plan, err := NewPlan(info, tc.write)
			require.NoError(t, err)
			index, err := tools.Index(t.Context(), info)
			require.NoError(t, err)
			require.Len(t, index.Times, 600)
			bounds := append([]int{0}, append(keysApart(t, index, 200), len(index.Times))...)
			require.GreaterOrEqual(t, len(bounds), 4, "three parts, and one is sought: %v", bounds)

			dir := t.TempDir()
			path := func(name string) string { return filepath.Join(dir, name+"."+plan.container.name) }
			parts := make([]Part, len(bounds)-1)
			group, ctx := errgroup.WithContext(t.Context())
			for k := range parts {
				group.Go(func() (err error) {
					parts[k], err = writePart(ctx, tools, plan, path(fmt.Sprintf("joined.%d", k)), index.Times,
						bounds[k], bounds[k+1])
					return err
				})
			}
			require.NoError(t, group.Wait())
			require.NoError(t, os.WriteFile(path("joined"), []byte("killed while joining"), 0o600))
			join := func() {
				w, err := tools.Join(t.Context(), path("joined"), plan, parts, index.Times)
				require.NoError(t, err)
				require.NoError(t, w.Finish(t.Context()))
				assert.Equal(t, len(w.Segments()), len(w.segments))
			}
			join()

			w, err := tools.Create(t.Context(), path("whole"), plan, nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, w.Abort()) }()
			r, err := tools.Open(t.Context(), info, ReadOptions{})
			require.NoError(t, err)
			defer r.Close()
			sealedRun(t, r, w, func(i int) bool {
				k, begins := slices.BinarySearch(bounds, i)
				return begins || (i-bounds[k-1])%75 == 0
			}, -1)
			want, err := os.ReadFile(path("whole"))
			require.NoError(t, err)
			got, err := os.ReadFile(path("joined"))
			require.NoError(t, err)
			assert.True(t, slices.Equal(want, got), "the output of parts")

			if i == 0 {
				testJoinRefuses(t, tools, plan, dir, parts, index.Times, join)
			}
		})
	}
}

// testJoinRefuses checks that Join refuses what are not a video's parts, and accepts the right parts afterward.
func testJoinRefuses(t *testing.T, tools Tools, plan Plan, dir string, parts []Part, times []int64, join func()) {
	moved := slices.Clone(times)
	moved[300]++
	for name, tc := range map[string]struct {
		parts []Part
		times []int64
	}{
		"a gap":            {slices.Concat(parts[:1], parts[2:]), times},
		"a repeat":         {slices.Concat(parts[:2], parts[1:]), times},
		"another order":    {slices.Concat(parts[1:2], parts[:1], parts[2:]), times},
		"the end missing":  {parts[:len(parts)-1], times},
		"another time":     {parts, moved},
		"frames too many":  {parts, times[:len(times)-1]},
		"no frames at all": {parts, nil},
	} {
		_, err := tools.Join(t.Context(), filepath.Join(dir, "refused.mp4"), plan, tc.parts, tc.times)
		require.ErrorIs(t, err, ErrResume, name)
	}
	segment := (&Writer{temp: parts[1].Temp}).segmentPath(0)
	whole, err := os.ReadFile(segment)
	require.NoError(t, err)
	require.NoError(t, flip(segment))
	w, err := tools.Join(t.Context(), filepath.Join(dir, "refused.mp4"), plan, parts, times)
	require.NoError(t, err)
	require.ErrorIs(t, w.Finish(t.Context()), ErrResume, "a segment with other bytes")
	require.NoFileExists(t, filepath.Join(dir, "refused.mp4"))
	require.NoError(t, os.WriteFile(segment, whole, 0o600))
	require.NoError(t, os.Remove(filepath.Join(dir, "joined.mp4")))
	join() // the failures left the parts as they were
}

// TestIndex compares the frames that Index lists with the decoded ones.
func TestIndex(t *testing.T) {
	const x264 = "-f lavfi -i testsrc2=s=64x48:r=25:d=4 -c:v libx264 -preset ultrafast -g 25 "
	for i, tc := range []struct {
		name, file, args string
		inexact          bool
	}{
		{"mp4", "a.mp4", x264, false},
		{"reordered frames", "a.mkv", x264 + "-bf 3 ", false},
		{"an edit list hides the beginning", "a.mp4", "CUT " + x264, false},
		{"no times", "a.avi", "-f lavfi -i testsrc2=s=64x48:r=25:d=4 -c:v mpeg4 ", true},
		{"transport stream", "a.ts", x264, true},
		{"interlaced", "a.mp4", x264 + "-flags +ildct+ilme -x264-params tff=1 ", true},
		{"times that repeat", "a.mkv", x264 + "-bf 0 -bsf:v setts=ts='floor(N/2)*80' ", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			skipIfShort(t, i == 0)
			t.Parallel()
			tools := testTools(t)
			var in string
			if rest, hidden := tc.args[len("CUT "):], tc.args[:4] == "CUT "; hidden {
				whole := clip(t, "whole.mp4", rest)
				in = clip(t, tc.file, "-ss 1.5 -i "+whole+" -c copy ")
			} else {
				in = clip(t, tc.file, tc.args)
			}
			info, err := tools.Probe(t.Context(), in, Limits{})
			require.NoError(t, err)
			index, err := tools.Index(t.Context(), info)
			if tc.inexact {
				require.ErrorIs(t, err, ErrInexact)
				return
			}
			require.NoError(t, err)
			r, err := tools.Open(t.Context(), info, ReadOptions{})
			require.NoError(t, err)
			defer r.Close()
			for _, at := range index.Times {
				f, err := r.Next()
				require.NoError(t, err)
				require.Equal(t, at, f.PTS)
				f.Release()
			}
			_, err = r.Next()
			require.Error(t, err)
			for _, key := range index.Keys {
				require.Contains(t, index.Times, key)
			}
			require.NotEmpty(t, index.Keys)
		})
	}
}

// TestIndexFails distinguishes failures that say nothing about a file from doubts about its frames.
func TestIndexFails(t *testing.T) {
	tools := testTools(t)
	info, err := tools.Probe(t.Context(),
		clip(t, "a.mp4", "-f lavfi -i testsrc2=s=64x48:r=25:d=1 -c:v libx264 -preset ultrafast "), Limits{})
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		script string
		frames int64
		want   error
	}{
		"killed":             {script: "kill -9 $$", want: ErrInterrupted},
		"out of descriptors": {script: "echo '[error] Too many open files' >&2; exit 1", want: ErrTool},
		"stale":              {script: "echo '[error] Stale file handle' >&2", want: ErrIO},
		"of the file":        {script: "echo '[error] Invalid data found' >&2; exit 1", want: ErrInexact},
		"without a reason":   {script: "exit 1", want: ErrInexact},
		"too many frames": {script: `for i in 1 2 3 4 5 6 7 8; do echo "$i,9,K"; done; sleep 60`, frames: 7,
			want: ErrInexact},
		"as many as may be": {script: `for i in 1 2 3 4 5 6 7; do echo "$i,9,K"; done`, frames: 7},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			there, fake := info, freeTools(t)
			fake.FFprobe = filepath.Join(t.TempDir(), "ffprobe")
			require.NoError(t, os.WriteFile(fake.FFprobe, []byte("#!/bin/sh\n"+tc.script+"\n"), 0o700)) //nolint:gosec // runs
			if tc.frames > 0 {
				there.limits.MaxFrames = tc.frames
			}
			index, err := fake.Index(t.Context(), there)
			require.ErrorIs(t, err, tc.want)
			if tc.want == nil {
				assert.Len(t, index.Times, 7)
			}
		})
	}
}

// TestIndexStalls checks that a tool that prints nothing is killed.
func TestIndexStalls(t *testing.T) {
	tools := freeTools(t)
	tools.FFprobe = filepath.Join(t.TempDir(), "ffprobe")
	script := []byte("#!/bin/sh\necho 1,9,K; sleep 600\n")
	require.NoError(t, os.WriteFile(tools.FFprobe, script, 0o700)) //nolint:gosec // it runs
	var index Index
	_, err := tools.streamUnlessStalled(t.Context(), nil, streams{}, bounds{}, 100*time.Millisecond,
		func(r io.Reader) error { return index.read(r, 9) })
	require.ErrorIs(t, err, ErrStalled)
}

// TestSealedError checks that only files that are missing, changed or inaccessible to this process are made again.
func TestSealedError(t *testing.T) {
	for err, want := range map[error]error{
		fs.ErrNotExist: ErrResume, errors.New("changed"): ErrResume, // not a file system error
		syscall.ENOENT: ErrResume, syscall.ELOOP: ErrResume, syscall.EACCES: ErrResume,
		syscall.EIO: ErrIO, syscall.ESTALE: ErrIO, syscall.EMFILE: ErrIO, syscall.ENOSPC: ErrNoSpace,
		syscall.EDQUOT: ErrNoSpace,
	} {
		got := SealedError("a", &fs.PathError{Op: "open", Path: "a", Err: err})
		for _, cause := range []error{ErrResume, ErrIO, ErrNoSpace} {
			assert.Equal(t, cause == want, errors.Is(got, cause), "%v: %v", err, got) //nolint:errorlint // the very error
		}
	}
	dir := t.TempDir()
	_, err := readTimes(filepath.Join(dir, "gone"), Sealed{Size: 3})
	require.ErrorIs(t, err, ErrResume)
}

// TestHold checks that a held file is read even if another file has its path, but not if it was written to.
func TestHold(t *testing.T) {
	tools := testTools(t)
	path := clip(t, "a.mp4", "-f lavfi -i testsrc2=s=64x48:r=25:d=1 -c:v libx264 -preset ultrafast ")
	info, err := tools.Probe(t.Context(), path, Limits{})
	require.NoError(t, err)
	held, release, err := info.Hold()
	require.NoError(t, err)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.WriteFile(path, []byte("another file"), 0o600))
	_, err = tools.Index(t.Context(), info)
	require.ErrorIs(t, err, ErrVanished)
	for range 2 {
		index, err := tools.Index(t.Context(), held)
		require.NoError(t, err)
		assert.Len(t, index.Times, 25)
	}
	r, err := tools.Open(t.Context(), held, ReadOptions{})
	require.NoError(t, err)
	assert.Equal(t, 25, drain(t, r))
	r.Close()
	require.ErrorIs(t, tools.ConfirmDamage(t.Context(), held, ReadOptions{}, -1), ErrIO, "all of it can be decoded")
	same, err := os.ReadFile(held.Source())
	require.NoError(t, err)
	assert.Equal(t, data, same)
	require.NoError(t, os.WriteFile(held.Source(), append(data, 0), 0o600))
	_, err = tools.Index(t.Context(), held)
	require.ErrorIs(t, err, ErrVanished)
	release()
	_, _, err = info.Hold()
	require.ErrorIs(t, err, ErrVanished)
}

// TestOpenAtRefuses opens videos whose frames are not at the given times.
func TestOpenAtRefuses(t *testing.T) {
	tools := testTools(t)
	in := clip(t, "a.mp4", "-f lavfi -i testsrc2=s=64x48:r=5:d=30 -c:v libx264 -preset ultrafast -g 25 ")
	info, err := tools.Probe(t.Context(), in, Limits{})
	require.NoError(t, err)
	index, err := tools.Index(t.Context(), info)
	require.NoError(t, err)
	moved := slices.Clone(index.Times)
	for i := range moved {
		moved[i] += 7
	}
	_, err = tools.OpenAt(t.Context(), info, ReadOptions{}, moved, 100)
	require.ErrorIs(t, err, ErrResume)
	_, err = tools.OpenAt(t.Context(), info, ReadOptions{}, index.Times, len(index.Times))
	require.ErrorIs(t, err, ErrResume)
	r, err := tools.OpenAt(t.Context(), info, ReadOptions{}, append(index.Times[:110:110], moved[110:]...), 100)
	require.NoError(t, err)
	defer r.Close()
	for i := 100; i < 110; i++ {
		f, err := r.Next()
		require.NoError(t, err)
		require.Equal(t, i, f.Index)
		f.Release()
	}
	_, err = r.Next()
	require.ErrorIs(t, err, ErrResume)
}
