// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"
)

func reopen(t *testing.T, directory string) *journal {
	t.Helper()
	j, err := openJournal(directory, zaptest.NewLogger(t))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, j.close()) })
	return j
}

func doneSource(i int) source {
	return source{
		Path: pathText(fmt.Sprintf("/in/%d.mkv", i)), State: stateDone, Stamp: stamp{Size: int64(i)},
		Digest: fmt.Sprintf("source %d", i),
		Output: &outputFile{
			Path: pathText(fmt.Sprintf("/out/%d.mkv", i)), Size: int64(i), Digest: fmt.Sprintf("output %d", i),
		},
	}
}

// TestTornJournal cuts the journal at each byte, and checks that all whole lines stay known.
func TestTornJournal(t *testing.T) {
	directory := quickDir(t)
	j := reopen(t, directory)
	for i := range 3 {
		require.NoError(t, j.put(doneSource(i)))
	}
	require.NoError(t, j.close())
	whole := read(t, filepath.Join(directory, journalName))
	for cut := range len(whole) + 1 {
		write(t, filepath.Join(directory, journalName), whole[:cut])
		j, err := openJournal(directory, zap.NewNop())
		require.NoError(t, err)
		lines := strings.Count(whole[:cut], "\n")
		if cut < len(whole) && whole[cut] == '\n' {
			lines++ // only the end of the line is missing
		}
		require.Len(t, j.sources, lines, "cut at %d", cut)
		require.Len(t, j.outputs, lines)
		require.NoError(t, j.put(doneSource(7)), "it can be continued")
		require.NoError(t, j.close())
		torn := whole[strings.LastIndexByte(whole[:cut], '\n')+1 : cut]
		if lines == strings.Count(whole[:cut], "\n") && torn != "" {
			require.Equal(t, whole[:cut], read(t, takeDamaged(t, directory)), "cut at %d", cut)
		}
		require.Empty(t, damagedJournals(t, directory), "cut at %d", cut)
		again, err := openJournal(directory, zap.NewNop())
		require.NoError(t, err)
		require.Len(t, again.sources, lines+1, "cut at %d", cut)
		require.NoError(t, again.close())
	}
	require.Empty(t, damagedJournals(t, directory), "what was lost is reported once")
}

// TestNewerJournal checks that a program that is older than the journal does not start, and leaves the journal as it
// is.
func TestNewerJournal(t *testing.T) {
	directory := quickDir(t)
	j := reopen(t, directory)
	require.NoError(t, j.put(doneSource(0)))
	require.NoError(t, j.close())
	path := filepath.Join(directory, journalName)
	newer := read(t, path) + `{"format":2,"source":{"path":"/in/1.mkv","state":"somehow"}}` + "\nalso damaged\n"
	write(t, path, newer)
	_, err := openJournal(directory, zaptest.NewLogger(t))
	require.ErrorContains(t, err, "a newer version of this program wrote it, in format 2")
	assert.Equal(t, newer, read(t, path))
	assert.Empty(t, damagedJournals(t, directory))
	write(t, path, strings.ReplaceAll(newer, `{"format":2,`, `{"format":1,`))
	j, err = openJournal(directory, zap.NewNop())
	require.NoError(t, err, "the folder is not locked any more")
	require.NoError(t, j.close())
}

// damagedJournals lists the damaged journals that were kept in the folder.
func damagedJournals(t *testing.T, directory string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(directory, journalName+damagedSuffix+"*"))
	require.NoError(t, err)
	return found
}

// takeDamaged renames the one damaged journal that was kept in the folder, and returns its new path.
func takeDamaged(t *testing.T, directory string) string {
	t.Helper()
	found := damagedJournals(t, directory)
	require.Len(t, found, 1)
	path := filepath.Join(directory, "damaged")
	require.NoError(t, os.Rename(found[0], path))
	return path
}

// TestDamagedJournal checks that what can be read of a damaged journal is used, that the damaged file is kept, and that
// the log reports it.
func TestDamagedJournal(t *testing.T) {
	zeros := strings.Repeat("\x00", 512) // as after a power failure
	tests := map[string]struct {
		damage        func(lines []string) string
		sources, logs int
	}{
		"whole":                     {func(l []string) string { return strings.Join(l, "") }, 3, 0},
		"zeros for a line":          {func(l []string) string { return l[0] + zeros + "\n" + l[2] }, 2, 1},
		"zeros alone":               {func([]string) string { return zeros }, 0, 1},
		"zeros and a newline alone": {func([]string) string { return zeros + "\n" }, 0, 1},
		"zeros at the end":          {func(l []string) string { return strings.Join(l, "") + zeros }, 3, 1},
		"zeros before a line":       {func(l []string) string { return l[0] + zeros + l[1] + l[2] }, 3, 1},
		"torn last line":            {func(l []string) string { return l[0] + l[1] + l[2][:20] }, 2, 1},
		"noise":                     {func(l []string) string { return l[0] + "\xff\xfe{\"\n" + l[2] }, 2, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			directory := quickDir(t)
			j := reopen(t, directory)
			for i := range 3 {
				require.NoError(t, j.put(doneSource(i)))
			}
			require.NoError(t, j.close())
			path := filepath.Join(directory, journalName)
			damaged := test.damage(strings.SplitAfter(strings.TrimSuffix(read(t, path), "\n"), "\n"))
			write(t, path, damaged)
			core, logs := observer.New(zap.ErrorLevel)
			j, err := openJournal(directory, zap.New(core))
			require.NoError(t, err)
			assert.Len(t, j.sources, test.sources)
			assert.Equal(t, test.logs, logs.Len())
			if test.logs > 0 {
				assert.Equal(t, damaged, read(t, takeDamaged(t, directory)))
				assert.Contains(t, logs.All()[0].ContextMap()["kept_as"], path+damagedSuffix)
			}
			require.NoError(t, j.close())
			again, err := openJournal(directory, zap.New(core))
			require.NoError(t, err)
			assert.Equal(t, test.logs, logs.Len(), "it is damaged no more")
			assert.Len(t, again.sources, test.sources)
			assert.Empty(t, damagedJournals(t, directory))
			require.NoError(t, again.close())
		})
	}
}

