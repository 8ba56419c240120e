// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package docs tests the documentation.
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

// TestNamedTestsExist checks that each test named in the documents exists.
func TestNamedTestsExist(t *testing.T) {
	const root = "../.."
	exists := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	for _, directory := range []string{"receiver", "test"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, directory),
			func(path string, _ fs.DirEntry, err error) error {
				if err != nil || !strings.HasSuffix(path, "_test.go") {
					return err
				}
				text, err := os.ReadFile(path)
				for _, match := range declared.FindAllSubmatch(text, -1) {
					exists[string(match[1])] = true
				}
				return err
			}))
	}
	for _, document := range []string{"docs/videos.md", "THREAT-MODEL.md"} {
		text, err := os.ReadFile(filepath.Join(root, document))
		require.NoError(t, err)
		named := regexp.MustCompile("`(Test\\w+)`").FindAllSubmatch(text, -1)
		assert.NotEmpty(t, named, document)
		for _, match := range named {
			assert.True(t, exists[string(match[1])], "%s names %s, which does not exist", document, match[1])
		}
	}
}
