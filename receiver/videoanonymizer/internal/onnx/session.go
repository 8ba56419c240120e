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

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
)

// Options configure a session.
type Options struct {
	// Threads is the number of threads per run; less than 1 means 1.
	Threads int
	// Parallel limits the number of concurrent runs of the session; further runs wait. Less than 1 means 1.
	Parallel int
	// Provider is the execution provider, one of Providers; empty means cpu. A provider that cannot be loaded is an error:
	// there is no silent fallback to the CPU.
	Provider string
	// ProviderOptions are the provider's own settings, such as device_id.
	ProviderOptions map[string]string
	// Timeout limits the duration of a run, excluding the wait for its turn; 0 means no limit.
	Timeout time.Duration
}

// Providers are the execution providers that Options.Provider can name.
var Providers = []string{"cpu", "cuda", "tensorrt", "openvino", "coreml"}

// Session is a model opened by ONNX Runtime. It implements inference.Session.
type Session struct {
	path    string
	inputs  []inference.TensorInfo
	outputs []inference.TensorInfo
	session *ort.DynamicAdvancedSession
	slots   chan struct{} // one element per run in progress
	timeout time.Duration
}

var _ inference.Session = (*Session)(nil)

// Open loads the model at path. Initialize must have succeeded before. Every error is an inference.ErrModel.
func Open(path string, opts Options) (*Session, error) {
	settings, err := sessionOptions(opts)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", inference.ErrModel, path, err)
	}
	defer func() { _ = settings.Destroy() }()
	in, out, err := ort.GetInputOutputInfoWithOptions(path, settings)
	if err != nil {
		return nil, fmt.Errorf("%w: %q with provider %s: %w", inference.ErrModel, path, opts.Provider, err)
	}
	s := &Session{path: path, inputs: describe(in), outputs: describe(out), timeout: opts.Timeout,
		slots: make(chan struct{}, max(1, opts.Parallel))}
	s.session, err = ort.NewDynamicAdvancedSession(path, names(s.inputs), names(s.outputs), settings)
	if err != nil {
		return nil, fmt.Errorf("%w: %q with provider %s: %w", inference.ErrModel, path, opts.Provider, err)
	}
	return s, nil
}

// CheckProvider reports whether the execution provider of opts can be used, without opening a model. Initialize must
// have succeeded before.
func CheckProvider(opts Options) error {
	settings, err := sessionOptions(opts)
	if err != nil {
		return err
	}
	return settings.Destroy()
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
		// Idle threads must not spin: the decoder and the encoder share the cores.
		settings.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"),
		// Sessions share an arena (shareArena), and tensors reuse its memory within a run. A memory pattern would instead
		// reserve separate space for each tensor, for every input shape.
		settings.AddSessionConfigEntry("session.use_env_allocators", "1"),
		settings.SetMemPattern(false),
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
		return fmt.Errorf("execution provider %q is not known: use one of %s", opts.Provider, strings.Join(Providers, ", "))
	}
	if err != nil {
		return fmt.Errorf("execution provider %s cannot be used (set provider to cpu, or install what it needs "+
			"next to the ONNX Runtime library): %w", opts.Provider, err)
	}
	return nil
}

// Inputs implements inference.Session.
func (s *Session) Inputs() []inference.TensorInfo { return slices.Clone(s.inputs) }

// Outputs implements inference.Session.
func (s *Session) Outputs() []inference.TensorInfo { return slices.Clone(s.outputs) }

// Name implements inference.Session.
func (s *Session) Name() string { return filepath.Base(s.path) }

// Run implements inference.Session. A run in progress ends soon after the context is done or the time limit passes.
func (s *Session) Run(
	ctx context.Context, inputs []inference.Tensor, read func(outputs []inference.Tensor) error,
) error {
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
	results := make([]inference.Tensor, len(out))
	for i, v := range out {
		t, err := tensor(v)
		if err != nil {
			return fmt.Errorf("%s: output %s: %w", s.Name(), s.outputs[i].Name, err)
		}
		results[i] = t
	}
	return read(results)
}

// run calls ONNX Runtime, and terminates the call when the context is done or the time limit passes.
func (s *Session) run(ctx context.Context, in, out []ort.Value) error {
	options, err := ort.NewRunOptions()
	if err != nil {
		return err
	}
	defer func() { _ = options.Destroy() }()
	runCtx, cancel := ctx, func() {}
	if s.timeout > 0 {
		runCtx, cancel = context.WithTimeoutCause(ctx, s.timeout, inference.ErrTimeout)
	}
	defer cancel()
	terminated := make(chan struct{})
	stop := context.AfterFunc(runCtx, func() {
		defer close(terminated)
		_ = options.Terminate()
	})
	err = s.session.RunWithOptions(in, out, options)
	if !stop() {
		<-terminated // Terminate still uses the options
	}
	switch {
	case err == nil:
		return nil
	case runCtx.Err() != nil:
		return context.Cause(runCtx)
	case isOutOfMemory(err):
		return fmt.Errorf("%w: %w", inference.ErrOutOfMemory, err)
	default:
		return err
	}
}

// isOutOfMemory recognizes the messages of ONNX Runtime's arena, the C++ allocator and CUDA: the C API has no error
// code for it.
func isOutOfMemory(err error) bool {
	text := strings.ToLower(err.Error())
	messages := []string{"failed to allocate memory", "bad_alloc", "out of memory", "cuda_error_out_of_memory"}
	return slices.ContainsFunc(messages, func(message string) bool { return strings.Contains(text, message) })
}

// Close implements inference.Session.
func (s *Session) Close() error { return s.session.Destroy() }

func value(t *inference.Tensor) (ort.Value, error) {
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

func tensor(v ort.Value) (inference.Tensor, error) {
	t := inference.Tensor{Shape: v.GetShape()}
	switch v := v.(type) {
	case *ort.Tensor[float32]:
		t.Float32 = v.GetData()
	case *ort.Tensor[int64]:
		t.Int64 = v.GetData()
	case *ort.Tensor[uint8]:
		t.Uint8 = v.GetData()
	default:
		return inference.Tensor{}, fmt.Errorf("elements of type %T are not supported", v)
	}
	return t, nil
}

func describe(infos []ort.InputOutputInfo) []inference.TensorInfo {
	out := make([]inference.TensorInfo, len(infos))
	for i, info := range infos {
		name := strings.ToLower(strings.TrimPrefix(info.DataType.String(), "ONNX_TENSOR_ELEMENT_DATA_TYPE_"))
		out[i] = inference.TensorInfo{Name: info.Name, Type: name, Shape: slices.Clone(info.Dimensions)}
	}
	return out
}

func names(infos []inference.TensorInfo) []string {
	out := make([]string, len(infos))
	for i, info := range infos {
		out[i] = info.Name
	}
	return out
}
