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
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
)

// TestRuntimeTelemetryDisabled: as soon as they are loaded, ONNX Runtime's official builds open a telemetry session,
// which is a file, and then report to their vendor. A separate process shows that ours does not.
func TestRuntimeTelemetryDisabled(t *testing.T) {
	if dir := os.Getenv("ONNX_TEST_TELEMETRY"); dir != "" {
		root, err := filepath.Abs(modelsDir)
		require.NoError(t, err)
		t.Chdir(dir)
		require.NoError(t, Initialize(models.RuntimeLibrary(root)))
		s, err := Open(filepath.Join(root, "movenet-lightning.onnx"), Options{})
		require.NoError(t, err)
		require.NoError(t, s.Run(t.Context(), people(1), func([]inference.Tensor) error { return nil }))
		time.Sleep(time.Second) // telemetry starts in the background
		require.NoError(t, s.Close())
		return
	}
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestRuntimeTelemetryDisabled$")
	environ := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return strings.HasPrefix(entry, "ORT_DISABLE_TELEMETRY=")
	})
	child.Env = slices.Concat(environ, []string{"ONNX_TEST_TELEMETRY=" + dir, "TMPDIR=" + dir, "HOME=" + dir})
	out, err := child.CombinedOutput()
	require.NoError(t, err, "%s", out)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}
