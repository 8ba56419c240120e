// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package filelog keeps log lines about different files and folders apart where the collector samples its log.
package filelog

import (
	"slices"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// keys are the fields that give the path of the file or folder that a line is about.
var keys = []string{"video", "file", "folder"}

// SampleByFile returns a logger that writes to logger, but whose lines about one file are sampled apart from those
// about another.
//
// By default, a collector logs only the first ten lines with the same message in 10 s, and one in a hundred after
// that. Of 60 videos that fail for the same reason, the log would name ten.
func SampleByFile(logger *zap.Logger) *zap.Logger {
	return logger.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return core{Core: c} }))
}

// core asks the sampler below it once it knows the fields of a line, with a message that has the file in it.
type core struct {
	zapcore.Core
	file string // of the logger's own fields; "" if none of them gives one
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
