// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestList(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "centernet.onnx"), []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"list", "-dir", dir}, &out, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`nanodet-m +person detection +Apache-2.0 +no +default`,
		`centernet +person detection +none stated +wrong +upstream states no license`} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("no line matches %s in\n%s", want, out.String())
		}
	}
}

func TestArguments(t *testing.T) {
	for args, want := range map[string]string{
		"":                                    "missing command",
		"fetsh":                               `unknown command "fetsh"`,
		"fetch yolo":                          `unknown model "yolo"`,
		"fetch -url x":                        "name exactly one",
		"fetch -sha256 x a b":                 "name exactly one",
		"fetch -dir DIR -gpu abacus":          `the catalog has no ONNX Runtime for the GPU "abacus"`,
		"fetch -dir DIR -platform plan9/mips": "the catalog has no ONNX Runtime for plan9/mips",
		"fetch -dir DIR -packages DIR":        "run `npm pack onnxruntime-node@",
		"fetch -packages DIR -dir DIR/no":     "npm pack",
	} {
		var out bytes.Buffer
		fields := strings.Fields(strings.ReplaceAll(args, "DIR", t.TempDir()))
		if err := run(t.Context(), fields, &out, &out); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", args, err, want)
		}
	}
	var out bytes.Buffer
	err := run(t.Context(), []string{"fetch", "-h"}, &out, &out)
	if !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "-accept-any") {
		t.Errorf("got %v and %s", err, out.String())
	}
}
