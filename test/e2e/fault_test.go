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
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/process"
)

// readErrors is the source of a library that makes reads of a source fail. The file FAULT_ARMED contains a number of
// bytes and an error. The first process that has read that many bytes of a source moves the file to the directory
// FAULT_HITS, because it may not be allowed to write one, and its reads fail from then on.
const readErrors = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ssize_t (*real)(int, void *, size_t);
static long total;
static int failing; // the error, once reads fail

static void take_fault(void) {
	char text[64] = "";
	long after;
	int error, armed = open(getenv("FAULT_ARMED"), O_RDONLY | O_CLOEXEC);
	if (armed < 0) return;
	real(armed, text, sizeof text - 1);
	close(armed);
	if (sscanf(text, "%ld %d", &after, &error) != 2 || total < after) return;
	char hit[4096];
	snprintf(hit, sizeof hit, "%s/%d", getenv("FAULT_HITS"), getpid());
	if (!rename(getenv("FAULT_ARMED"), hit)) failing = error;
}

ssize_t read(int fd, void *buffer, size_t size) {
	if (!real) real = dlsym(RTLD_NEXT, "read");
	char link[64], path[4096];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, path, sizeof path - 1);
	path[length < 0 ? 0 : length] = 0;
	if (!strstr(path, "/incoming/")) return real(fd, buffer, size);
	if (!failing) take_fault();
	if (failing) {
		errno = failing;
		return -1;
	}
	ssize_t n = real(fd, buffer, size);
	if (n > 0) total += n;
	return n;
}
`

// faultyTools wraps ffmpeg and ffprobe in scripts that run them as child processes, with readErrors preloaded. A read
// fails once the file armed says how; the file is then moved to the directory hits.
type faultyTools struct{ ffmpeg, ffprobe, armed, hits string }

func newFaultyTools(t *testing.T) faultyTools {
	dir := t.TempDir()
	source, library := filepath.Join(dir, "read.c"), filepath.Join(dir, "read.so")
	require.NoError(t, os.WriteFile(source, []byte(readErrors), 0o600))
	out, err := exec.Command("cc", "-shared", "-fPIC", "-o", library, source, "-ldl").CombinedOutput()
	require.NoError(t, err, "%s", out)
	f := faultyTools{filepath.Join(dir, "ffmpeg"), filepath.Join(dir, "ffprobe"), filepath.Join(dir, "armed"),
		filepath.Join(dir, "hits")}
	require.NoError(t, os.Mkdir(f.hits, 0o700))
	for _, path := range []string{f.ffmpeg, f.ffprobe} {
		tool, err := exec.LookPath(filepath.Base(path))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, `#!/bin/sh
