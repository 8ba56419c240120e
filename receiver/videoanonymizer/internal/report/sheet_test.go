// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// colors creates a video with one second each of red, green and blue.
func colors(t *testing.T, encoder ...string) (tools media.Tools, path string) {
	t.Helper()
	tools, err := media.FindTools("", "")
	require.NoError(t, err)
	path = filepath.Join(t.TempDir(), "colours.mkv")
	args := []string{"-v", "error", "-f", "lavfi", "-i",
		"color=red:s=640x360:d=1,format=yuv420p[a];color=lime:s=640x360:d=1,format=yuv420p[b];" +
			"color=blue:s=640x360:d=1,format=yuv420p[c];[a][b][c]concat=n=3"}
	out, err := exec.Command(tools.FFmpeg, append(append(args, encoder...), path)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return tools, path
}

func TestSheet(t *testing.T) {
	for name, encoder := range map[string][]string{
		"8 bit":             {"-c:v", "ffv1"},
		"10 bit":            {"-c:v", "ffv1", "-pix_fmt", "yuv422p10le"},
		"full range, 4:4:4": {"-c:v", "ffv1", "-vf", "scale=out_range=full", "-pix_fmt", "yuvj444p"},
	} {
		t.Run(name, func(t *testing.T) {
			tools, video := colors(t, encoder...)
			moments := []Moment{
				{Reason: Held, At: "00:00:02.500", Time: 2.5, Box: [4]int{300, 100, 340, 140}},
				{Reason: LowScore, Time: 0.1, Box: [4]int{-20, -20, 20, 20}},
				{Reason: MaskedWhole, Time: 1.5, Box: [4]int{0, 0, 640, 360}},
				{Reason: Interpolated, Time: 1, Box: [4]int{600, 300, 700, 400}},
				{Reason: NobodyFound, Time: 2},
				{Reason: NoKeypoints, Time: 99, Box: [4]int{0, 0, 640, 360}},
				{Reason: LowScore, Time: 0.2},
			}
			path := filepath.Join(t.TempDir(), "sheet.jpg")
			require.NoError(t, WriteSheet(t.Context(), tools, video, path, moments, 6))
			sheet := read(t, path)
			assert.Equal(t, image.Pt(4*(tileWidth+gap)+gap, 2*(tileHeight+2*lineHeight+gap)+gap), sheet.Bounds().Size())
			red, lime, blue := color.RGBA{255, 0, 0, 255}, color.RGBA{0, 255, 0, 255}, color.RGBA{0, 0, 255, 255}
			for i, want := range []color.RGBA{blue, red, lime, lime, blue, blue} {
				r, g, b, _ := sheet.At(gap+i%4*(tileWidth+gap)+40, gap+i/4*(tileHeight+2*lineHeight+gap)+200).RGBA()
				assert.InDeltaSlice(t, []int{int(want.R), int(want.G), int(want.B)}, []int{int(r >> 8), int(g >> 8), int(b >> 8)},
					12, "tile %d", i)
			}
			require.ErrorContains(t, WriteSheet(t.Context(), tools, video, path, moments, 1), "exists", "a file is not replaced")
		})
	}
}

func TestNoSheetWithoutMoments(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sheet.jpg")
	require.ErrorIs(t, WriteSheet(t.Context(), media.Tools{}, "video", path, nil, 5), ErrNothingToShow)
	assert.NoFileExists(t, path)
}

func read(t *testing.T, path string) image.Image {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	picture, err := jpeg.Decode(file)
	require.NoError(t, err)
	return picture
}

func TestCropAroundAMask(t *testing.T) {
	tests := map[string]struct {
		moment        Moment
		width, height int
		want          image.Rectangle
	}{
		"small mask":     {Moment{Box: [4]int{950, 500, 970, 520}}, 1920, 1080, image.Rect(720, 330, 1200, 690)},
		"large mask":     {Moment{Box: [4]int{400, 100, 1400, 900}}, 1920, 1080, image.Rect(180, 0, 1620, 1080)},
		"in the corner":  {Moment{Box: [4]int{1900, 1060, 1960, 1120}}, 1920, 1080, image.Rect(1440, 720, 1920, 1080)},
		"upright video":  {Moment{Box: [4]int{0, 0, 300, 300}}, 360, 640, image.Rect(0, 15, 360, 285)},
		"tiny video":     {Moment{Box: [4]int{0, 0, 1, 1}}, 1, 1, image.Rect(0, 0, 1, 1)},
		"masked whole":   {Moment{Reason: MaskedWhole}, 1920, 1080, image.Rect(0, 0, 1920, 1080)},
		"far off screen": {Moment{Box: [4]int{5000, 5000, 5010, 5010}}, 640, 360, image.Rect(480, 240, 640, 360)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, around(test.moment, test.width, test.height))
		})
	}
}
