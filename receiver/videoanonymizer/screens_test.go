// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
)

// television is a lavfi graph of a room with a television, 280 x 170 pixels at (180, 100), that shows a test pattern.
const television = "color=c=0xc8c0b4:s=640x480:rate=10:duration=2[room];" +
	"testsrc2=s=264x154:rate=10:duration=2[picture];" +
	"[room]drawbox=x=180:y=100:w=280:h=170:color=0x101010:t=fill,drawbox=x=300:y=270:w=40:h=30:color=0x202020:t=fill," +
	"drawbox=x=250:y=298:w=140:h=8:color=0x202020:t=fill,drawbox=x=0:y=306:w=640:h=174:color=0x705030:t=fill[tv];" +
	"[tv][picture]overlay=188:108"

// TestScreensAreMasked checks that, with mask::also, a screen is masked in every frame, regardless of mask::max_size,
// but the wall is not, and that report and spans say so.
func TestScreensAreMasked(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const frames, width, height = 20, 640, 480
	cfg := newTestConfig(t)
	cfg.Mask.Also, cfg.Mask.MaxSize, cfg.Mask.Scale = []mask.Thing{mask.Screens}, 0.1, 0.5
	require.NoError(t, cfg.Validate())
	r := start(t, cfg)
	clip(t, filepath.Join(r.in, "room.mp4"), "-i", television)
	r.awaitLog(t, "finished", "room.mp4")
	output := filepath.Join(r.out, "room_anonymized.mp4")
	luma, err := exec.Command("ffmpeg", "-v", "error", "-i", output, "-pix_fmt", "gray", "-f", "rawvideo", "-").Output()
	require.NoError(t, err)
	require.Len(t, luma, frames*width*height)
	for i := range frames {
		frame := luma[i*width*height:][:width*height]
		for y := 102; y < 268; y += 4 {
			for x := 182; x < 458; x += 4 {
				require.Less(t, frame[y*width+x], byte(40), "frame %d shows (%d, %d)", i, x, y)
			}
		}
		assert.Greater(t, frame[40*width+60], byte(150), "the wall shows")
	}

	text, err := os.ReadFile(output + ".report.json")
	require.NoError(t, err)
	var report struct {
		Settings struct {
			Also []string `json:"mask_also"`
		} `json:"settings"`
		Models []struct {
			Key string `json:"key"`
		} `json:"models"`
		Summary struct {
			ByOrigin map[string]int `json:"masks_by_origin"`
		} `json:"summary"`
		Weakest []struct {
			Reason     string `json:"reason"`
			FirstFrame int    `json:"first_frame"`
			LastFrame  int    `json:"last_frame"`
		} `json:"weakest"`
	}
	require.NoError(t, json.Unmarshal(text, &report))
	assert.Equal(t, []string{"screens"}, report.Settings.Also)
	assert.GreaterOrEqual(t, report.Summary.ByOrigin["screen"], frames)
	shown := false
	for _, moment := range report.Weakest {
		shown = shown || moment.Reason == "screen" && moment.FirstFrame == 0 && moment.LastFrame == frames-1
	}
	assert.True(t, shown, "the screen is a moment to review")
	for _, span := range r.spans("process_single_frame") {
		screens, ok := span.Attributes().Get("anonymizer.mask.screen")
		require.True(t, ok)
		assert.Positive(t, screens.Int())
	}
}
