// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
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

	_, err := s.reserve(temp(".a.mp4"), 91*mib, 10*mib)
	require.ErrorIs(t, err, media.ErrNoSpace)
	require.NotErrorIs(t, err, errReserved, "waiting does not help")
	assert.ErrorContains(t, err, "needs about 91 MiB, 100 MiB are free, of which 0 MiB are reserved for videos in "+
		"progress and 10 MiB must stay free")

	first, err := s.reserve(temp(".a.mp4"), 60*mib, 10*mib)
	require.NoError(t, err)
	_, err = s.reserve(temp(".b.mp4"), 31*mib, 10*mib)
	require.ErrorIs(t, err, media.ErrNoSpace, "60 are reserved, 10 stay free")
	require.ErrorIs(t, err, errReserved)
	second, err := s.reserve(temp(".b.mp4"), 30*mib, 10*mib)
	require.NoError(t, err)
	second()

	// Space that is written to is no longer free, and no longer reserved.
	require.NoError(t, os.WriteFile(temp(".a-part2.mp4"), make([]byte, 20*mib), 0o600))
	free -= 20 * mib
	_, err = s.reserve(temp(".b.mp4"), 31*mib, 10*mib)
	require.ErrorIs(t, err, media.ErrNoSpace)
	second, err = s.reserve(temp(".b.mp4"), 30*mib, 10*mib)
	require.NoError(t, err)

	device = 2 // another disk
	_, err = s.reserve(temp(".c.mp4"), 70*mib, 10*mib)
	require.NoError(t, err)
	device = 1

	first()
	second()
	_, err = s.reserve(temp(".d.mp4"), 70*mib, 10*mib)
	assert.NoError(t, err, "all reservations were released")
}
