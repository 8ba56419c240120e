// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
)

// uploads lets operators put files into the watched folder.
const uploads = `yaml:{extensions: {anonymizer_console: {upload: true}}}`

// counted draws a white square on a clip, which moves by 12 pixels a frame, so that a picture tells which frame it is.
var counted = []string{"-filter_complex", "color=white:size=10x10[s];[0]scale=400:300[v];[v][s]overlay=x='(n-1)*12':shortest=1"}

// dropClips drops short videos of several formats, and returns their names.
func (s *site) dropClips() (names []string) {
	s.Helper()
	// 25 frames of a few different lengths, as phones record them.
	variable := counted[1] + ",setpts='(N+0.3*mod(N,3))/25/TB'"
	for _, clip := range []struct {
		name string
		args []string
	}{
		{"steady.mp4", []string{counted[0], counted[1], "-c:v", "libx264"}},
		{"variable.mp4", []string{counted[0], variable, "-fps_mode", "vfr", "-c:v", "libx264"}},
		{"old.avi", []string{counted[0], counted[1], "-c:v", "libx264"}},
		{"phone.mkv", []string{counted[0], counted[1], "-c:v", "libx265", "-x265-params", "log-level=error"}},
	} {
		args := append([]string{"-t", "1", "-i", s.clip("talk.mp4")}, clip.args...)
		s.drop(s.ffmpeg(clip.name, append(args, "-an")...), "incoming", clip.name)
		names = append(names, clip.name)
	}
	return names
}

// TestConsole lets people watch and review what one collector makes of real footage.
func TestConsole(t *testing.T) {
	s := newSite(t, uploads)
	install(t, ".")
	s.start()
	s.drop(s.ffmpeg("walk.mp4", "-t", "4", "-i", s.clip("walk.mp4"), "-c", "copy"), "incoming", "walk.mp4")
	s.drop(s.clip("talk.mp4"), "incoming", "talk.mp4")
	notes := s.path("notes")
	require.NoError(t, os.WriteFile(notes, []byte("this is no video"), 0o600))
	s.drop(notes, "incoming", "notes.mp4")
	names := s.dropClips()
	for _, name := range append(names, "walk.mp4", "talk.mp4") {
		s.await(name, "to_review", "in_review")
	}
	s.await("notes.mp4", "failed")
	if keep := os.Getenv("CONSOLE_HOLD"); keep != "" {
		require.NoError(t, os.WriteFile(keep, []byte(s.address+" "+s.token+" "+s.dir), 0o600))
		for {
			if _, err := os.Stat(keep); err != nil {
				return
			}
			s.eventually("x", func() bool { return true })
		}
	}
	_ = filepath.Join(collector.Root())
}
