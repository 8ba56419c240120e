// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

func TestActed(t *testing.T) {
	sink := new(consumertest.LogsSink)
	e, err := NewEmitter(receivertest.NewNopSettings(component.MustNewType("videoanonymizer")),
		Options{ServiceName: "test", BatchSize: 10, BatchInterval: time.Millisecond}, Consumers{Logs: sink})
	require.NoError(t, err)
	e.Acted(t.Context(), Act{Action: "approved", Actor: "Ann", Role: "review", VideoID: "9f", Output: "ab", Entry: 3,
		Hash: "cd", At: time.Unix(1, 0)})
	require.NoError(t, e.Shutdown(t.Context()))
	require.Equal(t, 1, sink.LogRecordCount())
	record := sink.AllLogs()[0].ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
	assert.Equal(t, map[string]any{
		"anonymizer.console.action": "approved", "user.name": "Ann", "user.roles": []any{"review"},
		"anonymizer.video.id": "9f", "anonymizer.output.sha256": "ab", "anonymizer.audit.entry": int64(3),
		"anonymizer.audit.hash": "cd",
	}, record.Attributes().AsRaw())
	doc, err := os.ReadFile(filepath.Join("..", "..", "spans.md"))
	require.NoError(t, err)
	for name := range record.Attributes().All() {
		assert.Contains(t, string(doc), "`"+name+"`", "spans.md does not explain it")
	}
}
