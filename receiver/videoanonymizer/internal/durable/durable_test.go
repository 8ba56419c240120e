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

func TestWriteFileAndSyncPath(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "file")
	require.NoError(t, WriteFile(path, []byte("more than that"), 0o600))
	require.NoError(t, WriteFile(path, []byte("content"), 0o600))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "content", string(text))
	require.ErrorIs(t, WriteFile(filepath.Join(directory, "missing", "file"), nil, 0o600), fs.ErrNotExist)
	require.NoError(t, SyncPath(path))
	require.NoError(t, SyncPath(directory), "its names")
	require.ErrorIs(t, SyncPath(filepath.Join(directory, "missing")), fs.ErrNotExist)
}

// TestSyncUnsupported uses a device that answers as file systems without fsync do.
func TestSyncUnsupported(t *testing.T) {
	f, err := os.Open(os.DevNull)
	require.NoError(t, err)
	require.ErrorIs(t, f.Sync(), syscall.EINVAL)
	require.NoError(t, Sync(f))
	require.NoError(t, f.Close())
	assert.ErrorIs(t, Sync(f), os.ErrClosed)
}
