// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package onnx

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const modelsDir = "../../../../models" // filled by `make models`

func initialize(t testing.TB) {
	t.Helper()
	require.NoError(t, Initialize(models.RuntimeLibrary(modelsDir)), "run `make models` first")
}

func open(t testing.TB, opts Options) *Session {
	t.Helper()
	initialize(t)
	s, err := Open(filepath.Join(modelsDir, "movenet-lightning.onnx"), opts)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

func people(n int) []inference.Tensor {
	return []inference.Tensor{{Shape: []int64{int64(n), 192, 192, 3}, Uint8: make([]uint8, n*192*192*3)}}
}

func TestInitializeErrors(t *testing.T) {
	text := filepath.Join(t.TempDir(), "libonnxruntime.so")
	require.NoError(t, os.WriteFile(text, []byte("not a library"), 0o600))
	if Version() == "" { // the loader sees the path only before the first success
		for _, path := range []string{text, filepath.Join(t.TempDir(), "missing.so")} {
			err := Initialize(path)
			require.ErrorIs(t, err, ErrLibrary)
			assert.ErrorContains(t, err, path)
			assert.Empty(t, Version())
		}
	}
	initialize(t)
	assert.NotEmpty(t, Version())
	initialize(t)
	err := Initialize(text)
	require.ErrorIs(t, err, ErrLibrary)
	assert.ErrorContains(t, err, "can load only one")
}

func TestOpenErrors(t *testing.T) {
	initialize(t)
	model := filepath.Join(modelsDir, "movenet-lightning.onnx")
	text := filepath.Join(t.TempDir(), "text.onnx")
	require.NoError(t, os.WriteFile(text, []byte("not a model"), 0o600))
	tests := map[string]struct {
		path string
		opts Options
		want string
	}{
		"missing file":     {"missing.onnx", Options{}, "missing.onnx"},
		"not a model":      {text, Options{}, "text.onnx"},
		"provider unknown": {model, Options{Provider: "gpu"}, `execution provider "gpu" is not known: use one of cpu, cuda`},
		"provider missing": {model, Options{Provider: "cuda"}, "execution provider cuda cannot be used"},
		"options unknown":  {model, Options{Provider: "tensorrt", ProviderOptions: map[string]string{"x": "y"}}, "tensorrt"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Open(tt.path, tt.opts)
			require.ErrorIs(t, err, inference.ErrModel)
			assert.ErrorContains(t, err, tt.want)
		})
	}
}

func TestSessionInputsAndOutputs(t *testing.T) {
	s := open(t, Options{Provider: "cpu"})
	assert.Equal(t, "movenet-lightning.onnx", s.Name())
	assert.Equal(t, []inference.TensorInfo{{Name: "image", Type: "uint8", Shape: []int64{-1, 192, 192, 3}}}, s.Inputs())
	assert.Equal(t, []inference.TensorInfo{{Name: "keypoints", Type: "float", Shape: []int64{-1, 17, 3}}}, s.Outputs())
}

func TestRun(t *testing.T) {
	s := open(t, Options{Parallel: 2})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			assert.NoError(t, s.Run(t.Context(), people(2), func(out []inference.Tensor) error {
				assert.Equal(t, []int64{2, 17, 3}, out[0].Shape)
				assert.Len(t, out[0].Float32, 2*17*3)
				return nil
			}))
		})
	}
	group.Wait()
	broken := errors.New("broken")
	assert.ErrorIs(t, s.Run(t.Context(), people(1), func([]inference.Tensor) error { return broken }), broken)
	assert.ErrorContains(t, s.Run(t.Context(), []inference.Tensor{{Shape: []int64{1}}}, nil), "input 0: no data")
	wrong := []inference.Tensor{{Shape: []int64{1, 100, 100, 3}, Uint8: make([]uint8, 100*100*3)}}
	assert.ErrorContains(t, s.Run(t.Context(), wrong, nil), "movenet-lightning.onnx")
}

func TestRunContextCanceled(t *testing.T) {
	s := open(t, Options{Parallel: 1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, s.Run(ctx, people(1), nil), context.Canceled)

	ctx, cancel = context.WithCancel(t.Context())
	inside, done := make(chan struct{}), make(chan error)
	go func() {
		done <- s.Run(t.Context(), people(1), func([]inference.Tensor) error { close(inside); <-ctx.Done(); return nil })
	}()
	<-inside
	waiting, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer stop()
	assert.ErrorIs(t, s.Run(waiting, people(1), nil), context.DeadlineExceeded, "the only slot is taken")
	cancel()
	require.NoError(t, <-done)
}

func TestRunTimeout(t *testing.T) {
	s := open(t, Options{Timeout: 20 * time.Millisecond})
	start := time.Now()
	err := s.Run(t.Context(), people(256), func([]inference.Tensor) error { return nil })
	require.ErrorIs(t, err, inference.ErrTimeout)
	assert.Less(t, time.Since(start), time.Second, "256 people take about 2 s")
	s = open(t, Options{Timeout: time.Minute})
	require.NoError(t, s.Run(t.Context(), people(1), func([]inference.Tensor) error { return nil }))
}
