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

// hostPIDNamespace is the target of /proc/self/ns/pid in the host's PID namespace, to which the kernel gives a fixed
// inode number (PROC_PID_INIT_INO in include/linux/proc_ns.h).
const hostPIDNamespace = "pid:[4026531836]"

// procFS is the proc file system.
type procFS struct {
	root string // normally /proc
	// ofHost is false if root may show a PID namespace other than the driver's, where a PID reported by the driver may
	// belong to a different process than the one that uses the GPU.
	ofHost bool
}

func newProcFS(root string) procFS {
	namespace, err := os.Readlink(filepath.Join(root, "self", "ns", "pid"))
	return procFS{root: root, ofHost: err == nil && namespace == hostPIDNamespace}
}

func (p procFS) file(pid uint32, name string) string {
	return p.root + "/" + strconv.FormatUint(uint64(pid), 10) + "/" + name
}

// executable returns the name of a process's executable, or "" if the process is gone or may not be inspected.
func (p procFS) executable(pid uint32) string {
	if path, err := os.Readlink(p.file(pid, "exe")); err == nil {
		return strings.TrimSuffix(filepath.Base(path), " (deleted)")
	}
	name, err := os.ReadFile(p.file(pid, "comm")) // readable by everyone, but truncated to 15 characters
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(name), "\n")
}

// commandLine returns a process's arguments, joined by spaces, or "" if the process is gone or may not be inspected.
func (p procFS) commandLine(pid uint32) string {
	line, err := os.ReadFile(p.file(pid, "cmdline"))
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(strings.TrimRight(string(line), "\x00"), "\x00", " ")
}

// processUsage sums the n samples of one process since the last scrape, each in percent (0..100).
type processUsage struct {
	pid                               uint32
	general, memory, encoder, decoder float64
	n                                 float64
}

// readProcesses reads how much of the GPU each process uses.
func (g *gpu) readProcesses(now time.Time) {
	if g.metrics.NvmlProcessMemoryUsage.Enabled && g.lost == nil {
		g.readProcessMemory()
	}
	if g.metrics.NvmlProcessGpuUtilization.Enabled && g.lost == nil {
		g.readProcessUtilization(now)
	}
}

func (g *gpu) readProcessMemory() {
	processes, err := g.device.Processes(g.processes[:0])
	if !g.ok("processes", err) {
		return
	}
	g.processes = processes
	for _, p := range processes {
		if p.HasMemory {
			name, options := g.processAttributes(p.PID)
			g.builder.RecordNvmlProcessMemoryUsageDataPoint(g.timestamp, int64(p.Memory), g.uuid, g.name,
				int64(p.PID), name, options...)
		}
	}
}

func (g *gpu) readProcessUtilization(now time.Time) {
	if g.lastProcessSample.IsZero() {
		g.lastProcessSample = now.Add(-g.scraper.config.Controller.CollectionInterval)
	}
	samples, err := g.device.ProcessUtilization(g.lastProcessSample, g.processSamples[:0])
	if !g.ok("process utilization", err) {
		return
	}
	g.processSamples = samples
	g.processUsages = g.processUsages[:0]
	since := g.lastProcessSample
	for _, s := range samples {
		if !s.At.After(since) {
			continue // the driver repeats the last sample of an idle process
		}
		if s.At.After(g.lastProcessSample) {
			g.lastProcessSample = s.At
		}
		u := g.usageOf(s.PID)
		u.general += float64(s.General)
		u.memory += float64(s.Memory)
		u.encoder += float64(s.Encoder)
		u.decoder += float64(s.Decoder)
		u.n++
	}
	for _, u := range g.processUsages {
		name, options := g.processAttributes(u.pid)
		record := func(task metadata.AttributeProcessTask, sum float64) {
			g.builder.RecordNvmlProcessGpuUtilizationDataPoint(g.timestamp, percentToRatio(sum/u.n), g.uuid, g.name,
				int64(u.pid), name, task, options...)
		}
		record(metadata.AttributeProcessTaskGeneral, u.general)
		record(metadata.AttributeProcessTaskMemory, u.memory)
		record(metadata.AttributeProcessTaskEncoder, u.encoder)
		record(metadata.AttributeProcessTaskDecoder, u.decoder)
	}
}

// usageOf returns the usage of a process, adding it if necessary. The pointer is valid until the next call.
func (g *gpu) usageOf(pid uint32) *processUsage {
	for i := range g.processUsages {
		if g.processUsages[i].pid == pid {
			return &g.processUsages[i]
		}
	}
	g.processUsages = append(g.processUsages, processUsage{pid: pid})
	return &g.processUsages[len(g.processUsages)-1]
}

// processAttributes returns the name of a process and its optional attributes. Outside the host's PID namespace, the
// name is empty, so that it is never the name of another process.
func (g *gpu) processAttributes(pid uint32) (string, []metadata.MetricAttributeOption) {
	proc := g.scraper.proc
	if !proc.ofHost {
		g.scraper.session.logged.do(problem{what: "PID namespace"}, func() {
			g.scraper.settings.Logger.Info("not naming the processes that use a GPU, since the collector does not run " +
				"in the host's PID namespace")
		})
		return "", g.options
	}
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
