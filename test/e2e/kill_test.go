// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/process"
)

// persistent makes the receiver retry a video however often the collector dies, and resume it at any second.
const persistent = `yaml:{receivers: {videoanonymizer: {
	retry: {initial_interval: 1ms, max_interval: 1ms, max_attempts: 1000}, output: {segment_length: 1s}}}}`

// TestKillAtRandomMoments kills the collector repeatedly, at random moments, with a new video in each round. In the end
// each video exists once, byte for byte as if nothing had happened. `make kill-test` does 60 rounds.
func TestKillAtRandomMoments(t *testing.T) {
	rounds := 6
	if text := os.Getenv("KILL_ROUNDS"); text != "" {
		var err error
		rounds, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	clip := filepath.Join(t.TempDir(), "clip.mp4")
	require.NoError(t, footage.Cut(newSite(t).clip("talk.mp4"), clip, 3))

	calm := newSite(t)
	calm.configs = append(calm.configs, persistent)
	c := calm.start()
	calm.drop(clip, "clip.mp4")
	calm.awaitVideos(c, "finished", 1)
	require.NoError(t, c.Stop(20*time.Second))
	want := read(t, calm.output("clip.mp4"))

	s := newSite(t)
	s.configs = append(s.configs, persistent)
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	var names, outputs []string
	// Kills with running children, kills that left a checkpoint, and videos finished before the last kill.
	working, sealed, finished := 0, 0, 0
	for i := range rounds {
		c := s.start()
		name := fmt.Sprintf("clip-%02d.mp4", i)
		s.drop(clip, name)
		names, outputs = append(names, name), append(outputs, fmt.Sprintf("clip-%02d_anonymized.mp4", i))
		time.Sleep(time.Duration(random.Int64N(int64(4 * time.Second))))
		children := process.Children(c.PID())
		c.Kill()
		if len(children) > 0 {
			working++
		}
		if checkpoints, err := filepath.Glob(filepath.Join(s.dir, "videos", "anonymized",
			".anonymizing-*.checkpoint.json")); assert.NoError(t, err) {
			sealed += min(1, len(checkpoints))
		}
		finished = 0
		for _, name := range s.produced() {
			// A report may appear shortly before its video; the next start handles that.
			if !strings.HasPrefix(name, ".") && filepath.Ext(name) == ".mp4" {
				finished++
				assert.True(t, bytes.Equal(want, read(t, filepath.Join(s.dir, "videos", "anonymized", name))),
					"round %d: %s is incomplete", i, name)
			}
		}
		require.Eventually(t, func() bool { return !slices.ContainsFunc(children, alive) }, 5*time.Second,
			10*time.Millisecond,
			"round %d: a child outlives the collector", i)
	}

	t.Logf("%d kills, %d of them with running children, %d with a checkpoint to resume from; "+
		"%d videos finished before the last one",
		rounds, working, sealed, finished)
	if rounds >= 30 { // fewer may miss some by chance
		assert.Positive(t, working, "a run without a kill during a video proves nothing")
		assert.Positive(t, sealed, "a run without a checkpoint proves nothing about segment boundaries")
		assert.Positive(t, finished,
			"a run without a video that finishes between kills proves nothing about publishing")
	}

	c = s.start()
	require.NoError(t, c.Await(t.Context(), "all videos", 100*time.Millisecond, func() (bool, error) {
		return !slices.ContainsFunc(names, func(name string) bool {
			_, err := os.Stat(s.output(name))
			return err != nil
		}), nil
	}))
	require.NoError(t, c.Stop(20*time.Second))
	assert.Equal(t, reviewed(outputs...), s.produced(), "each video once, with its report, and no temporary file")
	source := read(t, clip)
	for _, name := range names {
		assert.Equal(t, sumOf(t, s.output(name)), readReport(t, s.output(name)).Output.SHA256,
			"the report on %s matches its output", name)
		assert.True(t, bytes.Equal(want, read(t, s.output(name))), "the output of %s", name)
		assert.True(t, bytes.Equal(source, read(t, filepath.Join(s.dir, "videos", "incoming", name))), "the source %s",
			name)
	}
}

// alive reports whether a process runs. A zombie does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	return !bytes.HasPrefix(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" Z"))
}
