// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package shim builds a stand-in for the driver's library, so that tests run the real binding and the dynamic linker
// without a GPU. A process can load only one NVML library, and a fault in it ends the process; therefore each test runs
// in its own process.
package shim

import (
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

//go:embed testdata/shim.c
var source []byte

const (
	childVariable   = "NVML_SHIM_CHILD"
	controlVariable = "NVML_SHIM_CONTROL"
	// Name is the library name that the dynamic linker looks for.
	Name = "libnvidia-ml.so.1"
)

// Build compiles the shim to path with these macros of shim.c defined.
func Build(t testing.TB, path string, macros ...string) {
	t.Helper()
	args := []string{"-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-Wno-unused", "-x", "c", "-o", path + ".new", "-"}
	for _, macro := range macros {
		args = append(args, "-D"+macro)
	}
	gcc := exec.Command("gcc", args...)
	in, err := gcc.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = in.Write(source)
		_ = in.Close()
	}()
	if out, err := gcc.CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	if err := os.Rename(path+".new", path); err != nil { // an existing library may be mapped: do not overwrite it
		t.Fatal(err)
	}
}

// Run lets prepare populate dir, then runs body in a child process whose dynamic linker searches dir for Name first.
func Run(t *testing.T, prepare func(dir string), body func(t *testing.T, dir string)) {
	t.Helper()
	if dir := os.Getenv(childVariable); dir != "" {
		body(t, dir)
		return
	}
	dir := t.TempDir()
	prepare(dir)
	control := filepath.Join(dir, "control")
	if err := os.WriteFile(control, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=60s")
	child.Env = append(os.Environ(), childVariable+"="+dir, controlVariable+"="+control, "LD_LIBRARY_PATH="+dir)
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("child: %v\n%s", err, out)
	} else {
		t.Logf("child:\n%s", out)
	}
}

// Control replaces the control words of shim.c.
func Control(t testing.TB, words string) {
	t.Helper()
	path := os.Getenv(controlVariable)
	if err := os.WriteFile(path+".new", []byte(words), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
