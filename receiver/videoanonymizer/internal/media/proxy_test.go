// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProxy(t *testing.T) {
	const (
		pattern  = "-f lavfi -i testsrc2=size=1600x900:rate=25:duration=1.2 "
		variable = "-f lavfi -i testsrc2=size=320x180:rate=25:duration=2 -vf setpts='(N*N/4+N)*0.02/TB' -fps_mode vfr "
		x264     = "-c:v libx264 -preset ultrafast -bf 2 -pix_fmt yuv420p "
	)
	tools := testTools(t)
	for _, test := range []struct {
		name, file, args string
		playable         string // media type; "" if a proxy is needed
		width            int    // of the proxy
	}{
		{"h264 in mp4", "a.mp4", pattern + x264, "video/mp4", 0},
		{"h264 in mov", "a.mov", pattern + x264, "video/mp4", 0},
		{"h264 in mkv", "a.mkv", pattern + x264, "video/x-matroska", 0},
		{"vp9 in webm", "a.webm", pattern + "-c:v libvpx-vp9 -deadline realtime -cpu-used 8", "video/webm", 0},
		{"h264 in ts", "a.ts", variable + x264, "", 320},
		{"h264 in avi", "a.avi", pattern + x264 + "-bf 0", "", 1600},
		{"h265 in mp4", "a.mp4", pattern + "-c:v libx265 -preset ultrafast", "", 1280},
		{"h265 of variable rate", "a.mkv", variable + "-c:v libx265 -preset ultrafast", "", 320},
		{"ffv1 in mkv", "a.mkv", pattern + "-c:v ffv1", "", 1280},
		{"h264 of 10 bits", "a.mp4", pattern + "-c:v libx264 -preset ultrafast -pix_fmt yuv420p10le", "", 1280},
	} {
		t.Run(test.name, func(t *testing.T) {
			source := clip(t, test.file, test.args)
			info, err := tools.Probe(t.Context(), source, Limits{})
			require.NoError(t, err)
			require.Equal(t, test.playable, info.PlayableType())
			if test.playable != "" {
				return
			}
			proxy := filepath.Join(t.TempDir(), "proxy.mp4")
			require.NoError(t, tools.Proxy(t.Context(), info, proxy))
			made, err := tools.Probe(t.Context(), proxy, Limits{})
			require.NoError(t, err)
			assert.Equal(t, ProxyType, made.PlayableType())
			want, got := shownTimes(t, source), shownTimes(t, proxy)
			require.Len(t, got, len(want))
			for i := range want {
				require.InDelta(t, want[i], got[i], 0.002, "frame %d", i)
			}
			assert.Equal(t, test.width, made.Width)
		})
	}
}

// shownTimes are the times of a video's frames in seconds, from the first one.
func shownTimes(t *testing.T, path string) (times []float64) {
	t.Helper()
	for _, line := range ffprobe(t, path, "frame=best_effort_timestamp_time", "-select_streams", "v:0") {
		_, text, _ := strings.Cut(strings.Split(line, "|")[1], "=")
		at, err := strconv.ParseFloat(text, 64)
		require.NoError(t, err)
		times = append(times, at)
	}
	require.NotEmpty(t, times)
	for i := len(times) - 1; i >= 0; i-- {
		times[i] -= times[0]
	}
	return times
}

func TestProxyLeavesNothing(t *testing.T) {
	tools := testTools(t)
	source := clip(t, "a.mkv", "-f lavfi -i testsrc2=size=320x180:rate=25:duration=1 -c:v ffv1")
	info, err := tools.Probe(t.Context(), source, Limits{})
	require.NoError(t, err)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	proxy := filepath.Join(t.TempDir(), "proxy.mp4")
	require.ErrorIs(t, tools.Proxy(canceled, info, proxy), context.Canceled)
	assert.NoFileExists(t, proxy)
	require.NoError(t, os.WriteFile(proxy, nil, 0o600))
	require.ErrorIs(t, tools.Proxy(t.Context(), info, proxy), ErrExists)
	assert.FileExists(t, proxy, "what is there stays")
	require.NoError(t, os.Remove(source))
	require.ErrorIs(t, tools.Proxy(t.Context(), info, proxy+"2"), ErrVanished)
}
