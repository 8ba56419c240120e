// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// endOfFragment returns the offset of the end of the n-th fragment of an MP4 file, counting from 1.
func endOfFragment(t *testing.T, file []byte, n int) int {
	t.Helper()
	for at := 0; at+8 <= len(file); {
		kind := string(file[at+4 : at+8])
		at += int(binary.BigEndian.Uint32(file[at:]))
		if kind == "mdat" {
			if n--; n == 0 {
				return at
			}
		}
	}
	t.Fatal("too few fragments")
	return 0
}

// TestHalfCopyIsSuperseded copies a video in two parts with a long pause in between, and checks that the output of the
// first part is marked as superseded once the whole video is published.
func TestHalfCopyIsSuperseded(t *testing.T) {
	r := start(t, newTestConfig(t))
	whole := filepath.Join(t.TempDir(), "whole.mp4")
	clip(t, whole, "-i", "testsrc2=size=320x240:rate=25:duration=4", "-g", "25", "-movflags", "frag_keyframe+empty_moov")
	film, err := os.ReadFile(whole)
	require.NoError(t, err)
	cut := endOfFragment(t, film, 2)
	source := filepath.Join(r.in, "walk.mp4")
	require.NoError(t, os.WriteFile(source, film[:cut], 0o600))
	r.awaitLog(t, "finished", "walk.mp4")
	f, err := os.OpenFile(source, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.Write(film[cut:])
	require.NoError(t, err)
	require.NoError(t, f.Close())
	mark := filepath.Join(r.out, "walk_anonymized.mp4.superseded.json")
	require.Eventually(t, func() bool {
		_, err := os.Stat(mark)
		return err == nil
	}, time.Minute, 20*time.Millisecond)
	require.NoError(t, r.Shutdown(t.Context()))
	checkReport(t, filepath.Join(r.out, "walk_anonymized.mp4"))
	checkReport(t, filepath.Join(r.out, "walk_anonymized-2.mp4"))
	text, err := os.ReadFile(mark)
	require.NoError(t, err)
	var content map[string]any
	require.NoError(t, json.Unmarshal(text, &content))
	assert.Equal(t, filepath.Join(r.out, "walk_anonymized-2.mp4"), content["superseded_by"])
	assert.Len(t, r.spans("process_single_frame"), 50+100)
}

// TestCameraCard checks that files that cameras put next to videos are left alone.
func TestCameraCard(t *testing.T) {
	r := start(t, newTestConfig(t))
	for _, name := range []string{"C0001.THM", "C0001.SRT", "C0001M01.XML", "C0001.WAV", "INDEX.IDX"} {
		require.NoError(t, os.WriteFile(filepath.Join(r.in, name), []byte("no video"), 0o600))
	}
	clip(t, filepath.Join(r.in, "C0001.MP4"), "-i", "testsrc2=size=320x240:rate=25:duration=1")
	r.awaitLog(t, "finished", "C0001.MP4")
	require.NoError(t, r.Shutdown(t.Context()))
	assert.Len(t, r.spans("anonymize_video"), 1)
}
