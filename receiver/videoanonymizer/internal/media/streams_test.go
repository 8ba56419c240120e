// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	// lens and otherLens are two views that have nothing in common.
	lens       = "-f lavfi -i testsrc2=s=160x120:r=25:d=1 "
	otherLens  = "-f lavfi -i testsrc=s=320x240:r=25:d=1 "
	bothLenses = lens + otherLens + "-map 0:v -map 1:v "
	// splits show the same for 6 s in two sizes, and then two views.
	splits = "-f lavfi -i testsrc2=s=320x240:r=25:d=6 -f lavfi -i testsrc2=s=320x240:r=25:d=18 " +
		"-f lavfi -i testsrc=s=320x240:r=25:d=12 -filter_complex [0:v][2:v]concat[large];[1:v]scale=160x120[small] " +
		"-map [large] -map [small] " + quick
	// middle are two views that are the same for the first and last 20 of 60 s.
	middle = "-f lavfi -i testsrc2=s=320x240:r=25:d=60 -f lavfi -i testsrc2=s=320x240:r=25:d=60 " +
		"-f lavfi -i testsrc=s=320x240:r=25:d=60 -filter_complex " +
		"[1:v][2:v]overlay=enable='between(t,20,40)',scale=160x120[small] -map 0:v -map [small] " + quick
	// endsEarly are two streams of the same scene. The larger one has only its first 6 s.
	endsEarly = "-t 6 -f lavfi -i testsrc2=s=160x120:r=25:d=60 -f lavfi -i testsrc2=s=160x120:r=25:d=60 " +
		"-map 0:v -map 1:v -s:v:0 320x240 " + quick
)

// TestChooseVideoStream checks that a thumbnail, a cover or a preview is not taken for the video, wherever it is in the
// file.
func TestChooseVideoStream(t *testing.T) {
	thumbnail := clip(t, "a.mov", lens+"-frames:v 1 -s 80x60 -c:v mjpeg")
	preview := "-map 0:v -map 0:v -s:v:0 80x60 -s:v:1 160x120 " + quick
	longPreview := "-f lavfi -i testsrc2=s=160x120:r=25:d=30 " + preview
	for _, tc := range []struct {
		name, file, args string
		streams          []string
		frames           int
	}{
		{"thumbnail first in mov", "a.mov", "-i " + thumbnail + " " + otherLens + "-map 0:v -map 1:v -c:v:0 copy " +
			"-c:v:1 libx264 -preset ultrafast", []string{"0: mjpeg 80 x 60, still_image", "1: h264 320 x 240, taken"}, 25},
		{"thumbnail first in wmv", "a.wmv", "-i " + thumbnail + " " + otherLens + "-map 0:v -map 1:v -c:v:0 copy " +
			"-c:v:1 wmv2", []string{"0: mjpeg 80 x 60, still_image", "1: wmv2 320 x 240, taken"}, 25},
		{"large thumbnail last in mkv", "a.mkv", lens + otherLens + "-map 0:v -map 1:v -frames:v:1 1 " + quick,
			[]string{"0: h264 160 x 120, taken", "1: h264 320 x 240, still_image"}, 25},
		{"one frame each of the same", "a.mkv", lens + "-map 0:v -map 0:v -s:v:0 80x60 -frames:v:0 1 -frames:v:1 1 " + quick,
			[]string{"0: h264 80 x 60, preview", "1: h264 160 x 120, taken"}, 1},
		{"preview first", "a.mkv", lens + preview + "-disposition:v:0 0 -disposition:v:1 default",
			[]string{"0: h264 80 x 60, preview", "1: h264 160 x 120, taken"}, 25},
		{"preview first and default", "a.mp4", lens + preview,
			[]string{"0: h264 80 x 60, preview", "1: h264 160 x 120, taken"}, 25},
		{"slower preview", "a.mkv", lens + preview + "-r:v:0 5 -disposition:v:0 0 -disposition:v:1 default",
			[]string{"0: h264 80 x 60, preview", "1: h264 160 x 120, taken"}, 25},
		{"nearly as large, not default", "a.mkv", lens + "-map 0:v -map 0:v -s:v:0 144x108 " + quick +
			"-disposition:v:0 0 -disposition:v:1 default",
			[]string{"0: h264 144 x 108, preview", "1: h264 160 x 120, taken"}, 25},
		{"long preview", "a.mkv", longPreview, []string{"0: h264 80 x 60, preview", "1: h264 160 x 120, taken"}, 750},
		{"long preview in a stream", "a.ts", longPreview,
			[]string{"0: h264 80 x 60, preview", "1: h264 160 x 120, taken"}, 750},
		{"long preview of unknown length", "a.mkv", longPreview + "-live 1",
			[]string{"0: h264 80 x 60, preview", "1: h264 160 x 120, taken"}, 750},
		{"preview with a dark end", "a.mp4", "-f lavfi -i testsrc2=s=160x120:r=25:d=16 -f lavfi -i " +
			"color=black:s=160x120:r=25:d=24 -filter_complex [0:v][1:v]concat,split[a][b] -map [a] -map [b] -s:v:0 80x60 " +
			quick, []string{"0: h264 80 x 60, preview", "1: h264 160 x 120, taken"}, 1000},
		{"cover first", "a.mp4", "-i " + thumbnail + " " + otherLens + "-map 0:v -map 1:v -c:v:0 copy " +
			"-c:v:1 libx264 -preset ultrafast -disposition:v:0 attached_pic",
			[]string{"0: h264 320 x 240, taken", "1: mjpeg 80 x 60, cover"}, 25},
		{"the only one", "a.mp4", lens + quick, nil, 25},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tools := testTools(t)
			in := clip(t, tc.file, tc.args)
			info, err := tools.Probe(t.Context(), in, Limits{})
			require.NoError(t, err)
			assert.Equal(t, tc.streams, texts(info.Streams))
			pts, err := transcode(t.Context(), tools, in, filepath.Join(t.TempDir(), "out.mkv"), ReadOptions{},
				WriteOptions{}, nil)
			require.NoError(t, err)
			assert.Len(t, pts, tc.frames)
		})
	}
}

