// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package models

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestTritonConfig(t *testing.T) {
	catalog, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"nanodet-m": `# Made from the catalog by ` + "`make models TRITON=...`" + `
name: "nanodet-m"
backend: "onnxruntime"
max_batch_size: 8
dynamic_batching { max_queue_delay_microseconds: 1000 }
input { name: "image" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] }
output { name: "scores" data_type: TYPE_FP32 dims: [ -1 ] }
output { name: "boxes" data_type: TYPE_FP32 dims: [ -1, 4 ] }
`,
		"movenet-lightning": `# Made from the catalog by ` + "`make models TRITON=...`" + `
name: "movenet-lightning"
backend: "onnxruntime"
max_batch_size: 64
dynamic_batching { max_queue_delay_microseconds: 1000 }
input { name: "image" data_type: TYPE_UINT8 dims: [ 192, 192, 3 ] }
output { name: "keypoints" data_type: TYPE_FP32 dims: [ 17, 3 ] }
`,
	} {
		model, err := catalog.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := model.tritonConfig(); got != want {
			t.Errorf("%s: got\n%swant\n%s", name, got, want)
		}
	}
}

// TestWriteTriton writes a repository of the installed models twice.
func TestWriteTriton(t *testing.T) {
	catalog, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	for range 2 {
		names, err := catalog.WriteTriton(".", out)
		if err != nil || !slices.Contains(names, "blazeface") {
			t.Fatalf("%v, %v (run `make models` first)", names, err)
		}
		written, err := os.ReadDir(out)
		if err != nil || len(written) != len(names) {
			t.Errorf("%v written for %v: %v", written, names, err)
		}
		for _, name := range names {
			model, err := catalog.Lookup(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := model.Verify(filepath.Join(out, name, "1", "model.onnx")); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(out, name, "config.pbtxt")); err != nil {
				t.Error(err)
			}
		}
	}
	_, err = catalog.WriteTriton(t.TempDir(), out)
	if err == nil || !strings.Contains(err.Error(), "no model is installed") {
		t.Errorf("from an empty directory: %v", err)
	}
}
