// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"text/template"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
)

var report = template.Must(template.New("").Funcs(template.FuncMap{
	"seconds": func(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) },
	"mebi":    func(bytes int64) string { return fmt.Sprintf("%d MiB", bytes>>20) },
	"ratio":   func(a, b time.Duration) string { return fmt.Sprintf("%.2f", float64(a)/float64(b)) },
	"perFrame": func(d time.Duration, frames int) string {
		return fmt.Sprintf("%.1f ms", d.Seconds()*1000/float64(frames))
	},
}).Parse(`# Benchmarks

` + "`make bench`" + ` writes this page. All figures come from one run on an otherwise idle machine: {{.Machine}}.

The footage shows two or three pedestrians in 1920x1080 at 30 frames/s, H.264 (` + "`build/footage.sh bench`" + ` makes it from a
sample clip of OpenCV); the configuration is the default. The pipeline is the built program with its child processes, from
claiming the video until the output has its final name; CPU time includes startup and shutdown. The 30 s clip was measured
{{.Rounds}} times in turn, and the table lists the best of each figure (for memory the worst), since other guests on the host
slow down single rounds.

| 30 s clip, {{.Clip.Frames}} frames | CPU time | per frame |
| --- | ---: | ---: |
| ffmpeg alone: decode, encode (libx264 veryfast, CRF 23) | {{seconds .FFmpeg}} | {{perFrame .FFmpeg .Clip.Frames}} |
| ONNX Runtime alone: the same inferences, one thread | {{seconds .Inference}} | {{perFrame .Inference .Clip.Frames}} |
| the pipeline | {{seconds .Clip.CPU}} | {{perFrame .Clip.CPU .Clip.Frames}} |

| what | measured | bound |
| --- | ---: | ---: |
| wall time of the pipeline | {{seconds .Clip.Wall}} | |
| of it, after the last frame: joining, verification, contact sheet | {{seconds .Clip.Finish}} | |
| ideal: CPU time of ffmpeg and ONNX Runtime alone, divided by {{.Cores}} cores | {{seconds .Ideal}} | |
| wall time / ideal | {{ratio .Clip.Wall .Ideal}} | 1.25 |
| speed | {{printf "%.1f" .Clip.FPS}} frames/s | 30 frames/s |
| peak memory of all processes, 30 s clip | {{mebi .Clip.PeakRSS}} | 1024 MiB |
{{- with .Long}}
| peak memory of all processes, 5 min clip | {{mebi .PeakRSS}} | same as for 30 s |
| speed, 5 min clip | {{printf "%.1f" .FPS}} frames/s | 30 frames/s |
{{- end}}
| startup, until models are loaded and ready | {{seconds .Clip.Start}} | 2 s |

Memory is the resident memory of all processes according to /proc, sampled ten times a second; shared pages count in each
process.
`))

// saveReport writes docs/benchmarks.md and prints it.
func saveReport(r result) error {
	path := filepath.Join(collector.Root(), "docs", "benchmarks.md")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := writeReport(io.MultiWriter(file, os.Stdout), r); err != nil {
		_ = file.Close()
		return err
	}
	return file.Close()
}

func writeReport(w io.Writer, r result) error {
	return report.Execute(w, struct {
		result
		Machine string
	}{r, machine()})
}

// machine describes the machine this runs on.
func machine() string {
	cpu := "unknown CPU"
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			cpu = strings.TrimSpace(value)
			break
		}
	}
	ffmpeg, _ := exec.Command("ffmpeg", "-version").Output()
	version, _, _ := strings.Cut(string(ffmpeg), " Copyright")
	return fmt.Sprintf("%s, %d cores, %s, %s", cpu, runtime.NumCPU(), version, runtime.Version())
}
