// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package onnxtest runs models in ONNX Runtime for tests. It first fetches missing models and the runtime.
package onnxtest

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/fetch"
)

// Dir returns this repository's models directory.
func Dir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Fetch ensures that the runtime and these models are installed.
func Fetch(tb testing.TB, names ...string) {
	tb.Helper()
	catalog, err := models.Load()
	if err != nil {
		tb.Fatal(err)
	}
	if err := fetch.Fetch(context.Background(), catalog, names,
		fetch.Options{Dir: Dir(), Progress: os.Stderr}); err != nil {
		tb.Fatal(err)
	}
}

// start loads the runtime once for all tests of a package.
var start = sync.OnceValue(func() error {
	ort.SetSharedLibraryPath(models.RuntimeLibrary(Dir()))
	return ort.InitializeEnvironment()
})

// Session is a model that is ready to run on one thread.
type Session struct {
	session *ort.DynamicAdvancedSession
	Inputs  []ort.InputOutputInfo
	Outputs []ort.InputOutputInfo
}

// Tensor is a result.
type Tensor struct {
	Shape  []int64
	Values []float32
}

// NewSession loads an .onnx file's content. Fetch must have been called.
func NewSession(tb testing.TB, content []byte) *Session {
	tb.Helper()
	check := func(err error) {
		if err != nil {
			tb.Helper()
			tb.Fatal(err)
		}
	}
	check(start())
	options, err := ort.NewSessionOptions()
	check(err)
	defer options.Destroy()
	check(options.SetIntraOpNumThreads(1))
	check(options.SetInterOpNumThreads(1))
	s := &Session{}
	s.Inputs, s.Outputs, err = ort.GetInputOutputInfoWithONNXData(content)
	check(err)
	s.session, err = ort.NewDynamicAdvancedSessionWithONNXData(content, names(s.Inputs), names(s.Outputs), options)
	check(err)
	tb.Cleanup(func() { s.session.Destroy() })
	return s
}

func names(infos []ort.InputOutputInfo) []string {
	var out []string
	for _, info := range infos {
		out = append(out, info.Name)
	}
	return out
}

// Run runs a model with one input, and returns its float32 outputs by name.
func Run[T ort.TensorData](tb testing.TB, s *Session, shape []int64, values []T) map[string]Tensor {
	tb.Helper()
	input, err := ort.NewTensor(ort.NewShape(shape...), values)
	if err != nil {
		tb.Fatal(err)
	}
	defer input.Destroy()
	outputs := make([]ort.Value, len(s.Outputs))
	if err := s.session.Run([]ort.Value{input}, outputs); err != nil {
		tb.Fatal(err)
	}
	results := map[string]Tensor{}
	for i, output := range outputs {
		tensor, ok := output.(*ort.Tensor[float32])
		if !ok {
			tb.Fatalf("output %s is not a float32 tensor", s.Outputs[i].Name)
		}
		results[s.Outputs[i].Name] = Tensor{tensor.GetShape(), append([]float32(nil), tensor.GetData()...)}
		tensor.Destroy()
	}
	return results
}

// Close compares values: got may differ from want by at most tolerance times the largest absolute value of want.
func Close(tb testing.TB, what string, got, want []float32, tolerance float32) {
	tb.Helper()
	if len(got) != len(want) {
		tb.Errorf("%s: got %d values, want %d", what, len(got), len(want))
		return
	}
	largest, worst, at := float32(0), float32(-1), 0
	for i := range want {
		largest = max(largest, abs(want[i]))
		if d := abs(got[i] - want[i]); !(d <= worst) { // also catches NaN
			worst, at = d, i
		}
	}
	if !(worst <= tolerance*largest) {
		tb.Errorf("%s: value %d is %g, want %g; that is more than %g of the largest value %g away", what, at, got[at],
			want[at], tolerance, largest)
	}
}

func abs(v float32) float32 { return max(v, -v) }
