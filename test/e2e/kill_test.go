// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
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

// persistent makes the receiver retry a video no matter how often the collector dies, and resume it at any second.
const persistent = `yaml:{receivers: {videoanonymizer: {
	retry: {initial_interval: 1ms, max_interval: 1ms, max_attempts: 1000}, output: {segment_length: 1s}}}}`

// TestKillAtRandomMoments kills the collector repeatedly, at random moments, with a new video in each round. In the end
// each output exists once, and its bytes are as if nothing had happened. `make kill-test` runs 60 rounds.
func TestKillAtRandomMoments(t *testing.T) {
	clip := filepath.Join(t.TempDir(), "clip.mp4")
	require.NoError(t, footage.Cut(newSite(t).clip("talk.mp4"), clip, 3))
	killAtRandomMoments(t, clip, killRounds(t), persistent)
}

// inUnits makes the receiver process a short video in units, two at a time.
const inUnits = `yaml:{receivers: {videoanonymizer: {max_concurrent_units: 2, unit_length: 1s}}}`

// TestKillUnitsAtRandomMoments is TestKillAtRandomMoments for a video that is processed in units.
func TestKillUnitsAtRandomMoments(t *testing.T) {
	clip := filepath.Join(t.TempDir(), "clip.mp4")
	cut := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-i", newSite(t).clip("talk.mp4"), "-t", "3", "-an",
		"-vf", "scale=200:150", "-g", "10", clip)
	out, err := cut.CombinedOutput()
	require.NoError(t, err, "%s", out)
	killAtRandomMoments(t, clip, killRounds(t)/2, persistent, inUnits)
}

// killAtRandomMoments kills collectors with these configurations while they process copies of a clip.
func killAtRandomMoments(t *testing.T, clip string, rounds int, configs ...string) {
	began := time.Now()
	k := killer{site: newSite(t), clip: clip, want: uninterrupted(t, clip, configs...)}
	within := max(4*time.Second, time.Since(began)) // so that some videos finish, no matter how busy the machine is
	k.configs = append(k.configs, configs...)
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	for range rounds {
		k.round(time.Duration(random.Int64N(int64(within))))
	}

	t.Logf("%d kills, %d of them with running children, %d with a checkpoint to resume from; "+
		"%d videos finished before the last one", rounds, k.working, k.sealed, k.finished)
	if rounds >= 30 { // fewer may miss some by chance
		assert.Positive(t, k.working, "a run without a kill during a video proves nothing")
		assert.Positive(t, k.sealed, "a run without a checkpoint proves nothing about segment boundaries")
		assert.Positive(t, k.finished,
			"a run without a video that finishes between kills proves nothing about publishing")
	}
	k.checkAll()
}

// uninterrupted returns the output of a run without a kill.
func uninterrupted(t *testing.T, clip string, configs ...string) []byte {
	s := newSite(t)
	s.configs = append(s.configs, configs...)
	c := s.start()
	s.drop(clip, "clip.mp4")
	s.awaitVideos(c, "finished", 1)
	require.NoError(t, c.Stop(20*time.Second))
	return read(t, s.output("clip.mp4"))
}

// killer kills collectors that process copies of a clip.
type killer struct {
	site
	clip  string
	want  []byte   // the output of each copy
	names []string // of the copies

	working  int // kills with running children
	sealed   int // kills that left a checkpoint
	finished int // videos finished before the last kill
}

// round drops another copy, and kills a collector after a delay.
func (k *killer) round(delay time.Duration) {
	i := len(k.names)
	c := k.start()
	k.names = append(k.names, fmt.Sprintf("clip-%02d.mp4", i))
	k.drop(k.clip, k.names[i])
	time.Sleep(delay)
	children := process.Children(c.PID())
	c.Kill()
	if len(children) > 0 {
		k.working++
	}
	outputs := filepath.Join(k.dir, "videos", "anonymized")
	checkpoints, err := filepath.Glob(filepath.Join(outputs, ".anonymizing-*.checkpoint.json"))
	if assert.NoError(k, err) {
		k.sealed += min(1, len(checkpoints))
	}
	k.finished = 0
	for _, name := range k.produced() {
		// A report may appear shortly before its video; the next start handles that.
		if !strings.HasPrefix(name, ".") && filepath.Ext(name) == ".mp4" {
			k.finished++
			assert.True(k, bytes.Equal(k.want, read(k.T, filepath.Join(outputs, name))),
				"round %d: %s is incomplete", i, name)
		}
	}
	require.Eventually(k, func() bool { return !slices.ContainsFunc(children, alive) }, 5*time.Second,
		10*time.Millisecond, "round %d: a child outlives the collector", i)
}

// checkAll has a collector finish all copies, and checks the results.
func (k *killer) checkAll() {
	c := k.start()
	require.NoError(k, c.Await(k.Context(), "all videos", 100*time.Millisecond, func() (bool, error) {
		return !slices.ContainsFunc(k.names, func(name string) bool {
			_, err := os.Stat(k.output(name))
			return err != nil
		}), nil
	}))
	require.NoError(k, c.Stop(20*time.Second))
	var outputs []string
	for _, name := range k.names {
		outputs = append(outputs, filepath.Base(k.output(name)))
	}
	assert.Equal(k, reviewed(outputs...), k.produced(), "each video once, with its report, and no temporary file")
	source := read(k.T, k.clip)
	for _, name := range k.names {
		output := k.output(name)
		assert.Equal(k, sumOf(k.T, output), readReport(k.T, output).Output.SHA256,
			"the report on %s matches its output", name)
		assert.True(k, bytes.Equal(k.want, read(k.T, output)), "the output of %s", name)
		assert.True(k, bytes.Equal(source, read(k.T, filepath.Join(k.dir, "videos", "incoming", name))),
			"the source %s", name)
	}
}

// killRounds returns the number of faults: KILL_ROUNDS, or a few.
func killRounds(t *testing.T) int {
	rounds := 6
	if text := os.Getenv("KILL_ROUNDS"); text != "" {
		var err error
		rounds, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	return rounds
}

// alive reports whether a process is running. A zombie is not.
func alive(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	return !bytes.HasPrefix(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" Z"))
}
