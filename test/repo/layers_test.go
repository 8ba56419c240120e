// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package repo

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const repository = "github.com/otelcol-anonymizer/otelcol-anonymizer"

// TestEveryPackageHasALayer fails if no depguard rule says which of the packages next to it an internal package may
// import.
func TestEveryPackageHasALayer(t *testing.T) {
	var config struct {
		Linters struct {
			Settings struct {
				Depguard struct {
					Rules map[string]layer
				}
			}
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, ".golangci.yml")), &config))
	rules := config.Linters.Settings.Depguard.Rules
	checked := map[string]bool{}
	for _, file := range files(t, "internal/*/*.go", "*/internal/*/*.go") {
		dir := path.Dir(file)
		generated := strings.HasPrefix(path.Base(dir), "metadata") // they import no other package
		if path.Base(path.Dir(dir)) != "internal" || strings.HasSuffix(file, "_test.go") || generated ||
			strings.HasPrefix(dir, "test/") || dir == "receiver/videoanonymizer/internal/anonymize" || checked[dir] {
			continue // anonymize may import all of them
		}
		checked[dir] = true
		found := false
		for _, rule := range rules {
			found = found || rule.covers(dir)
		}
		assert.True(t, found, "%s has no rule in .golangci.yml", dir)
	}
	assert.Contains(t, checked, "receiver/videoanonymizer/internal/media")
	assert.Contains(t, checked, "internal/preflight")
}

// layer is a depguard rule.
type layer struct {
	Files []string
	Deny  []struct{ Pkg string }
}

// covers reports whether the rule denies a package those next to it.
func (l layer) covers(dir string) bool {
	files := []string{"**/" + dir + "/**", "**/" + dir + "/*.go"}
	return slices.ContainsFunc(l.Files, func(pattern string) bool { return slices.Contains(files, pattern) }) &&
		slices.ContainsFunc(l.Deny, func(deny struct{ Pkg string }) bool {
			return deny.Pkg == repository+"/"+path.Dir(dir)
		})
}
