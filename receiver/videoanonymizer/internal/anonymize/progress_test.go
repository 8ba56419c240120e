// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
)

func TestProgressIsLoggedAtIntervals(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	p := telemetry.Progress{Frames: 750, Rate: 12.5, Done: 0.256, Remaining: 91*time.Second + time.Millisecond}
	log := newProgressLog(zap.New(core), func() telemetry.Progress { return p })
	begin := log.last
	for ms := range 95_000 / 40 { // one frame every 40 ms
		log.frame(begin.Add(time.Duration(ms) * 40 * time.Millisecond))
	}
	assert.Equal(t, 3, logs.Len(), "every 30 s")
	assert.Equal(t, map[string]any{"frames": int64(750), "frames_per_second": 12.5, "percent": int64(25), "eta": "1m31s"},
		logs.All()[0].ContextMap())
	p.Done, p.Remaining = -1, -1
	log.frame(begin.Add(200 * time.Second))
	assert.Equal(t, map[string]any{"frames": int64(750), "frames_per_second": 12.5}, logs.All()[3].ContextMap(),
		"what is unknown is left out")
}
