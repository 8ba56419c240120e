// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEstimateSize(t *testing.T) {
	yuv, err := formatByName("yuv420p")
	require.NoError(t, err)
	hour := Info{Path: "a.mkv", Codec: "h264", Format: yuv, Width: 1920, Height: 1080, TimeBase: Rational{1, 1000},
		FrameRate: Rational{25, 1}, EstimatedFrames: 90_000}
	const pixels = 1920 * 1080 * 90_000
	quality := func(q int) *int { return &q }
	for _, tc := range []struct {
		name   string
		source int64 // bytes
		frames int64
		opts   WriteOptions
		want   float64 // bytes
	}{
		{name: "default", source: 1 << 30, opts: WriteOptions{}, want: pixels * 0.12 / 8},
		{name: "small source", source: 1000, opts: WriteOptions{}, want: pixels * 0.12 / 8},
		{name: "large source, hard to encode", source: 6e9, opts: WriteOptions{}, want: 6e9},
		{name: "wasteful source", source: 1e12, opts: WriteOptions{}, want: 4 * pixels * 0.12 / 8},
		{name: "finer", source: 1 << 30, opts: WriteOptions{Quality: quality(11)}, want: 4 * pixels * 0.12 / 8},
		{name: "coarser", source: 1000, opts: WriteOptions{Quality: quality(35)}, want: pixels * 0.12 / 8 / 4},
		{name: "fast", source: 1000, opts: WriteOptions{Preset: "ultrafast"}, want: 3 * pixels * 0.12 / 8},
		{name: "lossless", source: 1 << 30, opts: WriteOptions{Codec: "ffv1"}, want: pixels * 1.5 * 0.4},
		{name: "unknown length", source: 123456, frames: -1, opts: WriteOptions{}, want: 123456},
		{name: "absurd length", source: 1000, frames: math.MaxInt64, opts: WriteOptions{Codec: "ffv1"},
			want: math.MaxInt64 / 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			info := hour
			info.Size = tc.source
			if tc.frames != 0 {
				info.EstimatedFrames = tc.frames
			}
			plan, err := NewPlan(info, tc.opts)
			require.NoError(t, err)
			assert.InEpsilon(t, tc.want, plan.EstimateSize(), 0.01)
		})
	}
	_, err = NewPlan(hour, WriteOptions{Container: "webm", Codec: "ffv1"})
	assert.ErrorIs(t, err, ErrUnsupported)
}

// TestEstimateSizeIsEnough writes a grainy video with each codec: the output is at most twice the estimate.
func TestEstimateSizeIsEnough(t *testing.T) {
	tools := testTools(t)
	in := clip(t, "a.mkv",
		"-f lavfi -i testsrc2=s=320x240:r=25:d=1 -vf noise=alls=6:allf=t -c:v libx264 -preset ultrafast -crf 18")
	info, err := tools.Probe(t.Context(), in, Limits{})
	require.NoError(t, err)
	for _, codec := range []string{"h264", "h265", "vp9", "av1", "ffv1"} {
		t.Run(codec, func(t *testing.T) {
			skipIfShort(t, codec == "h264")
			out := filepath.Join(t.TempDir(), "b.mkv")
			_, err := transcode(t.Context(), tools, in, out, ReadOptions{}, WriteOptions{Codec: codec}, nil)
			require.NoError(t, err)
			written, err := os.Stat(out)
			require.NoError(t, err)
			plan, err := NewPlan(info, WriteOptions{Codec: codec})
			require.NoError(t, err)
			estimate := plan.EstimateSize()
			t.Logf("%d bytes, estimated %d", written.Size(), estimate)
			assert.LessOrEqual(t, written.Size(), 2*estimate)
		})
	}
}

func TestFreeSpace(t *testing.T) {
	free, device, err := FreeSpace(t.TempDir())
	require.NoError(t, err)
	assert.Positive(t, free)
	assert.NotZero(t, device)
	_, _, err = FreeSpace(filepath.Join(t.TempDir(), "none"))
	assert.ErrorIs(t, err, ErrUnwritable)
}
