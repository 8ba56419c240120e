// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package durable

import (
	"errors"
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

// TestReplaceFile checks that ReplaceFile replaces a file, or leaves the old one as it is.
func TestReplaceFile(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "file")
	for _, text := range []string{"the first", "the second"} {
		require.NoError(t, ReplaceFile(path, []byte(text), 0o640))
		got, err := ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, text, string(got))
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o640), info.Mode())
	}
	require.NoError(t, os.Mkdir(filepath.Join(directory, "folder"), 0o700))
	require.Error(t, ReplaceFile(filepath.Join(directory, "folder"), nil, 0o600))
	names, err := os.ReadDir(directory)
	require.NoError(t, err)
	assert.Len(t, names, 2, "nothing is left over")
}

// TestOpenFollowsNothing puts something other than a file in a file's place.
func TestOpenFollowsNothing(t *testing.T) {
	directory := t.TempDir()
	victim, at := filepath.Join(directory, "victim"), filepath.Join(directory, "at")
	require.NoError(t, os.WriteFile(victim, []byte("precious"), 0o644))
	for _, plant := range []struct {
		put  func() error
		fail error
	}{
		{func() error { return os.Symlink(victim, at) }, syscall.ELOOP},
		{func() error { return syscall.Mkfifo(at, 0o600) }, ErrNotRegular},
		{func() error { return os.Mkdir(at, 0o700) }, ErrNotRegular},
	} {
		require.NoError(t, plant.put())
		for _, flags := range []int{os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_CREATE} {
			_, err := Open(at, flags)
			if errors.Is(err, syscall.EISDIR) {
				continue
			}
			require.ErrorIs(t, err, plant.fail)
		}
		_, err := ReadFile(at)
		require.ErrorIs(t, err, plant.fail)
		_, err = Create(at)
		require.ErrorIs(t, err, fs.ErrExist)
		require.NoError(t, WriteFile(at, []byte("ours"), 0o640))
		info, err := os.Lstat(at)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o640), info.Mode())
		require.NoError(t, os.Remove(at))
	}
	text, err := ReadFile(victim)
	require.NoError(t, err)
	assert.Equal(t, "precious", string(text))
}

// TestSyncUnsupported uses a device that responds like a file system without fsync.
func TestSyncUnsupported(t *testing.T) {
	f, err := os.Open(os.DevNull)
	require.NoError(t, err)
	require.ErrorIs(t, f.Sync(), syscall.EINVAL)
	require.NoError(t, Sync(f))
	require.NoError(t, f.Close())
	assert.ErrorIs(t, Sync(f), os.ErrClosed)
}

// TestLinkNoReplace simulates file systems that report that the name is taken, because the request was sent twice or
// because the name really is taken.
func TestLinkNoReplace(t *testing.T) {
	taken := &os.LinkError{Op: "link", Err: syscall.EEXIST}
	t.Cleanup(func() { link = os.Link })
	for name, test := range map[string]struct {
		link func(from, to string) error
		want error
	}{
		"at once": {os.Link, nil},
		"sent twice": {func(from, to string) error {
			return errors.Join(os.Link(from, to), os.Link(from, to))
		}, nil},
		"taken": {func(_, to string) error {
			return errors.Join(os.WriteFile(to, []byte("another"), 0o600), taken)
		}, fs.ErrExist},
		"taken and gone again": {func(string, string) error { return taken }, fs.ErrExist},
		"out of reach":         {func(string, string) error { return syscall.EIO }, syscall.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			from, to := filepath.Join(directory, "from"), filepath.Join(directory, "to")
			require.NoError(t, os.WriteFile(from, []byte("content"), 0o600))
			link = test.link
			err := LinkNoReplace(from, to)
			if test.want != nil {
				require.ErrorIs(t, err, test.want)
				assert.FileExists(t, from)
				return
			}
			require.NoError(t, err)
			assert.NoFileExists(t, from)
			text, err := os.ReadFile(to)
			require.NoError(t, err)
			assert.Equal(t, "content", string(text))
		})
	}
}
