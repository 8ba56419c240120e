// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package models

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoad(t *testing.T) {
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	var defaults []string
	for _, m := range c.Models {
		if m.Default {
			defaults = append(defaults, m.Name+" "+m.License)
		}
	}
	want := "nanodet-m Apache-2.0, nanodet-m-screens Apache-2.0, movenet-multipose Apache-2.0, " +
		"movenet-lightning Apache-2.0, blazeface Apache-2.0, facemesh-detection-full Apache-2.0, " +
		"selfie-segmentation Apache-2.0"
	if got := strings.Join(defaults, ", "); got != want {
		t.Errorf("default set: got %s, want %s", got, want)
	}
	m, err := c.Lookup("nanodet-m")
	if err != nil {
		t.Fatal(err)
	}
	image := m.Inputs[0]
	if !image.Shape[0].Free() || !image.Shape[1].Free() || image.Shape[3].Free() || image.Shape[3].String() != "3" {
		t.Errorf("shape of nanodet-m's image: got %v, want [N H W 3]", image.Shape)
	}
}

func TestLookupUnknown(t *testing.T) {
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Lookup("yolo")
	if err == nil || !strings.Contains(err.Error(), `"yolo"`) || !strings.Contains(err.Error(), "movenet-lightning") {
		t.Errorf("error must name the unknown model and the known ones: %v", err)
	}
}

func TestParseReportsEveryError(t *testing.T) {
	text := strings.NewReplacer("task: person_detection", "task: cat_detection", "file: nanodet-m.onnx",
		"file: ../nanodet-m.onnx").
		Replace(string(catalogYAML))
	_, err := parse([]byte(text))
	if err == nil {
		t.Fatal("want an error")
	}
	for _, want := range []string{`model "nanodet-m": task "cat_detection" must be`, `model "centernet": task`,
		`file "../nanodet-m.onnx" must be`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
	if _, err := parse([]byte("modells: []")); err == nil {
		t.Error("an unknown key must be refused")
	}
}

func TestVerify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.onnx")
	const digestOfABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	m := Model{Name: "m", File: "m.onnx", SHA256: digestOfABC}
	if err := m.Verify(path); err == nil || !strings.Contains(err.Error(), "make models") {
		t.Errorf("missing file: %v", err)
	}
	write(t, path, "abd")
	if err := m.Verify(path); err == nil || !strings.Contains(err.Error(), "make models") {
		t.Errorf("wrong file: %v", err)
	}
	write(t, path, "abc")
	if err := m.Verify(path); err != nil {
		t.Errorf("right file: %v", err)
	}
	m.SHA256 = ""
	write(t, path, "anything")
	if err := m.Verify(path); err != nil {
		t.Errorf("unknown hash: %v", err)
	}
}

func TestFindDir(t *testing.T) {
	root := t.TempDir()
	t.Chdir(root)
	executable := filepath.Join(root, "usr", "bin", "otelcol-anonymizer")
	mkdir(t, filepath.Dir(executable))
	if _, err := findDir("", executable); err == nil || !strings.Contains(err.Error(), "make models") {
		t.Errorf("no directory: %v", err)
	}
	// From lowest to highest priority.
	for _, dir := range []string{"usr/share/otelcol-anonymizer/models", "usr/models", "models"} {
		mkdir(t, filepath.Join(root, dir))
		got, err := findDir("", executable)
		if want := filepath.Join(root, dir); err != nil || got != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
	mkdir(t, filepath.Join(root, "elsewhere"))
	if got, err := findDir("elsewhere", executable); err != nil || got != filepath.Join(root, "elsewhere") {
		t.Errorf("configured: got %s, %v", got, err)
	}
	if _, err := findDir("nowhere", executable); err == nil {
		t.Error("a missing configured directory must not fall back to another")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestProviderLibrary checks that a GPU provider uses its own build of the runtime once that is installed.
func TestProviderLibrary(t *testing.T) {
	dir := t.TempDir()
	usual := RuntimeLibrary(dir)
	if got := ProviderLibrary(dir, "cuda"); got != usual {
		t.Errorf("before: %s", got)
	}
	own := filepath.Join(GPUFolder(dir, "cuda"), filepath.Base(usual))
	if err := os.MkdirAll(filepath.Dir(own), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(own, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for provider, want := range map[string]string{"cpu": usual, "openvino": usual, "cuda": own, "tensorrt": own} {
		if got := ProviderLibrary(dir, provider); got != want {
			t.Errorf("%s: got %s, want %s", provider, got, want)
		}
	}
}

// TestPackagesArePinned checks that the lock file pins exactly the packages that the catalog names.
func TestPackagesArePinned(t *testing.T) {
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	specs := map[string]bool{c.Runtime.Package: true}
	for _, m := range c.Models {
		if m.Source.Package != "" {
			specs[m.Source.Package] = true
		}
	}
	for spec := range specs {
		if _, err := PackageIntegrity(spec); err != nil {
			t.Error(err)
		}
	}
	if got := strings.Count(string(packageLock), `"integrity"`); got != len(specs) {
		t.Errorf("package-lock.json pins %d packages, the catalog names %d", got, len(specs))
	}
	if strings.Contains(string(packageLock), "://") {
		t.Error("package-lock.json names a registry")
	}
	for _, spec := range []string{"onnxruntime-node@1.0.0", "other@1.0.0", "onnxruntime-node", ""} {
		if _, err := PackageIntegrity(spec); err == nil {
			t.Errorf("%q: want an error", spec)
		}
	}
}
