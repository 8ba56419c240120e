// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
)

func TestExcerptHasTheAnnotatedFrames(t *testing.T) {
	for _, rate := range []string{"10", "25", "30000/1001"} {
		t.Run(rate, func(t *testing.T) {
			clip, path := filepath.Join(t.TempDir(), "clip.avi"), filepath.Join(t.TempDir(), "excerpt.avi")
			output, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=size=32x32:rate="+rate+
				",trim=end_frame=40,format=gray,geq=lum=5*N", "-c:v", "ffv1", clip).CombinedOutput()
			require.NoError(t, err, string(output))
			a := annotation{Frames: []annotatedFrame{{Frame: 0}, {Frame: 3}, {Frame: 4}, {Frame: 17}, {Frame: 39}}}
			require.NoError(t, excerpt(t.Context(), a, clip, path))
			source, err := footage.Decode(clip)
			require.NoError(t, err)
			chosen, err := footage.Decode(path)
			require.NoError(t, err)
			var want, got []byte // the luma of each frame
			for _, frame := range a.Frames {
				want = append(want, source[frame.Frame].At(0, 0))
			}
			for _, frame := range chosen {
				got = append(got, frame.At(0, 0))
			}
			assert.Equal(t, want, got)
		})
	}
}

func TestExcerptOfEveryFrame(t *testing.T) {
	const frames = 250
	clip, path := filepath.Join(t.TempDir(), "clip.avi"), filepath.Join(t.TempDir(), "excerpt.avi")
	output, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=size=32x32",
		"-frames:v", strconv.Itoa(frames), "-c:v", "ffv1", clip).CombinedOutput()
	require.NoError(t, err, string(output))
	var a annotation
	for n := range frames {
		a.Frames = append(a.Frames, annotatedFrame{Frame: n})
	}
	require.NoError(t, excerpt(t.Context(), a, clip, path))
	chosen, err := footage.Decode(path)
	require.NoError(t, err)
	assert.Len(t, chosen, frames)
}

// TestFastDefaceKeepsTheSameBoxes compares its suppression with that of deface, where that is installed.
func TestFastDefaceKeepsTheSameBoxes(t *testing.T) {
	p, err := findPeer(t.Context())
	if err != nil {
		t.Skip(err)
	}
	output, err := exec.Command(p.python(), "-c", strings.ReplaceAll(fastDeface, "__main__", "not run")+`
for seed in range(100):
    random = np.random.default_rng(seed)
    boxes = random.uniform(0, 90, (200, 4)).astype(np.float32)
    boxes[:, 2:] = boxes[:, :2] + random.integers(0, 40, (200, 2))  # some without area
    scores = random.uniform(0, 1, 200).astype(np.float32)
    kept = nms(boxes, scores, 0.3)
    assert 10 < len(kept) < 190, kept
    np.testing.assert_array_equal(kept, CenterFace.nms(boxes, scores, 0.3))
`).CombinedOutput()
	require.NoError(t, err, string(output))
}

func TestPeerFramesMatchedByTime(t *testing.T) {
	assert.Equal(t, 2, nearest([]float64{0, 0.1, 0.2, 0.3}, 0.22))
	assert.Equal(t, 3, nearest([]float64{0, 0.1, 0.2, 0.3}, 9))
	assert.Equal(t, 0, nearest([]float64{0, 0.1, 0.2, 0.3}, -1))
}
