// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWhitelistAndRegions combines all mask settings on the clip of one face: the shoulders are masked along with the
// head, one region is masked always, another one for the first two seconds, and a region on the cheek never.
func TestWhitelistAndRegions(t *testing.T) {
	s := newSite(t)
	s.configs = append(s.configs, `yaml:{receivers: {videoanonymizer: {mask: {method: whitelist, regions: [
		{polygon: [[0, 0], [0.2, 0], [0.2, 0.2], [0, 0.2]], action: mask},
		{polygon: [[0.8, 0], [1, 0], [1, 0.2], [0.8, 0.2]], action: mask, to: 2s},
		{polygon: [[0.32, 0.4], [0.4, 0.4], [0.4, 0.6], [0.32, 0.6]], action: keep}]}}}}`)
	talk := s.clip("talk.mp4")
	times := probe(t, talk).Times

	c := s.start()
	s.drop(talk, "talk.mp4")
	s.awaitVideos(c, "finished", 1)
	require.NoError(t, c.Stop(20*time.Second))

	before, after := decode(t, talk), decode(t, s.output("talk.mp4"))
	require.Len(t, after, len(before))
	for i := range before {
		dark := func(x, y int) bool { return after[i].At(x, y) <= 16 }
		same := func(x, y int) bool { return near(before[i].At(x, y), after[i].At(x, y), 24) }
		for _, part := range []struct {
			what           string
			x0, y0, x1, y1 int
			is             func(x, y int) bool
		}{
			{"the face", 170, 140, 245, 210, dark},
			{"the shoulder", 115, 280, 150, 296, dark},
			{"the region that is always masked", 4, 4, 76, 56, dark},
			{"the region to keep", 134, 126, 154, 174, same},
			{"the wall", 320, 80, 400, 200, same},
		} {
			got := share(after[i], part.x0, part.y0, part.x1, part.y1, part.is)
			require.Greater(t, got, 0.95, "frame %d: correct part of %s", i, part.what)
		}
		until := share(after[i], 324, 4, 396, 56, dark)
		if i < len(times)/3-1 { // of six seconds
			require.Greater(t, until, 0.95, "frame %d: the region is masked while it is active", i)
		} else if i > len(times)/3+1 {
			require.Less(t, until, 0.05, "frame %d: the region is not masked afterwards", i)
		}
	}
}
