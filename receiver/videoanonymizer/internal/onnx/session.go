// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package onnx

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	ort "github.com/yalue/onnxruntime_go"
)

// Errors that callers tell apart.
var (
	// ErrModel marks a model that cannot be opened or whose inputs and outputs are not those its family has.
	ErrModel = errors.New("model cannot be used")
	// ErrOutOfMemory marks a run that the device had too little memory for; a smaller batch may pass.
	ErrOutOfMemory = errors.New("out of memory")
	// ErrTimeout marks a run that took longer than Options.Timeout.
	ErrTimeout = errors.New("inference took too long")
)

// Options say how a session runs.
type Options struct {
	// Threads computes one run in parallel; 1 or more.
	Threads int
	// Parallel bounds how many runs of the session are under way at once; 1 or more. Further ones wait.
	Parallel int
	// Provider is the execution provider: cpu, cuda, tensorrt, openvino or coreml. One that cannot be loaded is an
	// error; nothing falls back to the processor in silence.
	Provider string
	// ProviderOptions are the provider's own settings, such as device_id.
	ProviderOptions map[string]string
	// Timeout ends a run that takes longer; 0 is no limit.
	Timeout time.Duration
}

// Providers are the execution providers that Options.Provider can name.
var Providers = []string{"cpu", "cuda", "tensorrt", "openvino", "coreml"}

// TensorInfo describes an input or output. A free dimension is -1.
type TensorInfo struct {
	Name  string
	Type  string
	Shape []int64
}

func (t TensorInfo) String() string { return fmt.Sprintf("%s %s%v", t.Name, t.Type, t.Shape) }

// Tensor is a dense array in row-major order. One of the data slices is set.
type Tensor struct {
	Shape   []int64
	Uint8   []uint8
	Int64   []int64
	Float32 []float32
}

// Session is an opened model. Its methods are safe for concurrent use.
type Session struct {
	path    string
	inputs  []TensorInfo
	outputs []TensorInfo
	session *ort.DynamicAdvancedSession
	slots   chan struct{}
	timeout time.Duration
}

// Open loads the model at path. Initialize must have succeeded before. Errors match ErrModel.
func Open(path string, opts Options) (*Session, error) {
	settings, err := sessionOptions(opts)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrModel, path, err)
	}
	defer func() { _ = settings.Destroy() }()
	in, out, err := ort.GetInputOutputInfoWithOptions(path, settings)
	if err != nil {
		return nil, fmt.Errorf("%w: %q with provider %s: %w", ErrModel, path, opts.Provider, err)
	}
	s := &Session{path: path, inputs: describe(in), outputs: describe(out), timeout: opts.Timeout,
		slots: make(chan struct{}, max(1, opts.Parallel))}
	s.session, err = ort.NewDynamicAdvancedSession(path, names(s.inputs), names(s.outputs), settings)
	if err != nil {
		return nil, fmt.Errorf("%w: %q with provider %s: %w", ErrModel, path, opts.Provider, err)
	}
	return s, nil
}

func sessionOptions(opts Options) (*ort.SessionOptions, error) {
	settings, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		settings.SetIntraOpNumThreads(max(1, opts.Threads)),
		settings.SetInterOpNumThreads(1),
		settings.SetGraphOptimizationLevel(ort.GraphOptimizationLevelEnableAll),
		// Idle threads must not spin: the cores are shared with the video's decoder and encoder.
		settings.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"),
		appendProvider(settings, opts),
	)
	if err != nil {
		_ = settings.Destroy()
		return nil, err
	}
	return settings, nil
}

func appendProvider(settings *ort.SessionOptions, opts Options) error {
	var err error
	switch opts.Provider {
	case "", "cpu":
		return nil
	case "cuda":
		var cuda *ort.CUDAProviderOptions
		if cuda, err = ort.NewCUDAProviderOptions(); err == nil {
			defer func() { _ = cuda.Destroy() }()
			if err = cuda.Update(opts.ProviderOptions); err == nil {
				err = settings.AppendExecutionProviderCUDA(cuda)
			}
		}
	case "tensorrt":
		var tensorrt *ort.TensorRTProviderOptions
		if tensorrt, err = ort.NewTensorRTProviderOptions(); err == nil {
			defer func() { _ = tensorrt.Destroy() }()
			if err = tensorrt.Update(opts.ProviderOptions); err == nil {
				err = settings.AppendExecutionProviderTensorRT(tensorrt)
			}
		}
	case "openvino":
		err = settings.AppendExecutionProviderOpenVINO(opts.ProviderOptions)
	case "coreml":
		err = settings.AppendExecutionProviderCoreMLV2(opts.ProviderOptions)
	default:
		return fmt.Errorf("no execution provider is called %q; use one of %s", opts.Provider, strings.Join(Providers, ", "))
	}
	if err != nil {
		return fmt.Errorf("execution provider %s cannot be used, so nothing runs (set provider to cpu, or install what it "+
			"needs beside the ONNX Runtime library): %w", opts.Provider, err)
	}
	return nil
}

