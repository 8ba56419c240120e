// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
)

// progressInterval is the time between two log lines about a video in progress. A video that takes less time has none.
const progressInterval = 30 * time.Second

// progressLog logs the progress of a video at intervals. It is safe for concurrent use.
type progressLog struct {
	mu       sync.Mutex
	logger   *zap.Logger
	progress func() telemetry.Progress
	last     time.Time
}

func newProgressLog(logger *zap.Logger, progress func() telemetry.Progress) *progressLog {
	return &progressLog{logger: logger, progress: progress, last: time.Now()}
}

// frame is called after each frame.
func (l *progressLog) frame(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.last) < progressInterval {
		return
	}
	l.last = now
	p := l.progress()
	fields := []zap.Field{zap.Int("frames", p.Frames), zap.Float64("frames_per_second", p.Rate)}
	if p.Done >= 0 {
		fields = append(fields, zap.Int("percent", int(100*p.Done)))
	}
	if p.Remaining >= 0 {
		fields = append(fields, zap.String("eta", p.Remaining.Round(time.Second).String()))
	}
	l.logger.Info("video in progress", fields...)
}
