// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package docs checks what the documentation refers to.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../.."

// TestNamedTestsExist looks up each test that a document names.
func TestNamedTestsExist(t *testing.T) {
	exists := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	for _, path := range files(t, "_test.go") {
		for _, match := range declared.FindAllSubmatch(read(t, path), -1) {
			exists[string(match[1])] = true
		}
	}
	names := map[string]bool{} // the documents that name a test
	for _, document := range files(t, ".md") {
		for _, match := range regexp.MustCompile("`(Test\\w+)`").FindAllSubmatch(read(t, document), -1) {
			names[document] = true
			assert.True(t, exists[string(match[1])], "%s names %s, which does not exist", document, match[1])
		}
	}
	for _, document := range []string{"docs/videos.md", "THREAT-MODEL.md"} {
		assert.True(t, names[document], "%s names the tests behind its claims", document)
	}
}

// files returns the paths of all files of the source tree with that suffix, relative to its root.
func files(t *testing.T, suffix string) []string {
	t.Helper()
	var paths []string
	require.NoError(t, fs.WalkDir(os.DirFS(root), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			switch entry.Name() {
			case ".git", "node_modules", "cache":
				return fs.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, suffix) {
			paths = append(paths, path)
		}
		return nil
	}))
	return paths
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	return text
}
