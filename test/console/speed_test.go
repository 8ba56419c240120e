// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
)

// TestFirstView: the page shows the first videos of a list of 1,000 within a second, while one of them is being
// processed.
func TestFirstView(t *testing.T) {
	s := newSite(t)
	install(t, ".")
	s.start()
	require.NoError(t, footage.Loop(s.clip("walk.mp4"), s.path("first.mp4"), 60))
	s.drop(s.path("first.mp4"), "incoming", "first.mp4")
	s.await("first.mp4", "working")
	for n := range 999 {
		name := s.path("videos", "incoming", fmt.Sprintf("clip-%03d.mp4", n))
		require.NoError(t, os.WriteFile(name, []byte("it waits, so nobody reads it"), 0o600))
	}
	s.eventually("1,000 videos in the list", func() bool { return len(s.videos()) == 1000 })
	s.browse("speed.test.mjs")
}
