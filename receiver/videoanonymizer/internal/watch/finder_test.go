// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newFinder returns a finder that uses the clock of a rig whose watcher has stopped.
func newFinder(t *testing.T, r *rig) *Finder {
	t.Helper()
	f, err := NewFinder(r.opts)
	require.NoError(t, err)
	f.watcher.queue.now = func() time.Time { return r.clock }
	return f
}

func relsOf(all []Complete) (rels []string) {
	for _, c := range all {
		rels = append(rels, c.Rel)
	}
	slices.Sort(rels)
	return rels
}

// TestFinder checks that files are complete by the watcher's rules, and stay so until they change, except those that a
// journal lists as done or as outputs.
func TestFinder(t *testing.T) {
	r := newRig(t)
	r.finish(r.drop("done.mp4", "done"))

	r.drop("a.mp4", "a")
	r.drop("b.mp4", "bb")
	r.drop("c.mp4.part", "c")
	r.drop(".hidden.mp4", "h")
	f := newFinder(t, r)
	assert.Empty(t, f.Find(), "they have to stay unchanged")
	r.clock = r.clock.Add(time.Second)
	r.drop("b.mp4", "bbb")
	f.Find()
	r.clock = r.clock.Add(r.opts.Config.StableFor - time.Second)
	assert.Equal(t, []string{"a.mp4"}, relsOf(f.Find()))
	r.clock = r.clock.Add(r.opts.Config.StableFor)
	found := f.Find()
	assert.Equal(t, []string{"a.mp4", "b.mp4"}, relsOf(found))
	assert.Equal(t, []string{"a.mp4", "b.mp4"}, relsOf(f.Find()))
	for _, c := range found {
		assert.NotEmpty(t, c.Digest)
		require.NoError(t, c.Unchanged())
		rel, ok := f.Rel(c.Path)
		assert.True(t, ok)
		assert.Equal(t, c.Rel, rel)
	}
	require.NoError(t, os.Remove(filepath.Join(r.in, "a.mp4")))
	r.drop("b.mp4", "bbbb")
	assert.Empty(t, f.Find())
	for _, c := range found {
		require.Error(t, c.Unchanged())
	}
	_, ok := f.Rel(filepath.Join(r.out, "x.mkv"))
	assert.False(t, ok)
}

// TestFinderOutput checks that a name that is taken or reserved leads to the next one.
func TestFinderOutput(t *testing.T) {
	r := newRig(t)
	require.NoError(t, os.WriteFile(filepath.Join(r.out, "a_anonymized.mkv"), nil, 0o600))
	f := newFinder(t, r)
	first, free, err := f.Output("a.mp4")
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(r.out, "a_anonymized-2.mkv"), first)
	second, _, err := f.Output("a.avi")
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(r.out, "a_anonymized-3.mkv"), second)
	free()
	third, _, err := f.Output("a.mov")
	require.NoError(t, err)
	assert.Equal(t, first, third)
}

// TestFinderDisposes checks that a source is moved or removed if it is the one that was processed, and no one has it
// open for writing.
func TestFinderDisposes(t *testing.T) {
	for _, what := range []OnSuccess{OnSuccessKeep, OnSuccessMove, OnSuccessDelete} {
		t.Run(string(what), func(t *testing.T) {
			r := newRig(t, func(r *rig) {
				r.opts.OnSuccess = what
				if what == OnSuccessMove {
					r.opts.MoveTo = filepath.Join(filepath.Dir(r.in), "moved")
				}
			})
			path := filepath.Join(r.in, "a.mp4")
			r.drop("a.mp4", "a")
			f := newFinder(t, r)
			f.Find()
			r.clock = r.clock.Add(r.opts.Config.StableFor)
			found := f.Find()
			require.Len(t, found, 1)
			if what == OnSuccessKeep {
				assert.Zero(t, f.Calm())
				require.NoError(t, f.Dispose(found[0], f.Calm()))
				assert.FileExists(t, path)
				return
			}
			assert.Equal(t, longCalm(r.opts.Config.StableFor), f.Calm())
			open, err := os.OpenFile(path, os.O_RDWR, 0)
			require.NoError(t, err)
			require.ErrorIs(t, f.Dispose(found[0], f.Calm()), ErrOpen)
			require.NoError(t, open.Close())
			other := found[0]
			other.Digest = "another"
			require.ErrorIs(t, f.Dispose(other, f.Calm()), ErrChanged)
			require.FileExists(t, path)
			require.NoError(t, f.Dispose(found[0], f.Calm()))
			assert.NoFileExists(t, path)
			require.ErrorIs(t, f.Dispose(found[0], f.Calm()), ErrVanished)
			if what == OnSuccessMove {
				assert.FileExists(t, filepath.Join(r.opts.MoveTo, "a.mp4"))
			}
		})
	}
}

// TestFinderWaitsForUnknownWriters checks that a source that may be open for writing stays for a longer calm.
func TestFinderWaitsForUnknownWriters(t *testing.T) {
	r := newRig(t, func(r *rig) { r.opts.OnSuccess, r.opts.Config.StableFor = OnSuccessDelete, time.Second })
	path := r.drop("a.mp4", "a")
	f := newFinder(t, r)
	f.Find()
	r.clock = r.clock.Add(r.opts.Config.StableFor)
	found := f.Find()
	require.Len(t, found, 1)
	f.watcher.completeness.lease = func(*os.File) writing { return writingUnknown }
	require.ErrorIs(t, f.Dispose(found[0], f.Calm()), ErrOpen)
	require.FileExists(t, path)
	require.NoError(t, f.Dispose(found[0], unknownCalm(r.opts.Config.StableFor)))
	require.NoFileExists(t, path)
}
