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

// spellings are the two ways to call the compare command.
var spellings = map[string][]string{
	"anonymizerctl compare": {"/usr/bin/anonymizerctl", "compare"},
	legacyCompare:           {"/usr/bin/" + legacyCompare},
}

func clip(t *testing.T, dir, name, args string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	args = "-nostdin -v error -f lavfi -i testsrc2=s=64x48:r=25:d=0.4 " + args +
		" -c:v ffv1 -fflags +bitexact -flags:v +bitexact"
	out, err := exec.Command("ffmpeg", append(strings.Fields(args), path)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

func TestCompareExitStatus(t *testing.T) {
	dir := t.TempDir()
	source, titled := clip(t, dir, "a.mkv", ""), clip(t, dir, "titled.mkv", "-metadata title=Jane")
	link := filepath.Join(dir, "link.mkv")
	require.NoError(t, os.Symlink(source, link))
	for spelling, command := range spellings {
		for _, tc := range []struct {
			name       string
			args       []string
			legacy     bool // only the legacy name accepts these arguments
			status     int
			says, errs string
		}{
			{name: "nothing else", args: []string{source, link}, says: "Nothing changed except"},
			{name: "a title is left", args: []string{source, titled}, status: 1, says: "More than masks changed: tags"},
			{name: "an accepted title", args: []string{"--accept", "sound,tags", source, titled},
				says: "Nothing changed except"},
			{name: "one dash", args: []string{"-accept", "sound,tags", source, titled}, legacy: true,
				says: "Nothing changed except"},
			{name: "one dash and an equals sign", args: []string{"-accept=tags", source, titled}, legacy: true,
				says: "Nothing changed except"},
			{name: "paths of the tools", args: []string{"--ffmpeg", "ffmpeg", "--ffprobe", "ffprobe", source, link},
				says: "Nothing changed except"},
			{name: "paths of the tools with one dash",
				args: []string{"-ffmpeg", "ffmpeg", "-ffprobe", "ffprobe", source, link}, legacy: true,
				says: "Nothing changed except"},
			{name: "a tool is missing", args: []string{"--ffmpeg", filepath.Join(dir, "none"), source, link}, status: 2,
				errs: "install ffmpeg"},
			{name: "a file is missing", args: []string{source, filepath.Join(dir, "none.mkv")}, status: 2,
				errs: "no such file"},
			{name: "after two dashes", args: []string{"--", source, "-json"}, status: 2, errs: "-json: no such file"},
			{name: "one file alone", args: []string{source}, status: 2, errs: "Usage:"},
			{name: "no such flag", args: []string{"--nonsense", source, source}, status: 2, errs: "Usage:"},
			{name: "no such flag with one dash", args: []string{"-nonsense", source, source}, status: 2,
				errs: "Usage:"},
		} {
			t.Run(spelling+"/"+tc.name, func(t *testing.T) {
				if tc.legacy && spelling != legacyCompare {
					tc.status, tc.says, tc.errs = exitError, "", "Usage:"
				}
				var stdout, stderr bytes.Buffer
				assert.Equal(t, tc.status,
					run(t.Context(), append(command[:len(command):len(command)], tc.args...), &stdout, &stderr))
				assert.Contains(t, stdout.String(), tc.says)
				assert.Contains(t, stderr.String(), tc.errs)
				if tc.status == exitError {
					assert.Contains(t, stderr.String(), filepath.Base(command[0])+": ", "who says it")
				} else {
					assert.Empty(t, stderr.String())
				}
			})
		}
	}
}

func TestCompareJSON(t *testing.T) {
	dir := t.TempDir()
	source, titled := clip(t, dir, "a.mkv", ""), clip(t, dir, "titled.mkv", "-metadata title=Jane")
	for _, args := range [][]string{
		{"anonymizerctl", "compare", "--json", source, titled},
		{legacyCompare, "--json", source, titled},
		{legacyCompare, "-json", source, titled},
	} {
		var stdout, stderr bytes.Buffer
		assert.Equal(t, 1, run(t.Context(), args, &stdout, &stderr))
		assert.Empty(t, stderr.String())
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
	}
}

func TestHelp(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want []string
	}{
		{[]string{"anonymizerctl"}, []string{"anonymizerctl [command]", "compare "}},
		{[]string{"anonymizerctl", "--help"}, []string{"anonymizerctl [command]", "compare "}},
		{[]string{"anonymizerctl", "help", "compare"},
			[]string{"anonymizerctl compare SOURCE OUTPUT", "--accept", "exits with 0"}},
		{[]string{"anonymizerctl", "compare", "-h"},
			[]string{"anonymizerctl compare SOURCE OUTPUT", "--accept", "exits with 0"}},
		{[]string{legacyCompare, "-h"}, []string{legacyCompare + " SOURCE OUTPUT", "--accept"}},
		{[]string{legacyCompare, "-help"}, []string{legacyCompare + " SOURCE OUTPUT", "--accept"}},
		{[]string{legacyCompare, "--help"}, []string{legacyCompare + " SOURCE OUTPUT", "--accept"}},
	} {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			assert.Zero(t, run(t.Context(), tc.args, &stdout, &stderr))
			for _, want := range tc.want {
				assert.Contains(t, stdout.String(), want)
			}
			assert.Empty(t, stderr.String())
		})
	}
}

func TestUnknownCommand(t *testing.T) {
	var stdout, stderr bytes.Buffer
	assert.Equal(t, exitError, run(t.Context(), []string{"anonymizerctl", "compere"}, &stdout, &stderr))
	assert.Contains(t, stderr.String(), `unknown command "compere"`)
}
