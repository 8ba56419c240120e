// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEveryFailureIsLogged makes more videos fail at once than the collector's log sampling lets through of one
// message.
func TestEveryFailureIsLogged(t *testing.T) {
	const videos = 60
	s := newSite(t)
	s.configs = append(s.configs, `yaml:{service: {telemetry: {logs: {output_paths: [stderr, collector.log]}}}}`)
	c := s.start()
	text := filepath.Join(t.TempDir(), "text")
	require.NoError(t, os.WriteFile(text, []byte("This is not a video.\n"), 0o600))
	for i := range videos {
		s.drop(text, fmt.Sprintf("bad-%02d.mp4", i))
	}
	s.awaitVideos(c, "failed", videos)
	require.NoError(t, c.Stop(20*time.Second))

	failures := map[string]int{}
	for line := range strings.Lines(string(read(t, filepath.Join(s.dir, "collector.log")))) {
		if strings.Contains(line, "video failed") {
			_, name, _ := strings.Cut(line, "bad-")
			failures["bad-"+name[:len("00.mp4")]]++
		}
	}
	assert.Len(t, failures, videos, "a line about each video")
	for name, lines := range failures {
		assert.Equal(t, 1, lines, name)
	}
}
