// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSeekInLargeVideo: the page seeks in a video of 1 GB without reading it whole. Noise makes it that large.
func TestSeekInLargeVideo(t *testing.T) {
	skipUnlessLong(t)
	s := newSite(t, `yaml:{receivers: {videoanonymizer: {recall: fast, output: {codec: h264, quality: 1}}}}`)
	install(t, ".")
	s.start()
	noise := s.ffmpeg("noise.mp4", "-f", "rawvideo", "-pixel_format", "gray", "-video_size", "640x360", "-framerate", "25",
		"-i", "/dev/urandom", "-frames:v", "4000", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast",
		"-qp", "4")
	s.drop(noise, "incoming", "noise.mp4")
	require.NoError(t, os.Remove(noise))
	v := s.await("noise.mp4", "to_review")
	info, err := os.Stat(s.output(v))
	require.NoError(t, err)
	require.Greater(t, info.Size(), int64(1e9))
	s.browse("large.test.mjs")
}
