// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestList(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	for _, name := range []string{"walk.mkv", "notes.txt", "copy.mkv.part", ".hidden.mkv", "ward/a.mkv", "odd[1]*.mkv",
		"state/journal.mkv"} {
		write(t, filepath.Join(root, name), "a")
	}
	require.NoError(t, os.Symlink("walk.mkv", root+"/link.mkv"))
	tests := map[string]struct {
		include   []string
		recursive bool
		want      map[string]string // why a file is held, by its path below the root
	}{
		"a folder": {include: []string{root + "/*"}, want: map[string]string{
			"walk.mkv": "", "odd[1]*.mkv": "", "notes.txt": string(heldKind), "copy.mkv.part": string(heldPartial),
			"link.mkv": "it is a symbolic link, not a file"}},
		"a file":             {include: []string{root + "/notes.txt"}, want: map[string]string{"notes.txt": ""}},
		"a file of odd name": {include: []string{root + `/odd\[1]\*.mkv`}, want: map[string]string{"odd[1]*.mkv": ""}},
		"a folder and its file": {include: []string{root + "/ward/*", root + "/ward/a.mkv"},
			want: map[string]string{"ward/a.mkv": ""}},
		"the folders in it": {include: []string{root + "/*.mkv"}, recursive: true, want: map[string]string{
			"walk.mkv": "", "odd[1]*.mkv": "", "link.mkv": "it is a symbolic link, not a file", "ward/a.mkv": ""}},
		"nothing": {include: []string{root + "/*.mp4"}, want: map[string]string{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			files, err := List(Config{Include: test.include, Recursive: test.recursive}, root+"/state")
			require.NoError(t, err)
			got := map[string]string{}
			for _, f := range files {
				rel, err := filepath.Rel(root, f.Path)
				require.NoError(t, err)
				got[rel] = f.Held
				assert.Equal(t, f.Held == string(heldKind), f.OtherKind, rel)
			}
			assert.Equal(t, test.want, got)
			assert.Len(t, files, len(got), "each once")
		})
	}
	_, err = List(Config{Include: []string{root + "/gone/*"}})
	assert.ErrorContains(t, err, root+"/gone")
}

func TestOnly(t *testing.T) {
	r := newRig(t, func(r *rig) { r.opts.Only = []string{filepath.Join(r.in, "b.mkv")} })
	r.drop("a.mkv", "a")
	b := r.drop("b.mkv", "b")
	assert.Equal(t, b, r.take().Path)
	r.idle()
}

func TestOutcome(t *testing.T) {
	r := newRig(t)
	done, failed := r.drop("done.mkv", "a"), r.drop("failed.mkv", "b")
	phase := func(path string) (Phase, bool) {
		o, ended := r.w.Outcome(path)
		return o.Phase, ended
	}
	_, ended := phase(done)
	assert.False(t, ended, "before a scan")
	r.finish(done)
	require.NoError(t, r.take().Fail("not_video", nil))
	got, ended := phase(done)
	assert.Equal(t, PhaseDone, got)
	assert.True(t, ended)
	got, ended = phase(failed)
	assert.Equal(t, PhaseFailed, got)
	assert.True(t, ended)

	o, _ := r.w.Outcome(done)
	copied := filepath.Join(r.in, "copied.mkv")
	text, err := os.ReadFile(o.Output.Path)
	require.NoError(t, err)
	write(t, copied, string(text))
	r.settle()
	r.idle()
	o, ended = r.w.Outcome(copied)
	assert.Empty(t, o.Phase)
	assert.Equal(t, isOurs, o.Error)
	assert.True(t, ended)
	o, ended = r.w.Outcome(filepath.Join(r.in, "gone.mkv"))
	assert.Equal(t, "it is gone", o.Error)
	assert.True(t, ended)
}

func TestAgain(t *testing.T) {
	r := newRig(t)
	path := r.drop("walk.mkv", "a")
	assert.ErrorIs(t, r.w.Again(path), ErrRefused)
	r.finish(path)
	r.idle()
	first, _ := r.w.Outcome(path)
	require.NoError(t, r.w.Again(path))
	_, ended := r.w.Outcome(path)
	assert.False(t, ended)
	r.finish(path)
	second, ended := r.w.Outcome(path)
	assert.True(t, ended)
	assert.NotEqual(t, first.Output.Path, second.Output.Path)
	assert.FileExists(t, first.Output.Path, "nothing is replaced")
	require.NoError(t, r.w.Again(path))
	r.take().Suspend()
	assert.ErrorIs(t, r.w.Again(path), ErrRefused)
}

func TestReadLedger(t *testing.T) {
	r := newRig(t)
	done, failed := r.drop("done.mkv", "a"), r.drop("failed.mkv", "b")
	r.finish(done)
	require.NoError(t, r.take().Fail("not_video", nil))
	waiting := r.drop("waiting.mkv", "c")
	ledger, err := ReadLedger(filepath.Join(r.out, StateDirectoryName)) // while a watcher has it open
	require.NoError(t, err)
	o, ok := ledger.Outcome(done)
	assert.True(t, ok)
	assert.Equal(t, PhaseDone, o.Phase)
	ours, ok := ledger.Outcome(o.Output.Path)
	assert.True(t, ok)
	assert.Equal(t, Overview{Path: o.Output.Path, Error: isOurs}, ours)
	o, ok = ledger.Outcome(failed)
	assert.True(t, ok)
	assert.Equal(t, PhaseFailed, o.Phase)
	_, ok = ledger.Outcome(waiting)
	assert.False(t, ok)
	write(t, done, "other")
	_, ok = ledger.Outcome(done)
	assert.False(t, ok, "it changed")

	ledger, err = ReadLedger(filepath.Join(r.out, "none"))
	require.NoError(t, err)
	_, ok = ledger.Outcome(failed)
	assert.False(t, ok)
	assert.NoDirExists(t, filepath.Join(r.out, "none"))
}
