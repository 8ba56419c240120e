// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
)

// uploads lets operators upload files to the watched folder.
const uploads = `yaml:{extensions: {anonymizer_console: {upload: true}}}`

// counted draws a white square on a clip that moves by 12 pixels per frame, so that a picture shows which frame it is.
var counted = []string{"-filter_complex",
	"color=white:size=10x10[s];[0]scale=400:300[v];[v][s]overlay=x='(n-1)*12':shortest=1"}

// dropClips drops short videos of several formats, and returns their names.
func (s *site) dropClips() (names []string) {
	s.Helper()
	// 25 frames of varying duration, as phones record them.
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

// TestConsole uses a browser to watch and review what a collector makes of real footage.
func TestConsole(t *testing.T) {
	s := newSite(t, uploads)
	install(t, ".")
	s.start()
	require.NoError(t, footage.Cut(s.clip("walk.mp4"), s.path("walk.mp4"), 4))
	s.drop(s.path("walk.mp4"), "incoming", "walk.mp4")
	s.drop(s.clip("talk.mp4"), "incoming", "talk.mp4")
	notes := s.path("notes")
	require.NoError(t, os.WriteFile(notes, []byte("this is no video"), 0o600))
	s.drop(notes, "incoming", "notes.mp4")
	names := s.dropClips()
	for _, name := range append(names, "walk.mp4", "talk.mp4") {
		s.await(name, "to_review")
	}
	s.await("notes.mp4", "failed")

	pictures := "CONSOLE_PICTURES=" + os.Getenv("CONSOLE_PICTURES")
	t.Run("controls", func(t *testing.T) {
		long := s.path("long.mp4")
		require.NoError(t, footage.Loop(s.clip("walk.mp4"), long, 30))
		s.with(t).browse("controls.test.mjs", pictures, "CONSOLE_LONG_CLIP="+long, "CONSOLE_CLIP="+s.path("steady.mp4"))
	})
	t.Run("together", func(t *testing.T) {
		for name, run := range map[string]func(t *testing.T){
			"pages":    func(t *testing.T) { s.with(t).browse("pages.test.mjs", pictures) },
			"review":   func(t *testing.T) { s.with(t).browse("review.test.mjs", pictures) },
			"playback": func(t *testing.T) { s.with(t).browse("playback.test.mjs", "CONSOLE_VIDEOS="+strings.Join(names, ",")) },
			"events":   s.testEvents,
			"crawl":    s.testCrawl,
			"headers":  s.testHeaders,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				run(t)
			})
		}
	})
	t.Run("refusals", s.testRefusals)
	t.Run("links", s.testLinks)
	t.Run("audit", s.testAudit)
	t.Run("swapped output", s.testSwappedOutput)
}
