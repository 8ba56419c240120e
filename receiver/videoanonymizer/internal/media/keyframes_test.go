// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"errors"
	"io"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestKeyFramesAreWhatWasWritten compares the key frames of segments with what was written, and again after changing
// the writer's record of it.
func TestKeyFramesAreWhatWasWritten(t *testing.T) {
	tools, worst := testTools(t), 51
	const source = "-f lavfi -i testsrc2=s=320x240:r=25:d=1 "
	for name, test := range map[string]struct {
		source  string
		options WriteOptions
	}{
		"h264": {source, WriteOptions{}},
		"h264 of noise": {"-f lavfi -i nullsrc=s=320x240:r=25:d=1,geq=random(1)*255:128:128 ",
			WriteOptions{Quality: &worst}},
		"h265, 10 bit": {source + "-pix_fmt yuv420p10le ", WriteOptions{Codec: "h265"}},
		"10 bit to 8":  {source + "-pix_fmt yuv422p10le ", WriteOptions{}},
		"full range": {"-f lavfi -i testsrc2=s=320x240:r=25:d=1,scale=out_range=full -pix_fmt yuvj420p ",
			WriteOptions{}},
		"gray":              {source + "-pix_fmt gray ", WriteOptions{Codec: "ffv1"}},
		"ffv1, 4:4:4":       {source + "-pix_fmt yuv444p ", WriteOptions{Codec: "ffv1"}},
		"vp9":               {source, WriteOptions{Codec: "vp9", Preset: "ultrafast"}},
		"av1":               {source, WriteOptions{Codec: "av1", Preset: "ultrafast"}},
		"odd, smaller":      {"-f lavfi -i testsrc2=s=35x21:r=25:d=1 -pix_fmt yuv444p ", WriteOptions{}},
		"a frame a segment": {source + "-frames:v 3 ", WriteOptions{}},
	} {
		t.Run(name, func(t *testing.T) {
			skipIfShort(t, name == "h264" || name == "10 bit to 8")
			info, err := tools.Probe(t.Context(), clip(t, "a.mkv", test.source+"-c:v ffv1"), Limits{})
			require.NoError(t, err)
			require.NoError(t, compared(t, tools, info, test.options, func(*keyFrames) {}))
			require.ErrorIs(t, compared(t, tools, info, test.options, func(k *keyFrames) {
				for i, v := range k.thumbs[0] { // the negative of noise would be the same gray
					k.thumbs[0][i] = 255 * (1 - v/128)
				}
			}), ErrVerification)
			require.ErrorIs(t, compared(t, tools, info, test.options, func(k *keyFrames) { k.times[0]-- }),
				ErrVerification, "at another time")
		})
	}
}

// compared writes a video in segments, and compares the first one after change has modified the writer's record of it.
func compared(t *testing.T, tools Tools, info Info, options WriteOptions, change func(*keyFrames)) error {
	t.Helper()
	r, err := tools.Open(t.Context(), info, ReadOptions{})
	require.NoError(t, err)
	defer r.Close()
	options.Container = "mkv"
	plan, err := NewPlan(info, options)
	require.NoError(t, err)
	w, err := tools.Create(t.Context(), filepath.Join(t.TempDir(), ".part.mkv"), plan, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, w.Abort()) }()
	w.CompareKeyFrames()
	for {
		frame, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		require.NoError(t, w.Write(frame))
		if frame.Index == 1 {
			change(w.keys)
			_, err = w.Seal()
			require.NoError(t, err)
		}
		frame.Release()
	}
	require.NoError(t, w.Finish(t.Context()))
	assert.Empty(t, w.keys.thumbs, "they are given up")
	return w.Compared()
}

// TestThumbnailsDiffer checks that a frame cannot be confused with another image, or with a blank one.
func TestThumbnailsDiffer(t *testing.T) {
	info := plainInfo(t, "yuv420p", 320, 240)
	frame := noise(t, info, 0)
	grainy := thumbnailOf(frame)
	same := thumbnailOf(noise(t, info, 1))
	assert.Less(t, grainy.distance(&same), float64(sameThumb), "noise evens out")
	luma := frame.Planes[0].Data
	for i := range luma {
		luma[i] = 16
	}
	black := thumbnailOf(frame)
	assert.Equal(t, slices.Repeat([]uint8{16}, len(black)), black[:])
	assert.Greater(t, grainy.distance(&black), 20.0)
}
