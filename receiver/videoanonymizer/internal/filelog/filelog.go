// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package filelog makes the sampling of the collector's log treat lines about different files and folders separately.
package filelog

import (
	"slices"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// keys are the fields that hold the path of the file or folder that a line is about.
var keys = []string{"video", "file", "folder"}

// SampleByFile returns a logger that writes to logger, but whose lines are sampled separately for each file.
//
// By default, a collector logs only the first ten lines with the same message in 10 s, and one in a hundred after that.
// If 60 videos failed for the same reason, the log would name only ten.
func SampleByFile(logger *zap.Logger) *zap.Logger {
	return logger.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return core{Core: c} }))
}

// core asks the sampler that it wraps only once the fields of a line are known, with a message that includes the file.
type core struct {
	zapcore.Core
	file string // from the logger's own fields; "" if none of them has one
}

func (c core) With(fields []zapcore.Field) zapcore.Core {
	return core{Core: c.Core.With(fields), file: c.fileOf(fields)}
}

func (c core) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

func (c core) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	sampled := entry
	if file := c.fileOf(fields); file != "" {
		sampled.Message += "\x00" + file
	}
	if checked := c.Core.Check(sampled, nil); checked != nil {
		checked.Message = entry.Message
		checked.Write(fields...)
	}
	return nil
}

func (c core) fileOf(fields []zapcore.Field) string {
	for _, field := range fields {
		if slices.Contains(keys, field.Key) {
			return field.String
		}
	}
	return c.file
}
