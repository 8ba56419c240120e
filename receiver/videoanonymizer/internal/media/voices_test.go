// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const sampleRate = 16000

// samples returns the samples of an audio stream between two times in seconds, by its own clock.
func samples(t *testing.T, path, stream string, from, to float64) []int16 {
	t.Helper()
	out, err := exec.Command("ffmpeg", "-v", "error", "-i", path, "-map", stream, "-af",
		fmt.Sprintf("aresample=%d:async=1:first_pts=0,atrim=%g:%g", sampleRate, from, to), "-ac", "1", "-f", "s16le",
		"-").Output()
	require.NoError(t, err)
	all := make([]int16, len(out)/2)
	_, err = binary.Decode(out, binary.LittleEndian, all)
	require.NoError(t, err)
	return all
}

// tone returns the frequency in Hz of a tone, by counting where it rises above zero.
func tone(t *testing.T, path, stream string, from, to float64) float64 {
	t.Helper()
	all, rises := samples(t, path, stream, from, to), 0
	for i := 1; i < len(all); i++ {
		if all[i-1] < 0 && all[i] >= 0 {
			rises++
		}
	}
	return float64(rises) / (to - from)
}

// TestVoicesStayInPlace checks that audio after a gap keeps its time, and that the gap stays silent.
func TestVoicesStayInPlace(t *testing.T) {
	in := clip(t, "a.mkv", "-f lavfi -i testsrc2=s=64x48:r=25:d=4 "+
		`-f lavfi -i sine=d=4:r=48000,volume=enable='between(t\,3\,3.2)':volume=4,aselect='not(between(t\,1\,2))' `+
		"-c:v libx264 -preset ultrafast -c:a flac")
	out := filepath.Join(t.TempDir(), "a.mkv")
	_, err := transcode(t.Context(), testTools(t), in, out, ReadOptions{},
		WriteOptions{Preset: "ultrafast", Audio: AudioAlter}, nil)
	require.NoError(t, err)
	loud := func(from, to float64) (peak int16) {
		for _, v := range samples(t, out, "0:a", from, to) {
			peak = max(peak, v)
		}
		return peak
	}
	tone := loud(.5, .9)
	assert.Greater(t, tone, int16(1000))
	assert.Less(t, loud(1.15, 1.85), tone/10, "the gap")
	assert.InDelta(t, tone, loud(2.2, 2.9), float64(tone)/2, "after the gap")
	assert.Greater(t, loud(3.05, 3.15), 2*tone, "the louder part")
	assert.Less(t, loud(3.35, 3.9), 2*tone, "after the louder part")
}

// TestVoicesMeet checks that high voices are shifted down and low ones up, separately for each audio stream, and that
// silence is no error.
func TestVoicesMeet(t *testing.T) {
	in := clip(t, "a.mkv", "-f lavfi -i testsrc2=s=64x48:r=25:d=3 -f lavfi -i sine=f=110:d=3:r=48000 "+
		"-f lavfi -i sine=f=210:d=3:r=48000 -f lavfi -i anullsrc=r=48000:cl=mono:d=3 -map 0 -map 1 -map 2 -map 3 "+
		"-c:v libx264 -preset ultrafast -c:a flac")
	out := filepath.Join(t.TempDir(), "a.mkv")
	_, err := transcode(t.Context(), testTools(t), in, out, ReadOptions{},
		WriteOptions{Preset: "ultrafast", Audio: AudioAlter}, nil)
	require.NoError(t, err)
	assert.InDelta(t, 132, tone(t, out, "0:a:0", 1, 2), 3)
	assert.InDelta(t, 175, tone(t, out, "0:a:1", 1, 2), 3)
	assert.InDelta(t, 0, tone(t, out, "0:a:2", 1, 2), 1)
}

// TestVoicesNeedAFilter checks that the receiver does not start without the filter, rather than leave voices unaltered.
func TestVoicesNeedAFilter(t *testing.T) {
	require.NoError(t, testTools(t).CheckEncoder(t.Context(), WriteOptions{Audio: AudioAlter}))
	without := filepath.Join(t.TempDir(), "ffmpeg")
	require.NoError(t, os.WriteFile(without, []byte("#!/bin/sh\necho ' ... atempo A->A Adjust audio tempo.'\n"), 0o700))
	err := Tools{FFmpeg: without}.CheckEncoder(t.Context(), WriteOptions{Audio: AudioAlter})
	require.ErrorIs(t, err, ErrTool)
	require.ErrorContains(t, err, "rubberband")
	require.ErrorContains(t, err, "output::audio")
}
