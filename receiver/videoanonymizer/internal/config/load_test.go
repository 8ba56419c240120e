// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(`
receivers:
  otlp:
  videoanonymizer/a: {recall: fast}
  videoanonymizer/b:
    recall: thorough
    output: {directory: "${env:OUTPUTS}/b"}
    metrics: {anonymizer.video.progress: {enabled: false}}
exporters:
  debug:
  file/traces: {path: telemetry/traces.json}
  file: {path: "odd[1]/all.json"}
`), 0o600))
	t.Setenv("OUTPUTS", "/data")
	loaded, err := Load(t.Context(), "videoanonymizer/b", path)
	require.NoError(t, err)
	assert.Equal(t, "videoanonymizer/b", loaded.ID)
	assert.Equal(t, Thorough, loaded.Recall)
	assert.Equal(t, 1, loaded.DetectEvery, "as recall says")
	assert.Equal(t, "/data/b", loaded.Output.Directory)
	assert.False(t, loaded.Metrics.AnonymizerVideoProgress.Enabled)
	assert.Equal(t, "h264", loaded.Output.Codec, "defaults")
	assert.Equal(t, []string{`odd\[1\]/all.json`, `odd\[1\]/all-*.json`, "telemetry/traces.json",
		"telemetry/traces-*.json"}, loaded.Telemetry)

	loaded, err = Load(t.Context(), "videoanonymizer/b", path, "yaml:receivers::videoanonymizer/b::recall: fast")
	require.NoError(t, err)
	assert.Equal(t, Fast, loaded.Recall, "later ones override")

	for name, test := range map[string]struct{ id, location, says string }{
		"several":     {"", path, "choose one of videoanonymizer/a, videoanonymizer/b"},
		"no such":     {"videoanonymizer/c", path, "there is no videoanonymizer/c"},
		"not ours":    {"otlp", path, "there is no otlp"},
		"none":        {"", "yaml:receivers::otlp:", "add receivers::videoanonymizer"},
		"no section":  {"", "yaml:exporters::debug:", "add receivers::videoanonymizer"},
		"no file":     {"", "/nonexistent.yaml", "/nonexistent.yaml"},
		"unknown key": {"", "yaml:receivers::videoanonymizer::recal: fast", "recal"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(t.Context(), test.id, test.location)
			assert.ErrorContains(t, err, test.says)
		})
	}
}