// TestSeveralVideoStreamsAreRefused checks that several videos in a file are never taken for one.
func TestSeveralVideoStreamsAreRefused(t *testing.T) {
	for _, tc := range []struct{ name, file, args string }{
		{"two lenses", "a.mp4", bothLenses + quick},
		{"two lenses, the larger one default", "a.mkv",
			bothLenses + quick + "-disposition:v:0 0 -disposition:v:1 default"},
		{"two programs", "a.ts", bothLenses + quick + "-program title=one:st=0 -program title=two:st=1"},
		{"a pair for stereo", "a.mkv", lens + "-map 0:v -map 0:v " + quick},
		{"two lenses in the dark", "a.mkv", "-f lavfi -i color=black:s=160x120:r=25:d=1 " +
			"-f lavfi -i color=black:s=320x240:r=25:d=1 -map 0:v -map 1:v " + quick},
		{"a smaller stream that goes on", "a.mkv", lens + "-f lavfi -i testsrc2=s=320x240:r=25:d=9 -map 0:v -map 1:v " +
			"-s:v:0 640x480 " + quick},
		{"a larger stream that ends early", "a.mkv", endsEarly},
		{"a larger stream that ends early, of unknown length", "a.mkv", endsEarly + "-live 1"},
		{"two views that begin alike", "a.mkv", splits},
		{"two views that begin and end alike", "a.mkv", middle},
		{"two views that end alike", "a.ts", strings.Replace(middle, "20,40", "0,40", 1)},
		{"two programs that begin alike", "a.ts", splits + "-program title=one:st=0 -program title=two:st=1"},
		{"two programs of the same", "a.ts", lens + "-map 0:v -map 0:v -s:v:1 80x60 " + quick +
			"-program title=one:st=0 -program title=two:st=1"},
		{"a lens and a thumbnail and a lens", "a.mkv",
			lens + otherLens + "-map 0:v -map 0:v -map 1:v -frames:v:1 1 " + quick},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			info, err := testTools(t).Probe(t.Context(), clip(t, tc.file, tc.args), Limits{})
			require.ErrorIs(t, err, ErrSeveralStreams)
			assert.Equal(t, "several_streams", Reason(err))
			require.GreaterOrEqual(t, len(info.Streams), 2, "the streams are known")
			for _, s := range info.Streams {
				assert.False(t, s.Taken)
				assert.Contains(t, err.Error(), s.String())
			}
		})
	}
}

// TestCompareNamesVideoStreams checks that a comparison names the video streams and says which one was taken.
func TestCompareNamesVideoStreams(t *testing.T) {
	in := clip(t, "a.mkv", lens+"-map 0:v -map 0:v -s:v:0 80x60 "+quick)
	out := filepath.Join(t.TempDir(), "out.mkv")
	_, err := transcode(t.Context(), testTools(t), in, out, ReadOptions{}, WriteOptions{}, nil)
	require.NoError(t, err)
	c, err := testTools(t).Compare(t.Context(), in, out)
	require.NoError(t, err)
	assert.Empty(t, c.Changed())
	i := slices.IndexFunc(c.Rows, func(r Row) bool { return r.What == "other video streams" })
	assert.Equal(t, Row{"other video streams", "0: h264 80 x 60, preview; 1: h264 160 x 120, taken", "-", Dropped},
		c.Rows[i])
}

func texts(streams []VideoStream) (all []string) {
	for _, s := range streams {
		all = append(all, s.String())
	}
	return all
}
