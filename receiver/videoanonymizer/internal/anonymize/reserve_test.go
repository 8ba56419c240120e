// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

func TestSpaceIsReservedOnce(t *testing.T) {
	const mib = 1 << 20
	folder := t.TempDir()
	free, device := int64(100*mib), uint64(1)
	s := Space{free: func(string) (int64, uint64, error) { return free, device, nil }}
	temp := func(name string) string { return filepath.Join(folder, name) }

	_, err := s.reserve(temp(".a.mp4"), writtenLike, 91*mib, 10*mib)
	require.ErrorIs(t, err, media.ErrNoSpace)
	require.NotErrorIs(t, err, errReserved, "waiting does not help")
	assert.ErrorContains(t, err, "needs about 91 MiB; 100 MiB are free, of which 0 MiB are reserved for videos in "+
		"progress and 10 MiB must stay free")

	first, err := s.reserve(temp(".a.mp4"), writtenLike, 60*mib, 10*mib)
	require.NoError(t, err)
	_, err = s.reserve(temp(".b.mp4"), writtenLike, 31*mib, 10*mib)
	require.ErrorIs(t, err, media.ErrNoSpace, "60 are reserved, 10 stay free")
	require.ErrorIs(t, err, errReserved)
	second, err := s.reserve(temp(".b.mp4"), writtenLike, 30*mib, 10*mib)
	require.NoError(t, err)
	second()

	// Space that was written to is no longer free, and no longer reserved.
	require.NoError(t, os.WriteFile(temp(".a-part2.mp4"), make([]byte, 20*mib), 0o600))
	free -= 20 * mib
	_, err = s.reserve(temp(".b.mp4"), writtenLike, 31*mib, 10*mib)
	require.ErrorIs(t, err, media.ErrNoSpace)
	second, err = s.reserve(temp(".b.mp4"), writtenLike, 30*mib, 10*mib)
	require.NoError(t, err)

	device = 2 // another disk
	_, err = s.reserve(temp(".c.mp4"), writtenLike, 70*mib, 10*mib)
	require.NoError(t, err)
	device = 1

	first()
	second()
	_, err = s.reserve(temp(".d.mp4"), writtenLike, 70*mib, 10*mib)
	assert.NoError(t, err, "all reservations were released")
}

// TestSpaceOfPictures checks that what was written of a picture is no longer reserved.
func TestSpaceOfPictures(t *testing.T) {
	folder := t.TempDir()
	free := int64(100)
	s := Space{free: func(string) (int64, uint64, error) { return free, 1, nil }}
	temp := filepath.Join(folder, ".a.jpg")
	release, err := s.reserve(temp, writtenAt, 60, 0)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(temp, make([]byte, 50), 0o600))
	free -= 50
	_, err = s.reserve(filepath.Join(folder, ".b.jpg"), writtenAt, 41, 0)
	require.ErrorIs(t, err, errReserved, "10 are still reserved")
	other, err := s.reserve(filepath.Join(folder, ".b.jpg"), writtenAt, 40, 0)
	require.NoError(t, err)
	other()
	require.NoError(t, os.WriteFile(temp, make([]byte, 70), 0o600))
	_, err = s.reserve(filepath.Join(folder, ".b.jpg"), writtenAt, 50, 0)
	require.NoError(t, err, "more was written than reserved")
	release()
}

// BenchmarkReserveForPictures reserves space for a picture while others are in progress, as in a burst, in a folder
// with ten thousand outputs and their reports.
func BenchmarkReserveForPictures(b *testing.B) {
	folder := b.TempDir()
	for i := range 20_000 {
		require.NoError(b, os.WriteFile(filepath.Join(folder, fmt.Sprintf("%06d.jpg", i)), nil, 0o600))
	}
	temp := filepath.Join(folder, ".anonymizing-0123456789abcdef.jpg")
	var s Space
	for range 4 {
		_, err := s.reserve(temp, writtenAt, 1, 0)
		require.NoError(b, err)
	}
	for b.Loop() {
		release, err := s.reserve(temp, writtenAt, 1, 0)
		require.NoError(b, err)
		release()
	}
}
