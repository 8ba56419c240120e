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

// patient is a receiver that never gives a video up, however often the collector dies over it, and goes on from each second of it.
const patient = `yaml:{receivers: {videoanonymizer: {retry: {initial_interval: 1ms, max_interval: 1ms, max_attempts: 1000}, output: {segment_length: 1s}}}}`

// TestKilledAtAnyMoment kills the collector again and again, at random moments, while a video comes in for each of its lives. In
// the end each video stands there once, byte for byte as if nothing had happened. `make kill-test` does it 60 times.
func TestKilledAtAnyMoment(t *testing.T) {
	rounds := killRounds(t)
	clip := filepath.Join(t.TempDir(), "clip.mp4")
	require.NoError(t, footage.Cut(newSite(t).clip("talk.mp4"), clip, 3))

	want := undisturbed(t, clip)

	s := newSite(t)
	s.configs = append(s.configs, patient)
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	var names, outputs []string
	working, sealed, finished := 0, 0, 0 // kills with children at work, those after which work goes on, and videos done before the last kill
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
		if checkpoints, err := filepath.Glob(filepath.Join(s.dir, "videos", "anonymized", ".anonymizing-*.checkpoint.json")); assert.NoError(t, err) {
			sealed += min(1, len(checkpoints))
		}
		finished = 0
		for _, name := range s.produced() {
			// A report may stand for a moment before its video does; the next start sees to it.
			if !strings.HasPrefix(name, ".") && filepath.Ext(name) == ".mp4" {
				finished++
				assert.True(t, bytes.Equal(want, read(t, filepath.Join(s.dir, "videos", "anonymized", name))), "round %d: %s is not whole", i, name)
			}
		}
		require.Eventually(t, func() bool { return !slices.ContainsFunc(children, alive) }, 5*time.Second, 10*time.Millisecond,
			"round %d: a child outlives the collector", i)
	}

	t.Logf("%d kills, %d of them with children at work, %d with a part that work goes on from; %d videos were done before the last one",
		rounds, working, sealed, finished)
	if rounds >= 30 { // fewer may miss one or the other by chance
		assert.Positive(t, working, "a run without kills in mid-video shows nothing")
		assert.Positive(t, sealed, "a run without parts that are gone on from says nothing of seams")
		assert.Positive(t, finished, "a run without videos that end between kills says nothing of their publishing")
	}

	c := s.start()
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
		assert.Equal(t, sumOf(t, s.output(name)), readReport(t, s.output(name)).Output.SHA256, "the report on %s is on this very output", name)
		assert.True(t, bytes.Equal(want, read(t, s.output(name))), "the output of %s", name)
		assert.True(t, bytes.Equal(source, read(t, filepath.Join(s.dir, "videos", "incoming", name))), "the source %s", name)
	}
}

// killRounds is how many faults there are: KILL_ROUNDS, or a few.
func killRounds(t *testing.T) int {
	rounds := 6
	if text := os.Getenv("KILL_ROUNDS"); text != "" {
		var err error
		rounds, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	return rounds
}

// undisturbed is the output of a clip as it is when nothing happens.
func undisturbed(t *testing.T, clip string) []byte {
	s := newSite(t)
	s.configs = append(s.configs, patient)
	c := s.start()
	s.drop(clip, "clip.mp4")
	s.awaitVideos(c, "finished", 1)
	require.NoError(t, c.Stop(20*time.Second))
	return read(t, s.output("clip.mp4"))
}

// alive tells whether a process runs; one that has ended but whose end nobody has noticed does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	return !bytes.HasPrefix(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" Z"))
}
