// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
	"time"
)

var page = template.Must(template.New("").Funcs(template.FuncMap{
	"seconds": func(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) },
	"ms":      func(ms float64) string { return fmt.Sprintf("%.1f ms", ms) },
	"mebi":    func(bytes int64) string { return fmt.Sprintf("%d MiB", bytes>>20) },
	"ratio":   func(ratio float64) string { return fmt.Sprintf("%.2f", ratio) },
	"percent": func(a, b float64) string { return fmt.Sprintf("%.0f %%", 100*a/b) },
	"inc":     func(n int) int { return n + 1 },
	"quoted":  func(s string) string { return "`" + s + "`" },
}).Parse(`# Benchmarks

{{quoted "make bench"}} writes this page. It measures everything except what takes an hour or needs another program. The figures
are in [test/bench/results.json](../test/bench/results.json). Each section names the command that measured it, the machine,
and how many cores other programs and other guests of the host used at the same time. On a busy machine all wall times are
longer, and so are CPU times, because caches and memory are shared. The configuration is the default.

CPU time is the time used by the collector and its child processes, from when the collector is ready until the output has
its final name. Peak memory is the resident memory of all these processes according to /proc, sampled ten times a second;
pages that they share are counted once per process. Wall time runs from when the video is claimed until the output has its
final name.
{{with .Clip}}
## Compared with the work that nobody can avoid

{{template "conditions" .}} {{- $m := .Medians}}

The clip shows two or three pedestrians for 30 s, in 1920x1080 at 30 frames/s, H.264. The ideal consists of two processes
that run at the same time: an ffmpeg that decodes and encodes the clip with the collector's settings ({{.Settings}}),
and ONNX Runtime with a thread on each core, which repeats the inferences of the pipeline. Its inputs were recorded from the
pipeline: the first four of each shape, used over and over. The two processes share nothing and do not wait for each other.
The pipeline and the ideal ran in turn; the last row compares medians.

| round | ideal: wall | pipeline: wall | wall / ideal | ffmpeg alone: CPU | inferences alone: CPU | pipeline: CPU | CPU / ideal | CPU / ffmpeg |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{{- range $n, $r := .Rounds}}
| {{inc $n}} | {{seconds .Ideal.Wall}} | {{seconds .Pipeline.Wall}} | {{ratio .WallRatio}} | {{ms (.Pipeline.PerFrame .Ideal.FFmpeg)}} | {{ms (.Pipeline.PerFrame .Ideal.Inference)}} | {{ms (.Pipeline.PerFrame .Pipeline.CPU)}} | {{ratio .CPURatio}} | {{ratio .FFmpegRatio}} |
{{- end}}
| median | {{seconds $m.IdealWall}} | {{seconds $m.Wall}} | {{ratio $m.WallRatio}} | {{ms $m.FFmpeg}} | {{ms $m.Inference}} | {{ms $m.CPU}} | {{ratio $m.CPURatio}} | {{ratio $m.FFmpegRatio}} |

CPU times are per frame. Inferences in a run: {{.Inferences}}.

| what | measured | bound |
| --- | ---: | ---: |
| wall time / ideal | {{ratio $m.WallRatio}} | 1.15 |
| CPU time / ideal | {{ratio $m.CPURatio}} | 1.15 |
| CPU time / ffmpeg alone | {{ratio $m.FFmpegRatio}} | 1.4 |
| speed | {{printf "%.1f" $m.FPS}} frames/s | 30 frames/s, where ffmpeg alone takes less than 40 ms a frame |
| after the last frame | {{seconds $m.Finish}} | 0.5 s |
| peak memory, worst of the rounds | {{mebi $m.Peak}} | 700 MiB |
| startup, until models are loaded and ready | {{seconds $m.Start}} | 2 s |
{{- with $.Long}}{{$m := .Medians}}
| 5 min clip: wall time / ideal | {{ratio $m.WallRatio}} | 1.15 |
| 5 min clip: CPU time / ideal | {{ratio $m.CPURatio}} | 1.15 |
| 5 min clip: CPU time / ffmpeg alone | {{ratio $m.FFmpegRatio}} | 1.4 |
| 5 min clip: speed | {{printf "%.1f" $m.FPS}} frames/s | as for 30 s |
| 5 min clip: after the last frame | {{seconds $m.Finish}} | |
| 5 min clip: peak memory | {{mebi $m.Peak}} | 700 MiB |

The 5 min clip repeats the 30 s clip ten times. {{template "conditions" .}}
{{- end}}

## Where the CPU time goes

Means of the rounds above. Child processes are identified by their command lines, and the kernel reports what each of them
used when it exits. The collector's own CPU time is split by its CPU profile (the pprof extension, 100 samples a second).

| part | CPU per frame | share |
| --- | ---: | ---: |
{{- $mean := .MeanCPU}}{{$kernel := .MeanKernel}}{{range .Table}}
| {{.Name}} | {{ms .Cost}} | {{percent .Cost $mean}} |
{{- end}}
| all | {{ms $mean}} | |

Of this, kernel time is {{ms $kernel.collector}} in the collector, {{ms $kernel.decoder}} in the decoder, {{ms $kernel.encoder}} in the
encoder, and {{ms $kernel.others}} in other child processes.
{{end}}{{if or .People .Resolution .Length}}
## Growth

![CPU time per frame against people, pixels and length](images/growth.svg)

Each clip was measured once. Inference includes the preparation of its inputs. Detections come from the span attribute
` + "`" + `bbox.count` + "`" + `, which includes false positives; people were counted by eye. Both are means over all frames.
{{with .Resolution}}
{{template "conditions" .}} 10 s of the clip above, scaled before film grain is added:

{{template "series" .}}
{{end}}{{with .People}}
{{template "conditions" .}} Each clip is 10 s of 1920x1080, divided into four quarters, each of which
shows either the pedestrians of the clip above or a blurred empty street:

{{template "series" .}}

Each additional person costs {{ms .Slope}} per frame, of which {{ms .InferenceSlope}} is inference (least squares, without the
clip that shows nobody, because such a video is [checked](review.md#nobody-found)).
{{end}}{{with .Length}}
{{template "conditions" .}} The clip in 854x480, repeated:

{{template "series" .}}
{{end}}{{with .Hour}}
{{template "conditions" .}} The same for an hour:

{{template "series" .}}
{{end}}{{end}}{{with .Several}}
## Several videos

{{template "conditions" .}} Four copies of the clip in 854x480, 10 s each, one after another, and then all at
once (max_concurrent_videos: 4), without the console. The ratio should be at least 0.98.

| round | one after another | at once | throughput at once / one after another |
| --- | ---: | ---: | ---: |
{{- range $n, $r := .Rounds}}
| {{inc $n}} | {{seconds .OneByOne}} | {{seconds .AtOnce}} | {{ratio .Ratio}} |
{{- end}}
{{end}}{{with .Peer}}
## Compared with another program

{{template "conditions" .}} 10 s of the clip in 1920x1080, masked by [deface](https://github.com/ORB-HD/deface) {{.Version}} from PyPI
with its defaults, in ONNX Runtime on the CPU, and right afterwards by the pipeline. For deface, the measurement includes its
startup. [docs/recall.md](recall.md) says how many heads each of them covers.

| program | speed | CPU per frame | peak memory |
| --- | ---: | ---: | ---: |
| deface | {{printf "%.1f" .Peer.FPS}} frames/s | {{ms (.Pass.PerFrame .Peer.CPU)}} | {{mebi .Peer.Peak}} |
| the pipeline | {{printf "%.1f" .Pass.FPS}} frames/s | {{ms (.Pass.PerFrame .Pass.CPU)}} | {{mebi .Pass.Peak}} |
{{end}}{{with .Spans}}
## attrtometrics

{{template "conditions" .}} Medians of five runs. An operation is one span of a batch of 1000 spans from 16 videos,
which become one gauge per video (with span_metrics, a histogram of durations). signaltometrics is v0.161.0, the newest
version that could be downloaded with all its dependencies; ` + "`" + `processor/attrtometrics/test/go.mod` + "`" + ` has the versions of the
others.

| connector | CPU per span | allocations |
| --- | ---: | ---: |
{{- range .Connectors}}
| {{.Name}} | {{printf "%.0f" .CPU}} ns | {{.Allocations}} |
{{- end}}

The next table shows attrtometrics with several goroutines, each of which consumes batches of 10 or 1000 spans. If they
slowed each other down, the CPU time per span would grow. The last column shows their total throughput, which the number of
cores limits.

| batches | goroutines | CPU per span | allocations | spans/s |
| --- | ---: | ---: | ---: | ---: |
{{- range .Parallel}}
| {{.Name}} | {{.Goroutines}} | {{printf "%.0f" .CPU}} ns | {{.Allocations}} | {{printf "%.0f" .Millions}} million |
{{- end}}
{{end}}
{{- define "conditions"}}Measured on {{.Date}} by {{quoted .Command}} on {{.Machine}}; others used {{printf "%.1f" .Others}} of {{.Cores}} cores.{{end}}
{{- define "series"}}| clip | frames | people | detections | CPU per frame | inference | decoding, encoding | speed | peak memory |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{{- range .Points}}
| {{.Name}} | {{.Pass.Frames}} | {{printf "%.1f" .People}} | {{printf "%.1f" .Pass.Found}} | {{ms .CPU}} | {{ms .Inference}} | {{ms .Codec}} | {{printf "%.1f" .Pass.FPS}} frames/s | {{mebi .Pass.Peak}} |
{{- end}}{{end}}`))

// report prints the page and, unless b.print is set, writes it and its plot to the docs directory.
func (b *bench) report(r results, docs string) error {
	var text bytes.Buffer
	if err := page.Execute(&text, r); err != nil {
		return err
	}
	if _, err := os.Stdout.Write(text.Bytes()); err != nil || b.print {
		return err
	}
	if err := drawGrowth(r, filepath.Join(docs, "images", "growth.svg")); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(docs, "benchmarks.md"), text.Bytes(), 0o644)
}
