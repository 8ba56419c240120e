// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// written returns the path and text of a log with four entries.
func written(t *testing.T) (path string, text []byte) {
	directory := t.TempDir()
	l, err := Open(directory)
	require.NoError(t, err)
	for _, note := range []string{"one", `quotes "," and <tags>`, "three", "four"} {
		_, err := l.Append(Entry{Actor: "Ann", Role: "review", Action: Approved, Note: note})
		require.NoError(t, err)
	}
	require.NoError(t, l.Close())
	path = filepath.Join(directory, FileName)
	text, err = os.ReadFile(path)
	require.NoError(t, err)
	return path, text
}

func TestAppendAndVerify(t *testing.T) {
	path, text := written(t)
	var notes []string
	good, err := Verify(bytes.NewReader(text), func(e Entry) { notes = append(notes, e.Note) })
	require.NoError(t, err)
	assert.Equal(t, 4, good)
	assert.Equal(t, `quotes "," and <tags>`, notes[1])
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	l, err := Open(filepath.Dir(path))
	require.NoError(t, err)
	e, err := l.Append(Entry{Action: Rejected})
	require.NoError(t, err)
	assert.Equal(t, 5, e.Seq)
	lines := 0
	require.NoError(t, l.Lines(func([]byte) error { lines++; return nil }))
	assert.Equal(t, 5, lines)
	require.NoError(t, l.Close())
	_, err = l.Append(Entry{})
	require.ErrorIs(t, err, os.ErrClosed)
}

// TestPlantedLinks puts a link in place of each file that is read or written, and checks that none is followed.
func TestPlantedLinks(t *testing.T) {
	victim, text := written(t)
	for name, open := range map[string]func(directory string) error{
		"to append": func(directory string) error {
			_, err := Open(directory)
			return err
		},
		"to verify": func(directory string) error {
			_, err := VerifyDirectory(t.Context(), directory, directory, true)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			require.NoError(t, os.Symlink(victim, filepath.Join(directory, FileName)))
			require.ErrorIs(t, open(directory), syscall.ELOOP)
		})
	}

	l, err := Open(filepath.Dir(victim))
	require.NoError(t, err)
	defer l.Close()
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	require.NoError(t, os.WriteFile(elsewhere, text, 0o600))
	require.NoError(t, os.Remove(victim))
	require.NoError(t, os.Symlink(elsewhere, victim))
	require.ErrorIs(t, l.Lines(func([]byte) error { return nil }), syscall.ELOOP)
}

// TestVerifyFindsEveryFlippedByte flips a bit in each byte of a log in turn.
func TestVerifyFindsEveryFlippedByte(t *testing.T) {
	_, text := written(t)
	line := 1
	for at := range text {
		flipped := bytes.Clone(text)
		flipped[at] ^= 1
		_, err := Verify(bytes.NewReader(flipped), func(Entry) {})
		var bad *ErrBad
		require.ErrorAs(t, err, &bad, "byte %d", at)
		require.Equal(t, line, bad.Line, "byte %d", at)
		if text[at] == '\n' {
			line++
		}
	}
}

func TestVerifyFindsMovedLines(t *testing.T) {
	_, text := written(t)
	lines := strings.SplitAfter(string(text), "\n")
	for name, test := range map[string]struct {
		text string
		line int
	}{
		"first missing":  {strings.Join(lines[1:], ""), 1},
		"second missing": {lines[0] + lines[2] + lines[3], 2},
		"doubled":        {lines[0] + lines[0] + lines[1], 2},
		"exchanged":      {lines[0] + lines[2] + lines[1] + lines[3], 2},
		"empty line":     {lines[0] + "\n" + lines[1], 2},
		"cut off":        {lines[0] + strings.TrimSuffix(lines[1], "\n"), 2},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Verify(strings.NewReader(test.text), func(Entry) {})
			var bad *ErrBad
			require.ErrorAs(t, err, &bad)
			assert.Equal(t, test.line, bad.Line)
		})
	}
}

func TestOpenAfterCrash(t *testing.T) {
	path, text := written(t)
	require.NoError(t, os.WriteFile(path, append(bytes.Clone(text), `{"seq":5,"ti`...), 0o600))
	l, err := Open(filepath.Dir(path))
	require.NoError(t, err)
	_, err = l.Append(Entry{Action: Approved})
	require.NoError(t, err)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	good, err := Verify(bytes.NewReader(after), func(Entry) {})
	require.NoError(t, err)
	assert.Equal(t, 5, good)
}

func TestAppendConcurrently(t *testing.T) {
	directory := t.TempDir()
	l, err := Open(directory)
	require.NoError(t, err)
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			_, err := l.Append(Entry{Action: Uploaded})
			assert.NoError(t, err)
		})
	}
	wait.Wait()
	text, err := os.ReadFile(filepath.Join(directory, FileName))
	require.NoError(t, err)
	good, err := Verify(bytes.NewReader(text), func(Entry) {})
	require.NoError(t, err)
	assert.Equal(t, 20, good)
}
