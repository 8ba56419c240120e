// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package media

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestChildResourceLimits lets ffmpeg exceed each of its bounds.
func TestChildResourceLimits(t *testing.T) {
	tools := testTools(t)
	dir := t.TempDir()
	for name, tt := range map[string]struct {
		bounds bounds
		args   string
		want   string
	}{
		"time": {bounds{cpu: time.Second}, "-f lavfi -i testsrc2=s=1280x720 -f null -",
			"more than 1s of CPU time"},
		"large": {bounds{file: 1 << 20},
			"-y -f lavfi -i testsrc2=s=320x240 -f rawvideo " + outputURL, "larger than 1 MiB"},
		"any": {bounds{},
			"-y -f lavfi -i testsrc2=s=320x240 -f rawvideo " + outputURL, "larger than 0 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"-nostdin", "-hide_banner", "-loglevel", "repeat+level+error"},
				strings.Fields(tt.args)...)
			file, err := reserve(filepath.Join(dir, name))
			require.NoError(t, err)
			_, err = tools.stream(t.Context(), tools.FFmpeg, args, streams{output: file}, tt.bounds, func(r io.Reader) error {
				_, err := io.Copy(io.Discard, r)
				return err
			})
			var over overLimit
			require.ErrorAs(t, err, &over)
			assert.Contains(t, over.Error(), tt.want)
		})
	}
	large, err := os.Stat(filepath.Join(dir, "large"))
	require.NoError(t, err)
	assert.LessOrEqual(t, large.Size(), int64(1<<20))
	any, err := os.Stat(filepath.Join(dir, "any"))
	require.NoError(t, err)
	assert.Zero(t, any.Size())
}

func TestChildMemoryLimit(t *testing.T) {
	tools := testTools(t)
	args := []string{"-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "color=s=8192x8192,reverse", "-t", "10",
		"-f", "null", "-"}
	for _, device := range []bool{false, true} {
		b := bounds{memory: 1 << 30, device: device, cpu: 3 * time.Second}
		_, err := tools.output(t.Context(), tools.FFmpeg, args, streams{}, b, nil)
		require.Error(t, err)
		over := errors.As(err, new(overLimit))
		assert.Equal(t, device, over, "drivers map more memory than there is, so that only the time is limited: %v", err)
		if !device {
			assert.ErrorContains(t, err, "alloc")
		}
	}
}

// TestOutputTooLarge writes a video that exceeds its limit: the error says so, and no file is left.
func TestOutputTooLarge(t *testing.T) {
	tools := testTools(t)
	in := clip(t, "a.mkv", "-f lavfi -i testsrc2=s=640x480:r=25:d=8 "+quick)
	info, err := tools.Probe(t.Context(), in, Limits{MaxOutput: 1})
	require.NoError(t, err)
	r, err := tools.Open(t.Context(), info, ReadOptions{})
	require.NoError(t, err)
	defer r.Close()
	out := filepath.Join(t.TempDir(), "out.mkv")
	w, err := tools.createFor(t.Context(), out, info, WriteOptions{Container: "mkv", Codec: "ffv1"})
	require.NoError(t, err)
	defer func() { _ = w.Abort() }()
	for {
		var frame *Frame
		if frame, err = r.Next(); err != nil {
			break
		}
		err = w.Write(frame)
		frame.Release()
		if err != nil {
			break
		}
	}
	if errors.Is(err, io.EOF) {
		err = w.Finish(t.Context())
	}
	require.ErrorIs(t, err, ErrLimit)
	assert.ErrorContains(t, err, "larger than 1 MiB")
	require.NoError(t, w.Abort())
	assert.NoFileExists(t, out)
}
