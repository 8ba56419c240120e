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

{{quoted "make bench"}} writes this page and measures all but what takes an hour or needs another program; the figures are in
[test/bench/results.json](../test/bench/results.json). Each section says which command measured it, on what machine, and how
many cores other programs and other guests of the host used meanwhile: on a busy machine all wall times are longer, and CPU
times too, as caches and memory are shared. The configuration is the default.

CPU time is that of the collector and its child processes, from when it is ready until the output has its final name. Peak
memory is the resident memory of all these processes according to /proc, sampled ten times a second; shared pages count in
each process. All wall times begin when the video is claimed, and end when the output has its final name.
{{with .Clip}}
## Against what nobody can avoid

{{template "conditions" .}} {{- $m := .Medians}}

The clip shows two or three pedestrians for 30 s, in 1920x1080 at 30 frames/s, H.264. The ideal is a single ffmpeg that decodes
and encodes it with the settings of the collector's ({{.Settings}}), and, at the same time, ONNX Runtime alone, in a process
of its own with a thread on each core, repeating the inferences of the pipeline's run, on inputs that were recorded in it: of
each shape the first four, again and again. They share nothing, and need no order. Pipeline and ideal ran in turn; the last
row compares medians.

| round | ideal: wall | pipeline: wall | wall / ideal | ffmpeg alone: CPU | inferences alone: CPU | pipeline: CPU | CPU / ideal | CPU / ffmpeg |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{{- range $n, $r := .Rounds}}
| {{inc $n}} | {{seconds .Ideal.Wall}} | {{seconds .Pipeline.Wall}} | {{ratio .WallRatio}} | {{ms (.Pipeline.PerFrame .Ideal.FFmpeg)}} | {{ms (.Pipeline.PerFrame .Ideal.Inference)}} | {{ms (.Pipeline.PerFrame .Pipeline.CPU)}} | {{ratio .CPURatio}} | {{ratio .FFmpegRatio}} |
{{- end}}
| median | {{seconds $m.IdealWall}} | {{seconds $m.Wall}} | {{ratio $m.WallRatio}} | {{ms $m.FFmpeg}} | {{ms $m.Inference}} | {{ms $m.CPU}} | {{ratio $m.CPURatio}} | {{ratio $m.FFmpegRatio}} |

CPU times are by frame. Inferences in a run: {{.Inferences}}.

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

The 5 min clip is the other one ten times over. {{template "conditions" .}}
{{- end}}

## Where the CPU time goes

Means of the rounds above. Child processes are told apart by their command lines; what one used is what the kernel says when
it has ended. The collector's own CPU time is divided by its CPU profile (the extension pprof, 100 samples a second).

| part | CPU by frame | share |
| --- | ---: | ---: |
{{- $mean := .MeanCPU}}{{$kernel := .MeanKernel}}{{range .Table}}
| {{.Name}} | {{ms .Cost}} | {{percent .Cost $mean}} |
{{- end}}
| all | {{ms $mean}} | |

In the kernel, of this: {{ms $kernel.collector}} of the collector, {{ms $kernel.decoder}} of the decoder, {{ms $kernel.encoder}} of the
encoder, and {{ms $kernel.others}} of other child processes.
{{end}}{{if or .People .Resolution .Length}}
## Growth

![CPU time by frame: by people, by pixels, by length](images/growth.svg)

Each clip was measured once. Inference includes preparing its inputs. Detections are those of the span attribute ` + "`" + `bbox.count` + "`" + `, which
also counts what may be nobody; people were counted by eye. Both are means of all frames.
{{with .Resolution}}
{{template "conditions" .}} The clip above, scaled before grain is added, 10 s of it:

{{template "series" .}}
{{end}}{{with .People}}
{{template "conditions" .}} A canvas of 1920x1080 of four quarters, each of which shows either the pedestrians
of the clip above or a blurred empty street, 10 s each:

{{template "series" .}}

Another person costs {{ms .Slope}} a frame, {{ms .InferenceSlope}} of it for inference (least squares, without the clip
that shows nobody: such a video is [checked](review.md#nobody-found)).
{{end}}{{with .Length}}
{{template "conditions" .}} The clip in 854x480, over and over:

{{template "series" .}}
{{end}}{{with .Hour}}
{{template "conditions" .}} The same for an hour:

{{template "series" .}}
{{end}}{{end}}{{with .Several}}
## Several videos

{{template "conditions" .}} Four copies of the clip in 854x480, 10 s each, one after another and all at once
(max_concurrent_videos: 4), in turn, without a console. The bound of the ratio is 0.98.

| round | one after another | at once | throughput at once / one after another |
| --- | ---: | ---: | ---: |
{{- range $n, $r := .Rounds}}
| {{inc $n}} | {{seconds .OneByOne}} | {{seconds .AtOnce}} | {{ratio .Ratio}} |
{{- end}}
{{end}}{{with .Peer}}
## Against another program

{{template "conditions" .}} The clip in 1920x1080, 10 s of it, by [deface](https://github.com/ORB-HD/deface) {{.Version}} from PyPI,
with its defaults, in ONNX Runtime on the CPU, and right after by the pipeline; deface from its start to its end. How many heads each covers is in [docs/recall.md](recall.md).

| program | speed | CPU by frame | peak memory |
| --- | ---: | ---: | ---: |
| deface | {{printf "%.1f" .Peer.FPS}} frames/s | {{ms (.Pass.PerFrame .Peer.CPU)}} | {{mebi .Peer.Peak}} |
| the pipeline | {{printf "%.1f" .Pass.FPS}} frames/s | {{ms (.Pass.PerFrame .Pass.CPU)}} | {{mebi .Pass.Peak}} |
{{end}}{{with .Spans}}
## attrtometrics

{{template "conditions" .}} Medians of five; an operation is one span of a batch of 1000, from 16 videos, which becomes a
gauge per video (span_metrics: a histogram of durations). signaltometrics is v0.161.0, the newest that the module proxy serves
with all that it requires; the others are of the versions in ` + "`" + `processor/attrtometrics/test/go.mod` + "`" + `.

| connector | CPU by span | allocations |
| --- | ---: | ---: |
{{- range .Connectors}}
| {{.Name}} | {{printf "%.0f" .CPU}} ns | {{.Allocations}} |
{{- end}}

attrtometrics with several goroutines, each of which consumes batches of 10 or 1000 spans. If they got in each other's way, the
CPU time by span would grow; how much they do at once, no more than the cores allow, is in the column on the right.

| batches | goroutines | CPU by span | allocations | spans/s |
| --- | ---: | ---: | ---: | ---: |
{{- range .Parallel}}
| {{.Name}} | {{.Goroutines}} | {{printf "%.0f" .CPU}} ns | {{.Allocations}} | {{printf "%.0f" .Millions}} million |
{{- end}}
{{end}}
{{- define "conditions"}}Measured on {{.Date}} by {{quoted .Command}} on {{.Machine}}; others used {{printf "%.1f" .Others}} of {{.Cores}} cores.{{end}}
{{- define "series"}}| clip | frames | people | detections | CPU by frame | inference | decoding, encoding | speed | peak memory |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{{- range .Points}}
| {{.Name}} | {{.Pass.Frames}} | {{printf "%.1f" .People}} | {{printf "%.1f" .Pass.Found}} | {{ms .CPU}} | {{ms .Inference}} | {{ms .Codec}} | {{printf "%.1f" .Pass.FPS}} frames/s | {{mebi .Pass.Peak}} |
{{- end}}{{end}}`))

// report prints the page and, into a directory, writes it and its plot.
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
