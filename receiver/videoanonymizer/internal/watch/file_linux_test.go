// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

func TestRenameNoReplace(t *testing.T) {
	for name, rename := range map[string]func(from, to string) error{
		"rename": renameNoReplace, "link": durable.LinkNoReplace,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir+"/a", "a")
			write(t, dir+"/b", "b")
			require.ErrorIs(t, rename(dir+"/a", dir+"/b"), os.ErrExist)
			assert.Equal(t, "a", read(t, dir+"/a"))
			assert.Equal(t, "b", read(t, dir+"/b"))
			require.NoError(t, rename(dir+"/a", dir+"/c"))
			assert.Equal(t, []string{"b", "c"}, tree(t, dir))
		})
	}
}

// TestRemoveRacesWithReplacement replaces a file while it is being removed, and checks that the replacement stays.
func TestRemoveRacesWithReplacement(t *testing.T) {
	dir := quickDir(t)
	path := dir + "/walk.mkv"
	for range 2000 {
		write(t, path, "a video")
		write(t, dir+"/new", "another video")
		meant, _, err := lstat(path)
		require.NoError(t, err)
		start, replaced := make(chan struct{}), make(chan error)
		go func() {
			<-start
			replaced <- os.Rename(dir+"/new", path)
		}()
		close(start)
		if err := remove(path, meant); err != nil {
			require.ErrorIs(t, err, errOtherFile)
		}
		require.NoError(t, <-replaced)
		require.Equal(t, "another video", read(t, path))
	}
}
