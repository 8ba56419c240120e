// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
)

// maxScript is the maximum size of the page's JavaScript, in bytes, compressed.
const maxScript = 80_000

func uiDir() string { return filepath.Join(collector.Root(), "extension", "anonymizerconsole", "ui") }

// TestDistEqualsRebuild finds sources that were changed without rebuilding the page, and changes to the page that its
// sources lack.
func TestDistEqualsRebuild(t *testing.T) {
	if testing.Short() {
		t.Skip("needs packages of npm")
	}
	install(t, uiDir())
	rebuilt := t.TempDir()
	command := exec.CommandContext(t.Context(), "node", "build.mjs", rebuilt)
	command.Dir = uiDir()
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.Equal(t, files(t, filepath.Join(uiDir(), "dist")), files(t, rebuilt),
		"the page is not what its sources make: run make console-page and commit")

	command = exec.CommandContext(t.Context(), "node", "test.mjs")
	command.Dir = uiDir()
	output, err = command.CombinedOutput()
	require.NoError(t, err, "%s", output)
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	contents := map[string]string{}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		require.NoError(t, err)
		contents[entry.Name()] = string(content)
	}
	return contents
}

// TestBuildsWithoutNode: the built page is committed, so building a collector requires only Go.
func TestBuildsWithoutNode(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the extension")
	}
	compiler, err := exec.LookPath("go")
	require.NoError(t, err)
	tools := t.TempDir()
	require.NoError(t, os.Symlink(compiler, filepath.Join(tools, "go")))
	t.Setenv("PATH", tools)
	_, err = exec.LookPath("node")
	require.ErrorIs(t, err, exec.ErrNotFound)
	program := filepath.Join(t.TempDir(), "console.test")
	command := exec.CommandContext(t.Context(), compiler, "test", "-c", "-o", program, ".")
	command.Dir = filepath.Dir(uiDir())
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	built, err := os.ReadFile(program)
	require.NoError(t, err)
	script, err := os.ReadFile(filepath.Join(uiDir(), "dist", "app.js"))
	require.NoError(t, err)
	assert.True(t, bytes.Contains(built, script), "the page is in the program")
}

func TestScriptIsSmall(t *testing.T) {
	script, err := os.ReadFile(filepath.Join(uiDir(), "dist", "app.js"))
	require.NoError(t, err)
	var compressed bytes.Buffer
	writer := gzip.NewWriter(&compressed)
	_, err = writer.Write(script)
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	t.Logf("%d bytes, %d compressed", len(script), compressed.Len())
	assert.Less(t, compressed.Len(), maxScript)
}
