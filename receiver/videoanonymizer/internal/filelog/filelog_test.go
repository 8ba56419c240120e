// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package filelog

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// TestEachFileIsSampledByItself uses the collector's default sampling.
func TestEachFileIsSampledByItself(t *testing.T) {
	const files, sampled = 60, 10
	for name, tt := range map[string]struct {
		log  func(logger *zap.Logger, i int)
		want int
	}{
		"as a field of the logger": {func(l *zap.Logger, i int) {
			l.With(zap.Int("worker", 1), zap.String("video", fmt.Sprint(i))).With(zap.Int("attempt", 1)).Info("failed")
		}, files},
		"as a field of the line": {func(l *zap.Logger, i int) {
			l.Info("failed", zap.Int("attempt", 1), zap.String("file", fmt.Sprint(i)))
		}, files},
		"a folder":            {func(l *zap.Logger, i int) { l.Info("failed", zap.String("folder", fmt.Sprint(i))) }, files},
		"one file many times": {func(l *zap.Logger, _ int) { l.Info("failed", zap.String("file", "a")) }, sampled},
		"no file":             {func(l *zap.Logger, i int) { l.Info("failed", zap.Int("attempt", i)) }, sampled},
		"below the level":     {func(l *zap.Logger, i int) { l.Debug("failed", zap.String("file", fmt.Sprint(i))) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zap.InfoLevel)
			logger := zap.New(zapcore.NewSamplerWithOptions(core, 10*time.Second, sampled, 100), zap.AddCaller())
			for i := range files {
				tt.log(SampleByFile(logger), i)
			}
			assert.Equal(t, tt.want, logs.Len())
			assert.Equal(t, tt.want, logs.FilterMessage("failed").Len(), "the message stays as it is")
			for _, line := range logs.All() {
				assert.Contains(t, line.Caller.File, "filelog_test.go")
				assert.Len(t, line.ContextMap(), len(line.Context), "every field once")
			}
		})
	}
}
