// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wrapped returns tools that run the script instead of ffmpeg and ffprobe; $tool in it is the real one.
func wrapped(t *testing.T, script string) Tools {
	t.Helper()
	wrap := func(tool string) string {
		path := filepath.Join(t.TempDir(), filepath.Base(tool))
		require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\ntool="+tool+"\n"+script+"\n"), 0o700))
		return path
	}
	tools := testTools(t)
	return Tools{FFmpeg: wrap(tools.FFmpeg), FFprobe: wrap(tools.FFprobe)}
}

// readAll reads a video to its end, and returns the number of frames, the damage, and why there are no more frames.
func readAll(t *testing.T, tools Tools, info Info, opts ReadOptions) (frames int, damage, err error) {
	t.Helper()
	r, err := tools.Open(t.Context(), info, opts)
	require.NoError(t, err)
	defer r.Close()
	for {
		f, err := r.Next()
		if err != nil {
			return frames, r.Damage(), err
		}
		frames++
		f.Release()
	}
}

// TestPassingFaults checks that a tool's exit and messages do not count as the file's fault if no file explains them.
func TestPassingFaults(t *testing.T) {
	in := clip(t, "a.mp4", testVideo("64x48", "25")+"-movflags +faststart "+quick)
	info, err := testTools(t).Probe(t.Context(), in, Limits{})
	require.NoError(t, err)
	says := func(text string) string {
		return fmt.Sprintf("$tool \"$@\"; echo '[error] file: %s' >&2; exit 1", text)
	}
	for name, tc := range map[string]struct {
		script string
		want   error
	}{
		"ffmpeg caught a signal":      {`$tool "$@"; exit 255`, ErrInterrupted},
		"terminated":                  {`$tool "$@"; kill -TERM $$`, ErrInterrupted},
		"interrupted":                 {`$tool "$@"; kill -INT $$`, ErrInterrupted},
		"killed":                      {`$tool "$@"; kill -KILL $$`, ErrInterrupted},
		"killed below a wrapper":      {`$tool "$@"; exit 137`, ErrInterrupted},
		"crashed":                     {`$tool "$@"; kill -SEGV $$`, ErrTool},
		"crashed below a wrapper":     {`$tool "$@"; exit 139`, ErrTool},
		"not found":                   {`exit 127`, ErrTool},
		"a library cannot be mapped":  {`echo "ffmpeg: error while loading shared libraries: x.so" >&2; exit 127`, ErrTool},
		"a library, another status":   {`echo "ffmpeg: error while loading shared libraries: x.so" >&2; exit 1`, ErrTool},
		"a server that restarted":     {says("Stale file handle"), ErrIO},
		"a server that is down":       {says("Connection timed out"), ErrIO},
		"a network that was reset":    {says("Network dropped connection on reset"), ErrIO},
		"a mount that ended":          {says("Transport endpoint is not connected"), ErrIO},
		"a disk that was unplugged":   {says("No such device"), ErrIO},
		"out of memory":               {says("Cannot allocate memory"), ErrTool},
		"out of memory in a decoder":  {says("get_buffer() failed"), ErrTool},
		"no more threads":             {says("Resource temporarily unavailable"), ErrTool},
		"no permission in mid-stream": {says("Permission denied"), ErrUnreadable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tools := wrapped(t, tc.script)
			_, err := tools.Probe(t.Context(), in, Limits{})
			require.ErrorIs(t, err, tc.want)
			assert.False(t, Permanent(err), "%v", err)
			for _, salvage := range []bool{false, true} {
				_, _, err = readAll(t, tools, info, ReadOptions{Salvage: salvage})
				require.ErrorIs(t, err, tc.want)
				assert.False(t, Permanent(err), "%v", err)
			}
		})
	}
	t.Run("no process", func(t *testing.T) {
		_, err := Tools{FFprobe: "/none"}.Probe(t.Context(), in, Limits{})
		require.ErrorIs(t, err, ErrTool)
		assert.False(t, Permanent(err))
	})
	t.Run("while audio is tried", func(t *testing.T) {
		in := clip(t, "b.mp4", testVideo("64x48", "25")+"-f lavfi -i sine=d=1 -c:a aac "+quick)
		info, err := testTools(t).Probe(t.Context(), in, Limits{})
		require.NoError(t, err)
		_, err = wrapped(t, `$tool "$@"; exit 255`).createFor(t.Context(), filepath.Join(t.TempDir(), ".b.mp4"), info,
			WriteOptions{Audio: AudioCopy})
		require.ErrorIs(t, err, ErrInterrupted)
		assert.False(t, Permanent(err), "%v", err)
	})
	t.Run("while the output is verified", func(t *testing.T) {
		tools, info := testTools(t), plainInfo(t, "yuv420p", 64, 48)
		w, err := tools.createFor(t.Context(), filepath.Join(t.TempDir(), ".a.mp4"), info, WriteOptions{})
		require.NoError(t, err)
		require.NoError(t, w.Write(noise(t, info, 0)))
		w.tools.FFprobe = wrapped(t, `echo '[error] x: moov atom not found' >&2; exit 1`).FFprobe
		err = w.Finish(t.Context())
		require.ErrorIs(t, err, ErrTool)
		assert.False(t, Permanent(err), "%v", err)
	})
}

