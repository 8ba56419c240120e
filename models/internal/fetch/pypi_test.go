// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"archive/zip"
	"bytes"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
)

const wheelName = "runtime_gpu-1.0.0-cp311-cp311-manylinux_2_28_x86_64.whl"

// sellWheel creates a wheel, pins it, and lets a fake pip download it.
func (s *shop) sellWheel(t *testing.T, content string) {
	t.Helper()
	var buf bytes.Buffer
	wheel := zip.NewWriter(&buf)
	for name, text := range map[string]string{"capi/core.so.1": content, "capi/cuda.so": "provider", "METADATA": "no"} {
		to, err := wheel.Create(name)
		if err == nil {
			_, err = to.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := wheel.Close(); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(s.packages, wheelName), buf.String())
	s.catalog.Runtime.GPU = []models.GPU{{
		Name: "cuda", Platform: runtime.GOOS + "/" + runtime.GOARCH, Package: "runtime-gpu==1.0.0", Wheel: wheelName,
		SHA256: bytesSHA256(buf.Bytes()), Files: []models.GPUFile{
			{From: "capi/core.so.1", To: "core.so", SHA256: bytesSHA256([]byte("core"))},
			{From: "capi/cuda.so", To: "cuda.so", SHA256: bytesSHA256([]byte("provider"))},
		}}}
	// Called as python3 -m pip download ... --dest DIR PACKAGE.
	s.tool(t, "python3", `case "$*" in *"--python-version 311 --abi cp311 --platform manylinux_2_28_x86_64"*) ;;
*) exit 1 ;; esac
while [ "$1" != --dest ]; do shift; done; echo called >>"$PACKAGES/pip"; cp "$PACKAGES/`+wheelName+`" "$2"`)
}

func TestFetchGPU(t *testing.T) {
	for name, c := range map[string]struct {
		gpu, content string
		offline      bool
		spoil        func(*shop)
		want, err    string
	}{
		"downloaded":         {gpu: "cuda", content: "core", want: "lib/cuda/core.so=core"},
		"offline":            {gpu: "cuda", content: "core", offline: true, want: "lib/cuda/cuda.so=provider"},
		"not wanted":         {content: "core"},
		"another":            {gpu: "rocm", content: "core", err: "only for cuda on "},
		"a file was changed": {gpu: "cuda", content: "other", err: "capi/core.so.1: it has the sha256 "},
		"the wheel was changed": {gpu: "cuda", content: "core", err: wheelName + " has the sha256 ",
			spoil: func(s *shop) { s.catalog.Runtime.GPU[0].SHA256 = strings.Repeat("0", 64) }},
		"no pip": {gpu: "cuda", content: "core", err: "pip could not download runtime-gpu==1.0.0",
			spoil: func(s *shop) { s.catalog.Runtime.GPU[0].Wheel = "a-1-cp312-cp312-linux.whl" }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			s.sellWheel(t, c.content)
			if c.spoil != nil {
				c.spoil(s)
			}
			o := Options{GPU: c.gpu}
			if c.offline {
				o.Packages = s.packages
				t.Setenv("PATH", "/no")
			}
			err := s.fetch(t.Context(), o, "a")
			files := s.files(t)
			switch {
			case c.err == "" && err != nil:
				t.Fatal(err)
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Fatalf("got %v, want an error with %q", err, c.err)
			case !strings.Contains(files, c.want):
				t.Errorf("%s is missing in %s", c.want, files)
			case c.want == "" && strings.Contains(files, "core.so="):
				t.Errorf("the core is in %s", files)
			}
		})
	}
}

// TestFetchGPUOnce checks that what is already installed needs no network.
func TestFetchGPUOnce(t *testing.T) {
	s := newShop(t)
	s.sellWheel(t, "core")
	for range 2 {
		if err := s.fetch(t.Context(), Options{GPU: "cuda"}, "a"); err != nil {
			t.Fatal(err)
		}
	}
	if calls := read(t, filepath.Join(s.packages, "pip")); calls != "called\n" {
		t.Errorf("pip was called %q", calls)
	}
}
