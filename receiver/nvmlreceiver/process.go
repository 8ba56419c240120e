// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/metadata"
)

// procFS is where the kernel shows its processes, /proc.
type procFS string

func (root procFS) file(pid uint32, name string) string {
	return string(root) + "/" + strconv.FormatUint(uint64(pid), 10) + "/" + name
}

// executable is the name of the executable of a process; empty if the process is gone or not ours to look at.
func (root procFS) executable(pid uint32) string {
	if path, err := os.Readlink(root.file(pid, "exe")); err == nil {
		return strings.TrimSuffix(filepath.Base(path), " (deleted)")
	}
	name, err := os.ReadFile(root.file(pid, "comm")) // readable by everybody, but cut off at 15 characters
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(name), "\n")
}

// commandLine is the command line of a process, its arguments joined by spaces; empty as with executable.
func (root procFS) commandLine(pid uint32) string {
	line, err := os.ReadFile(root.file(pid, "cmdline"))
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(strings.TrimRight(string(line), "\x00"), "\x00", " ")
}

// processUsage is the mean of what one process used since the last scrape, each value 0..100 times n.
type processUsage struct {
	pid                               uint32
	general, memory, encoder, decoder float64
	n                                 float64
}

// readProcesses reads what the processes use of the GPU, if asked for.
func (g *gpu) readProcesses(now time.Time) {
	on := &g.scraper.config.Builder.Metrics
	if on.NvmlProcessMemoryUsage.Enabled && g.lost == nil {
		processes, err := g.device.Processes(g.processes[:0])
		if g.ok("processes", err) {
			g.processes = processes
			for _, p := range processes {
				if p.HasMemory {
					name, options := g.describe(p.PID)
					g.builder.RecordNvmlProcessMemoryUsageDataPoint(g.ts, int64(p.Memory), g.uuid, g.name, int64(p.PID), name, options...)
				}
			}
		}
	}
	if on.NvmlProcessGpuUtilization.Enabled && g.lost == nil {
		g.readProcessUtilization(now)
	}
}

func (g *gpu) readProcessUtilization(now time.Time) {
	if g.seenProcess.IsZero() {
		g.seenProcess = now.Add(-g.scraper.config.Controller.CollectionInterval)
	}
	samples, err := g.device.ProcessUtilization(g.seenProcess, g.samples[:0])
	if !g.ok("process utilization", err) {
		return
	}
	g.samples = samples
	g.usage = g.usage[:0]
	since := g.seenProcess
	for _, s := range samples {
		if !s.At.After(since) {
			continue // the driver repeats its last sample of a process that is idle
		}
		if s.At.After(g.seenProcess) {
			g.seenProcess = s.At
		}
		u := g.usageOf(s.PID)
		u.general += float64(s.General)
		u.memory += float64(s.Memory)
		u.encoder += float64(s.Encoder)
		u.decoder += float64(s.Decoder)
		u.n++
	}
	for _, u := range g.usage {
		name, options := g.describe(u.pid)
		record := func(task metadata.AttributeProcessTask, sum float64) {
			g.builder.RecordNvmlProcessGpuUtilizationDataPoint(g.ts, percent(sum/u.n), g.uuid, g.name, int64(u.pid), name, task, options...)
		}
		record(metadata.AttributeProcessTaskGeneral, u.general)
		record(metadata.AttributeProcessTaskMemory, u.memory)
		record(metadata.AttributeProcessTaskEncoder, u.encoder)
		record(metadata.AttributeProcessTaskDecoder, u.decoder)
	}
}

func (g *gpu) usageOf(pid uint32) *processUsage {
	for i := range g.usage {
		if g.usage[i].pid == pid {
			return &g.usage[i]
		}
	}
	g.usage = append(g.usage, processUsage{pid: pid})
	return &g.usage[len(g.usage)-1]
}

// describe gives the name of a process and the attributes that are not on every point.
func (g *gpu) describe(pid uint32) (string, []metadata.MetricAttributeOption) {
	proc := g.scraper.proc
	name := proc.executable(pid)
	if !g.scraper.config.ProcessCommandLine {
		return name, g.options
	}
	line := proc.commandLine(pid)
	if line == "" {
		return name, g.options
	}
	return name, append(g.options[:len(g.options):len(g.options)], metadata.WithProcessCommandLineMetricAttribute(line))
}