// Inputs describes the model's inputs, in the order that Run takes them.
func (s *Session) Inputs() []TensorInfo { return slices.Clone(s.inputs) }

// Outputs describes the model's outputs, in the order that Run gives them.
func (s *Session) Outputs() []TensorInfo { return slices.Clone(s.outputs) }

// Name is the model's file name.
func (s *Session) Name() string { return filepath.Base(s.path) }

// Run computes the outputs for the inputs and hands them to read; the tensors' memory is gone when read returns. It waits
// for a free slot first. Errors match ErrOutOfMemory, ErrTimeout or the context's error where they apply.
func (s *Session) Run(ctx context.Context, inputs []Tensor, read func(outputs []Tensor) error) error {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	in := make([]ort.Value, 0, len(inputs))
	out := make([]ort.Value, len(s.outputs))
	defer func() {
		for _, v := range slices.Concat(in, out) {
			if v != nil {
				_ = v.Destroy()
			}
		}
	}()
	for i := range inputs {
		v, err := value(&inputs[i])
		if err != nil {
			return fmt.Errorf("%s: input %d: %w", s.Name(), i, err)
		}
		in = append(in, v)
	}
	if err := s.run(ctx, in, out); err != nil {
		return fmt.Errorf("%s: %w", s.Name(), err)
	}
	results := make([]Tensor, len(out))
	for i, v := range out {
		t, err := tensor(v)
		if err != nil {
			return fmt.Errorf("%s: output %s: %w", s.Name(), s.outputs[i].Name, err)
		}
		results[i] = t
	}
	return read(results)
}

// run calls ONNX Runtime and terminates it when the context ends or the time limit passes.
func (s *Session) run(ctx context.Context, in, out []ort.Value) error {
	options, err := ort.NewRunOptions()
	if err != nil {
		return err
	}
	defer func() { _ = options.Destroy() }()
	runCtx, cancel := ctx, func() {}
	if s.timeout > 0 {
		runCtx, cancel = context.WithTimeoutCause(ctx, s.timeout, ErrTimeout)
	}
	defer cancel()
	terminated := make(chan struct{})
	stop := context.AfterFunc(runCtx, func() {
		defer close(terminated)
		_ = options.Terminate()
	})
	err = s.session.RunWithOptions(in, out, options)
	if !stop() {
		<-terminated // it still uses the options
	}
	switch {
	case err == nil:
		return nil
	case runCtx.Err() != nil:
		return context.Cause(runCtx)
	case isOutOfMemory(err):
		return fmt.Errorf("%w: %w", ErrOutOfMemory, err)
	default:
		return err
	}
}

// isOutOfMemory knows the words of ONNX Runtime's arena, of the C++ allocator and of CUDA.
func isOutOfMemory(err error) bool {
	text := strings.ToLower(err.Error())
	for _, words := range []string{"failed to allocate memory", "bad_alloc", "out of memory", "cuda_error_out_of_memory"} {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}

// Close frees the model. No run may be under way.
func (s *Session) Close() error { return s.session.Destroy() }

func value(t *Tensor) (ort.Value, error) {
	shape := ort.NewShape(t.Shape...)
	switch {
	case t.Uint8 != nil:
		return ort.NewTensor(shape, t.Uint8)
	case t.Int64 != nil:
		return ort.NewTensor(shape, t.Int64)
	case t.Float32 != nil:
		return ort.NewTensor(shape, t.Float32)
	}
	return nil, errors.New("no data")
}

func tensor(v ort.Value) (Tensor, error) {
	t := Tensor{Shape: v.GetShape()}
	switch v := v.(type) {
	case *ort.Tensor[float32]:
		t.Float32 = v.GetData()
	case *ort.Tensor[int64]:
		t.Int64 = v.GetData()
	case *ort.Tensor[uint8]:
		t.Uint8 = v.GetData()
	default:
		return Tensor{}, fmt.Errorf("elements of type %T are not supported", v)
	}
	return t, nil
}

func describe(infos []ort.InputOutputInfo) []TensorInfo {
	out := make([]TensorInfo, len(infos))
	for i, info := range infos {
		name := strings.ToLower(strings.TrimPrefix(info.DataType.String(), "ONNX_TENSOR_ELEMENT_DATA_TYPE_"))
		out[i] = TensorInfo{Name: info.Name, Type: name, Shape: slices.Clone(info.Dimensions)}
	}
	return out
}

func names(infos []TensorInfo) []string {
	out := make([]string, len(infos))
	for i, info := range infos {
		out[i] = info.Name
	}
	return out
}
