// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package repo checks that the repository is consistent: what its documents name exists, and make handles every module.
package repo

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestNamedTestsExist checks that each test that a document names exists.
func TestNamedTestsExist(t *testing.T) {
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(\w+ \*testing\.T\)`)
	exists := map[string]bool{}
	for _, path := range files(t, "*_test.go") {
		for _, match := range declared.FindAllStringSubmatch(read(t, path), -1) {
			exists[match[1]] = true
		}
	}
	named := regexp.MustCompile("`(Test\\w+)`")
	documents := map[string]bool{}
	for _, path := range files(t, "*.md") {
		for _, match := range named.FindAllStringSubmatch(read(t, path), -1) {
			documents[path] = true
			assert.True(t, exists[match[1]], "%s names %s, which does not exist", path, match[1])
		}
	}
	assert.True(t, documents["docs/videos.md"], "docs/videos.md names its tests")
	assert.True(t, documents["THREAT-MODEL.md"], "THREAT-MODEL.md names its tests")
}

// TestLinksResolve follows the relative links of all documents, to files and to headings.
func TestLinksResolve(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, document := range files(t, "*.md") {
		for _, match := range link.FindAllStringSubmatch(prose(read(t, document)), -1) {
			target, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, ":") {
				continue // another site
			}
			linked := document
			if target != "" {
				linked = filepath.Join(filepath.Dir(document), target)
			}
			if _, err := os.Stat(filepath.Join(root, linked)); !assert.NoError(t, err, "%s links to %s", document, match[1]) {
				continue
			}
			if anchor != "" {
				assert.Contains(t, anchors(read(t, linked)), anchor, "%s links to %s", document, match[1])
			}
		}
	}
}

// anchors returns the fragments by which the headings of a document can be linked to, as GitHub derives them.
func anchors(document string) (all []string) {
	heading := regexp.MustCompile(`(?m)^#+ (.+)$`)
	dropped := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for _, match := range heading.FindAllStringSubmatch(prose(document), -1) {
		all = append(all, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-"))
	}
	return all
}

// TestMakeTargetsExist checks that each make target that a document or a pre-commit hook names exists.
func TestMakeTargetsExist(t *testing.T) {
	targets := map[string]bool{}
	for _, match := range regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`).FindAllStringSubmatch(read(t, "Makefile"), -1) {
		targets[match[1]] = true
	}
	named := regexp.MustCompile("(?m)(?:`|^ +entry: |^)make ([a-z][a-z0-9-]*)")
	var found int
	for _, path := range append(files(t, "*.md"), ".pre-commit-config.yaml") {
		for _, match := range named.FindAllStringSubmatch(read(t, path), -1) {
			found++
			assert.True(t, targets[match[1]], "%s names make %s, which does not exist", path, match[1])
		}
	}
	assert.NotZero(t, found)
}

// TestReferencesExist checks the files and identifiers that documents about the code name.
func TestReferencesExist(t *testing.T) {
	source := parseSource(t)
	for _, path := range []string{"CONTRIBUTING.md", "docs/architecture.md", "docs/videos.md"} {
		t.Run(path, func(t *testing.T) {
			checked, missing := source.check(read(t, path))
			assert.NotZero(t, checked)
			assert.Empty(t, missing, "see the comment on references for what is checked")
		})
	}
}

func TestReferences(t *testing.T) {
	source := parseSource(t)
	for reference, exists := range map[string]bool{
		"test/repo/docs_test.go":                          true,
		"test/repo/":                                      true,
		"receiver/*/factory.go":                           true,
		"internal/media":                                  true, // below receiver/videoanonymizer
		"test/repo/gone.go":                               false,
		"receiver/*/gone.go":                              false,
		"test/repo/docs_test.go:TestReferences":           true,
		"test/repo/docs_test.go: TestReferences":          true,
		"test/repo/references_test.go:source.check":       true,
		"test/repo/references_test.go:source.identifiers": true,
		"test/repo/docs_test.go:source.check":             false, // declared in the other file
		"test/repo/docs_test.go:Gone":                     false,
		"test/repo/gone.go:TestReferences":                false,
		"collector.Root":                                  true,
		"collector.Root()":                                true,
		"collector.Options.Binary":                        true,
		"collector.Gone":                                  false,
		"Options.Binary":                                  true,
		"Options.Gone":                                    false,
		"GoneType.Method":                                 false,
	} {
		checked, missing := source.check("See `" + reference + "`.")
		assert.Equal(t, 1, checked, "%s is checked", reference)
		assert.Equal(t, exists, len(missing) == 0, reference)
	}
	for _, other := range []string{
		"output::audio", "config.yaml", "docs_test.go", "os.Rename", "internal/vision/<family>.go", "/usr/bin/ffmpeg",
		"https://example.com/a", "github.com/stretchr/testify", "make build/x", "-c:v", "watch.include", "1.5",
		"bin/anonymizerctl", "models/gone.onnx",
	} {
		checked, missing := source.check("See `" + other + "`.")
		assert.Zero(t, checked, "%s is not a reference", other)
		assert.Empty(t, missing, other)
	}
	checked, _ := source.check("```\n`test/repo/gone.go`\n```\n")
	assert.Zero(t, checked, "fenced code is not checked")
}
