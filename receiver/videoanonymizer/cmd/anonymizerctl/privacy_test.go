// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPrivacyGuide runs the commands in docs/privacy.md with the configuration there, on a real output.
func TestPrivacyGuide(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	guide, err := os.ReadFile("../../../../docs/privacy.md")
	require.NoError(t, err)
	folder := footage(t, "0.2", "videos/incoming/walk.mp4", "videos/incoming/=1+1.mp4")
	require.NoError(t, os.WriteFile(filepath.Join(folder, "config.yaml"), fenced(t, guide, "yaml"), 0o600))
	models := abs(t, modelsDirectory)
	t.Chdir(folder)
	anonymizerctl := func(args ...string) (status int, stdout, stderr string) {
		var out, errs bytes.Buffer
		status = run(t.Context(), append([]string{"anonymizerctl"}, args...), &out, &errs)
		return status, out.String(), errs.String()
	}
	status, _, says := anonymizerctl(append([]string{"run", "videos/incoming", "-o", "videos/anonymized", "--models",
		models}, quick...)...)
	require.Zero(t, status, says)
	require.NoError(t, os.Remove("videos/incoming/walk.mp4"))

	blocks := regexp.MustCompile("(?ms)^```sh\n(.*?)^```").FindAllSubmatch(guide, -1)
	require.Len(t, blocks, 2)
	commands := func(block []byte) (all [][]string) {
		for line := range strings.Lines(string(block)) {
			line, _, _ = strings.Cut(line, " #")
			line, _, _ = strings.Cut(line, " >")
			all = append(all, strings.Fields(line)[1:])
		}
		return all
	}
	recordings := commands(blocks[1][1])
	status, table, says := anonymizerctl(recordings[0]...)
	assert.Zero(t, status, says)
	rows, err := csv.NewReader(strings.NewReader(table)).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 3)
	assert.Contains(t, table, "walk_anonymized.mp4")
	assert.Contains(t, table, "'=1+1.mp4", "no formula for a spreadsheet")
	status, page, says := anonymizerctl(recordings[1]...)
	assert.Zero(t, status, says)
	assert.Contains(t, page, "<td>walk.mp4</td>")
	status, text, _ := anonymizerctl("record", "--directory", "videos/anonymized", "--format", "json")
	assert.Zero(t, status)
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join(filepath.Dir(models), "receiver", "videoanonymizer",
		"record.schema.json"))
	require.NoError(t, err)
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	require.NoError(t, err)
	assert.NoError(t, schema.Validate(document))

	erasures := commands(blocks[0][1])
	status, said, says := anonymizerctl(erasures[0]...)
	assert.Zero(t, status, says)
	assert.Contains(t, said, "would be erased: "+folder+"/videos/anonymized/walk_anonymized.mp4\n")
	assert.Contains(t, said, "Nothing was erased: add --yes.")
	assert.FileExists(t, "videos/anonymized/walk_anonymized.mp4")
	status, said, says = anonymizerctl(erasures[1]...)
	assert.Zero(t, status, says)
	assert.Contains(t, said, "\nerased: "+folder+"/videos/anonymized/walk_anonymized.mp4.report.json\n")
	assert.Contains(t, said, "Prometheus")
	_, table, _ = anonymizerctl(recordings[0]...)
	assert.NotContains(t, table, "walk")

	status, text, _ = anonymizerctl("erase", "=1+1.mp4", "--directory", "videos/anonymized", "--yes", "--json")
	assert.Equal(t, exitFound, status, "the source is still there")
	var erasure struct {
		Erased      bool
		Files       []string
		Remaining   []string
		Unreachable []string
	}
	require.NoError(t, json.Unmarshal([]byte(text), &erasure))
	assert.True(t, erasure.Erased)
	assert.NotEmpty(t, erasure.Files)
	assert.Len(t, erasure.Remaining, 1)
	assert.NotEmpty(t, erasure.Unreachable)
	status, _, says = anonymizerctl(erasures[1]...)
	assert.Equal(t, exitError, status)
	assert.Contains(t, says, "nothing is known of it")
}

func TestPrivacyCommandsRefuse(t *testing.T) {
	folder := t.TempDir()
	tests := map[string]struct {
		args []string
		says string
	}{
		"no place":   {[]string{"record"}, "with --config or --directory"},
		"two places": {[]string{"erase", "a.mp4", "--directory", folder, "--config", "x"}, "not both"},
		"format":     {[]string{"record", "--directory", folder, "--format", "pdf"}, "use csv, json or html"},
		"no date":    {[]string{"record", "--directory", folder, "--since", "May"}, "2026-01-31"},
		"no state":   {[]string{"erase", "a.mp4", "--directory", folder, "--yes"}, "state directory"},
		"wrong config": {[]string{"record", "--config", "yaml:receivers::videoanonymizer::recall: fast"},
			"include: is required"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			assert.Equal(t, exitError, run(t.Context(), append([]string{"anonymizerctl"}, test.args...), &stdout, &stderr))
			assert.Contains(t, stderr.String(), test.says)
		})
	}
}
