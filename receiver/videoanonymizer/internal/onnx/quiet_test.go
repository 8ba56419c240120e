// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package onnx

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
)

// TestNothingIsReported: ONNX Runtime's official builds open a reporting session, in a file, as soon as they are loaded, and then
// send to their maker. A process of its own shows that ours does not.
func TestNothingIsReported(t *testing.T) {
	if dir := os.Getenv("ONNX_TEST_QUIET"); dir != "" {
		root, err := filepath.Abs(modelsDir)
		require.NoError(t, err)
		t.Chdir(dir)
		require.NoError(t, Initialize(models.RuntimeLibrary(root)))
		s, err := Open(filepath.Join(root, "movenet-lightning.onnx"), Options{})
		require.NoError(t, err)
		require.NoError(t, s.Run(t.Context(), people(1), func([]Tensor) error { return nil }))
		time.Sleep(time.Second) // it starts in the background
		require.NoError(t, s.Close())
		return
	}
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestNothingIsReported$")
	environ := slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "ORT_DISABLE_TELEMETRY=") })
	child.Env = append(environ, "ONNX_TEST_QUIET="+dir, "TMPDIR="+dir, "HOME="+dir)
	out, err := child.CombinedOutput()
	require.NoError(t, err, "%s", out)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}
