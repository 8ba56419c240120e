// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
)

// checkReport validates the report of an output against its schema and the output itself.
func checkReport(t *testing.T, output string) report.About {
	t.Helper()
	text, err := os.ReadFile(output + ".report.json")
	require.NoError(t, err)
	var document any
	require.NoError(t, json.Unmarshal(text, &document))
	schema, err := jsonschema.NewCompiler().Compile("report.schema.json")
	require.NoError(t, err)
	require.NoError(t, schema.Validate(document))

	var about report.About
	require.NoError(t, json.Unmarshal(text, &about))
	video, err := os.ReadFile(output)
	require.NoError(t, err)
	sum := sha256.Sum256(video)
	assert.Equal(t, report.File{Name: filepath.Base(output), Size: int64(len(video)), SHA256: hex.EncodeToString(sum[:])},
		about.Output)
	models := map[string]int{"fast": 2, "balanced": 3, "thorough": 3}[about.Settings.Recall]
	if about.Settings.Survey {
		models += 2
	}
	assert.Len(t, about.Models, models)
	return about
}

func TestReportCanBeSwitchedOff(t *testing.T) {
	cfg := newTestConfig(t)
	cfg.Report.Enabled = false
	r := start(t, cfg)
	clip(t, filepath.Join(r.in, "plain.mp4"), "-i", "testsrc2=size=320x240:rate=25:duration=1")
	r.awaitLog(t, "finished", "plain.mp4")
	require.NoError(t, r.Shutdown(t.Context()))
	assert.FileExists(t, filepath.Join(r.out, "plain_anonymized.mp4"))
	assert.NoFileExists(t, filepath.Join(r.out, "plain_anonymized.mp4.report.json"))
}

// reviewed returns the outputs, each followed by the companion files that it has by default.
func reviewed(outputs ...string) (files []string) {
	for _, output := range outputs {
		files = append(files, output, output+".report.json", output+".review.jpg")
	}
	return files
}
