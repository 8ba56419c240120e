// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
)

// recording contains the inferences of ONNX Runtime, in order. For each shape of tensors it keeps only the first
// contents, which later inferences reuse.
type recording struct {
	models []string // paths
	runs   []inference
	shapes []shape
}

// inference is a run of a model: the index of a shape, and of one of its contents.
type inference struct{ shape, content int }

// shape is a shape of a model's inputs, with the contents that were kept.
type shape struct {
	model    int
	contents [][]tensor
}

// tensor is one input; kind is an ONNXTensorElementDataType.
type tensor struct {
	kind uint64
	dims []int64
	data []byte
}

// buildRecorder compiles the library that stands in for ONNX Runtime, against the header of the Go module that the
// collector uses.
func buildRecorder(ctx context.Context, dir string) (string, error) {
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/yalue/onnxruntime_go")
	list.Dir = collector.Root()
	header, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("%v: %w", list.Args, err)
	}
	path := filepath.Join(dir, "libonnxruntime.so.1")
	compile := exec.CommandContext(ctx, "cc", "-O2", "-Wall", "-Wno-unused-result", "-shared", "-fPIC",
		"-I", strings.TrimSpace(string(header)), "-o", path,
		filepath.Join(collector.Root(), "test", "bench", "recorder", "recorder.c"), "-ldl")
	if output, err := compile.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %w: %s", compile.Args, err, output)
	}
	return path, nil
}

// readRecording reads the inferences from begin to end. The file is a sequence of 64-bit integers in native byte order:
// 'S', session, and the path of its model; or 'R', session, time in ns since 1970, number of inputs, and for each input
// its type, number of dimensions, dimensions, and content. Paths and contents are preceded by their length in bytes,
// which is 0 for contents that were not kept.
func readRecording(path string, begin, end time.Time) (recording, error) {
	file, err := os.Open(path)
	if err != nil {
		return recording{}, err
	}
	defer file.Close()
	d := decoder{Reader: bufio.NewReaderSize(file, 1<<20), sessions: map[uint64]int{}, known: map[string]int{}}
	for d.err == nil {
		switch d.number() {
		case 'S':
			session := d.number()
			d.sessions[session] = len(d.models)
			d.models = append(d.models, string(d.bytes()))
		case 'R':
			d.run(begin, end)
		}
	}
	if !errors.Is(d.err, io.EOF) {
		return recording{}, fmt.Errorf("%s: %w", path, d.err)
	}
	if len(d.runs) == 0 {
		return recording{}, fmt.Errorf("%s: nothing was computed; does the collector load ONNX Runtime elsewhere?", path)
	}
	return d.recording, nil
}

type decoder struct {
	*bufio.Reader
	recording
	sessions map[uint64]int // to models
	known    map[string]int // to shapes
	err      error
}

func (d *decoder) run(begin, end time.Time) {
	session, at, inputs := d.number(), time.Unix(0, int64(d.number())), make([]tensor, d.number())
	model, known := d.sessions[session]
	if !known && d.err == nil {
		d.err = fmt.Errorf("session %x was not opened from a file", session)
	}
	key, kept := fmt.Sprint(model), false
	for i := range inputs {
		in := tensor{kind: d.number()}
		for range d.number() {
			in.dims = append(in.dims, int64(d.number()))
		}
		in.data = d.bytes()
		inputs[i], key, kept = in, key+fmt.Sprint(in.kind, in.dims), kept || len(in.data) > 0
	}
	if d.err != nil {
		return
	}
	index, known := d.known[key]
	if !known {
		index = len(d.shapes)
		d.known[key] = index
		d.shapes = append(d.shapes, shape{model: model})
	}
	s := &d.shapes[index]
	if kept {
		s.contents = append(s.contents, inputs)
	}
	if at.Before(begin) || at.After(end) {
		return
	}
	if len(s.contents) == 0 {
		d.err = fmt.Errorf("no content of shape %s was kept", key)
		return
	}
	d.runs = append(d.runs, inference{shape: index, content: len(d.runs) % len(s.contents)})
}

func (d *decoder) number() uint64 {
	var n uint64
	if err := binary.Read(d, binary.NativeEndian, &n); err != nil && d.err == nil {
		d.err = err
	}
	return n
}

func (d *decoder) bytes() []byte {
	b := make([]byte, min(d.number(), 1<<30))
	if _, err := io.ReadFull(d, b); err != nil && d.err == nil {
		d.err = err
	}
	return b
}