export FAULT_ARMED=%s FAULT_HITS=%s LD_PRELOAD=%s
%s "$@"
exit $?
`, f.armed, f.hits, library, tool), 0o700))
	}
	return f
}

// arm makes the next tool fail that has read this many bytes of a source.
func (f faultyTools) arm(t *testing.T, after int64, errno syscall.Errno) {
	text := fmt.Sprintf("%d %d\n", after, int(errno))
	require.NoError(t, os.WriteFile(f.armed+".new", []byte(text), 0o600))
	require.NoError(t, os.Rename(f.armed+".new", f.armed))
}

// errors counts the failed reads by error.
func (f faultyTools) errors(t *testing.T) map[string]int {
	hits, err := filepath.Glob(filepath.Join(f.hits, "*"))
	require.NoError(t, err)
	count := map[string]int{}
	for _, hit := range hits {
		var after, errno int
		_, err := fmt.Sscan(string(read(t, hit)), &after, &errno)
		require.NoError(t, err)
		count[syscall.Errno(errno).Error()]++
	}
	return count
}

// descendants returns all descendants of a process.
func descendants(pid int) (all []int) {
	for _, child := range process.Children(pid) {
		all = append(append(all, child), descendants(child)...)
	}
	return all
}

// tools returns the descendants of a process that are ffmpeg or ffprobe.
func tools(pid int) []int {
	return slices.DeleteFunc(descendants(pid), func(pid int) bool {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		return !strings.HasPrefix(string(name), "ffmpeg") && !strings.HasPrefix(string(name), "ffprobe")
	})
}

var (
	signals    = []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGKILL, syscall.SIGSTOP}
	readErrnos = []syscall.Errno{syscall.EIO, syscall.ESTALE, syscall.ETIMEDOUT, syscall.ENOMEM, syscall.ENETRESET}
)

// Kinds of faults other than signals to tools.
const readError, collectorKilled, collectorStopped = "failed read", "collector killed", "collector stopped"

// TestFaultsAtRandomMoments injects faults at random moments into the tools that wrappers run, or into the collector,
// with the settings under which a mistake costs the most: damaged videos are salvaged, and sources are deleted. No
// source may be deleted unless its complete output exists, nothing else may get a final name, and every video is done
// in the end. With many rounds, each kind of fault occurs.
func TestFaultsAtRandomMoments(t *testing.T) {
	rounds := killRounds(t)
	clip := filepath.Join(t.TempDir(), "clip.mp4")
	require.NoError(t, footage.Cut(newSite(t).clip("talk.mp4"), clip, 3))
	want := uninterrupted(t, clip, persistent)
	size := int64(len(read(t, clip)))

	faulty := newFaultyTools(t)
	s := newSite(t)
	s.configs = append(s.configs, persistent, fmt.Sprintf(`yaml:{receivers: {videoanonymizer: {on_damaged: salvage,
		output: {on_success: delete}, tools: {ffmpeg: %q, ffprobe: %q, confine: off}}}}`, faulty.ffmpeg, faulty.ffprobe))
	whole := func(name string) bool {
		got, err := os.ReadFile(s.output(name))
		return err == nil && bytes.Equal(want, got)
	}
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	hit := map[string]int{}
	c := s.start()
	var names []string
	var kinds []int // of the next rounds; each occurs equally often
	for i := range rounds {
		if len(kinds) == 0 {
			kinds = random.Perm(9)
		}
		kind := kinds[0]
		kinds = kinds[1:]
		names = append(names, fmt.Sprintf("clip-%02d.mp4", i))
		s.drop(clip, names[i])
		time.Sleep(time.Duration(random.Int64N(int64(3 * time.Second))))
		switch kind {
		case 0, 1, 2, 3:
			signal, pid := signals[kind], 0
			require.Eventually(t, func() bool {
				running := tools(c.PID())
				if len(running) == 0 {
					return false
				}
				pid = running[random.IntN(len(running))]
				return syscall.Kill(pid, signal) == nil
			}, time.Minute, time.Millisecond, "round %d: a tool runs", i)
			hit[signal.String()]++
			if signal == syscall.SIGSTOP {
				time.Sleep(time.Duration(random.Int64N(int64(time.Second))))
				_ = syscall.Kill(pid, syscall.SIGCONT)
			}
		case 4, 5, 6:
			errno := readErrnos[random.IntN(len(readErrnos))]
			faulty.arm(t, random.Int64N(size), errno)
		default:
			below := descendants(c.PID())
			if kind == 7 {
				c.Kill()
				hit[collectorKilled]++
			} else {
				require.NoError(t, c.Stop(20*time.Second), "round %d", i)
				hit[collectorStopped]++
			}
			require.Eventually(t, func() bool { return !slices.ContainsFunc(below, alive) }, 20*time.Second,
				10*time.Millisecond, "round %d: what a wrapper started ends with its pipes", i)
			c = s.start()
		}
		for _, name := range names {
			_, err := os.Stat(filepath.Join(s.dir, "videos", "incoming", name))
			gone := os.IsNotExist(err) // check this first: the output is published before the source is deleted
			assert.True(t, whole(name) || !gone, "round %d: the source %s is gone without its whole output", i, name)
			if _, err := os.Stat(s.output(name)); err == nil {
				assert.True(t, whole(name), "round %d: the output of %s is not whole", i, name)
			}
		}
	}
	s.awaitSources(c, names)
	failed := faulty.errors(t)
	for _, n := range failed {
		hit[readError] += n
	}
	t.Logf("faults: %v, of which reads: %v", hit, failed)
	if rounds >= 30 {
		for _, signal := range signals {
			assert.Positive(t, hit[signal.String()], signal)
		}
		for _, kind := range []string{readError, collectorKilled, collectorStopped} {
			assert.Positive(t, hit[kind], kind)
		}
	}
	require.NoError(t, c.Stop(20*time.Second))
	var outputs []string
	for _, name := range names {
		outputs = append(outputs, filepath.Base(collector.OutputOf(name)))
		assert.True(t, whole(name), "the output of %s", name)
		assert.Nil(t, readReport(t, s.output(name)).Salvage, name)
	}
	assert.Equal(t, reviewed(outputs...), s.produced(), "each video once, with its report, and no temporary file")
}

// awaitSources waits until all sources are deleted. However slow the machine is, one must be deleted every three
// minutes.
func (s site) awaitSources(c *collector.Collector, names []string) {
	s.Helper()
	const patience = 3 * time.Minute
	left, deadline := len(names), time.Now().Add(patience)
	require.NoError(s, c.Await(s.Context(), "all videos", 100*time.Millisecond, func() (bool, error) {
		there := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
			_, err := os.Stat(filepath.Join(s.dir, "videos", "incoming", name))
			return os.IsNotExist(err)
		})
		if len(there) < left {
			left, deadline = len(there), time.Now().Add(patience)
		}
		if left > 0 && time.Now().After(deadline) {
			return false, fmt.Errorf("a worker is stuck, or videos were given up: %v", there)
		}
		return left == 0, nil
	}))
}
