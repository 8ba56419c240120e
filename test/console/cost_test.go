// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// unwatched is the default configuration without a console, and without quick.
const unwatched = `yaml:{
	receivers: {videoanonymizer: {console: null, watch: {poll_interval: 2s}}, nvml: {console: null}},
	service: {extensions: [health_check, zpages, file_storage]}}`

func skipUnlessLong(t *testing.T) {
	t.Helper()
	if os.Getenv("CONSOLE_LONG") == "" {
		t.Skip("takes minutes, and needs a machine that does nothing else: make console-test")
	}
}

// cpu returns the CPU time that the collector has used, without its children.
func (s *site) cpu() time.Duration {
	s.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.collector.PID()))
	require.NoError(s, err)
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks time.Duration // of 10 ms
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		require.NoError(s, err)
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond
}

// memory returns the collector's resident memory, in bytes.
func (s *site) memory() int {
	s.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.collector.PID()))
	require.NoError(s, err)
	pages, err := strconv.Atoi(strings.Fields(string(stat))[1])
	require.NoError(s, err)
	return pages * os.Getpagesize()
}

// watch shows a page of the console in a browser until the returned function is called.
func (s *site) watch(hash string) (stop func()) {
	s.Helper()
	ctx, cancel := context.WithCancel(s.Context())
	command := exec.CommandContext(ctx, "node", "browser/watch.mjs", hash)
	command.Env = append(os.Environ(), "CONSOLE_ADDRESS="+s.address, "CONSOLE_TOKEN="+s.token)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	ready, err := command.StdoutPipe()
	require.NoError(s, err)
	require.NoError(s, command.Start())
	_, err = ready.Read(make([]byte, 1)) // the page is open
	require.NoError(s, err)
	return func() {
		cancel()
		_ = command.Wait()
	}
}

// TestIdleCost measures what the console costs while no video is processed: without a client, and with an open page.
func TestIdleCost(t *testing.T) {
	skipUnlessLong(t)
	const period = 30 * time.Second
	share := func(s *site) float64 {
		time.Sleep(5 * time.Second)
		before := s.cpu()
		time.Sleep(period)
		return 100 * (s.cpu() - before).Seconds() / period.Seconds()
	}
	without := newSite(t, unwatched)
	without.launch()
	base := share(without)
	without.stop()

	s := newSite(t, `yaml:{receivers: {videoanonymizer: {watch: {poll_interval: 2s}}}}`)
	install(t, ".")
	s.start()
	s.drop(s.clip("talk.mp4"), "incoming", "talk.mp4")
	s.await("talk.mp4", "to_review")
	s.awaitLook("talk.mp4")
	alone := share(s)
	stop := s.watch("#/videos")
	watched := share(s)
	stop()
	t.Logf("of a core: %.2f %% without console, %.2f %% with it, %.2f %% while a page is open", base, alone, watched)
	assert.Less(t, alone-base, 1.0)
	assert.Less(t, watched-base, 1.0)
}

// TestWatchingMemory keeps pages open for as long as CONSOLE_WATCH says, such as 1h, while new videos fail and change
// the list: make console-soak.
func TestWatchingMemory(t *testing.T) {
	period, err := time.ParseDuration(os.Getenv("CONSOLE_WATCH"))
	if err != nil {
		t.Skip("takes as long as CONSOLE_WATCH says, such as 1h: make console-soak")
	}
	const most = 10 << 20
	s := newSite(t, uploads)
	install(t, ".")
	s.start()
	s.drop(s.clip("talk.mp4"), "incoming", "talk.mp4")
	s.await("talk.mp4", "to_review")
	s.awaitLook("talk.mp4")
	for _, hash := range []string{"#/videos", "#/system"} {
		defer s.watch(hash)()
	}
	watch := func(during time.Duration) {
		for deadline := time.Now().Add(during); time.Now().Before(deadline); time.Sleep(5 * time.Second) {
			s.upload("no-video.mp4")
		}
		time.Sleep(10 * time.Second)
	}
	watch(time.Minute) // warm-up: fills what is kept in memory
	before := s.memory()
	watch(period)
	grown := s.memory() - before
	t.Logf("memory grew from %d MiB by %d KiB in %v", before>>20, grown>>10, period)
	assert.Less(t, grown, most)
}

// TestWatchingCost compares the CPU time of a video with and without a browser on the system page, and the memory
// before and after.
func TestWatchingCost(t *testing.T) {
	skipUnlessLong(t)
	s := newSite(t, uploads)
	install(t, ".")
	s.start()
	process := func(name string) time.Duration {
		before := s.cpu()
		s.drop(s.clip("walk.mp4"), "incoming", name)
		s.await(name, "to_review")
		cost := s.cpu() - before
		s.awaitLook(name)
		return cost
	}
	process("warm-up.mp4")
	memory := s.memory()
	var alone, watched []time.Duration
	for n := range 5 {
		alone = append(alone, process(fmt.Sprintf("alone-%d.mp4", n)))
		stop := s.watch("#/system")
		watched = append(watched, process(fmt.Sprintf("watched-%d.mp4", n)))
		stop()
	}
	slices.Sort(alone)
	slices.Sort(watched)
	t.Logf("CPU time of a video: alone %v, watched %v; memory grew by %d MiB", alone, watched,
		(s.memory()-memory)>>20)
	assert.Less(t, watched[2].Seconds(), 1.02*alone[2].Seconds(), "the medians")
}
