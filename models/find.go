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

// Dir returns the models folder: the configured one when it is not empty, else the first of these that is a folder:
// ./models, <folder of the executable>/../models, <folder of the executable>/../share/otelcol-anonymizer/models.
// The error lists where it looked.
func Dir(configured string) (string, error) {
	executable, err := os.Executable()
	if err == nil {
		executable, err = filepath.EvalSymlinks(executable)
	}
	if err != nil {
		executable = "" // look in the working directory alone
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
	return "", fmt.Errorf("no models folder at %s: run `make models`, or configure where it lies", strings.Join(candidates, ", "))
}

// RuntimeLibrary returns where ONNX Runtime's shared library lies in a models folder. It does not look whether it is there.
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
