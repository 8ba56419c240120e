// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDoctorCommand(t *testing.T) {
	models, err := filepath.Abs("../../../../models")
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	write := func(name, directory string) {
		require.NoError(t, os.WriteFile(name, []byte(`
receivers:
  videoanonymizer:
    watch: {include: ["incoming/*"]}
    output: {directory: outputs}
    models: {directory: `+directory+`}
service: {pipelines: {logs: {receivers: [videoanonymizer]}}}
`), 0o644))
	}
	write("good.yaml", models)
	write("bad.yaml", "/no/models")
	for _, c := range []struct {
		args   []string
		status int
		out    string
	}{
		{[]string{"--config", "good.yaml"}, 0, "everything is there"},
		{[]string{"--config", "bad.yaml"}, exitFound, "models::directory: "},
		{[]string{"--config", "good.yaml", "--config", "bad.yaml"}, exitFound, "models::directory: "},
		{[]string{"--config", "good.yaml", "--config", "yaml:receivers::videoanonymizer::output::encoder: nvenc"}, exitFound,
			"output::encoder: "},
	} {
		var out, stderr bytes.Buffer
		status := run(t.Context(), append([]string{"anonymizerctl", "doctor"}, c.args...), &out, &stderr)
		assert.Equal(t, c.status, status, "%s%s", &out, &stderr)
		assert.Contains(t, out.String(), c.out)
	}
	assert.NoDirExists(t, "outputs", "it changes nothing")
}

func TestManPages(t *testing.T) {
	dir := t.TempDir()
	var out, stderr bytes.Buffer
	require.Zero(t, run(t.Context(), []string{"anonymizerctl", "man", dir}, &out, &stderr), stderr.String())
	for _, name := range []string{"anonymizerctl", "anonymizerctl-doctor", "anonymizerctl-token-create"} {
		text, err := os.ReadFile(filepath.Join(dir, name+".1"))
		require.NoError(t, err)
		assert.Contains(t, string(text), ".SH SYNOPSIS")
	}
}
