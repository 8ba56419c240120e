// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package onnx runs ONNX models with ONNX Runtime: it loads the shared library once per process, opens sessions on an
// execution provider, and runs them with bounded concurrency, a time limit and cancellation. It is the only package
// that imports onnxruntime_go; its sessions implement inference.Session.
package onnx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	ort "github.com/yalue/onnxruntime_go"
)

// ErrLibrary marks every failure to load ONNX Runtime itself.
var ErrLibrary = errors.New("ONNX Runtime cannot be used")

// environment is process-wide, like ONNX Runtime's own. It is never torn down: unloading the library while threads that
// it started still run is not safe, and a collector that restarts its pipelines needs it again at once.
var environment struct {
	sync.Mutex
	library string
}

// Initialize loads ONNX Runtime from the shared library at path. The first successful call decides for the process: a
// later call with the same file does nothing, one with another file fails. Every error is an ErrLibrary.
func Initialize(path string) error {
	environment.Lock()
	defer environment.Unlock()
	resolved, err := filepath.EvalSymlinks(path)
	if err == nil {
		resolved, err = filepath.Abs(resolved)
	}
	if err != nil {
		return fmt.Errorf("%w: library %q: %w", ErrLibrary, path, unwrapPath(err))
	}
	if environment.library != "" {
		if environment.library != resolved {
			return fmt.Errorf("%w: library %q is configured, but this process already runs %q: one process can load only one",
				ErrLibrary, resolved, environment.library)
		}
		return nil
	}
	// The official builds report to their vendor from the moment they are loaded; DisableTelemetry below comes too
	// late.
	if err := os.Setenv("ORT_DISABLE_TELEMETRY", "1"); err != nil {
		return fmt.Errorf("%w: disable its own telemetry: %w", ErrLibrary, err)
	}
	ort.SetSharedLibraryPath(resolved)
	// Failures come back as errors; ONNX Runtime's log would repeat them on stderr, in its own format.
	if err := ort.InitializeEnvironment(ort.WithLogLevelFatal()); err != nil {
		return fmt.Errorf("%w: library %q does not load or is too old (use release 1.%d or newer, "+
			"which has API version %d): %w", ErrLibrary, resolved, apiVersion, apiVersion, err)
	}
	if err := ort.DisableTelemetry(); err != nil {
		return fmt.Errorf("%w: disable its own telemetry: %w", ErrLibrary, err)
	}
	if err := shareArena(); err != nil {
		return fmt.Errorf("%w: share memory among its sessions: %w", ErrLibrary, err)
	}
	environment.library = resolved
	return nil
}

// shareArena makes all sessions allocate host memory from one arena, which grows only by what is requested. In separate
// arenas, the memory that each session took for its largest run would add up.
func shareArena() error {
	const extendAsRequested = 1 // onnxruntime's ArenaExtendStrategy::kSameAsRequested
	arena, err := ort.NewArenaCfgV2(map[string]int{"arena_extend_strategy": extendAsRequested})
	if err != nil {
		return err
	}
	defer arena.Destroy()
	memory, err := ort.GetMemoryInfo()
	if err != nil {
		return err
	}
	return ort.CreateAndRegisterAllocator(memory, arena)
}

// apiVersion is the ORT_API_VERSION that onnxruntime_go v1.27.0 is compiled against.
const apiVersion = 24

// Version returns the version of the loaded library, "" before Initialize.
func Version() string {
	environment.Lock()
	defer environment.Unlock()
	if environment.library == "" {
		return ""
	}
	return ort.GetVersion()
}

func unwrapPath(err error) error {
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
