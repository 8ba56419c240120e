// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPartsOfProfile assigns stacks of a profile to the parts of the work.
func TestPartsOfProfile(t *testing.T) {
	for name, c := range map[string]struct {
		stack []string
		want  part
	}{
		"inference": {[]string{"runtime.cgocall", "github.com/yalue/onnxruntime_go._Cfunc_Run",
			receiver + "onnx.(*Session).run", receiver + "vision.(*nanoDet).Detect", receiver + "pipeline.(*run).find"},
			inferring},
		"model input": {[]string{"runtime.cgocall", "gocv.io/x/gocv.Resize", receiver + "vision.(*sampler).sample",
			receiver + "pipeline.(*run).find"}, preprocessing},
		"drawing": {[]string{"runtime.cgocall", "gocv.io/x/gocv.FillPoly", receiver + "mask.(*Painter).Paint",
			receiver + "pipeline.(*run).mask"}, masking},
		"pipe": {[]string{"syscall.read", receiver + "media.(*Reader).next", receiver + "pipeline.(*run).decode"}, passing},
		"contact sheet": {[]string{"syscall.read", receiver + "media.(*Reader).next", receiver + "report.WriteSheet",
			receiver + "anonymize.(*attempt).finish"}, finishing},
		"start":              {[]string{"runtime.cgocall", receiver + "onnx.Open", receiver + "anonymize.OpenModels"}, ""},
		"second look":        {[]string{receiver + "onnx.(*Session).run", receiver + "workspace.(*looks).run"}, ""},
		"garbage collection": {[]string{"runtime.scanobject", "runtime.gcBgMarkWorker"}, goRuntime},
		"threads of ONNX":    {[]string{"runtime._ExternalCode"}, inferring},
	} {
		require.Equal(t, c.want, partOf(c.stack), name)
	}
}

// TestPartsOfChildren assigns the collector's child processes to the parts of the work.
func TestPartsOfChildren(t *testing.T) {
	source, output := "/w/videos/incoming/a.mp4", "/w/videos/anonymized/.a.mp4"
	for want, c := range map[part]child{
		decoding:  {args: []string{"/usr/bin/ffmpeg", "-i", "/proc/self/fd/3", "-f", "rawvideo", "pipe:1"}, source: source},
		encoding:  {args: []string{"ffmpeg", "-c:v", "rawvideo", "-f", "ivf", "-i", "pipe:0"}},
		probing:   {args: []string{"/usr/bin/ffprobe", "-i", "/proc/self/fd/3"}, source: source},
		finishing: {args: []string{"ffmpeg", "-i", "/proc/self/fd/3", "-f", "rawvideo", "pipe:1"}, source: output},
	} {
		require.Equal(t, want, c.part())
	}
}

// TestTreeCountsChildren compares the CPU time that a tree counts with what the kernel reports for all children
// together, some of which are too short-lived to be sampled.
func TestTreeCountsChildren(t *testing.T) {
	command := exec.Command("bash", "-c", `for n in 1 2 3; do bash -c 'for ((i = 0; i < 200000; i++)); do :; done'; done
		for n in {1..20}; do bash -c :; done; sleep 0.3; read`)
	wait, err := command.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	watched := watchTree(command.Process.Pid)
	time.Sleep(300 * time.Millisecond)
	require.Eventually(t, func() bool {
		watched.mu.Lock()
		defer watched.mu.Unlock()
		return len(watched.running) == 0 && watched.waited.total() > 0
	}, time.Minute, 50*time.Millisecond)
	require.NoError(t, wait.Close())
	_ = command.Wait()
	children := watched.end()
	var sum time.Duration
	for _, c := range children {
		sum += c.used.total()
	}
	require.Positive(t, sum)
	require.InDelta(t, watched.waited.total(), sum, float64(time.Microsecond))
	require.Positive(t, watched.peak)
}

