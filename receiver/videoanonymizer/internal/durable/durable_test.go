// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package durable

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFiles(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "file")
	require.NoError(t, WriteFile(path, []byte("more than that"), 0o600))
	require.NoError(t, WriteFile(path, []byte("content"), 0o600))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "content", string(text))
	require.ErrorIs(t, WriteFile(filepath.Join(folder, "missing", "file"), nil, 0o600), fs.ErrNotExist)
	require.NoError(t, SyncPath(path))
	require.NoError(t, SyncPath(folder), "its names")
	require.ErrorIs(t, SyncPath(filepath.Join(folder, "missing")), fs.ErrNotExist)
}

// TestSyncWhereThatCannotBe takes a device that answers as such file systems do.
func TestSyncWhereThatCannotBe(t *testing.T) {
	f, err := os.Open(os.DevNull)
	require.NoError(t, err)
	require.ErrorIs(t, f.Sync(), syscall.EINVAL)
	require.NoError(t, Sync(f))
	require.NoError(t, f.Close())
	assert.ErrorIs(t, Sync(f), os.ErrClosed)
}
