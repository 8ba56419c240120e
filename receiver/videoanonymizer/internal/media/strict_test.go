// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestBrokenVP9IsNoticed flips bits of a VP9 video. ffmpeg's own decoder decodes most of the rest to pictures without a
// complaint. With the strict decoder, the file counts as damaged, and salvage ends with what is certain.
func TestBrokenVP9IsNoticed(t *testing.T) {
	strict := testTools(t)
	if strict.decoders["vp9"] == "" {
		t.Skip("this ffmpeg has no libvpx-vp9")
	}
	own := strict
	own.decoders = nil
	in := clip(t, "a.webm", "-f lavfi -i testsrc2=s=320x240:r=25:d=2 -c:v libvpx-vp9 -deadline realtime -cpu-used 8")
	require.Equal(t, shownBy(t, strict, in, nil), shownBy(t, own, in, nil), "of a whole file they show the same")

	whole, err := os.ReadFile(in)
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(1, 2))
	var silent, noticed int
	const files = 12
	for range files {
		broken := append([]byte(nil), whole...)
		for range 3 {
			broken[len(broken)/4+random.IntN(len(broken)*3/4)] ^= 1 << random.IntN(8)
		}
		path := filepath.Join(t.TempDir(), "broken.webm")
		require.NoError(t, os.WriteFile(path, broken, 0o600))
		var err error
		if shownBy(t, own, path, &err); err == nil {
			silent++
		}
		if shownBy(t, strict, path, &err); errors.Is(err, ErrDamaged) {
			noticed++
		}
	}
	t.Logf("of %d broken files, ffmpeg's own decoder says nothing about %d", files, silent)
	assert.Positive(t, silent)
	assert.GreaterOrEqual(t, noticed, files-1, "a flipped bit may be one that nothing depends on")
}

// shownBy returns the digests of the frames, and sets err, if not nil, to how the video ended.
func shownBy(t *testing.T, tools Tools, path string, end *error) (frames []string) {
	t.Helper()
	info, err := tools.Probe(t.Context(), path, Limits{})
	if err != nil && end != nil {
		*end = err
		return nil
	}
	require.NoError(t, err)
	r, err := tools.Open(t.Context(), info, ReadOptions{})
	require.NoError(t, err)
	defer r.Close()
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			if end != nil {
				*end = nil
			}
			return frames
		}
		if err != nil && end != nil {
			*end = err
			return frames
		}
		require.NoError(t, err)
		frames = append(frames, string(f.buffer[headRoom:]))
		f.Release()
	}
}
