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
		"CPU time": {bounds{cpu: time.Second}, "-f lavfi -i testsrc2=s=1280x720 -f null -",
			"more than 1s of CPU time"},
		"a file that is too large": {bounds{file: 1 << 20},
			"-f lavfi -i testsrc2=s=320x240 -f rawvideo file:" + filepath.Join(dir, "large"), "larger than 1 MiB"},
		"a file of a reading child": {bounds{},
			"-f lavfi -i testsrc2=s=320x240 -f rawvideo file:" + filepath.Join(dir, "any"), "larger than 0 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"-nostdin", "-hide_banner", "-loglevel", "repeat+level+error"},
				strings.Fields(tt.args)...)
			_, err := stream(t.Context(), tools.FFmpeg, args, nil, tt.bounds, func(r io.Reader) error {
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