// TestUnknownComplaints checks that unknown messages of a tool do not prove that the file is at fault; messages about
// its content do.
func TestUnknownComplaints(t *testing.T) {
	in := clip(t, "a.mp4", testVideo("64x48", "25")+quick)
	info, err := testTools(t).Probe(t.Context(), in, Limits{})
	require.NoError(t, err)
	for says, want := range map[string]error{
		"Protocol error":                                 ErrTool,
		"Function not implemented":                       ErrTool,
		"Bad address":                                    ErrTool,
		"Invalid data found when processing input":       ErrNotVideo,
		"moov atom not found":                            ErrDamaged,
		"Not yet implemented in FFmpeg, patches welcome": ErrUnsupported,
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			tools := wrapped(t, fmt.Sprintf("echo '[error] file: %s' >&2; exit 1", says))
			_, err := tools.Probe(t.Context(), in, Limits{})
			require.ErrorIs(t, err, want)
			confirmed := tools.ConfirmDamage(t.Context(), info, ReadOptions{}, -1)
			if Permanent(want) {
				require.NoError(t, confirmed)
			} else {
				require.ErrorIs(t, confirmed, want)
			}
		})
	}
}

// TestConfirmDamage checks that only what fails again, in a readable file, is damage.
func TestConfirmDamage(t *testing.T) {
	whole := clip(t, "a.mp4", testVideo("128x96", "25")+"-movflags +faststart "+quick)
	truncated := cut(t, whole, 0.7)
	for _, salvage := range []bool{false, true} {
		t.Run(fmt.Sprint("salvage ", salvage), func(t *testing.T) {
			opts := ReadOptions{Salvage: salvage}
			read := func(tools Tools, path string) (Info, int, error) {
				info, err := tools.Probe(t.Context(), path, Limits{})
				require.NoError(t, err)
				frames, damage, err := readAll(t, tools, info, opts)
				require.True(t, errors.Is(err, ErrDamaged) || salvage && errors.Is(err, io.EOF), "%v", err)
				require.Error(t, damage)
				return info, frames, damage
			}
			tools := testTools(t)
			published := func(frames int) int {
				if salvage {
					return frames
				}
				return -1
			}
			info, frames, _ := read(tools, truncated)
			truncatedInfo, truncatedFrames := info, frames
			frames = published(frames)
			require.NoError(t, tools.ConfirmDamage(t.Context(), info, opts, frames), "the file is truncated")

			// A disk that once, silently, returns less to the decoder.
			once := wrapped(t, fmt.Sprintf(
				`case "$*" in *showinfo*) if mkdir %q 2>/dev/null; then exec 3<%q; fi;; esac; exec $tool "$@"`,
				filepath.Join(t.TempDir(), "once"), truncated))
			info, frames, _ = read(once, whole)
			frames = published(frames)
			err := once.ConfirmDamage(t.Context(), info, opts, frames)
			require.ErrorIs(t, err, ErrIO)
			assert.False(t, Permanent(err), "%v", err)

			if salvage { // as if the end had been read now
				require.ErrorIs(t, tools.ConfirmDamage(t.Context(), truncatedInfo, opts, truncatedFrames-1), ErrIO)
			}

			// A server that is down whenever a part is read. Its error follows the decoder's.
			down := wrapped(t, fmt.Sprintf(`case "$*" in *showinfo*) exec 3<%q; $tool "$@"
				echo "[error] a.mp4: Stale file handle" >&2; exit 1;; *) exec $tool "$@";; esac`, truncated))
			require.ErrorIs(t, down.ConfirmDamage(t.Context(), info, opts, frames), ErrIO)
		})
	}
}

func TestCheckReadable(t *testing.T) {
	in := written(t, "a.mp4", make([]byte, 3<<20))
	require.NoError(t, CheckReadable(t.Context(), in))
	require.ErrorIs(t, CheckReadable(t.Context(), in+".none"), ErrVanished)
	require.ErrorIs(t, CheckReadable(t.Context(), t.TempDir()), ErrNotVideo)
}

// TestOutOfMemory limits the memory of the tools, from what the loader needs to what a whole decoder needs. No failure
// may count as the file's fault.
func TestOutOfMemory(t *testing.T) {
	in := clip(t, "a.mp4", "-f lavfi -i testsrc2=s=1920x1080:r=25:d=1 "+quick)
	info, err := testTools(t).Probe(t.Context(), in, Limits{})
	require.NoError(t, err)
	for _, kib := range []int{100_000, 200_000, 280_000, 300_000, 315_000, 330_000, 345_000, 360_000, 400_000} {
		t.Run(fmt.Sprint(kib), func(t *testing.T) {
			tools := wrapped(t, fmt.Sprintf("ulimit -v %d; exec $tool \"$@\"", kib))
			if _, err := tools.Probe(t.Context(), in, Limits{}); err != nil {
				assert.False(t, Permanent(err), "%v", err)
			}
			for _, salvage := range []bool{false, true} {
				opts := ReadOptions{Salvage: salvage}
				frames, damage, err := readAll(t, tools, info, opts)
				if damage != nil {
					if !salvage {
						frames = -1
					}
					err = tools.ConfirmDamage(t.Context(), info, opts, frames)
				}
				if frames < 25 {
					assert.Error(t, err)
					assert.False(t, Permanent(err) || errors.Is(err, io.EOF), "%v", err)
				}
			}
		})
	}
}
