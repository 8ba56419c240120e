// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestNotices prints the licenses of what is linked into this test program.
func TestNotices(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	texts := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(texts, "page.txt"), []byte("license of the page\r\n"), 0o644))
	extra := filepath.Join(t.TempDir(), "extra")
	require.NoError(t, os.WriteFile(extra, []byte("license of the extra"), 0o644))
	var out bytes.Buffer
	require.NoError(t, write(t.Context(), &out, []string{self}, texts, map[string]string{"Extra": extra}))
	for _, want := range []string{
		"page\n\nlicense of the page\n", "Extra\n\nlicense of the extra\n", "go.yaml.in/yaml/v3@v", "MIT License",
		"nanodet-m: Apache-2.0", "Go\n\nCopyright 2009 The Go Authors",
	} {
		assert.Contains(t, out.String(), want)
	}
	assert.NotContains(t, out.String(), "centernet", "it is not packaged")
	assert.NotContains(t, out.String(), "TERMS AND CONDITIONS FOR USE", "Debian has the Apache license")
	assert.Equal(t, 1, strings.Count(out.String(), "license of the page"))

	assert.ErrorContains(t, write(t.Context(), &out, []string{extra}, texts, nil), "extra")
	assert.ErrorContains(t, write(t.Context(), &out, []string{self}, t.TempDir(), nil), "there are no texts")
	assert.Error(t, write(t.Context(), &out, []string{self}, texts, map[string]string{"Gone": "/no/file"}))
}

// TestLicenses checks that each license text of a module is found once, and that code is not.
func TestLicenses(t *testing.T) {
	module := t.TempDir()
	for name, text := range map[string]string{
		"LICENSE": "first", "sub/LICENSE.md": "second", "sub/copying": "first", "NOTICE.txt": "third",
		"testdata/LICENSE": "not this", "license.go": "nor this", "LICENSES": "nor that",
	} {
		path := filepath.Join(module, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	found, err := licenses(module)
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"first", "second", "third"}, found)
}

func TestApacheLicenseIsReplaced(t *testing.T) {
	text, err := os.ReadFile("../../../LICENSE")
	require.NoError(t, err)
	short := tidy(text)
	assert.Less(t, len(short), 2000)
	assert.Contains(t, short, apacheFile)
}
