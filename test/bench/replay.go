// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"
	"golang.org/x/sync/errgroup"
)

// replayed is the cost of the inferences alone.
type replayed struct {
	CPU        time.Duration
	Inferences map[string]int // by model
}

// replay repeats the recorded inferences in ONNX Runtime alone, with one thread per core. It writes a line when all
// models are loaded, waits for a line, and writes the cost of the inferences as JSON.
func replay(path string, begin, end time.Time) (err error) {
	recorded, err := readRecording(path, begin, end)
	if err != nil {
		return err
	}
	ort.SetSharedLibraryPath(runtimeLibrary())
	if err := ort.InitializeEnvironment(ort.WithLogLevelFatal()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ort.DestroyEnvironment()) }()
	sessions := make([]*session, len(recorded.models))
	for _, s := range recorded.shapes {
		if sessions[s.model] == nil {
			if sessions[s.model], err = openSession(recorded.models[s.model]); err != nil {
				return err
			}
			defer sessions[s.model].Destroy()
		}
		// The first run of a shape plans its memory.
		if err := sessions[s.model].infer(s.contents[0]); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	before := usedBy(syscall.RUSAGE_SELF)
	if err := recorded.compute(sessions); err != nil {
		return err
	}
	result := replayed{CPU: usedBy(syscall.RUSAGE_SELF) - before, Inferences: map[string]int{}}
	for _, run := range recorded.runs {
		result.Inferences[filepath.Base(recorded.models[recorded.shapes[run.shape].model])]++
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// compute runs all inferences on all cores.
func (r recording) compute(sessions []*session) error {
	var next atomic.Int64
	var group errgroup.Group
	for range runtime.NumCPU() {
		group.Go(func() error {
			for i := next.Add(1) - 1; i < int64(len(r.runs)); i = next.Add(1) - 1 {
				s := r.shapes[r.runs[i].shape]
				if err := sessions[s.model].infer(s.contents[r.runs[i].content]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// session is a model with one thread, as the collector opens it on a CPU.
type session struct {
	*ort.DynamicAdvancedSession
	outputs int
}

func openSession(path string) (*session, error) {
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	defer options.Destroy()
	if err := errors.Join(options.SetIntraOpNumThreads(1), options.SetInterOpNumThreads(1)); err != nil {
		return nil, err
	}
	in, out, err := ort.GetInputOutputInfo(path)
	if err != nil {
		return nil, err
	}
	opened, err := ort.NewDynamicAdvancedSession(path, names(in), names(out), options)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &session{opened, len(out)}, nil
}

func names(infos []ort.InputOutputInfo) (all []string) {
	for _, info := range infos {
		all = append(all, info.Name)
	}
	return all
}

func (s *session) infer(tensors []tensor) (err error) {
	inputs, outputs := make([]ort.Value, len(tensors)), make([]ort.Value, s.outputs)
	for i, t := range tensors {
		if inputs[i], err = t.value(); err != nil {
			return err
		}
		defer inputs[i].Destroy()
	}
	if err := s.Run(inputs, outputs); err != nil {
		return err
	}
	for _, output := range outputs {
		err = errors.Join(err, output.Destroy())
	}
	return err
}

// value wraps a tensor without copying it; t.kind is an ONNXTensorElementDataType.
func (t tensor) value() (ort.Value, error) {
	shape := ort.NewShape(t.dims...)
	switch t.kind {
	case ort.TensorElementDataTypeUint8:
		return ort.NewTensor(shape, t.data)
	case ort.TensorElementDataTypeFloat:
		return ort.NewTensor(shape, elements[float32](t.data))
	case ort.TensorElementDataTypeInt64:
		return ort.NewTensor(shape, elements[int64](t.data))
	}
	return nil, fmt.Errorf("tensors of type %d are not supported", t.kind)
}

func elements[T float32 | int64](data []byte) []T {
	var zero T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(data))), len(data)/int(unsafe.Sizeof(zero)))
}

// usedBy returns the CPU time of this process, or of its child processes that have ended.
func usedBy(who int) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(who, &usage); err != nil {
		panic(err) // cannot fail with these arguments
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
