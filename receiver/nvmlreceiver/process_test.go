// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProcFS(t *testing.T) {
	root := procFS(t.TempDir())
	dir := func(pid string) string {
		path := filepath.Join(string(root), pid)
		require.NoError(t, os.Mkdir(path, 0o700))
		return path
	}
	require.NoError(t, os.Symlink("/opt/app/worker (deleted)", filepath.Join(dir("1"), "exe")))
	require.NoError(t, os.WriteFile(filepath.Join(dir("2"), "comm"), []byte("python3\n"), 0o600))
	cmdline := filepath.Join(string(root), "2", "cmdline")
	require.NoError(t, os.WriteFile(cmdline, []byte("python3\x00a b.py\x00"), 0o600))
	assert.Equal(t, "worker", root.executable(1))
	assert.Equal(t, "python3", root.executable(2))
	assert.Equal(t, "python3 a b.py", root.commandLine(2))
	assert.Empty(t, root.executable(3), "the process is gone")
	assert.Empty(t, root.commandLine(3))
}
