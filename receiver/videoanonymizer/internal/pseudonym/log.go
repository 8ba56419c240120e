// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package pseudonym

import (
	"fmt"
	"path/filepath"
	"slices"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Logger returns a logger that writes to logger with pseudonyms. Fields that are absolute paths determine whose names
// are replaced in the message and the other fields.
func (n *Names) Logger(logger *zap.Logger) *zap.Logger {
	if n == nil {
		return logger
	}
	return logger.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return core{Core: c, names: n} }))
}

type core struct {
	zapcore.Core
	names *Names
	paths []string // from the logger's own fields
}

func (c core) With(fields []zapcore.Field) zapcore.Core {
	paths := pathsIn(fields, c.paths)
	return core{Core: c.Core.With(c.hide(fields, paths)), names: c.names, paths: paths}
}

func (c core) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

func (c core) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	paths := pathsIn(fields, c.paths)
	entry.Message = c.names.In(entry.Message, paths...)
	if checked := c.Core.Check(entry, nil); checked != nil {
		checked.Write(c.hide(fields, paths)...)
	}
	return nil
}

// pathsIn adds the fields that are absolute paths to paths.
func pathsIn(fields []zapcore.Field, paths []string) []string {
	paths = slices.Clone(paths)
	for _, field := range fields {
		if field.Type == zapcore.StringType && filepath.IsAbs(field.String) {
			paths = append(paths, field.String)
		}
	}
	return paths
}

// hide returns the fields with names replaced by pseudonyms.
func (c core) hide(fields []zapcore.Field, paths []string) []zapcore.Field {
	hidden := slices.Clone(fields)
	for i, field := range fields {
		switch field.Type {
		case zapcore.StringType:
			hidden[i].String = c.names.In(field.String, paths...)
		case zapcore.ErrorType, zapcore.StringerType, zapcore.ArrayMarshalerType, zapcore.ObjectMarshalerType,
			zapcore.InlineMarshalerType, zapcore.ReflectType, zapcore.ByteStringType:
			hidden[i] = zap.String(field.Key, c.names.In(fmt.Sprint(field.Interface), paths...))
		}
	}
	return hidden
}
