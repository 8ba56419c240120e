// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package models

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Dir returns the models directory: the configured one if set, otherwise the first of these that exists: ./models,
// <directory of the executable>/../models, <directory of the executable>/../share/otelcol-anonymizer/models. The error
// lists the searched directories.
func Dir(configured string) (string, error) {
	executable, err := os.Executable()
	if err == nil {
		executable, err = filepath.EvalSymlinks(executable)
	}
	if err != nil {
		executable = "" // search the working directory only
	}
	return findDir(configured, executable)
}

func findDir(configured, executable string) (string, error) {
	candidates := []string{configured}
	if configured == "" {
		candidates = []string{"models"}
		if executable != "" {
			bin := filepath.Dir(executable)
			candidates = append(candidates,
				filepath.Join(bin, "..", "models"),
				filepath.Join(bin, "..", "share", "otelcol-anonymizer", "models"))
		}
	}
	for _, dir := range candidates {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return filepath.Abs(dir)
		}
	}
	return "", fmt.Errorf("no models directory at %s: run `make models`, or configure its path",
		strings.Join(candidates, ", "))
}

// ProviderLibrary returns the path of the ONNX Runtime shared library with an execution provider: the build for its GPU
// if installed, otherwise RuntimeLibrary.
func ProviderLibrary(modelsDir, provider string) string {
	if provider == "cuda" || provider == "tensorrt" {
		library := filepath.Join(GPUFolder(modelsDir, "cuda"), filepath.Base(RuntimeLibrary(modelsDir)))
		if _, err := os.Stat(library); err == nil {
			return library
		}
	}
	return RuntimeLibrary(modelsDir)
}

// GPUFolder returns the folder for a build of ONNX Runtime for a kind of GPU.
func GPUFolder(modelsDir, name string) string { return filepath.Join(modelsDir, "lib", name) }

// RuntimeLibrary returns the path of the ONNX Runtime shared library in a models directory. It does not check whether
// the file exists.
func RuntimeLibrary(modelsDir string) string {
	name := "libonnxruntime.so.1"
	switch runtime.GOOS {
	case "darwin":
		name = "libonnxruntime.1.dylib"
	case "windows":
		name = "onnxruntime.dll"
	}
	return filepath.Join(modelsDir, "lib", name)
}
