// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package privacy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// FuzzErase checks that any line is either left unchanged, or that the rest is valid telemetry without anything more to
// erase.
func FuzzErase(f *testing.F) {
	for _, line := range []string{
		`{}`, `{"resourceSpans":[]}`,
		`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"jane.mp4"}},{}]}]}]}`,
		`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"01000000000000000000000000000000","name":"a",` +
			`"attributes":[{"key":"k","value":{"stringValue":"jane.mp4"}}]}]}]}]}`,
		`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"gauge":{"dataPoints":[{"attributes":[{"key":"k",` +
			`"value":{"stringValue":"jane.mp4"}}]},{"asInt":"1"}]}}]}]}]}`,
		`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"dataPoints":[` +
			`{"exemplars":[{"traceId":"00"}]}]}}]}]}]}`,
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if strings.ContainsRune(line, '\n') {
			return
		}
		e := &eraser{subjects: subjects{"jane.mp4": true}, traces: traceSet{}}
		e.collect([]byte(line))
		kept, n, err := e.erase([]byte(line))
		if err != nil || n == 0 {
			assert.Equal(t, line, string(kept))
			return
		}
		if len(kept) == 0 {
			return
		}
		_, more, err := e.erase(kept)
		assert.NoError(t, err)
		assert.Zero(t, more)
	})
}