// TestReadRecording reads the runs between two times. The content of the second run was not kept.
func TestReadRecording(t *testing.T) {
	var file bytes.Buffer
	put := func(numbers ...uint64) { require.NoError(t, binary.Write(&file, binary.NativeEndian, numbers)) }
	content := func(text string) {
		put(uint64(len(text)))
		file.WriteString(text)
	}
	put('S', 7)
	content("/models/a.onnx")
	for at, text := range []string{"before", "inside", "", "after"} {
		put('R', 7, uint64(at), 1, 2, 2, 1, 6)
		content(text)
	}
	path := filepath.Join(t.TempDir(), "recording")
	require.NoError(t, os.WriteFile(path, file.Bytes(), 0o600))
	got, err := readRecording(path, time.Unix(0, 1), time.Unix(0, 2))
	require.NoError(t, err)
	require.Equal(t, []string{"/models/a.onnx"}, got.models)
	require.Len(t, got.shapes, 1)
	require.Equal(t, []int64{1, 6}, got.shapes[0].contents[0][0].dims)
	require.Len(t, got.shapes[0].contents, 3)
	require.Equal(t, []inference{{0, 0}, {0, 1}}, got.runs)

	_, err = readRecording(path, time.Unix(0, 5), time.Unix(0, 6))
	require.ErrorContains(t, err, "nothing was computed")
	require.NoError(t, os.WriteFile(path, file.Bytes()[:file.Len()-2], 0o600))
	_, err = readRecording(path, time.Unix(0, 1), time.Unix(0, 2))
	require.ErrorContains(t, err, "unexpected EOF")
}

// TestReadBenchmarks takes the median for each benchmark and number of goroutines.
func TestReadBenchmarks(t *testing.T) {
	costs, err := readBenchmarks([]byte(`goos: linux
BenchmarkParallel/spans=10           	1000	 60.0 ns/op	 58.0 cpu-ns/op	 0 B/op	 0 allocs/op
BenchmarkParallel/spans=10           	1000	 50.0 ns/op	 52.0 cpu-ns/op	 0 B/op	 0 allocs/op
BenchmarkParallel/spans=10           	1000	 55.0 ns/op	 54.0 cpu-ns/op	 0 B/op	 0 allocs/op
BenchmarkParallel/spans=10-8         	1000	 10.0 ns/op	 60.0 cpu-ns/op	 5 B/op	 2 allocs/op
PASS
`))
	require.NoError(t, err)
	require.Equal(t, []spanCost{{"spans=10", 1, 55, 54, 0}, {"spans=10", 8, 10, 60, 2}}, costs)
	_, err = readBenchmarks([]byte("PASS\n"))
	require.Error(t, err)
}

// TestPageShowsEverySection writes the page and its plot.
func TestPageShowsEverySection(t *testing.T) {
	measured := conditions{Command: "make bench", Machine: "a machine", Cores: 2, Others: 0.5}
	p := pass{Frames: 10, Wall: 2 * time.Second, CPU: 4 * time.Second, Peak: 300 << 20,
		Parts: parts{decoding: time.Second, inferring: 3 * time.Second}}
	i := ideal{Wall: time.Second, FFmpeg: time.Second, Inference: 2 * time.Second,
		Inferences: map[string]int{"nanodet-m.onnx": 7}}
	clip := &clipResult{measured, []round{{p, i}, {p, i}, {p, i}}}
	grown := &series{measured, []point{{"a", 1, 1, 0, p}, {"b", 2, 2, 5, p}, {"c", 3, 3, 10, p}}}
	r := results{Clip: clip, Long: clip, People: grown, Resolution: grown, Length: grown, Hour: grown,
		Spans:   &spansResult{measured, []spanCost{{"attrtometrics", 1, 40, 40, 0}}, []spanCost{{"spans=10", 8, 10, 60, 0}}},
		Several: &severalResult{measured, []severalRound{{98 * time.Second, 100 * time.Second}}},
		Peer:    &peerResult{measured, "1.5.0", peerPass{10, time.Second, time.Second, 400 << 20}, p}}
	docs := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(docs, "images"), 0o755))
	require.NoError(t, new(bench).report(r, docs))
	written, err := os.ReadFile(filepath.Join(docs, "benchmarks.md"))
	require.NoError(t, err)
	for _, want := range []string{
		"| 1 | 1.0 s | 2.0 s | 2.00 | 100.0 ms | 200.0 ms | 400.0 ms | 1.33 | 4.00 |",
		"| 5 min clip: wall time / ideal | 2.00 | 1.15 |",
		"| inference: ONNX Runtime | 300.0 ms | 75 % |",
		"7 of nanodet-m",
		"| c | 10 | 10.0 | 0.0 | 400.0 ms | 300.0 ms | 100.0 ms | 5.0 frames/s | 300 MiB |",
		"| deface | 10.0 frames/s | 100.0 ms | 400 MiB |",
		"| spans=10 | 8 | 60 ns | 0 | 100 million |",
		"| 1 | 98.0 s | 100.0 s | 0.98 |",
		"others used 0.5 of 2 cores",
	} {
		require.Contains(t, string(written), want)
	}
	plotted, err := os.ReadFile(filepath.Join(docs, "images", "growth.svg"))
	require.NoError(t, err)
	require.Equal(t, 3, strings.Count(string(plotted), ">inference<"))
}