// TestDamagedJournalsDoNotReplaceEachOther damages a journal twice in one second.
func TestDamagedJournalsDoNotReplaceEachOther(t *testing.T) {
	path := filepath.Join(quickDir(t), journalName)
	at := time.Unix(1_700_000_000, 0)
	var kept []string
	for _, text := range []string{"one", "two", "three"} {
		write(t, path, text)
		name, err := keepDamaged(path, at)
		require.NoError(t, err)
		require.NoError(t, os.Remove(path))
		kept = append(kept, read(t, name))
	}
	assert.Equal(t, []string{"one", "two", "three"}, kept)
	assert.Len(t, damagedJournals(t, filepath.Dir(path)), 3)
}

// TestCopyNew tests what keeps a damaged journal on file systems without links.
func TestCopyNew(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "a journal")
	require.NoError(t, copyNew(dir+"/a", dir+"/b"))
	assert.Equal(t, "a journal", read(t, dir+"/b"))
	write(t, dir+"/b", "another")
	require.ErrorIs(t, copyNew(dir+"/a", dir+"/b"), os.ErrExist)
	assert.Equal(t, "another", read(t, dir+"/b"))
}

func TestJournalCompaction(t *testing.T) {
	directory := quickDir(t)
	j := reopen(t, directory)
	s := doneSource(1)
	for i := range 2 * maxOutdated {
		s.Stamp.Size, s.Output.Path = int64(i), pathText(fmt.Sprintf("/out/%d.mkv", i%10))
		require.NoError(t, j.put(s))
	}
	assert.Less(t, j.lines, maxOutdated+100)
	require.NoError(t, j.close())
	j = reopen(t, directory)
	assert.Len(t, j.sources, 1)
	assert.Len(t, j.outputs, 10, "earlier outputs of the same source stay known")
	assert.True(t, j.isOutput("/out/3.mkv"))
	assert.Equal(t, int64(2*maxOutdated-1), j.sources["/in/1.mkv"].Stamp.Size)
	assert.Equal(t, 10, strings.Count(read(t, j.path), "\n"))
}

// TestJournalOnFullDisk writes to a device that is always full.
func TestJournalOnFullDisk(t *testing.T) {
	directory := quickDir(t)
	j := reopen(t, directory)
	require.NoError(t, j.put(doneSource(1)))
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	require.NoError(t, err)
	good := j.file
	j.file = full
	require.ErrorContains(t, j.put(doneSource(2)), "no space left")
	_, known := j.source("/in/2.mkv")
	assert.False(t, known)
	require.NoError(t, full.Close())
	j.file = good
	require.NoError(t, j.put(doneSource(3)))
	require.NoError(t, j.close())
	j = reopen(t, directory)
	assert.Len(t, j.sources, 2)
}

func TestPathText(t *testing.T) {
	for _, path := range []string{
		"", "/in/walk.mkv", "/in/a\nb.mkv", "/in/caf\xe9.mkv", "/in/\x00", "/in/日本.mkv", `/in/"\u0041`,
		"/in/<&>\u2028", "{",
	} {
		text, err := json.Marshal(pathText(path))
		require.NoError(t, err)
		assert.NotContains(t, string(text), "\n")
		var back pathText
		require.NoError(t, json.Unmarshal(text, &back))
		assert.Equal(t, path, string(back))
	}
}

// FuzzJournal reads arbitrary bytes as a journal, writes what was understood, and must understand the same from that.
func FuzzJournal(f *testing.F) {
	var lines []string
	for i := range 2 {
		s := doneSource(i)
		line, err := json.Marshal(record{Source: &s, Output: s.Output})
		require.NoError(f, err)
		lines = append(lines, string(line))
	}
	f.Add([]byte(strings.Join(lines, "\n")))
	f.Add([]byte(lines[0] + "\n" + lines[1][:40]))
	f.Add([]byte("{}\nnull\n[]\n\"\"\n{\"source\":null}\n{\"source\":{\"path\":{\"base64\":\"6Q==\"}}}\n\x00\x00\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		first, again := newJournal(zap.NewNop()), newJournal(zap.NewNop())
		_, err := readRecords(bytes.NewReader(text), first.apply)
		require.NoError(t, err)
		var written bytes.Buffer
		lines, size, err := first.dump(&written)
		require.NoError(t, err)
		require.EqualValues(t, written.Len(), size)
		require.Equal(t, bytes.Count(written.Bytes(), []byte("\n")), lines)
		damaged, err := readRecords(&written, again.apply)
		require.NoError(t, err)
		require.Zero(t, damaged)
		require.Equal(t, first.sources, again.sources)
		require.Equal(t, first.outputs, again.outputs)
	})
}

// quickDir returns a folder in memory, where syncing costs nothing.
func quickDir(t *testing.T) string {
	directory, err := os.MkdirTemp("/dev/shm", "")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(directory) })
	return directory
}
