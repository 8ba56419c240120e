// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/resources"
)

// TestResources checks that, while a video is processed, every thread of this process and of ffmpeg runs on the
// permitted CPUs with the configured priorities, and that ffmpeg starts no more threads than these CPUs can use.
func TestResources(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	all, workers := resources.Available(), runtime.GOMAXPROCS(0)
	if all < 2 {
		t.Skip("one CPU is all there is")
	}
	cfg := newTestConfig(t)
	cfg.Resources = config.Resources{CPUs: 1, Nice: 2, IOClass: config.IOBestEffort, IOPriority: 6}
	r := start(t, cfg)
	clip(t, filepath.Join(r.in, "walk.mp4"), "-i", "testsrc2=size=640x360:rate=25:duration=6")
	var decoder, encoder []string
	require.Eventually(t, func() bool {
		decoder, encoder = nil, nil
		for pid, args := range children(t) {
			if filepath.Base(args[0]) != "ffmpeg" {
				continue
			}
			for _, thread := range threadsOf(pid) {
				assert.Equal(t, "1 CPUs, nice 2, best-effort 6", thread)
			}
			if strings.Contains(strings.Join(args, " "), "libx264") {
				encoder = args
			} else if strings.Contains(strings.Join(args, " "), "rawvideo") {
				decoder = args
			}
		}
		return decoder != nil && encoder != nil
	}, time.Minute, 5*time.Millisecond)
	for _, args := range [][]string{decoder, encoder} {
		assert.Contains(t, strings.Join(args, " "), "-threads 1 ")
	}
	assert.Equal(t, 1, runtime.GOMAXPROCS(0))
	own := threadsOf(os.Getpid())
	assert.Greater(t, len(own), 3)
	for _, thread := range own {
		assert.Equal(t, "1 CPUs, nice 2, best-effort 6", thread)
	}
	require.NoError(t, r.Shutdown(t.Context()))
	assert.Equal(t, all, resources.Available(), "a stopped receiver bounds nothing")
	assert.Equal(t, workers, runtime.GOMAXPROCS(0))
}

// children returns the command lines of this process's children.
func children(t *testing.T) map[int][]string {
	t.Helper()
	found := map[int][]string{}
	lists, err := filepath.Glob("/proc/self/task/*/children")
	require.NoError(t, err)
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, word := range strings.Fields(string(text)) {
			pid, err := strconv.Atoi(word)
			require.NoError(t, err)
			line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			if args := strings.Split(string(bytes.TrimRight(line, "\x00")), "\x00"); args[0] != "" {
				found[pid] = args
			}
		}
	}
	return found
}

// threadsOf describes the limits of each thread of a process, except threads that end meanwhile.
func threadsOf(pid int) (described []string) {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, entry := range entries {
		tid, _ := strconv.Atoi(entry.Name())
		var cpus unix.CPUSet
		const thread = 1 // IOPRIO_WHO_PROCESS
		priority, err := unix.Getpriority(unix.PRIO_PROCESS, tid)
		io, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, thread, uintptr(tid), 0)
		if err != nil || errno != 0 || unix.SchedGetaffinity(tid, &cpus) != nil {
			continue
		}
		class := map[uintptr]string{0: "none", 2: "best-effort", 3: "idle"}[io>>13]
		described = append(described, fmt.Sprintf("%d CPUs, nice %d, %s %d", cpus.Count(), 20-priority, class, io&0x1fff))
	}
	return described
}
