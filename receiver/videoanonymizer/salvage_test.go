// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// newSalvageConfig salvages damaged videos and deletes finished sources.
func newSalvageConfig(t *testing.T) *Config {
	cfg := newTestConfig(t)
	cfg.OnDamaged, cfg.Output.OnSuccess = config.OnDamagedSalvage, watch.OnSuccessDelete
	cfg.Retry.InitialInterval, cfg.Retry.MaxInterval = 10*time.Millisecond, 10*time.Millisecond
	return cfg
}

// twoSeconds creates a video of 50 frames and a copy without its end.
func twoSeconds(t *testing.T) (whole, truncated string) {
	whole, truncated = filepath.Join(t.TempDir(), "whole.mp4"), filepath.Join(t.TempDir(), "truncated.mp4")
	clip(t, whole, "-i", "testsrc2=size=320x240:rate=25:duration=2", "-movflags", "+faststart")
	data, err := os.ReadFile(whole)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(truncated, data[:len(data)*2/3], 0o600))
	return whole, truncated
}

func countFrames(t *testing.T, path string) string {
	out, err := exec.Command("ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0", "-show_entries",
		"stream=nb_read_frames", "-of", "csv=p=0", path).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

// TestSalvageKeepsSource checks that the source of a partial output is kept, unless on_salvage says otherwise.
func TestSalvageKeepsSource(t *testing.T) {
	_, truncated := twoSeconds(t)
	for _, onSalvage := range []config.OnSalvage{config.OnSalvageKeep, config.OnSalvageAsSuccess} {
		t.Run(string(onSalvage), func(t *testing.T) {
			cfg := newSalvageConfig(t)
			cfg.Output.OnSalvage = onSalvage
			r := start(t, cfg)
			source := filepath.Join(r.in, "cut.mp4")
			require.NoError(t, os.Rename(copyOf(t, truncated), source))
			r.awaitLog(t, "finished", "cut.mp4")
			gone := func() bool { return !exists(source) }
			kept := onSalvage == config.OnSalvageKeep
			if kept { // a source is deleted after ten times stable_for
				assert.Never(t, gone, 50*cfg.Watch.StableFor, cfg.Watch.StableFor)
			} else {
				assert.Eventually(t, gone, time.Minute, cfg.Watch.StableFor)
			}
			require.NoError(t, r.Shutdown(t.Context()))
			about := checkReport(t, filepath.Join(r.out, "cut_anonymized.mp4"))
			require.NotNil(t, about.Salvage)
			assert.Equal(t, kept, about.Salvage.SourceKept)
			assert.NotEmpty(t, about.Salvage.Damage)
		})
	}
}

// TestPassingFaultIsRetried checks that no frame is lost to a transient disk or process fault that is gone at the next
// attempt.
func TestPassingFaultIsRetried(t *testing.T) {
	whole, truncated := twoSeconds(t)
	for name, tc := range map[string]struct{ fault, reason string }{
		"the disk returns less":    {fmt.Sprintf("exec 3<%q", truncated), "io_error"},
		"the decoder is ended":     {`ffmpeg "$@" | head -c 2000000; exit 255`, "interrupted"},
		"the network is down":      {`ffmpeg "$@"; echo "[error] a.mp4: Connection timed out" >&2; exit 1`, "io_error"},
		"no library can be mapped": {`echo "ffmpeg: error while loading shared libraries: x" >&2; exit 127`, "ffmpeg"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := newSalvageConfig(t)
			cfg.Tools.FFmpeg, cfg.Tools.Confine = filepath.Join(t.TempDir(), "ffmpeg"), "off" // the fake ffmpeg writes files
			script := fmt.Sprintf("#!/bin/sh\ncase \"$*\" in *showinfo*) if mkdir %q 2>/dev/null; then\n%s\nfi;; esac\n"+
				"exec ffmpeg \"$@\"\n", filepath.Join(t.TempDir(), "once"), tc.fault)
			require.NoError(t, os.WriteFile(cfg.Tools.FFmpeg, []byte(script), 0o700))
			r := start(t, cfg)
			source := filepath.Join(r.in, "walk.mp4")
			require.NoError(t, os.Rename(copyOf(t, whole), source))
			failed := r.awaitLog(t, "failed", "walk.mp4")
			reason, _ := failed.Attributes().Get("error.type")
			assert.Equal(t, tc.reason, reason.Str())
			r.awaitLog(t, "finished", "walk.mp4")
			assert.Eventually(t, func() bool { return !exists(source) }, time.Minute, cfg.Watch.StableFor,
				"the source is deleted, since the whole output exists")
			require.NoError(t, r.Shutdown(t.Context()))
			assert.Equal(t, "50", countFrames(t, filepath.Join(r.out, "walk_anonymized.mp4")))
		})
	}
}

// TestPassingFaultKeepsSegments checks that a video is resumed after a fault that does not call its earlier segments
// into question.
func TestPassingFaultKeepsSegments(t *testing.T) {
	cfg := newSalvageConfig(t)
	cfg.Output.SegmentLength = time.Second
	cfg.Tools.FFmpeg, cfg.Tools.Confine = filepath.Join(t.TempDir(), "ffmpeg"), "off" // the fake ffmpeg writes files
	const frame, frames = 192 * 144 * 3 / 2, 150
	require.NoError(t, os.WriteFile(cfg.Tools.FFmpeg, fmt.Appendf(nil, `#!/bin/sh
case "$*" in *showinfo*) if mkdir %q 2>/dev/null; then ffmpeg "$@" | head -c %d; exit 255; fi;; esac
exec ffmpeg "$@"
`, filepath.Join(t.TempDir(), "once"), frames*frame), 0o700))
	r := start(t, cfg)
	clip(t, filepath.Join(r.in, "long.mp4"), "-i", "testsrc2=size=192x144:rate=25:duration=10", "-preset", "ultrafast")
	failed := r.awaitLog(t, "failed", "long.mp4")
	reason, _ := failed.Attributes().Get("error.type")
	assert.Equal(t, "interrupted", reason.Str())
	finished := r.awaitLog(t, "finished", "long.mp4")
	require.NoError(t, r.Shutdown(t.Context()))
	resumed, _ := finished.Attributes().Get("anonymizer.video.frames_resumed")
	assert.Positive(t, resumed.Int())
	assert.Equal(t, "250", countFrames(t, filepath.Join(r.out, "long_anonymized.mp4")))
	checkReport(t, filepath.Join(r.out, "long_anonymized.mp4"))
}

// copyOf copies a file, so that a rename can put it into a watched directory atomically.
func copyOf(t *testing.T, path string) string {
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	to := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, os.WriteFile(to, data, 0o600))
	return to
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
