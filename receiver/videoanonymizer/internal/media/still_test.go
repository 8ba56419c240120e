// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestStills reads some frames of outputs, whose brightness encodes their number.
func TestStills(t *testing.T) {
	const rate = 5 // 100 frames take 20 s, so that some are sought
	tools := testTools(t)
	in := clip(t, "in.mkv", "-f lavfi -i color=gray:size=64x64:rate=5:duration=20 -c:v ffv1 -output_ts_offset 7")
	for _, container := range []string{"mp4", "mov", "mkv", "webm", "avi", "ts"} {
		t.Run(container, func(t *testing.T) {
			skipIfShort(t, container == "mp4")
			t.Parallel()
			path := filepath.Join(t.TempDir(), "out."+container)
			_, err := transcode(t.Context(), tools, in, path, ReadOptions{},
				WriteOptions{Container: container, Preset: "ultrafast"}, func(f *Frame) {
					for i := range f.Planes[0].Data {
						f.Planes[0].Data[i] = byte(20 + 2*f.Index)
					}
				})
			require.NoError(t, err)
			info, err := tools.Probe(t.Context(), path, Limits{})
			require.NoError(t, err)
			want := []int{0, 1, 70, 71, 99, 5, 70, 99}
			times := make([]time.Duration, len(want))
			for i, n := range want {
				times[i] = time.Duration(n) * time.Second / rate
			}
			times[len(times)-1] = time.Hour // past the end: the last frame
			got := make([]int, len(want))
			require.NoError(t, tools.Stills(t.Context(), info, times, func(i int, f *Frame) error {
				got[i] = (int(f.Planes[0].Data[32*64+32]) - 19) / 2
				return nil
			}))
			assert.Equal(t, want, got)
		})
	}
}

func TestStillsStopOnError(t *testing.T) {
	tools := testTools(t)
	info, err := tools.Probe(t.Context(),
		clip(t, "in.mkv", "-f lavfi -i color=gray:size=64x64:rate=25:duration=1 -c:v ffv1"), Limits{})
	require.NoError(t, err)
	enough := errors.New("enough")
	calls := 0
	err = tools.Stills(t.Context(), info, make([]time.Duration, 3), func(int, *Frame) error { calls++; return enough })
	require.ErrorIs(t, err, enough)
	assert.Equal(t, 1, calls)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, tools.Stills(ctx, info, make([]time.Duration, 1), nil), context.Canceled)
}
