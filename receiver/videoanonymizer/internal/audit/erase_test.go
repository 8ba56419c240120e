// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// decidedLog creates a log of decisions on two videos.
func decidedLog(t *testing.T) (directory string) {
	directory = t.TempDir()
	l, err := Open(directory)
	require.NoError(t, err)
	for _, e := range []Entry{
		{Action: ReviewStarted, Name: "jane.mp4", Output: "jane_anonymized.mp4"},
		{Action: ReviewStarted, Name: "walk.mp4", Output: "walk_anonymized.mp4"},
		{Action: Approved, Name: "jane.mp4", Output: "jane_anonymized.mp4", OutputSHA256: "aa", Note: "Jane"},
		{Action: Approved, Name: "walk.mp4", Output: "walk_anonymized.mp4"},
	} {
		e.Actor, e.Role = "Ann", "review"
		_, err := l.Append(e)
		require.NoError(t, err)
	}
	require.NoError(t, l.Close())
	return directory
}

func ofJane(e Entry) bool { return strings.HasPrefix(e.Name, "jane") }

func TestErase(t *testing.T) {
	directory := decidedLog(t)
	n, err := Erase(directory, "root", ofJane)
	require.NoError(t, err)
	assert.Equal(t, 2, n)
	text, err := os.ReadFile(filepath.Join(directory, FileName))
	require.NoError(t, err)
	assert.NotContains(t, strings.ToLower(string(text)), "jane")
	var actions []string
	good, err := Verify(bytes.NewReader(text), func(e Entry) { actions = append(actions, e.Actor+" "+e.Action) })
	require.NoError(t, err)
	assert.Equal(t, 5, good)
	assert.Equal(t, []string{"Ann review_started", "Ann review_started", "Ann approved", "Ann approved", "root erased"},
		actions, "who did what stays")
	decided, err := Decisions(directory)
	require.NoError(t, err)
	assert.Contains(t, decided, "walk_anonymized.mp4")
	assert.Len(t, decided, 1)
	schema, err := jsonschema.NewCompiler().Compile("../../audit.schema.json")
	require.NoError(t, err)
	for line := range bytes.Lines(text) {
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
		require.NoError(t, err)
		assert.NoError(t, schema.Validate(document))
	}

	n, err = Erase(directory, "root", ofJane)
	require.NoError(t, err)
	assert.Zero(t, n, "once")
	l, err := Open(directory)
	require.NoError(t, err)
	e, err := l.Append(Entry{Action: Reopened, Output: "walk_anonymized.mp4"})
	require.NoError(t, err)
	require.NoError(t, l.Close())
	assert.Equal(t, 6, e.Seq)
	decided, err = Decisions(directory)
	require.NoError(t, err)
	assert.Empty(t, decided)
	n, err = Erase(t.TempDir(), "root", ofJane)
	assert.NoError(t, err, "no log")
	assert.Zero(t, n)
}

// TestErasureCannotHideTampering changes a log that was partly erased, and checks that lines cannot be erased without
// an entry in the chain that says so.
func TestErasureCannotHideTampering(t *testing.T) {
	directory := decidedLog(t)
	before, err := os.ReadFile(filepath.Join(directory, FileName))
	require.NoError(t, err)
	_, err = Erase(directory, "root", ofJane)
	require.NoError(t, err)
	after, err := os.ReadFile(filepath.Join(directory, FileName))
	require.NoError(t, err)
	original, erased := strings.SplitAfter(string(before), "\n"), strings.SplitAfter(string(after), "\n")
	for name, lines := range map[string][]string{
		"no entry says so":  erased[:4],
		"another was meant": {erased[0], erased[1], erased[2], original[3], original[3]},
		"another actor": append([]string{strings.Replace(erased[0], "Ann", "Bob", 1)},
			erased[1:]...),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Verify(strings.NewReader(strings.Join(lines, "")), func(Entry) {})
			var bad *ErrBad
			assert.ErrorAs(t, err, &bad)
		})
	}
	for at := range after {
		flipped := bytes.Clone(after)
		flipped[at] ^= 1
		_, err := Verify(bytes.NewReader(flipped), func(Entry) {})
		require.Error(t, err, "byte %d", at)
	}
	require.NoError(t, os.WriteFile(filepath.Join(directory, FileName), before[:len(before)-3], 0o600))
	_, err = Erase(directory, "root", ofJane)
	assert.ErrorContains(t, err, "nothing is erased from a log that has been changed")
	_, err = Decisions(directory)
	assert.Error(t, err)
}
