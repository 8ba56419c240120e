// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
)

// approved returns an output directory with one approved video, and the path of its audit log.
func approved(t *testing.T) (directory, log string) {
	t.Helper()
	directory = t.TempDir()
	state := filepath.Join(directory, ".otelcol-anonymizer", "console")
	require.NoError(t, os.MkdirAll(state, 0o700))
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:])
	}
	output := filepath.Join(directory, "walk_anonymized.mp4")
	require.NoError(t, os.WriteFile(output, []byte("video"), 0o600))
	require.NoError(t, os.WriteFile(output+".report.json", []byte("report"), 0o600))
	l, err := audit.Open(state)
	require.NoError(t, err)
	_, err = l.Append(audit.Entry{Actor: "Ann", Action: audit.ReviewStarted, Output: "walk_anonymized.mp4"})
	require.NoError(t, err)
	e, err := l.Append(audit.Entry{Actor: "Ann", Action: audit.Approved, Output: "walk_anonymized.mp4",
		OutputSHA256: hash("video"), ReportSHA256: hash("report")})
	require.NoError(t, err)
	require.NoError(t, l.Close())
	text := fmt.Sprintf(`{"schema":%q,"audit_entry":%d,"audit_hash":%q}`, audit.ApprovalSchema, e.Seq, e.Hash)
	require.NoError(t, os.WriteFile(audit.ApprovalPath(output), []byte(text), 0o600))
	return directory, filepath.Join(state, audit.FileName)
}

func TestVerify(t *testing.T) {
	flip := func(t *testing.T, path string, at int) {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		text[at] ^= 1
		require.NoError(t, os.WriteFile(path, text, 0o600))
	}
	output := func(directory string) string { return filepath.Join(directory, "walk_anonymized.mp4") }
	for name, test := range map[string]struct {
		change func(t *testing.T, directory, log string)
		status int
		says   string
	}{
		"intact":        {func(*testing.T, string, string) {}, 0, "2 entries are as they were written"},
		"flipped byte":  {func(t *testing.T, _, log string) { flip(t, log, 30) }, 1, "the first bad entry is 1"},
		"swapped video": {func(t *testing.T, d, _ string) { flip(t, output(d), 0) }, 1, ".mp4: the output is not"},
		"swapped report": {func(t *testing.T, d, _ string) { flip(t, output(d)+".report.json", 0) }, 1,
			"report.json: the report is not"},
		"video gone": {func(t *testing.T, d, _ string) { require.NoError(t, os.Remove(output(d))) }, 1, "is missing"},
		"end cut off": {func(t *testing.T, _, log string) {
			text, err := os.ReadFile(log)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(log, text[:bytes.IndexByte(text, '\n')+1], 0o600))
		}, 1, "no entry 2 of this approval"},
		"no audit": {func(t *testing.T, _, log string) { require.NoError(t, os.Remove(log)) }, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			directory, log := approved(t)
			test.change(t, directory, log)
			var out, errs strings.Builder
			status := run(t.Context(), []string{"anonymizerctl", "verify", directory}, &out, &errs)
			assert.Equal(t, test.status, status, errs.String())
			assert.Contains(t, out.String(), test.says)
		})
	}
}

// TestVerifyByConfiguration checks that verify accepts the same flags for folders as all other commands.
func TestVerifyByConfiguration(t *testing.T) {
	directory, log := approved(t)
	elsewhere := filepath.Join(t.TempDir(), "state")
	require.NoError(t, os.Rename(filepath.Dir(filepath.Dir(log)), elsewhere))
	configuration := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(configuration, fmt.Appendf(nil, "receivers: {videoanonymizer: "+
		"{watch: {include: [in]}, output: {directory: %q, state_directory: %q}}}", directory, elsewhere), 0o600))
	for name, test := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"configuration":   {[]string{"--config", configuration}, 0, "2 entries are as they were written"},
		"folders":         {[]string{directory, "--state-directory", elsewhere}, 0, "2 entries are as they were written"},
		"folder as a key": {[]string{"--directory", directory, "--state-directory", elsewhere}, 0, "2 entries"},
		"both":            {[]string{directory, "--config", configuration}, 2, "use --config or --directory, not both"},
		"none":            {nil, 2, "with --config or --directory"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs strings.Builder
			status := run(t.Context(), append([]string{"anonymizerctl", "verify"}, test.args...), &out, &errs)
			assert.Equal(t, test.status, status, errs.String())
			assert.Contains(t, out.String()+errs.String(), test.says)
		})
	}
}

func TestToken(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "console")
	anonymizerctl := func(args ...string) (int, string) {
		var out, errs strings.Builder
		status := run(t.Context(), append([]string{"anonymizerctl", "token", "--directory", directory}, args...), &out, &errs)
		return status, out.String() + errs.String()
	}
	status, token := anonymizerctl("create", "Ann", "--role", "review")
	require.Equal(t, 0, status, token)
	assert.Len(t, strings.TrimSpace(token), 26)
	status, said := anonymizerctl("create", "Bob", "--role", "king")
	assert.Equal(t, exitError, status)
	assert.Contains(t, said, "view, edit, review, operator")
	_, said = anonymizerctl("list")
	assert.Equal(t, "Ann  review  never expires\n", said)
	status, _ = anonymizerctl("revoke", "Ann")
	assert.Equal(t, 0, status)
	_, said = anonymizerctl("list")
	assert.Empty(t, said)
}
