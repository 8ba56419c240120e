// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPartsOfProfile divides stacks of a profile among the parts of the work.
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

// TestPartsOfChildren tells the collector's child processes apart.
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

// TestTreeCountsChildren compares what a tree counts with what the kernel reports of all children together, though some
// are too short to be seen.
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

// TestReadRecording reads runs between two moments, the second one of a shape without its content.
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

// TestReadBenchmarks takes the median of each benchmark and number of goroutines.
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
