// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package repo

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../.."

// TestMakeHandlesEveryModule fails if a go.mod is in neither MODULES nor TOOL_MODULES of the Makefile: that module
// would not be tested.
func TestMakeHandlesEveryModule(t *testing.T) {
	var modules []string
	for _, path := range files(t, "go.mod", "*/go.mod") {
		modules = append(modules, filepath.Dir(path))
	}
	require.NotEmpty(t, modules)
	assert.ElementsMatch(t, modules, lines(t, "make", "--silent", "--no-print-directory", "list-modules"),
		"each go.mod (first list) is in MODULES or TOOL_MODULES of the Makefile (second list)")
}

// files returns the files of the working tree that match a pattern and that git does not ignore, relative to the root.
func files(t *testing.T, patterns ...string) []string {
	t.Helper()
	list := []string{"ls-files", "--cached", "--others", "--exclude-standard", "--"}
	all := lines(t, "git", append(list, patterns...)...)
	var existing []string
	for _, path := range all {
		if _, err := os.Lstat(filepath.Join(root, path)); err == nil { // git lists deleted files until they are committed
			existing = append(existing, path)
		}
	}
	return existing
}

// lines runs a command in the root and returns the lines of its output.
func lines(t *testing.T, name string, args ...string) []string {
	t.Helper()
	command := exec.Command(name, args...)
	command.Dir = root
	command.Stderr = os.Stderr
	out, err := command.Output()
	require.NoError(t, err, "%s %s", name, args)
	return strings.Fields(string(out))
}
