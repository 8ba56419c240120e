// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package scene

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadScenes(t *testing.T) {
	scenes, err := Read()
	require.NoError(t, err)
	assert.NotEmpty(t, scenes)
}

// TestPlaceIsWhereItIsRendered renders a white box on black in each way that a picture can be shown, and checks where
// it is in the clip.
func TestPlaceIsWhereItIsRendered(t *testing.T) {
	dir := t.TempDir()
	head := Box{200, 120, 264, 216}
	ffmpeg(t, "-f", "lavfi", "-i",
		"color=black:s=640x480:r=25:d=1,drawbox=x=200:y=120:w=64:h=96:color=white:t=fill,format=yuv420p", "-qp", "0",
		filepath.Join(dir, Sources["stills"].Clip))

	for name, p := range map[string]Picture{
		"as it is":  {},
		"mirrored":  {Mirror: true},
		"turned":    {Turn: 90},
		"left":      {Turn: 270, At: [2]int{40, 20}},
		"upside":    {Turn: 180},
		"all":       {Turn: 90, Mirror: true, Crop: [4]int{100, 60, 400, 300}, Size: [2]int{150, 200}, At: [2]int{60, 10}},
		"cropped":   {Crop: [4]int{230, 60, 200, 300}},
		"moving":    {Move: [2]int{12, -6}, Step: 2, Frame: 1},
		"cut short": {Shown: []int{3, 8}, Move: [2]int{-60, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			p.From = "stills"
			s := Scene{Size: [2]int{480, 360}, Canvas: [2]int{640, 640}, Rate: 25, Frames: 9, Every: 1,
				Camera: []Point{{0, [2]int{0, 0}}, {5, [2]int{70, 22}}, {8, [2]int{10, 40}}}, Pictures: []Picture{p}}
			s.Pictures[0].setDefaults(s.Frames)
			require.NoError(t, s.validate())
			clip := filepath.Join(dir, "clip.mp4")
			ffmpeg(t, append(s.Arguments(dir), clip)...)
			pixels, err := exec.Command("ffmpeg", "-v", "error", "-i", clip, "-f", "rawvideo", "-pix_fmt", "gray", "-").Output()
			require.NoError(t, err)
			require.Len(t, pixels, s.Frames*s.Size[0]*s.Size[1])
			for n := range s.Frames {
				frame := pixels[n*s.Size[0]*s.Size[1]:][:s.Size[0]*s.Size[1]]
				if !s.Pictures[0].Visible(n) {
					assert.Zero(t, bright(frame, s.Size[0]), "frame %d", n)
					continue
				}
				box, _ := s.Place(0, n, head)
				assert.InDeltaSlice(t, box[:], bright(frame, s.Size[0]), 1, "frame %d", n)
			}
		})
	}
}

func ffmpeg(t *testing.T, args ...string) {
	t.Helper()
	output, err := exec.Command("ffmpeg", append([]string{"-v", "error", "-y"}, args...)...).CombinedOutput()
	require.NoError(t, err, string(output))
}

// bright returns left, top, right and bottom of the area brighter than the gray around pictures; nil if there is none.
func bright(frame []byte, width int) []float64 {
	var box []float64
	for i, luma := range frame {
		if luma < 190 {
			continue
		}
		x, y := float64(i%width), float64(i/width)
		if box == nil {
			box = []float64{x, y, x + 1, y + 1}
		}
		box = []float64{min(box[0], x), min(box[1], y), max(box[2], x+1), max(box[3], y+1)}
	}
	return box
}

func TestHiddenPartOfAHead(t *testing.T) {
	head := Box{200, 100, 240, 160}
	for name, c := range map[string]struct {
		over Picture
		box  Box
		part float64
	}{
		"beside":               {Picture{At: [2]int{240, 0}}, head, 1},
		"right half":           {Picture{At: [2]int{220, 0}}, Box{200, 100, 220, 160}, 0.5},
		"lower third":          {Picture{At: [2]int{0, 140}}, Box{200, 100, 240, 140}, 2. / 3},
		"corner":               {Picture{At: [2]int{220, 130}}, head, 0.75},
		"all":                  {Picture{}, Box{200, 100, 200, 160}, 0},
		"only in other frames": {Picture{Shown: []int{2, 3}}, head, 1},
		"a stripe in the middle": {
			Picture{Crop: [4]int{0, 0, 10, 400}, At: [2]int{210, 0}}, Box{220, 100, 240, 160}, 0.5},
	} {
		t.Run(name, func(t *testing.T) {
			s := Scene{Size: [2]int{640, 480}, Frames: 4, Pictures: []Picture{{From: "stills"}, c.over}}
			s.Pictures[1].From = "stills"
			for i := range s.Pictures {
				s.Pictures[i].setDefaults(s.Frames)
			}
			box, part := s.Place(0, 0, head)
			assert.InDelta(t, c.part, part, 1e-9)
			if part > 0 {
				assert.Equal(t, c.box, box)
			}
		})
	}
}
