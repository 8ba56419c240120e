// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestExitStatus(t *testing.T) {
	folder := t.TempDir()
	clip := func(name, args string) string {
		path := filepath.Join(folder, name)
		args = "-nostdin -v error -f lavfi -i testsrc2=s=64x48:r=25:d=0.4 " + args + " -c:v ffv1 -fflags +bitexact -flags:v +bitexact"
		out, err := exec.Command("ffmpeg", append(strings.Fields(args), path)...).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return path
	}
	source := clip("a.mkv", "")
	titled := clip("titled.mkv", "-metadata title=Jane")
	link := filepath.Join(folder, "link.mkv")
	require.NoError(t, os.Symlink(source, link))
	for _, tc := range []struct {
		name       string
		args       []string
		status     int
		says, errs string
	}{
		{name: "nothing else", args: []string{source, link}, says: "Nothing else changed"},
		{name: "a title is left", args: []string{source, titled}, status: 1, says: "More than masks changed: tags"},
		{name: "and may be", args: []string{"-accept", "sound,tags", source, titled}, says: "Nothing else changed"},
		{name: "a file is missing", args: []string{source, filepath.Join(folder, "none.mkv")}, status: 2, errs: "no such file"},
		{name: "one file alone", args: []string{source}, status: 2, errs: "usage:"},
		{name: "no such flag", args: []string{"-nonsense", source, source}, status: 2, errs: "usage:"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			assert.Equal(t, tc.status, run(t.Context(), tc.args, &stdout, &stderr))
			assert.Contains(t, stdout.String(), tc.says)
			assert.Contains(t, stderr.String(), tc.errs)
		})
	}
	t.Run("json", func(t *testing.T) {
		var stdout, stderr bytes.Buffer
		assert.Equal(t, 1, run(t.Context(), []string{"-json", source, titled}, &stdout, &stderr))
		var c struct {
			Unchanged bool
			Rows      []struct{ What, Verdict string }
			Pixels    struct{ Compared, Identical int }
		}
		require.NoError(t, json.Unmarshal(stdout.Bytes(), &c))
		assert.False(t, c.Unchanged)
		assert.NotEmpty(t, c.Rows)
		assert.Equal(t, 10, c.Pixels.Compared)
		assert.Equal(t, 10, c.Pixels.Identical)
	})
}
