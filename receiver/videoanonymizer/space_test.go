// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

func TestSpaceIsPromisedOnce(t *testing.T) {
	const mib = 1 << 20
	folder := t.TempDir()
	free, device := int64(100*mib), uint64(1)
	l := ledger{free: func(string) (int64, uint64, error) { return free, device, nil }}
	temp := func(name string) string { return filepath.Join(folder, name) }

	_, err := l.reserve(temp(".a.mp4"), 91*mib, 10*mib)
	require.ErrorIs(t, err, media.ErrNoSpace)
	require.NotErrorIs(t, err, errPromised, "waiting does not help")
	assert.ErrorContains(t, err, "needs about 91 MiB, 100 MiB are free, of which 0 MiB are promised to videos under way and 10 MiB are to stay free")

	first, err := l.reserve(temp(".a.mp4"), 60*mib, 10*mib)
	require.NoError(t, err)
	_, err = l.reserve(temp(".b.mp4"), 31*mib, 10*mib)
	require.ErrorIs(t, err, media.ErrNoSpace, "60 are promised, 10 stay free")
	require.ErrorIs(t, err, errPromised)
	second, err := l.reserve(temp(".b.mp4"), 30*mib, 10*mib)
	require.NoError(t, err)
	second()

	// What is written is no longer free, and no longer promised.
	require.NoError(t, os.WriteFile(temp(".a-part2.mp4"), make([]byte, 20*mib), 0o600))
	free -= 20 * mib
	_, err = l.reserve(temp(".b.mp4"), 31*mib, 10*mib)
	require.ErrorIs(t, err, media.ErrNoSpace)
	second, err = l.reserve(temp(".b.mp4"), 30*mib, 10*mib)
	require.NoError(t, err)

	device = 2 // another disk
	_, err = l.reserve(temp(".c.mp4"), 70*mib, 10*mib)
	require.NoError(t, err)
	device = 1

	first()
	second()
	_, err = l.reserve(temp(".d.mp4"), 70*mib, 10*mib)
	assert.NoError(t, err, "all was given back")
}

// TestNoRoomForAVideo has a disk that is too small for one video, and not for another.
func TestNoRoomForAVideo(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=24M"); err != nil {
		t.Skip("only root can mount a small file system: ", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(disk, 0)) })
	cfg := newTestConfig(t)
	cfg.Output.Directory = filepath.Join(disk, "out")
	cfg.Output.Codec, cfg.Output.Container = "ffv1", "mkv"
	cfg.Output.MinFreeSpace = 10
	cfg.Retry.InitialInterval, cfg.Retry.MaxInterval, cfg.Retry.MaxAttempts = 10*time.Millisecond, 10*time.Millisecond, 2
	r := start(t, cfg)
	clip(t, filepath.Join(r.in, "long.mkv"), "-i", "testsrc2=size=640x480:rate=25:duration=2")
	failed := r.awaitLog(t, "failed", "long.mkv")
	reason, _ := failed.Attributes().Get("error.type")
	assert.Equal(t, "no_space", reason.Str())
	assert.Contains(t, failed.Body().Str(), "the video needs about")
	clip(t, filepath.Join(r.in, "short.mkv"), "-i", "testsrc2=size=160x120:rate=25:duration=0.4")
	r.awaitLog(t, "finished", "short.mkv")
	left, err := filepath.Glob(filepath.Join(r.out, "*.mkv"))
	require.NoError(t, err)
	assert.Equal(t, []string{filepath.Join(r.out, "short_anonymized.mkv")}, left)
}
