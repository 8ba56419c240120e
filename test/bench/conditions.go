// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
)

// conditions describe how something was measured.
type conditions struct {
	Command string
	Commit  string
	Date    string
	Machine string
	Cores   int
	Others  float64 // mean number of cores that other programs and other guests of the host used at the same time
}

// load is the CPU time used until a point in time.
type load struct {
	at        time.Time
	all, ours time.Duration
}

func watchLoad() load {
	// Child processes count only once they have ended; by now, all children of measurements have.
	return load{time.Now(), usedByAll(), usedBy(syscall.RUSAGE_SELF) + usedBy(syscall.RUSAGE_CHILDREN)}
}

// usedByAll returns the CPU time used by everything on the machine, and the time that the host withheld from it.
func usedByAll() (used time.Duration) {
	data, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(data), "\n")
	const idle, ioWait, guest = 4, 5, 9 // fields of proc(5); guest time is included in user time
	for i, field := range strings.Fields(line) {
		if n, err := strconv.ParseInt(field, 10, 64); err == nil && i != idle && i != ioWait && i < guest {
			used += time.Duration(n) * tick
		}
	}
	return used
}

// conditions returns the conditions of a measurement that began with the load before.
func (b *bench) conditions(before load) conditions {
	now := watchLoad()
	others := (now.all - before.all) - (now.ours - before.ours)
	return conditions{
		Command: b.command,
		Commit:  firstLine("git", "-C", collector.Root(), "describe", "--always", "--dirty"),
		Date:    now.at.UTC().Format(time.DateOnly),
		Machine: machine(),
		Cores:   runtime.NumCPU(),
		Others:  max(0, others.Seconds()/now.at.Sub(before.at).Seconds()),
	}
}

// machine describes the machine that this program runs on.
func machine() string {
	cpu := "unknown CPU"
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			cpu = strings.TrimSpace(value)
			break
		}
	}
	version, _, _ := strings.Cut(firstLine("ffmpeg", "-version"), " Copyright")
	return fmt.Sprintf("%s, %d cores, %s, %s", cpu, runtime.NumCPU(), version, runtime.Version())
}

func firstLine(program string, args ...string) string {
	output, _ := exec.Command(program, args...).Output()
	line, _, _ := strings.Cut(string(output), "\n")
	return line
}
